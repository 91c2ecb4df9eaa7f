"""What a repository may hold, by name and by where it lies. Everything else is refused."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

TEXTS = r"README\.md|LICENSE|NOTICE|notes\.txt"
# Full names in each kind of repository. A new kind of file is a line here.
ALLOWED = {
    kind: re.compile("|".join(names))
    for kind, names in {
        "model": (
            TEXTS,
            r"config\.json|generation_config\.json|thresholds\.json|training\.json",
            r"tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json",
            r"vocab\.(json|txt)|merges\.txt|(spiece|tokenizer|sentencepiece\.bpe)\.model|chat_template\.jinja",
            r"(model|reference|adapter_model)(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json",
            r"(adapter/)?(adapter_config\.json|adapter_model\.safetensors)",
            r"modules\.json|sentence_bert_config\.json|config_sentence_transformers\.json",
            r"\d+_\w+/(\w+/)?(config\.json|router_config\.json|model\.safetensors)",
            r"onnx/(model\w*\.onnx|model\w*\.onnx_data|export\.json)",
            r"plots/[\w.-]+\.png|\.eval_results/[\w.-]+\.yaml",
        ),
        "dataset": (
            TEXTS,
            r"manifest\.json",
            r"[a-z][\w-]*/(train|validation|test)-\d{5}-of-\d{5}-[0-9a-f]{16}\.parquet",
        ),
        "plot": (r"[\w.-]+/[\w.-]+\.png",),  # below the results of all models
        "space": (TEXTS, r"requirements\.txt|packages\.txt", r"([\w-]+/)*[\w-]+\.(py|css|js|html|png|jpg|svg|ico)"),
    }.items()
}
CHECKPOINT = "checkpoint"
MODULES = "modules.json"
STOCK_MODULES = "sentence_transformers."
STOCK_FUNCTIONS = ("torch.nn.", "sentence_transformers.")
CODE_KEYS = ("auto_map", "custom_pipelines")  # of configurations: classes in the repository's own files


def files_of(folder: Path, paths: Iterable[Path], kind: str, problems: list[str]) -> dict[str, Path]:
    """Files below a folder by their names in a repository of that kind; what is none of its files goes to `problems`.

    A file that leads out of the folder is left out altogether: nobody reads it.
    """
    found = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        target = Path(os.path.realpath(path))  # resolve() raises where links go in a circle
        if not target.is_relative_to(folder.resolve()) or not target.exists():
            where = "nowhere" if not target.exists() else f"out of {folder}"
            problems.append(f"{path} -> {target}: leads {where}. Put the file itself there, or take it away.")
            continue
        if not ALLOWED[kind].fullmatch(name):
            problems.append(
                f"{path}: no file of a {kind} repository. Move it elsewhere; what may be sent is in {__name__}."
            )
        if path.is_file():
            found[name] = path
    return found


def module_folders(folder: Path, problems: list[str]) -> list[str]:
    """The folders that a model's `modules.json` names; what is wrong with it goes to `problems`."""
    path = folder / MODULES
    if not path.exists():
        return []
    try:
        parts = [str(part["path"]) for part in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        problems.append(f"{path}: cannot be read as what it should be. Make it again.")
        return []
    inside = [
        part
        for part in parts
        if not PurePosixPath(part).is_absolute() and ".." not in PurePosixPath(part).parts and "\0" not in part
    ]
    if outside := [part for part in parts if part not in inside]:
        problems.append(f"{path}: has the path '{outside[0]}', which leads out of {folder}. Make it again.")
    return ["" if part == "." else part for part in (PurePosixPath(part).as_posix() for part in inside)]


def code_in(name: str, file: Path | bytes) -> Iterator[str]:
    """What in a model's JSON file, or in its content, makes libraries load code that is not theirs."""
    try:
        content = json.loads(file if isinstance(file, bytes) else file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # not JSON: nothing loads it
    if name == MODULES:
        types = (
            [str(part.get("type")) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        )
        yield from (f"a module of type {kind}" for kind in types if not kind.startswith(STOCK_MODULES))
    if not isinstance(content, dict):
        return
    yield from (f"'{key}'" for key in CODE_KEYS if content.get(key))
    if name.endswith("router_config.json"):
        types = [str(kind) for kind in _mapping(content.get("types")).values()]
        yield from (f"a module of type {kind}" for kind in types if not kind.startswith(STOCK_MODULES))
    library = str(_mapping(content.get("auto_mapping")).get("parent_library") or "transformers")
    if library.partition(".")[0] not in ("transformers", "peft"):
        yield f"'auto_mapping' of {library}"
    function = str(content.get("activation_function") or "torch.nn.")
    if "." in function and not function.startswith(STOCK_FUNCTIONS):
        yield f"'activation_function' of {function}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
