"""The same questions for Label Studio (labelstud.io), and the answers from its JSON export.

The second question (pairs) is not asked there, and it does not record whether a situation was opened.
"""

from typing import Any, Final

from dataset_builder.human_eval.sample import NONE, Key
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import EMOTIONS

QUESTION = "picks"
CONFIG: Final = f"""<View>
  <Header value="Which emotions do these words express? Pick all that apply." />
  <Text name="character" value="$character" />
  <Text name="text" value="$text" />
  <Collapse>
    <Panel value="Show the situation (read the words first)">
      <Text name="situation" value="$situation" />
    </Panel>
  </Collapse>
  <Choices name="{QUESTION}" toName="text" choice="multiple" value="$options" required="true" showInline="false" />
</View>
"""


def studio_tasks(key: Key) -> list[dict[str, Any]]:
    """Tasks for Label Studio's import; `options` are the choices of each task, with definitions as hints."""
    definitions = {emotion.name: emotion.definition for emotion in EMOTIONS} | {NONE: "No label above fits."}
    return [
        {
            "data": {
                "task": task.id,
                "sample": key.sample,
                "text": task.text,
                "character": task.character,
                "situation": task.context or "(There is no situation.)",
                "options": [{"value": label, "hint": definitions[label]} for label in (*task.options, NONE)],
            }
        }
        for task in key.tasks
    ]


def read_studio(content: list[Any], place: str) -> dict[str, dict[str, Any]]:
    """Answers from Label Studio's JSON export (not JSON-MIN), by annotator.

    Skipped annotations are left out; of two by one person to one task the last submitted counts.

    Returns:
        For each annotator `studio-<user number>` what an answer file of our page holds: sample, annotator, answers.

    Raises:
        InputError: a task is not one of ours, or the file is of another of Label Studio's formats.
    """
    files: dict[str, dict[str, Any]] = {}
    submitted: dict[tuple[str, str], str] = {}
    for number, task in enumerate(content, start=1):
        data = task.get("data") if isinstance(task, dict) else None
        given = task.get("annotations") if isinstance(task, dict) else None
        ours = isinstance(data, dict) and isinstance(data.get("task"), str)
        if not isinstance(data, dict) or not ours or not isinstance(given, list) or not all(map(_is_object, given)):
            raise InputError(f"{place}: item {number} is not a task of ours. Export as 'JSON' (not 'JSON-MIN').")
        for annotation in given:
            if annotation.get("was_cancelled"):
                continue
            by = annotation.get("completed_by")
            person = by.get("id") if isinstance(by, dict) else by  # no e-mail address, no name
            if person is None:
                raise InputError(f"{place}: item {number}: nobody knows whose annotation it is ('completed_by').")
            annotator = f"studio-{person}"
            at, when = (
                (annotator, data["task"]),
                str(annotation.get("updated_at") or annotation.get("created_at") or ""),
            )
            if when < submitted.get(at, ""):
                continue
            submitted[at] = when
            file = files.setdefault(annotator, {"sample": data.get("sample"), "annotator": annotator, "answers": {}})
            if file["sample"] != data.get("sample"):
                raise InputError(f"{place}: tasks of two samples in one export. Export each project by itself.")
            try:
                picks = _picks(annotation)
            except (AttributeError, TypeError):
                raise InputError(f"{place}: item {number}: its result is not of Label Studio's form.") from None
            file["answers"][data["task"]] = {"picks": picks, "seconds": annotation.get("lead_time")}
    if not files:
        raise InputError(f"{place}: nothing is annotated in it.")
    return files


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _picks(annotation: dict[str, Any]) -> list[str]:
    found = (part for part in annotation.get("result") or () if part.get("from_name") == QUESTION)
    return [pick for part in found for pick in part.get("value", {}).get("choices", [])]
