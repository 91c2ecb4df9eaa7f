"""Our own label sets: 6, 11 and 32 labels with definitions and example sentences, in eval/label_sets/*.yaml.

No model is trained on them, and they belong to no published dataset. The sentences are ours too, each written with one
label in mind: a score on them only shows that a label set works.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from dataset_builder.inputs import InputError, Name, Strict, read_recipe, read_yaml
from dataset_builder.text_hygiene import damage_of

FOLDER = Path(__file__).parent / "label_sets"


def sound(text: str) -> str:
    """Return a text that can be embedded. Raises ValueError if it is blank or damaged."""
    if not text.strip():
        raise ValueError("is blank")
    if damage := damage_of(text):
        raise ValueError(f"holds {damage}")
    return text


Text = Annotated[str, AfterValidator(sound)]


class Label(Strict):
    """A label, what it means, and sentences that it fits."""

    name: Text
    definition: Text
    examples: tuple[Text, ...] = ()


class LabelSet(Strict):
    """Labels that a text is scored against; its benchmark has the same name."""

    name: Name
    labels: tuple[Label, ...]

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [label.name for label in self.labels]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError("'labels' must be two or more, each with a different name")
        return self


@cache
def label_sets() -> dict[str, LabelSet]:
    """Our label sets by name."""
    found = [read_recipe(path, LabelSet) for path in sorted(FOLDER.glob("*.yaml"))]
    return {label_set.name: label_set for label_set in found}


def find_set(name: str) -> LabelSet:
    """Return a set of ours by name, or one of the same form from a YAML file. Raises InputError if there is neither."""
    if name in label_sets():
        return label_sets()[name]
    if not Path(name).suffix:
        raise InputError(
            f"unknown label set '{name}'. Known: {', '.join(label_sets())}. You can also pass a YAML file."
        )
    return read_recipe(name, LabelSet)


def own_sentences() -> list[str]:
    """Return all sentences of our sets: reference texts for models that bring none."""
    return [text for label_set in label_sets().values() for label in label_set.labels for text in label.examples]


def read_definitions(path: str) -> dict[str, str]:
    """Definitions of labels from a YAML file of `label: definition`.

    Raises InputError if the file is missing or of another form, or a definition is blank or damaged.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(part, str) for pair in content.items() for part in pair):
        raise InputError(f"{path}: expected lines of `label: definition`.")
    for label, definition in content.items():
        try:
            sound(definition)
        except ValueError as error:
            raise InputError(f"{path}: the definition of '{label}' {error}. Correct or delete it.") from None
    return content
