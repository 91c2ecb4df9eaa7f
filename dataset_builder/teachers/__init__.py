"""Teachers: the only place that knows an inference engine. One small interface, three kinds."""

import gc
from pathlib import Path

from dataset_builder.inputs import InputError, wheel_path
from dataset_builder.recipe import EmbeddedTeacher, EndpointTeacher, ScriptedTeacher
from dataset_builder.teachers.base import Teacher

_LOADED: dict[tuple[str, str], Teacher] = {}


def gguf_path(config: EmbeddedTeacher) -> Path | None:
    """The GGUF file that a teacher is loaded from; None for one of the Hub or of a folder.

    Raises:
        InputError: the recipe names a file that is not there.
    """
    path = Path(config.gguf) if config.gguf else wheel_path(config.wheel)
    if path and not path.is_file():
        raise InputError(f"{path}: no such file; 'teacher.gguf' names a GGUF file.")
    return path


def embedded_name(config: EmbeddedTeacher) -> str:
    """Model, revision and weights of an embedded teacher; nothing is loaded for it."""
    file = config.wheel if wheel_path(config.wheel) else None
    file = Path(config.gguf).name if config.gguf else file
    file = f", {file}" if file else ""
    return f"{config.model}@{config.revision}{file}" + (", int8" if config.int8 else "")


def teacher_name(config: ScriptedTeacher | EmbeddedTeacher | EndpointTeacher) -> str:
    """What rows and cards call a recipe's teacher; a model's weights, and torch, are left alone for it."""
    return embedded_name(config) if isinstance(config, EmbeddedTeacher) else load_teacher(config).name


def load_teacher(config: ScriptedTeacher | EmbeddedTeacher | EndpointTeacher, replica: int = 0) -> Teacher:
    """The teacher of a recipe, made once in a process; `replica` is the number of an endpoint's url."""
    url = config.urls[replica] if isinstance(config, EndpointTeacher) else ""
    key = (repr(config), url)  # all of its keys, some of which cannot be hashed
    if key not in _LOADED:
        _LOADED[key] = _load(config, url)
    return _LOADED[key]


def unload_teachers() -> None:
    """Free the memory of this process's teachers: the workers that come next load their own."""
    _LOADED.clear()
    gc.collect()


def _load(config: ScriptedTeacher | EmbeddedTeacher | EndpointTeacher, url: str) -> Teacher:
    # Imported here: a run with an endpoint needs no torch.
    if isinstance(config, EmbeddedTeacher):
        from dataset_builder.teachers.embedded import Embedded

        return Embedded(config)
    if isinstance(config, EndpointTeacher):
        from dataset_builder.teachers.endpoint import Endpoint

        return Endpoint(config, url)
    from dataset_builder.teachers.scripted import Scripted

    return Scripted(config)
