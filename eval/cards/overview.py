"""The pages that show all results together: README's table and docs/measurements.md."""

from pathlib import Path
from typing import Any

from dataset_builder.inputs import read_yaml
from dataset_builder.markdown import table
from eval.benchmarks import TEST_SETS
from eval.cards.columns import TITLES
from eval.cards.notes import older
from eval.cards.recipe import TEMPLATES
from eval.cards.results import Metric, Result, Results, of_models, read_result

RECIPES = Path("train/recipes")
SYSTEM = Path(__file__).with_name("system_measures.yaml")


def readme_section(results: dict[str, Results]) -> str:
    """Return README's table: the main metric of every evaluated model on every test set."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    measured = {name: found for name in names if (found := of_models(results.get(name, {})))}
    columns = [b for b in TEST_SETS.values() if any(b.name in found for found in measured.values())]
    rows = [
        [
            f"[`{name}`](model_cards/{name}.md)",
            *(str(found[b.name].metrics[b.headline]) if b.name in found else "" for b in columns),
        ]
        for name, found in measured.items()
    ]
    head = ["model", *(f"{b.title}: {TITLES[b.headline]}" for b in columns)]
    shown = [found[b.name] for found in measured.values() for b in columns if b.name in found]
    lacking = " Values without brackets were measured before intervals were computed." if older(shown) else ""
    return (
        f"{table(head, rows)}\n\n"
        f"{len(names) - len(measured)} more recipes need a GPU, a corpus or a licence: `{RECIPES}/`. System "
        f"measurements and benchmarks without a result: [`docs/measurements.md`](docs/measurements.md).{lacking}"
    )


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
    command = f"`{about['command']}`" if "command" in about else f"its code is in commit `{found.commit[:12]}`"
    return [about["what"], figures, links, command]


def _value(found: Metric) -> str:
    ends = f" [{_number(found.low)}, {_number(found.high)}]" if found.low is not None and found.high is not None else ""
    return _number(found.value) + ends


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
