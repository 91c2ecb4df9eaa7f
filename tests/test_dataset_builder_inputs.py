from pathlib import Path

import pytest

from dataset_builder.inputs import InputError, fingerprint, read_recipe
from dataset_builder.recipe import BuildRecipe
from train.bi_recipe import BiEncoderRecipe
from train.recipe import ClassifierRecipe

GOOD = "name: x\nteacher: {kind: scripted}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "colour: red\n", "unknown key 'colour'"),
        (GOOD + "seed: seven\n", "key 'seed'.*'seven'"),
        (GOOD + "labels: {labler: likelihood}\n", "unknown key 'labels.labler'"),
        (GOOD + "split: {contextless: [0.5, 0.1, 0.1]}\n", "sum to 1"),
        ("name: x\nteacher: {kind: oracle}\n", "key 'teacher'.*oracle"),
        ("name: x\n", "key 'teacher' is missing"),
        ("name: [x\n", "not a readable YAML file"),
        ("just text\n", "mapping"),
        ("", "mapping"),
    ],
)
def test_a_bad_recipe_names_file_key_and_value(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_recipe(path, BuildRecipe)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe"):
        read_recipe(tmp_path / "none.yaml", BuildRecipe)


def test_exponents_without_a_point_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: x\nbase_model: y\ndataset: z\nconfig: contextless\nepochs: 1\nlearning_rate: 2e-5\n"
        "head_learning_rate: 1E-3\nmixed_precision: no\n".replace("mixed_precision: no", "mixed_precision: 'no'")
    )
    recipe = read_recipe(path, ClassifierRecipe)
    assert recipe.learning_rate == 2e-5
    assert recipe.head_learning_rate == 1e-3


def test_every_recipe_of_the_repository_is_read() -> None:
    root = Path(__file__).parent.parent
    for path in (root / "dataset_builder/recipes").glob("*.yaml"):
        read_recipe(path, BuildRecipe)
    for path in (root / "train/recipes").rglob("*.yaml"):
        read_recipe(path, BiEncoderRecipe if "zeroshot" in path.stem else ClassifierRecipe)


def test_fingerprints_do_not_depend_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})
