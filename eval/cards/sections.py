"""The parts of a card that come from results: tables, plots, and the provenance of the numbers."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from dataset_builder.inputs import read_yaml
from dataset_builder.markdown import cell, code, table
from eval.benchmarks import BENCHMARKS, TEST_SETS
from eval.cards.columns import BY_NAME, COLUMNS, TITLES
from eval.cards.notes import about_labels, how_certain, how_measured, older, where_from
from eval.cards.plots import names as plot_names
from eval.cards.results import (
    CONTEXT,
    ContextResult,
    CorpusResult,
    Metric,
    ModelResult,
    Results,
    VariantResult,
    of_models,
)

CORPORA = ("emo-pillars", "emo-pillars-descriptors")  # datasets with a card: the corpus, texts with descriptors
PUBLISHED_SCORES = Path(__file__).with_name("published_scores.yaml")
# The groups of rows in the measurement of context use, and their names in a card.
GROUPS = {
    "all": "all",
    "open": "remarks that are ambiguous out of context",
    "original": "original utterances",
    "rewritten": "utterances rewritten to depend on the situation",
    "needing": "rows marked as depending on the situation",
    "not_needing": "rows marked as not depending on the situation",
}


def folded(title: str, content: str) -> str:
    """Return content that a click unfolds."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def shown(metrics: dict[str, Metric], names: Iterable[str]) -> list[str]:
    """Return cells of a table; a metric that was not measured is left empty."""
    return [str(metrics.get(name, "")) for name in names]


def main_result(name: str, results: Results) -> ModelResult | None:
    """Return a model's main result: on the domain in its name, on its corpus's test split, on GoEmotions, or any."""
    measured = {benchmark: found for benchmark, found in of_models(results).items() if benchmark in TEST_SETS}
    made_for = [benchmark for benchmark in measured if name.endswith(f"-{benchmark}")]
    return next((measured[of] for of in (*made_for, "own", "goemotions", *measured) if of in measured), None)


def model_section(name: str, results: Results, ablations: Sequence[ModelResult] = ()) -> str:
    """Return the results part of a model's card."""
    if any(found.zero_shot for found in of_models(results).values()):
        return zero_shot_section(results)
    main = main_result(name, results)
    if main is None:
        return "Not measured yet."
    first, context = TEST_SETS[main.benchmark], results.get("context")
    others = [found for of, found in of_models(results).items() if of in TEST_SETS and found is not main]
    of_same = [found for found in ablations if found.benchmark == main.benchmark]
    parts = [_scores([main]), *(f"![{title}](plots/{file})" for file, title in plot_names(main).items())]
    also = [_scores(of_kind) for kind in COLUMNS if (of_kind := [o for o in others if _kind(o) == kind])]
    parts += ["On other benchmarks:", *also] if also else []
    if published := read_yaml(PUBLISHED_SCORES).get(main.benchmark):
        rows = [[row["system"], row["parameters"], f"{row['value']:.3f}", row["how"]] for row in published]
        head = ["system", "parameters", TITLES[first.headline], "threshold"]
        parts.append(f"Scores reported by others on the same rows (not measured here):\n\n{table(head, rows)}")
    parts += [_ablations(main, of_same)] if of_same else []
    parts += how_measured([main, *others])
    parts += [_context(context)] if isinstance(context, ContextResult) else []
    of_others = [found for name in TEST_SETS if isinstance(found := results.get(f"{CONTEXT}-{name}"), ContextResult)]
    parts += [_context_elsewhere(of_others)] if of_others else []
    weights = " The published weights are the first seed's." if len(main.seeds) > 1 else ""
    parts += [
        folded(f"Label by label: {first.title}", _by_label(main)),
        f"{how_certain(main)}.{weights} Thresholds: {main.threshold_source}. {_dev_thresholds([main, *others])}"
        f"{where_from(main)}",
        *older([main, *others, *of_same, *([context] if context else [])]),
    ]
    return "\n\n".join(parts)


def _dev_thresholds(measured: Sequence[ModelResult]) -> str:
    """Return how thresholds were chosen on benchmarks' development splits; empty if none were."""
    chosen = [
        f"Thresholds from the development split of {TEST_SETS[found.benchmark].title}: {found.dev_threshold_source}. "
        for found in measured
        if found.dev_threshold_source
    ]
    return "".join(chosen)


def _kind(result: ModelResult) -> str:
    return TEST_SETS[result.benchmark].kind


def _columns(measured: Sequence[ModelResult]) -> list[str]:
    """Return the columns for results of one kind: the metrics that at least one of them has."""
    return [name for name in COLUMNS[_kind(measured[0])] if any(name in found.metrics for found in measured)]


def _scores(measured: Sequence[ModelResult]) -> str:
    """Return a row for each benchmark, all of one kind."""
    columns = _columns(measured)
    rows = [[TEST_SETS[r.benchmark].title, str(r.support), *shown(r.metrics, columns)] for r in measured]
    return table(["benchmark", "rows", *(TITLES[name] for name in columns)], rows)


def _ablations(published: ModelResult, ablations: Sequence[ModelResult]) -> str:
    """Return the scores of other recipes on the same benchmark, best first."""
    benchmark, columns = TEST_SETS[published.benchmark], _columns([published])
    best_first = sorted(ablations, key=lambda found: -found.metrics[benchmark.headline].value)
    named = [("**this model**", published), *((f"`{found.name}`", found) for found in best_first)]
    rows = [[name, str(len(found.seeds)), *shown(found.metrics, columns)] for name, found in named]
    return (
        f"Other recipes on {benchmark.title}, with thresholds chosen in the same way (`train/recipes/ablations/`):\n\n"
        f"{table(['recipe', 'seeds', *(TITLES[name] for name in columns)], rows)}"
    )


def _context(found: ContextResult) -> str:
    """Return the table on context use: micro-F1 with a row's own situation, none, or another story's, by group."""
    columns = ("own", "none", "other", "gain_over_none")
    rows = [
        [title, str(found.groups[name]), *shown(found.metrics, [f"micro_f1_{column}_{name}" for column in columns])]
        for name, title in GROUPS.items()
        if found.groups.get(name)
    ]
    head = ["rows", "count", "own situation", "no situation", "another story's situation", "gain over none"]
    return (
        f"Does the model use the situation? Micro-F1 on the corpus's {found.support} test rows, each with its own "
        f"situation, with no situation, and with a situation from another story:\n\n{table(head, rows)}"
    )


def _context_elsewhere(measured: Sequence[ContextResult]) -> str:
    """Return the table on context use on other benchmarks: their main metrics with an own situation, none, another."""
    columns, rows = ("own", "none", "other", "gain_over_none", "gain_over_other"), []
    for found in measured:
        benchmark = BENCHMARKS[found.benchmark.removeprefix(f"{CONTEXT}-")]
        for metric in dict.fromkeys((benchmark.headline, "sets_right", "macro_f1")):
            if f"{metric}_own_all" in found.metrics:
                cells = shown(found.metrics, [f"{metric}_{column}_all" for column in columns])
                rows.append([benchmark.title, str(found.support), TITLES[metric], *cells])
    head = [
        "benchmark",
        "rows",
        "metric",
        "own situation",
        "none",
        "another's",
        "gain over none",
        "gain over another's",
    ]
    return f"Other benchmarks with and without situations:\n\n{table(head, rows)}"


def _by_label(result: ModelResult) -> str:
    """Return F1 of each label; a label without a row has no recall, and so no F1."""
    known = [
        name for name in ("precision", "recall", "threshold") if any(map(attrgetter(name), result.per_label.values()))
    ]
    rows = []
    for label, row in result.per_label.items():
        f1 = str(Metric(value=row.f1, low=row.low, high=row.high)) if row.support else ""
        rows.append([label, f1, *(f"{getattr(row, name) or 0:.3f}" for name in known), str(row.support)])
    return "\n\n".join([table(["label", "F1", *known, "rows"], rows), *about_labels(result)])


def zero_shot_section(results: Results) -> str:
    """Return the results part of a zero-shot model's card, with another encoder's scores if they were measured."""
    measured = [found for name in BENCHMARKS if isinstance(found := results.get(name), ModelResult)]
    other = next((found.beside.name for found in measured if found.beside), "")
    rows: list[list[str]] = []
    decided: dict[str, list[str]] = {}
    for found in measured:
        title = BENCHMARKS[found.benchmark].title
        decided.setdefault(found.threshold_source, []).append(title)
        for metric in by_name(found.benchmark):
            if metric in found.metrics:
                beside = shown(found.beside.metrics, [metric]) if found.beside else [""]
                rows.append([title, str(found.support), TITLES[metric], str(found.metrics[metric]), *beside])
    rules = [f"- {'; '.join(titles)}: {source.removeprefix('none: ')}" for source, titles in decided.items()]
    variants = results.get("ablations")
    parts = [
        table(["benchmark", "rows", "metric", "this model", f"for comparison: {other}" if other else ""], rows),
        "\n".join(["How labels are chosen:\n", *rules]),
        f"{how_certain(measured[0])}. {where_from(measured[0], 'texts')}",
    ]
    if isinstance(variants, VariantResult):
        parts.append(
            "Variants on the same rows. Each variant changes one setting, which its recipe names; the recipes are in "
            f"`train/recipes/ablations/` or in the history of that folder:\n\n{variants_table(variants)}"
        )
    return "\n\n".join([*parts, *older([*measured, *([variants] if variants else [])])])


def by_name(benchmark: str) -> list[str]:
    """Return the metrics for a benchmark whose class names were used as labels, the main metric first."""
    found = BENCHMARKS[benchmark]
    return list(dict.fromkeys((found.headline, *BY_NAME[found.kind])))


def variants_table(found: VariantResult) -> str:
    """Return the main metric of every variant on every test set that one of them was measured on."""
    columns = {
        f"{name} {benchmark.headline}": f"{benchmark.title}: {TITLES[benchmark.headline]}"
        for name, benchmark in TEST_SETS.items()
        if any(f"{one}: {name} {benchmark.headline}" in found.metrics for one in found.variants)
    }
    rows = [[one, *shown(found.metrics, [f"{one}: {column}" for column in columns])] for one in found.variants]
    return table(["variant", *columns.values()], rows)


def corpus_section(results: Results) -> str:
    """Return the results part of a dataset's card."""
    found = results.get("corpus")
    if not isinstance(found, CorpusResult):
        return "Not built yet."
    rows = []
    for config in found.configs:
        what = "labels" if config in found.per_label else "descriptors"
        of = {name.removeprefix(f"{config}_"): metric.value for name, metric in found.metrics.items()}
        sizes = [f"{of.get(f'{split}_rows', 0):,.0f}" for split in ("train", "validation", "test")]
        per_text = f"{of.get(f'{what}_per_text', 0):.2f} {what}"
        rows.append([code(config), *sizes, per_text, f"{of['neutral_share']:.1%}" if "neutral_share" in of else ""])
    head = ["config", "train", "validation", "test", "per text", "neutral"]
    filled = [column for column in range(len(head)) if {row[column] for row in rows} - {"", "0"}]
    parts = [table([head[column] for column in filled], [[row[column] for column in filled] for row in rows])]
    if labelled := found.per_label:
        labels = next(iter(labelled.values()))
        counts = [[cell(label), *(f"{labelled[config][label]:,}" for config in labelled)] for label in labels]
        parts.append(folded("Rows per label", table(["label", *map(cell, labelled)], counts)))
        if len(found.sources) > 1:
            parts.insert(1, table(["source", "rows"], [[code(name), f"{n:,}"] for name, n in found.sources.items()]))
            made = f"; texts by {cell(found.teacher)}; labels by {cell(found.labeler)}"
        else:
            made = f" on {found.narratives} stories; teacher {cell(found.teacher)}; labeler: {cell(found.labeler)}"
    else:
        parts.append(table(["source", "texts"], [[code(source), f"{n:,}"] for source, n in found.sources.items()]))
        made = f"; teachers {cell(found.teacher)}; describers: {cell(found.describer)}"
    prompts = f"; prompts {code(found.prompt_version)}" if found.prompt_version else ""
    parts.append(
        f"Recipe {code(found.recipe)} ({code(found.recipe_hash)}){made}{prompts}; seed "
        f"{', '.join(map(str, found.seeds))}; corpus revision {code(found.data_revision)}."
    )
    return "\n\n".join(parts)
