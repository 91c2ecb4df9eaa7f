"""Writes one HTML page per annotator, which works without a server and without a network.

Separate pages replace a name field: a mistyped name cannot merge two people, no name is stored, and everybody sees the
tasks in a different order, so that tired annotators do not always answer the same rows.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from dataset_builder.files.shards import write_json, write_whole
from dataset_builder.hashing import stable_hash
from dataset_builder.human_eval.sample import NONE, Key, Pair, Task, read_key
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import DEFINITIONS

HERE = Path(__file__).parent
KEY = "key.json"
SAME = "same"  # the third option of a pair


def export(key: Key, out: Path) -> list[Path]:
    """Write `<annotator>.html` for each annotator, and `key.json`; returns the pages.

    Raises:
        InputError: the folder holds another sample, which annotators may be answering.
    """
    if (out / KEY).exists() and (found := read_key(out / KEY).sample) != key.sample:
        raise InputError(f"{out}: contains another sample ({found}), whose key must be kept. Use another folder.")
    pages = {out / f"{annotator}.html": page(key, annotator) for annotator in key.annotators}
    for path, content in pages.items():
        write_whole(path, content.encode())
    write_json(out / KEY, key.model_dump(mode="json"))
    return list(pages)


def page(key: Key, annotator: str) -> str:
    """The page of one annotator. It contains no scores, and does not reveal the distractor or the rewritten text."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    def order(item: Task | Pair) -> int:
        return stable_hash(key.sample, annotator, item.id)

    items: list[Task | Pair] = [*sorted(key.tasks, key=order), *sorted(key.pairs, key=order)]
    tasks = "\n".join(_fieldset(item, f"{number} of {len(items)}") for number, item in enumerate(items, start=1))
    parts = {
        "__ANNOTATOR__": annotator,
        "__FORMAT__": key.format,
        "__SAMPLE__": key.sample,
        "__SCRIPT_HASH__": f"sha256-{digest}",  # the browser runs this script and no other
        "__SCRIPT__": script,
        "__TASKS__": tasks,  # last: a corpus text may contain any of the other placeholders
    }
    content = (HERE / "page.html").read_text(encoding="utf-8")
    for mark, value in parts.items():
        content = content.replace(mark, value)
    return content


def _fieldset(item: Task | Pair, number: str) -> str:
    """Return a question with its options. Everything that comes from the corpus is escaped."""
    if isinstance(item, Pair):
        question = "<p>Which of the two texts shows the speaker's emotion less?</p>"
        options = [("1", item.texts[0], ""), ("2", item.texts[1], ""), (SAME, "No difference", "")]
        return _form(item.id, number, question, "radio", options)
    speaker = f"{number} · {item.character}" if item.character else number
    question = f'<p class="text">{escape(item.text)}</p>'
    if item.context:
        question += f"<details><summary>Show the situation</summary><p>{escape(item.context)}</p></details>"
    options = [(label, label, DEFINITIONS[label]) for label in item.options]
    options.append((NONE, "None of these", "No label above fits."))
    return _form(item.id, speaker, question, "checkbox", options)


def _form(item_id: str, legend: str, question: str, kind: str, options: Sequence[tuple[str, str, str]]) -> str:
    inputs = "\n".join(
        f'<label><input type="{kind}" name="{item_id}" value="{value}" autocomplete="off"> {escape(text)} '
        f"<small>{escape(hint)}</small></label>"
        for value, text, hint in options
    )
    return f'<fieldset id="{item_id}"><legend>{escape(legend)}</legend>\n{question}\n{inputs}</fieldset>'
