"""The parts of cards and README that come from results: tables, plots, where the numbers are from."""

from collections.abc import Sequence
from pathlib import Path

from dataset_builder.markdown import cell, code, table
from eval.benchmarks import BENCHMARKS, Benchmark
from eval.cards.notes import Result, about_labels, before, commit_of, how_certain, how_measured, where_from
from eval.cards.plots import names as plot_names
from eval.cards.published_scores import REPORTED
from eval.measure import shown as with_interval

CORPORA = ("emo-pillars", "emo-pillars-descriptors")  # data sets with a card: the corpus, texts with descriptors
RECIPES = Path("train/recipes")
# What is shown of each kind of benchmark.
COLUMNS = {
    "several": {
        "macro_f1": "macro-F1",
        "micro_f1": "micro-F1",
        "macro_f1_at_05": "macro-F1 at 0.5",
        "average_precision": "mean average precision",
        "classwise_ece": "class-wise calibration error",
        "ece": "pooled calibration error",
        "brier_skill": "Brier skill",
    },
    "single": {
        "macro_f1": "macro-F1",
        "accuracy": "accuracy",
        "weighted_f1": "weighted F1",
        "micro_f1_emotions": "micro-F1 of the emotions",
    },
    "affect": {"pearson_valence": "Pearson's r", "concordance_valence": "concordance"},
}
MEASURES = {name: title for of_kind in COLUMNS.values() for name, title in of_kind.items()} | {"jaccard": "Jaccard"}
# Of zero-shot models: what is shown of each benchmark, beside another encoder.
ZERO_SHOT = {
    "goemotions": ("GoEmotions test, 28 labels", ("macro_f1", "micro_f1", "average_precision")),
    "goemotions-ekman": ("GoEmotions test, 7 ekman groups", ("macro_f1", "average_precision")),
    "isear": ("ISEAR, 7 classes", ("macro_f1", "accuracy")),
    "semeval2018-ec": ("SemEval-2018 E-c test, 11 classes", ("jaccard", "macro_f1", "micro_f1")),
    "emobank": ("EmoBank test", ("pearson_valence",)),
    "descriptors": ("The teacher's descriptors of validation texts", ("macro_f1", "average_precision")),
    "labels-6": ("6 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
    "labels-11": ("11 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
    "labels-32": ("32 labels of our own, on our own sentences", ("macro_f1", "accuracy")),
}


def interval(metric: dict[str, float]) -> str:
    """`0.123 [0.110, 0.135]`, without the bracket where there is no interval."""
    return with_interval(metric, 3)


def folded(title: str, content: str) -> str:
    """What is shown on a click."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def main_result(name: str, results: dict[str, Result]) -> Result | None:
    """The result that a model is made for: of the domain in its name, of its corpus's own test, of GoEmotions, any."""
    measured = {benchmark: found for benchmark, found in results.items() if benchmark in BENCHMARKS}
    made_for = [benchmark for benchmark in measured if name.endswith(f"-{benchmark}")]
    return next((measured[of] for of in (*made_for, "own", "goemotions", *measured) if of in measured), None)


def model_section(name: str, results: dict[str, Result], ablations: Sequence[Result] = ()) -> str:
    """The results part of a model's card."""
    if any(found.get("protocol", "").startswith("zero-shot") for found in results.values()):
        return zero_shot_section(results)
    main = main_result(name, results)
    if main is None:
        return "Not measured yet."
    first = BENCHMARKS[main["benchmark"]]
    others = [(BENCHMARKS[of], found) for of, found in results.items() if of in BENCHMARKS and found is not main]
    parts = [_scores([(first, main)], first.kind), *_plots(main)]
    also = [_scores(of_kind, kind) for kind in COLUMNS if (of_kind := [o for o in others if o[0].kind == kind])]
    parts += ["On other benchmarks:", *also] if also else []
    if first.name in REPORTED:
        rows = [[r.system, r.parameters, f"{r.value:.3f}", r.how] for r in REPORTED[first.name]]
        titles = ["system", "parameters", COLUMNS[first.kind][first.headline], "threshold"]
        parts.append(f"Others on the same rows, as they report it (not measured here):\n\n{table(titles, rows)}")
    if of_same := [found for found in ablations if found["benchmark"] == first.name]:
        parts.append(_ablations(first, main, of_same))
    parts += how_measured([(first, main), *others])
    if "context" in results:
        parts.append(_context(results["context"]))
    parts += [folded(f"Label by label: {first.title}", _by_label(main)), where_from(main)]
    return "\n\n".join([*parts, *before([main, *(found for _, found in others), *of_same, *_of(results, "context")])])


def _of(results: dict[str, Result], benchmark: str) -> list[Result]:
    return [results[benchmark]] if benchmark in results else []


def _scores(measured: Sequence[tuple[Benchmark, Result]], kind: str) -> str:
    """A row for each benchmark; a metric that it does not have is left empty."""
    shown = {name: title for name, title in COLUMNS[kind].items() if any(name in r["metrics"] for _, r in measured)}
    rows = [
        [b.title, str(r["support"]), *(interval(r["metrics"][c]) if c in r["metrics"] else "" for c in shown)]
        for b, r in measured
    ]
    return table(["benchmark", "rows", *shown.values()], rows)


def _plots(result: Result) -> list[str]:
    """The plots, where `push.py` puts them in the repository."""
    return [f"![{title}](plots/{file})" for file, title in plot_names(result).items()]


def _ablations(benchmark: Benchmark, published: Result, ablations: Sequence[Result]) -> str:
    """What other recipes score on the same benchmark, best first."""
    shown = {name: title for name, title in COLUMNS[benchmark.kind].items() if name in published["metrics"]}
    others = sorted(ablations, key=lambda r: -r["metrics"][benchmark.headline]["value"])
    rows = [
        [what, str(len(r["seeds"])), *(interval(r["metrics"][c]) if c in r["metrics"] else "" for c in shown)]
        for what, r in [("**this model**", published), *((f"`{r['name']}`", r) for r in others)]
    ]
    return (
        f"Other recipes on {benchmark.title}, thresholds chosen alike (`train/recipes/ablations/`):\n\n"
        f"{table(['recipe', 'seeds', *shown.values()], rows)}"
    )


OF_VARIANTS = {
    "open": "remarks that say nothing by themselves",
    "original": "utterances as they were made",
    "rewritten": "utterances rewritten to need it",
    "needing": "rows marked as needing it",
    "not_needing": "rows marked as not needing it",
}


def _context(found: Result) -> str:
    """Whether situations are used: micro-F1 with the own one, with none, with another story's, by kinds of rows."""
    metrics, groups = found["metrics"], found["groups"]
    titles = {"all": "all", **{group: title for group, title in OF_VARIANTS.items() if groups.get(group)}}
    columns = ("own", "none", "other", "gain_over_none")
    rows = [
        [title, str(groups[group]), *(interval(metrics[f"micro_f1_{column}_{group}"]) for column in columns)]
        for group, title in titles.items()
    ]
    return (
        f"Is the situation used? Micro-F1 on the corpus's {found['support']} test rows, each with its own situation, "
        "with none, and with another story's:\n\n"
        f"{table(['rows', 'how many', 'its own', 'none', 'another', 'gain over none'], rows)}"
    )


def _by_label(result: Result) -> str:
    labels: dict[str, dict[str, float]] = result["per_label"]
    titles = {"precision": "precision", "recall": "recall", "threshold": "threshold"}
    titles = {name: title for name, title in titles.items() if name in next(iter(labels.values()), {})}
    rows = [
        [label, _f1(row), *(f"{row[name]:.3f}" for name in titles), str(row["support"])]
        for label, row in labels.items()
    ]
    return "\n\n".join([table(["label", "F1", *titles.values(), "rows"], rows), *about_labels(result)])


def _f1(row: dict[str, float]) -> str:
    """F1 of a class with its interval; nothing where it has no row, and so no recall."""
    ends = {end: row[end] for end in ("low", "high") if end in row}
    return interval({"value": row["f1"]} | ends) if row["support"] else ""


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
                rows.append(
                    [title, str(found["support"]), MEASURES[metric], interval(found["metrics"][metric]), beside]
                )
    beside = next((found["beside"]["name"] for _, found in shown if "beside" in found), "")
    parts = [table(["benchmark", "rows", "measure", "this model", f"beside: {beside}" if beside else ""], rows)]
    about = shown[0][1]
    by: dict[str, list[str]] = {}
    for name, found in shown:
        by.setdefault(found["threshold_source"], []).append(ZERO_SHOT[name][0])
    decided = "; ".join(f"{', '.join(titles)}: {how}" for how, titles in by.items())
    trained = about["trained_on"]
    parts.append(
        f"{how_certain(about)}. Decided by: {decided}. Trained for "
        f"{trained['steps']} steps on {trained['train_rows']} texts of corpus revision "
        f"`{trained['dataset_revision']}`; weights `{about['model_revision']}`; recipe `{about['recipe_hash']}`; "
        f"measured at {commit_of(about)} on {about['hardware']}."
    )
    if "ablations" in results:
        parts.append(
            "Variants on the same rows; each one's recipe in `train/recipes/ablations/` says of which other it changes "
            "one thing:\n\n"
            f"{variants_table(results['ablations'])}"
        )
    return "\n\n".join([*parts, *before([*(found for _, found in shown), *_of(results, "ablations")])])


def variants_table(found: Result) -> str:
    """The headline of every variant on every benchmark that has one; our own label sets are too small for that."""
    metrics = found["metrics"]
    headlines = {name: ZERO_SHOT[name][1][0] for name in ZERO_SHOT if not name.startswith("labels-")}
    shown = {
        name: metric
        for name, metric in headlines.items()
        if any(f"{variant}: {name} {metric}" in metrics for variant in found["variants"])
    }
    rows = [
        [
            variant,
            *(interval(metrics[key]) if (key := f"{variant}: {n} {m}") in metrics else "" for n, m in shown.items()),
        ]
        for variant in found["variants"]
    ]
    return table(["variant", *(f"{ZERO_SHOT[name][0]}: {MEASURES[m]}" for name, m in shown.items())], rows)


def corpus_section(results: dict[str, Result]) -> str:
    """The results part of a data set's card."""
    if "corpus" not in results:
        return "Not built yet."
    found = results["corpus"]
    metrics = {name: metric["value"] for name, metric in found["metrics"].items()}
    rows = []
    for config in found["configs"]:
        sizes = [f"{metrics.get(f'{config}_{split}_rows', 0):,.0f}" for split in ("train", "validation", "test")]
        what = "labels" if config in found["per_label"] else "descriptors"
        neutral = f"{metrics[f'{config}_neutral_share']:.1%}" if what == "labels" else ""
        rows.append([code(config), *sizes, f"{metrics[f'{config}_{what}_per_text']:.2f} {what}", neutral])
    titles = ["config", "train", "validation", "test", "a text", "with neutral"]
    # columns that say nothing are left out
    said = [number for number in range(len(titles)) if {row[number] for row in rows} - {"", "0"}]
    titles, *rows = [[row[number] for number in said] for row in (titles, *rows)]
    parts = [table(titles, rows)]
    if labelled := found["per_label"]:
        labels = next(iter(labelled.values()))
        counts = [[cell(label), *(f"{labelled[config][label]:,}" for config in labelled)] for label in labels]
        parts.append(folded("Rows per label", table(["label", *map(cell, labelled)], counts)))
        what = f" on {found['narratives']} stories; teacher {cell(found['teacher'])}; labeler: {cell(found['labeler'])}"
    else:
        counts = [[code(source), f"{count:,}"] for source, count in found["sources"].items()]
        parts.append(table(["source", "texts"], counts))
        what = f"; teachers {cell(found['teacher'])}; describers: {cell(found['describer'])}"
    parts.append(
        f"Recipe {code(found['recipe'])} ({code(found['recipe_hash'])}){what}; prompts "
        f"{code(found['prompt_version'])}; seed {found['seeds'][0]}; corpus revision {code(found['data_revision'])}."
    )
    return "\n\n".join(parts)


def readme_section(results: dict[str, dict[str, Result]]) -> str:
    """README's table: the headline of every measured model on every benchmark; what is not measured is said."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    measured = [name for name in names if results.get(name)]
    columns = [b for b in BENCHMARKS.values() if any(b.name in results[name] for name in measured)]
    rows = []
    for name in measured:
        found = [results[name].get(benchmark.name) for benchmark in columns]
        cells = [interval(one["metrics"][b.headline]) if one else "" for b, one in zip(columns, found, strict=True)]
        rows.append([f"[`{name}`](model_cards/{name}.md)", *cells])
    left = ", ".join(f"`{name.removeprefix('emo-pillars-')}`" for name in names if name not in measured)
    unseen = ", ".join(f"{b.title} ({b.licence})" for b in BENCHMARKS.values() if b not in columns)
    parts = [table(["model", *(f"{b.title}: {MEASURES[b.headline]}" for b in columns)], rows)]
    parts += before([found for name in measured for of, found in results[name].items() if of in BENCHMARKS])
    if left:
        parts.append(f"With a recipe and without a result (they need a GPU, a corpus or a licence): {left}.")
    if unseen:
        parts.append(f"Benchmarks with their code and without a result here, for want of the data: {unseen}.")
    return "\n\n".join(parts)
