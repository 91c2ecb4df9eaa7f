"""The annotator's page: one HTML file that needs no server and no network, and the folder that holds them.

One page for each annotator, rather than one that asks for a name: a mistyped name cannot make two people of one or one
of two, no name is stored, everybody has an order of tasks of their own (so that tired eyes do not always meet the same
rows), and two annotators on one computer do not overwrite each other's progress.
"""

import json
from pathlib import Path
from typing import Any

from dataset_builder.files.shards import write_json, write_whole
from dataset_builder.hashing import stable_hash
from dataset_builder.human_eval.label_studio import CONFIG, studio_tasks
from dataset_builder.human_eval.sample import Key, read_key
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import EMOTIONS

HERE = Path(__file__).parent
KEY = "key.json"


def export(key: Key, out: Path) -> list[Path]:
    """Write `<annotator>.html` for each annotator, `key.json`, and `label-studio/tasks.json` and `config.xml`.

    Raises:
        InputError: the folder holds another sample, to which somebody may be answering.
    """
    if (out / KEY).exists() and (found := read_key(out / KEY).sample) != key.sample:
        raise InputError(f"{out}: holds another sample ({found}). Give another folder, so that its key is kept.")
    pages = {out / f"{annotator}.html": page(key, annotator) for annotator in key.annotators}
    for path, content in pages.items():
        write_whole(path, content.encode())
    write_json(out / "label-studio" / "tasks.json", studio_tasks(key))
    write_whole(out / "label-studio" / "config.xml", CONFIG.encode())
    write_json(out / KEY, key.model_dump(mode="json"))
    return list(pages)


def page(key: Key, annotator: str) -> str:
    """The page of one annotator. It holds nothing that tells the distractor, the scores or the rewritten text."""
    parts = {
        "__ANNOTATOR__": annotator,
        "__STYLE__": (HERE / "page.css").read_text(encoding="utf-8").strip(),
        "__SCRIPT__": (HERE / "page.js").read_text(encoding="utf-8").strip(),
        "__DATA__": _script_safe(_shown(key, annotator)),  # last: a text may hold any of the other marks
    }
    content = (HERE / "page.html").read_text(encoding="utf-8")
    for mark, value in parts.items():
        content = content.replace(mark, value)
    return content


def _shown(key: Key, annotator: str) -> dict[str, Any]:
    def own_order(item_id: str) -> int:
        return stable_hash(key.sample, annotator, item_id)

    return {
        "format": key.format,
        "sample": key.sample,
        "annotator": annotator,
        "definitions": {emotion.name: emotion.definition for emotion in EMOTIONS},
        "tasks": [
            {
                "id": task.id,
                "text": task.text,
                "character": task.character,
                "situation": task.context,
                "options": list(task.options),
            }
            for task in sorted(key.tasks, key=lambda task: own_order(task.id))
        ],
        "pairs": [
            {"id": pair.id, "texts": list(pair.texts)}
            for pair in sorted(key.pairs, key=lambda pair: own_order(pair.id))
        ],
    }


def _script_safe(value: Any) -> str:
    """JSON that cannot end the script element that it stands in, whatever the corpus's texts say."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
