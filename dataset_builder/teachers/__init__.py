"""Teachers: the only package that knows an inference engine. One small interface (base.py), three implementations."""

import gc

from dataset_builder.recipe import EmbeddedTeacher, EndpointTeacher, NoTeacher
from dataset_builder.recipe import Teacher as TeacherSection
from dataset_builder.teachers.base import Teacher

_loaded: dict[tuple[str, str], Teacher] = {}


def teacher_name(config: TeacherSection) -> str:
    """The teacher's name in rows and cards. Loads no weights, but raises InputError for a key that cannot be sent."""
    return config.name if isinstance(config, EmbeddedTeacher) else load_teacher(config).name


def load_teacher(config: TeacherSection, replica: int = 0) -> Teacher:
    """Return the teacher of a recipe, loaded once per process; `replica` is the index of an endpoint's url."""
    url = config.urls[replica] if isinstance(config, EndpointTeacher) else ""
    key = (repr(config), url)  # a recipe with lists in it cannot be hashed
    if key not in _loaded:
        _loaded[key] = _load(config, url)
    return _loaded[key]


def unload_teachers() -> None:
    """Free the memory of this process's teachers before workers load their own."""
    _loaded.clear()
    gc.collect()


def _load(config: TeacherSection, url: str) -> Teacher:
    # Imported here, so that a run with an endpoint does not import torch.
    if isinstance(config, EmbeddedTeacher):
        from dataset_builder.teachers.embedded import Embedded

        return Embedded(config)
    if isinstance(config, EndpointTeacher):
        from dataset_builder.teachers.endpoint import Endpoint

        return Endpoint(config, url)
    if isinstance(config, NoTeacher):
        from dataset_builder.teachers.absent import Absent

        return Absent()
    from dataset_builder.teachers.scripted import Scripted

    return Scripted(config)
