"""python -m eval.cards [--results DIR] [--out DIR] [--check]

Writes the numbers of eval/results between the markers of every card in model_cards/ and of README.md. Prose is
written by hand, numbers are not. `--check` changes nothing and fails when a card is stale, there or in `--out`.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError, run_command
from dataset_builder.provenance import RESULTS
from eval.benchmarks import BENCHMARKS, Benchmark

CARDS = Path("model_cards")
RECIPES = Path("train/recipes")
README = Path("README.md")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
Result = dict[str, Any]
# The metrics of the two kinds of benchmark: any of the 28 labels, or one of the set's own classes.
SEVERAL = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "macro_f1_at_05": "macro-F1 at 0.5",
    "ece": "calibration error",
}
SINGLE = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "weighted_f1": "weighted F1",
    "micro_f1_emotions": "micro-F1 of the emotions",
}

# Of zero-shot models: what is shown of each benchmark, beside another encoder.
ZERO_SHOT = {
    "goemotions": ("GoEmotions test, 28 labels", ("macro_f1", "micro_f1", "average_precision")),
    "isear": ("ISEAR, 7 classes", ("macro_f1", "accuracy")),
    "emobank": ("EmoBank test", ("pearson_valence",)),
    "descriptors": ("The teacher's descriptors of validation texts", ("macro_f1", "average_precision")),
    "labels-6": ("6 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
    "labels-11": ("11 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
    "labels-32": ("32 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
}


def read_results(folder: Path) -> dict[str, dict[str, Result]]:
    """All result files as {published name: {benchmark: result}}; `system/` is not a published name."""
    results: dict[str, dict[str, Result]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name != "system":
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path}: broken JSON ({error}). Measure again.") from None
            results.setdefault(path.parent.name, {})[path.stem] = content
    return results


def read_ablations(folder: Path, name: str) -> list[Result]:
    """The results of a published model's ablations: `<folder>/<name>/ablations/<recipe>/<benchmark>.json`."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / name).glob("ablations/*/*.json"))]


def interval(metric: dict[str, float]) -> str:
    """`0.123 [0.110, 0.135]`, without the bracket where there is no interval."""
    text = f"{metric['value']:.3f}"
    return f"{text} [{metric['low']:.3f}, {metric['high']:.3f}]" if "low" in metric else text


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def model_section(results: dict[str, Result], ablations: Sequence[Result] = ()) -> str:
    """The results part of a model's card."""
    if any(found.get("protocol", "").startswith("zero-shot") for found in results.values()):
        return zero_shot_section(results)
    measured = [(BENCHMARKS[name], found) for name, found in results.items() if name in BENCHMARKS]
    if not measured:
        return "Not measured yet."
    several = [(benchmark, found) for benchmark, found in measured if benchmark.bridge is None]
    single = [(benchmark, found) for benchmark, found in measured if benchmark.bridge is not None]
    parts = [_scores(of_kind, columns) for of_kind, columns in ((several, SEVERAL), (single, SINGLE)) if of_kind]
    if single:
        splits = "; ".join(f"{benchmark.title}: {found['protocol']}" for benchmark, found in single)
        parts.append(f"A text has one class there; predicted is the one whose labels score highest. {splits}.")
    parts += [_ablations(benchmark, found, ablations) for benchmark, found in measured if _of(benchmark, ablations)]
    for benchmark, found in measured:
        labels = [[label, f"{row['f1']:.3f}", str(row["support"])] for label, row in found["per_label"].items()]
        parts.append(
            f"<details><summary>Per label: {benchmark.title}</summary>\n\n"
            f"{table(['label', 'F1', 'rows'], labels)}\n\n</details>"
        )
    about = (several or single)[0][1]
    trained = about["trained_on"]
    parts.append(
        f"Brackets are 95 % bootstrap intervals over the rows; {_seeds(about)}. Thresholds: "
        f"{about['threshold_source']}. Trained for {trained['steps']} steps on {trained['train_rows']} rows of corpus "
        f"revision `{trained['dataset_revision']}`; weights `{about['model_revision']}`; recipe "
        f"`{about['recipe_hash']}`; measured at commit `{about['commit'][:12]}` on {about['hardware']}."
    )
    return "\n\n".join(parts)


def _of(benchmark: Benchmark, ablations: Sequence[Result]) -> list[Result]:
    return [found for found in ablations if found["benchmark"] == benchmark.name]


def _ablations(benchmark: Benchmark, published: Result, ablations: Sequence[Result]) -> str:
    """What other recipes score on the same benchmark, best first."""
    columns = SEVERAL if benchmark.bridge is None else SINGLE
    columns = {name: title for name, title in columns.items() if name in published["metrics"]}
    others = sorted(_of(benchmark, ablations), key=lambda r: -r["metrics"][benchmark.headline]["value"])
    rows = [
        [what, str(len(r["seeds"])), *(interval(r["metrics"][column]) for column in columns)]
        for what, r in [("**this model**", published), *((f"`{r['name']}`", r) for r in others)]
    ]
    return (
        f"Other recipes on {benchmark.title}, thresholds chosen alike (`train/recipes/ablations/`):\n\n"
        f"{table(['recipe', 'seeds', *columns.values()], rows)}"
    )


def zero_shot_section(results: dict[str, Result]) -> str:
    """The results part of a zero-shot model's card: every benchmark's measures, another encoder's beside."""
    shown = [(name, results[name]) for name in ZERO_SHOT if name in results]
    rows = []
    for name, found in shown:
        title, metrics = ZERO_SHOT[name]
        other = found.get("beside", {}).get("metrics", {})
        for metric in metrics:
            if metric in found["metrics"]:
                beside = interval(other[metric]) if metric in other else ""
                rows.append([title, str(found["support"]), metric, interval(found["metrics"][metric]), beside])
    beside = next((found["beside"]["name"] for _, found in shown if "beside" in found), "")
    parts = [table(["benchmark", "rows", "measure", "this model", f"beside: {beside}" if beside else ""], rows)]
    about = shown[0][1]
    decided = "; ".join(f"{ZERO_SHOT[name][0]}: {found['threshold_source']}" for name, found in shown)
    trained = about["trained_on"]
    parts.append(
        f"Brackets are 95 % bootstrap intervals over the rows; {_seeds(about)}. Decided by: {decided}. Trained for "
        f"{trained['steps']} steps on {trained['train_rows']} texts of corpus revision "
        f"`{trained['dataset_revision']}`; weights `{about['model_revision']}`; recipe `{about['recipe_hash']}`; "
        f"measured at commit `{about['commit'][:12]}` on {about['hardware']}."
    )
    return "\n\n".join(parts)


def _scores(measured: list[tuple[Benchmark, Result]], columns: dict[str, str]) -> str:
    """A row for each benchmark; a metric that it does not have is left empty."""
    columns = {name: title for name, title in columns.items() if any(name in r["metrics"] for _, r in measured)}
    rows = [
        [b.title, str(r["support"]), *(interval(r["metrics"][c]) if c in r["metrics"] else "" for c in columns)]
        for b, r in measured
    ]
    return table(["benchmark", "rows", *columns.values()], rows)


def corpus_section(results: dict[str, Result]) -> str:
    """The results part of the data set's card."""
    if "corpus" not in results:
        return "Not built yet."
    found = results["corpus"]
    metrics = {name: metric["value"] for name, metric in found["metrics"].items()}
    rows = []
    for config in found["configs"]:
        sizes = [f"{metrics.get(f'{config}_{split}_rows', 0):,.0f}" for split in ("train", "validation", "test")]
        what = "labels" if config in found["per_label"] else "descriptors"
        neutral = f"{metrics[f'{config}_neutral_share']:.1%}" if what == "labels" else ""
        rows.append([f"`{config}`", *sizes, f"{metrics[f'{config}_{what}_per_text']:.2f} {what}", neutral])
    titles = ["config", "train", "validation", "test", "a text", "with neutral"]
    counts = [
        [label, *(f"{found['per_label'][config][label]:,}" for config in found["per_label"])]
        for label in next(iter(found["per_label"].values()))
    ]
    return "\n\n".join(
        [
            table(titles, rows),
            "<details><summary>Rows per label</summary>\n\n"
            f"{table(['label', *found['per_label']], counts)}\n\n</details>",
            f"Recipe `{found['recipe']}` (`{found['recipe_hash']}`) on {found['narratives']} stories; teacher "
            f"{found['teacher']}; labeler: {found['labeler']}; prompts `{found['prompt_version']}`; seed "
            f"{found['seeds'][0]}; corpus revision `{found['data_revision']}`.",
        ]
    )


def readme_section(results: dict[str, dict[str, Result]]) -> str:
    """README's table: the headline of every measured model on every benchmark, and the recipes without a result."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    measured = [name for name in names if results.get(name)]
    columns = [b for b in BENCHMARKS.values() if any(b.name in results[name] for name in measured)]
    rows = []
    for name in measured:
        cells = []
        for benchmark in columns:
            found = results[name].get(benchmark.name)
            cells.append(interval(found["metrics"][benchmark.headline]) if found else "")
        rows.append([f"[`{name}`](model_cards/{name}.md)", *cells])
    left = ", ".join(f"`{name.removeprefix('emo-pillars-')}`" for name in names if name not in measured)
    return "\n\n".join(
        [
            table(["model", *(f"{b.title}: {b.headline}" for b in columns)], rows),
            *(
                [f"With a recipe and without a result (they need a GPU, a corpus or a licence): {left}."]
                if left
                else []
            ),
        ]
    )


def _seeds(result: Result) -> str:
    seeds = result["seeds"]
    return f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''} ({', '.join(map(str, seeds))})"


def fill(text: str, section: str, path: Path) -> str:
    """Put a section between the markers. Raises InputError where a card has no markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"{path}: has no '{BEGIN}' … '{END}'. Put the two markers where the numbers go.")
    return pattern.sub(lambda _: f"{BEGIN}\n{section}\n{END}", text)


def render(results: dict[str, dict[str, Result]], folder: Path) -> dict[Path, str]:
    """Every card and README with today's numbers; `folder` is where ablations are."""
    rendered = {README: fill(README.read_text(encoding="utf-8"), readme_section(results), README)}
    for path in sorted(CARDS.glob("*.md")):
        found = results.get(path.stem, {})
        is_corpus = path.stem == "emo-pillars"
        section = corpus_section(found) if is_corpus else model_section(found, read_ablations(folder, path.stem))
        rendered[path] = fill(path.read_text(encoding="utf-8"), section, path)
    return rendered


def main() -> int:
    """Parse the command line; write the cards or check them."""
    parser = argparse.ArgumentParser(prog="python -m eval.cards", description="Renders cards from results.")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    parser.add_argument("--out", type=Path, help="write the cards here and leave model_cards/ and README.md alone")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a card is stale")
    args = parser.parse_args()
    rendered = render(read_results(args.results), args.results)
    if args.out:
        rendered = {args.out / path.name: text for path, text in rendered.items() if path != README}
    if args.check:
        stale = [str(path) for path, text in rendered.items() if not path.exists() or path.read_text("utf-8") != text]
        if stale:
            how = f" --results {args.results} --out {args.out}`" if args.out else "` and commit"
            raise InputError(f"stale numbers in {', '.join(stale)}. Run `python -m eval.cards{how}.")
        print(f"{len(rendered)} files have today's numbers")
        return 0
    for target, text in rendered.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)
    return 0


if __name__ == "__main__":
    run_command(main)
