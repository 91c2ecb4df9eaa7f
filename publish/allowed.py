"""What a repository may contain: files by name and real location, and no code of its own."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from publish.files import Content, read_json, text_of

TEXTS = r"README\.md|LICENSE|NOTICE|notes\.txt"
# Full file names for each kind of repository. A new kind of file is a line here.
ALLOWED = {
    kind: re.compile("|".join(names))
    for kind, names in {
        "model": (
            TEXTS,
            r"config\.json|generation_config\.json|thresholds\.json|training\.json",
            r"tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json",
            r"vocab\.(json|txt)|merges\.txt|(spiece|tokenizer|sentencepiece\.bpe)\.model|chat_template\.jinja",
            r"(model|head|reference|adapter_model)(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json",
            r"(adapter/)?(adapter_config\.json|adapter_model\.safetensors)",
            r"modules\.json|sentence_bert_config\.json|config_sentence_transformers\.json",
            r"\d+_\w+/(\w+/)?(config\.json|router_config\.json|model\.safetensors)",
            r"onnx/(model\w*\.onnx|model\w*\.onnx_data|export\.json)",
            r"plots/[\w.-]+\.png",
        ),
        "dataset": (
            TEXTS,
            r"manifest\.json",
            r"[a-z][\w-]*/(train|validation|test)-\d{5}-of-\d{5}-[0-9a-f]{16}\.parquet",
        ),
        "plot": (r"[\w.-]+/[\w.-]+\.png",),  # within the folder of all results
        "space": (TEXTS, r"requirements\.txt|packages\.txt", r"([\w-]+/)*[\w-]+\.(py|css|js|html|png|jpg|svg|ico)"),
    }.items()
}
MODULES = "modules.json"
# Keys of a configuration that make a library load classes from the repository's own Python files.
CODE_KEYS = ("auto_map", "custom_pipelines")
# Where classes that a configuration names may come from.
TRUSTED = {
    "module": ("sentence_transformers.",),
    "activation_function": ("sentence_transformers.", "torch.nn."),
    "parent_library": ("transformers.", "peft."),
}


def files_of(folder: Path, paths: Iterable[Path], kind: str, problems: list[str]) -> dict[str, Path]:
    """Return the files of a folder by their names in a repository of that kind; any other file is added to `problems`.

    A link to a target outside the folder is left out: the target is never read.
    """
    found = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        target = Path(os.path.realpath(path))  # Path.resolve() raises on a circle of links
        if not target.is_relative_to(folder.resolve()) or not target.exists():
            fault = f"points outside {folder}" if target.exists() else "points to nothing"
            problems.append(f"{path} -> {target}: {fault}. Replace the link by the file, or remove it.")
            continue
        if not ALLOWED[kind].fullmatch(name):
            problems.append(
                f"{path}: does not belong in a {kind} repository. Move it away; publish/allowed.py lists the allowed "
                "files."
            )
        if path.is_file():
            found[name] = path
    return found


def module_folders(folder: Path, problems: list[str]) -> list[str]:
    """The folders that a model's `modules.json` names; paths out of the model's folder are added to `problems`."""
    path = folder / MODULES
    if not path.exists():
        return []
    modules = read_json(path, problems, kind=list)
    if not all(isinstance(module, dict) and isinstance(module.get("path"), str) for module in modules):
        problems.append(f"{path}: not a list of modules with a 'path' each. Create it again.")
        return []
    inside = []
    for part in (PurePosixPath(module["path"]) for module in modules):
        if part.is_absolute() or ".." in part.parts or "\0" in str(part):
            problems.append(f"{path}: the path '{part}' points outside {folder}. Create it again.")
        else:
            inside.append("" if str(part) == "." else str(part))
    return inside


def code_in(name: str, file: Content) -> Iterator[str]:
    """Yield every key in a model's JSON file that makes a library run code that is not its own."""
    try:
        content = json.loads(text_of(file))
    except (OSError, ValueError, RecursionError):
        return  # no library loads it
    modules: list[Any] = []
    if name == MODULES and isinstance(content, list):
        modules = [module.get("type") for module in content if isinstance(module, dict)]
    config = _mapping(content)
    if name.endswith("router_config.json"):
        modules = [*_mapping(config.get("types")).values()]
    yield from (f"'{key}'" for key in CODE_KEYS if config.get(key))
    yield from (f"a module of type {kind}" for kind in modules if not _is_trusted("module", kind))
    library, function = _mapping(config.get("auto_mapping")).get("parent_library"), config.get("activation_function")
    if library and not _is_trusted("parent_library", f"{library}."):
        yield f"'auto_mapping' of {library}"
    if "." in str(function or "") and not _is_trusted("activation_function", function):
        yield f"'activation_function' of {function}"


def _is_trusted(key: str, name: Any) -> bool:
    return str(name).startswith(TRUSTED[key])


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
