"""python -m train.recipe_values < RECIPE.yaml: a recipe as training records have it.

Prints all values as JSON, defaults included. Push, which may not import `train`, compares a recipe and the recipe of a
record with it; the record's is read as well, since JSON is YAML.
"""

import json

from pydantic import ValidationError

from dataset_builder.inputs import InputError, read_yaml, run_command, validation_message
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe
from train.recipe import TrainingRecipe

KINDS: tuple[type[TrainingRecipe], ...] = (ClassifierRecipe, BiEncoderRecipe)


def main() -> None:
    """Read a recipe from stdin, of the kind that has most of its keys."""
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
