"""python -m train.recipe_values < RECIPE.yaml: print a recipe as it appears in training records.

Prints all values as JSON, defaults included. `push`, which may not import `train`, uses it to compare a recipe with
that of a record. It reads both, since JSON is YAML.
"""

import json

from pydantic import ValidationError

from dataset_builder.inputs import InputError, read_yaml, run_command, validation_message
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe
from train.recipe import TrainingRecipe

KINDS: tuple[type[TrainingRecipe], ...] = (ClassifierRecipe, BiEncoderRecipe)


def main() -> None:
    """Read a recipe from stdin, of the kind that shares most keys with it."""
    with open(0, encoding="utf-8-sig") as stdin:
        content = read_yaml("recipe", stdin.read())
    if not isinstance(content, dict):
        raise InputError("a mapping of keys to values is expected.")
    kind = max(KINDS, key=lambda kind: len(kind.model_fields.keys() & content.keys()))
    try:
        print(json.dumps(kind.model_validate(content).recorded_values()))
    except ValidationError as error:
        raise InputError(validation_message(error)) from None


if __name__ == "__main__":
    run_command(main)
