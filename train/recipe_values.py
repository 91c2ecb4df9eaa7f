"""python -m train.recipe_values < RECIPE.yaml: a recipe as training records have it, for who may not import `train`.

Prints all its values as JSON, defaults included. A recipe of a record is read as well, since JSON is YAML.
"""

import json
from typing import Any

from pydantic import ValidationError

from dataset_builder.inputs import InputError, read_yaml, run_command, validation_message
from dataset_builder.provenance import shareable
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe

KINDS: tuple[type[ClassifierRecipe | BiEncoderRecipe], ...] = (ClassifierRecipe, BiEncoderRecipe)


def recipe_values(recipe: ClassifierRecipe | BiEncoderRecipe) -> dict[str, Any]:
    """All values of a recipe; folders of this machine are shortened to their names."""
    values = recipe.model_dump(mode="json")
    values |= {name: shareable(values[name]) for name in ("base_model", "dataset")}
    if "averaged_with" in values:
        values["averaged_with"] = {shareable(name): share for name, share in values["averaged_with"].items()}
    return values


def main() -> None:
    """Read a recipe from stdin, of the kind that has most of its keys."""
    with open(0, encoding="utf-8-sig") as stdin:
        content = read_yaml("recipe", stdin.read())
    if not isinstance(content, dict):
        raise InputError("a mapping of keys to values is expected.")
    kind = max(KINDS, key=lambda kind: len(kind.model_fields.keys() & content.keys()))
    try:
        print(json.dumps(recipe_values(kind.model_validate(content))))
    except ValidationError as error:
        raise InputError(validation_message(error)) from None


if __name__ == "__main__":
    run_command(main)
