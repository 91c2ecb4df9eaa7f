"""The pages that show all results together: README's table and docs/measurements.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.inputs import read_yaml
from dataset_builder.markdown import table
from eval.benchmarks import TEST_SETS, Benchmark
from eval.cards.columns import TITLES
from eval.cards.notes import older
from eval.cards.recipe import TEMPLATES
from eval.cards.results import Metric, ModelResult, Result, Results, of_models, read_result
from eval.cards.sections import PUBLISHED_SCORES

RECIPES = Path("train/recipes")
README_TABLE = Path(__file__).with_name("readme_table.yaml")
SYSTEM = Path(__file__).with_name("system_measures.yaml")


def readme_section(results: dict[str, Results]) -> str:
    """Return README's table: the main metric of every measured model and, for comparison, of other systems."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    measured = {name: found for name in names if (found := of_models(results.get(name, {})))}
    about = read_yaml(README_TABLE)
    columns = [TEST_SETS[name] for name in about["benchmarks"]]
    rows = [
        [f"[`{name}`](model_cards/{name}.md)", about["models"].get(name, ""), *_cells(measured[name], columns)]
        for name in dict.fromkeys([*about["models"], *measured])
        if name in measured
    ]
    rows += [*_encoders(measured, about["encoders"], columns), *_reported(columns)]
    head = ["model", "use", *(f"{of.title}: {TITLES[of.headline]}" for of in columns)]
    shown = [found[of.name] for found in measured.values() for of in columns if of.name in found]
    lacking = " Our values without brackets were measured before intervals were computed." if older(shown) else ""
    source = f"[`{PUBLISHED_SCORES.name}`](eval/cards/{PUBLISHED_SCORES.name})"
    return (
        f"{table(head, rows)}\n\n"
        f"The best possible score is 1. Brackets show 95% intervals. An empty cell was not measured.{lacking} Sources "
        f"of the scores reported by others: {source}. `{RECIPES}/` has {len(names) - len(measured)} more recipes "
        "without a result: they need a GPU or data with a licence."
    )


def _encoders(
    measured: Mapping[str, Mapping[str, ModelResult]], titles: dict[str, str], columns: Sequence[Benchmark]
) -> list[list[str]]:
    """Return a row for each encoder that was measured beside a zero-shot model, in the same way."""
    beside: dict[str, dict[str, Result]] = {name: {} for name in titles}
    for found in (result for of_model in measured.values() for result in of_model.values()):
        if found.beside and found.beside.name in titles:
            beside[found.beside.name][found.benchmark] = found.beside
    about = "for comparison: not trained for emotions, any labels"
    return [[titles[name], about, *_cells(found, columns)] for name, found in beside.items() if found]


def _reported(columns: Sequence[Benchmark]) -> list[list[str]]:
    """Return a row for each score of another system that README shows."""
    rows = []
    for benchmark, systems in read_yaml(PUBLISHED_SCORES).items():
        for system in (system for system in systems if system.get("readme")):
            scores = [f"{system['value']:.3f}" if of.name == benchmark else "" for of in columns]
            size = f"{system['parameters']} parameters; " if system["parameters"] else ""
            rows.append([system["system"], f"for comparison: {size}reported by others", *scores])
    return rows


def _cells(found: Mapping[str, Result], columns: Sequence[Benchmark]) -> list[str]:
    """Return the main metric on each benchmark, empty where it was not measured."""
    return [str(found[of.name].metrics.get(of.headline, "")) if of.name in found else "" for of in columns]


def measurements_page(results: dict[str, Results], folder: Path) -> str:
    """Return docs/measurements.md: system measurements, and the benchmarks without a result."""
    described = {folder / "system" / f"{name}.json": about for name, about in read_yaml(SYSTEM).items()}
    rows = [_system_row(path, about) for path, about in described.items() if path.exists()]
    measured = {benchmark for found in results.values() for benchmark in found}
    missing = [[b.title, b.licence, b.files] for b in TEST_SETS.values() if b.name not in measured]
    page = (TEMPLATES / "measurements.md").read_text(encoding="utf-8")
    page = page.replace("SYSTEM", table(["what", "result", "files", "command"], rows))
    return page.replace("BENCHMARKS", table(["benchmark", "licence", "data"], missing))


def _system_row(path: Path, about: dict[str, Any]) -> list[str]:
    found = read_result(path, Result)
    shown = {title: found.metrics.get(metric) for metric, title in about.get("figures", {}).items()}
    figures = "; ".join(f"{title}: {_value(value)}" for title, value in shown.items() if value)
    files = [file for file in (path, path.with_suffix(".md")) if file.exists()]
    links = ", ".join(f"[`{file.name}`](../{file.as_posix()})" for file in files)
    command = f"`{about['command']}`" if "command" in about else f"code: commit `{found.commit[:12]}`"
    return [about["what"], figures, links, command]


def _value(found: Metric) -> str:
    ends = f" [{_number(found.low)}, {_number(found.high)}]" if found.low is not None and found.high is not None else ""
    return _number(found.value) + ends


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
