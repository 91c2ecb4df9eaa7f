"""Plan, teacher check, report and the evaluation of labelers, with the scripted teacher."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.gold_set import few_shot_examples, read_gold_set
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.pipeline.label_texts import Labelled
from dataset_builder.pipeline.plan import plan
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import Usage
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.check_teacher import check_teacher, page
from dataset_builder.teacher_eval.labelers import Gold, compare, read_dev
from tests.conftest import ROOT, Command

RECIPES = ROOT / "dataset_builder/recipes"


def test_the_gold_set_is_whole() -> None:
    scored, shown = read_gold_set("scored"), read_gold_set("few_shot")
    for label in LABELS:
        assert sum(row.labels[0].label == label for row in scored) == 4
        assert sum(row.labels[0].label == label for row in shown) == 2
    texts = {row.text for row in (*scored, *shown)}
    assert len(texts) == len(scored) + len(shown)
    for row in (*scored, *shown):
        named = {label.label for label in row.labels} - {"love", "neutral"}
        assert not named & set(row.text.lower().split()), row.id
        assert len(row.situation.split()) >= 8, row.id


def test_few_shot_examples_are_never_scored() -> None:
    from dataset_builder.pipeline.ask import load_prompt

    scored = {row.text for row in read_gold_set("scored")}
    for prompt in ("characters", "utterances_single", "descriptors_generated", "cleaning", "rewriting"):
        shots = few_shot_examples(prompt, load_prompt(prompt).user)
        assert len(shots) >= 2, prompt
        assert not any(text in user + answer for text in scored for user, answer in shots)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_planned(path: Path) -> None:
    recipe = read_recipe(path, BuildRecipe)
    assert recipe.name == path.stem
    wanted = "nothing to plan" if recipe.teacher.kind == "none" else "700K calls and 450"
    assert wanted in plan(recipe, None)


def test_the_faithful_plan_has_the_papers_calls() -> None:
    table = plan(read_recipe(RECIPES / "faithful.yaml", BuildRecipe), None)
    total = next(line for line in table.splitlines() if line.startswith("all"))
    assert total.split()[1] == "632,000"


def test_a_pilot_gives_hours(scripted_recipe: Path, scripted_work: Path, command: Command) -> None:
    arguments = ["--recipe", scripted_recipe, "--pilot", scripted_work]
    planned = command("-m", "dataset_builder", "plan", *arguments, "--narratives", "x.jsonl", "--limit", 6000)
    assert planned.returncode == 0, planned.stderr
    manifest = json.loads((scripted_work / "labels/manifest.json").read_text())
    labels = next(line for line in planned.stdout.splitlines() if line.startswith("labels"))
    assert labels.split()[1:3] == [f"{manifest['units'] * 1000:,}", f"{manifest['calls'] * 1000:,}"]
    assert "hours on the pilot's machine" in planned.stdout


def test_another_recipes_pilot_is_refused(scripted_work: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"differs in .*characters"):
        plan(read_recipe(RECIPES / "demo.yaml", BuildRecipe), scripted_work)
    with pytest.raises(InputError, match="no finished build"):
        plan(read_recipe(RECIPES / "demo.yaml", BuildRecipe), tmp_path)


def test_a_teacher_of_random_words_is_unfit(scripted_recipe: Path, tmp_path: Path, command: Command) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    verdict, checks = check_teacher(recipe, 2, tmp_path)
    assert verdict == "unfit"
    found = {check.name: check.value for check in checks}
    assert found["likelihood: best is right"] < 0.3
    assert found["labels: kept"] == 1.0
    assert {name.split(":")[0] for name in found} >= {"characters", "utterances", "context", "cleaning", "rewriting"}
    assert "unfit: at least one value" in page(recipe, verdict, checks)
    ran = command("-m", "dataset_builder", "check-teacher", "--recipe", scripted_recipe, "--stories", 1)
    assert ran.returncode == 1, ran.stderr
    assert "112 gold utterances" in ran.stdout


def test_the_report_of_a_build(scripted_work: Path, tmp_path: Path, command: Command) -> None:
    made = command("-m", "dataset_builder", "report", scripted_work, "--name", "small", "--out", tmp_path)
    assert made.returncode in (0, 1), made.stderr  # random words: what the gates say of them is nobody's concern
    content = json.loads((tmp_path / "system/small.json").read_text())
    text = (tmp_path / "system/small.md").read_text()
    manifest = json.loads((scripted_work / "utterances/manifest.json").read_text())
    assert content["metrics"]["stage_utterances_rows"]["value"] == manifest["rows"]
    assert content["rejected"]["utterances"] == manifest["rejected"]
    assert 0 < content["metrics"]["contextless_cosine_neutral_within_character"]["value"] < 1
    for config in ("contextless", "contextual", "descriptors"):
        section = text.split(f"random rows of `{config}`")[1].split("\n## ")[0]
        assert section.count("- **") == 5
    assert command("-m", "dataset_builder", "report", tmp_path / "nothing").returncode == 2


def labelled(scores: list[list[float]], tokens: int) -> Labelled:
    padded = np.zeros((len(scores), 28))
    padded[:, :3] = scores
    return Labelled(padded, padded >= 0.3, 0, Usage(calls=2, prompt_tokens=tokens))


def test_labelers_are_compared_as_said() -> None:
    gold = np.zeros((2, 28), dtype=bool)
    gold[0, 0] = gold[1, 1] = True
    found = {
        "likelihood": labelled([[1.0, 0.4, 0.0], [0.2, 1.0, 0.0]], 100),
        "verbalised": labelled([[1.0, 0.0, 0.0], [0.5, 0.4, 0.0]], 400),
    }
    metrics = {name: value["value"] for name, value in compare(Gold(["a", "b"], gold), found).items()}
    assert metrics["likelihood_top1_dev"] == 1.0
    assert (metrics["verbalised_top1_dev"], metrics["verbalised_top3_dev"]) == (0.5, 1.0)
    assert metrics["likelihood_labels_per_text"] == 1.5
    assert metrics["likelihood_macro_f1_dev"] == round((1 + 2 / 3) / 2, 4)
    assert metrics["token_share"] == 0.25
    assert metrics["agreement_top1"] == 0.5
    assert metrics["agreement_labels_jaccard"] == 0.5


def test_labelers_of_a_recipe(scripted_recipe: Path, tmp_path: Path, command: Command) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("".join(f"What a day number {i}!\t{i % 28}\tid{i}\n" for i in range(60)))
    arguments = ["--recipe", scripted_recipe, "--data", data, "--rows", 40, "--out", tmp_path]
    made = command("-m", "dataset_builder", "measure-labelers", *arguments)
    assert made.returncode == 0, made.stderr
    content = json.loads((tmp_path / "system/labelers.json").read_text())
    assert content["support"] == 40
    for name in ("likelihood_macro_f1_dev", "verbalised_macro_f1_dev", "likelihood_over_verbalised", "token_share"):
        assert "value" in content["metrics"][name]
    with pytest.raises(InputError, match="test split"):
        read_dev(tmp_path / "test.tsv", 9)
    data.write_text("no tabs\n")
    with pytest.raises(InputError, match="line 1"):
        read_dev(data, 9)
