"""python -m eval.run --model DIR_OR_ID [DIR_OR_ID …] --benchmark goemotions [--data DIR] [--out DIR]

Evaluates a published model, a classifier or a bi-encoder, on benchmarks and writes <out>/<model>/<benchmark>.json.
Several models are seeds of one recipe: the result is their mean, and each seed's value is kept.

A classifier uses its own thresholds, chosen on its development split; with one class per text, the largest score
decides. A bi-encoder uses the names of the classes as labels and decides by a rule that needs no labelled texts
(eval/decision_rules.py); `--beside` evaluates another encoder, such as the untrained one, in the same way.

    python -m eval.run --all [--data isear=DIR emobank=DIR …]                all models on all data that is here
    python -m eval.run --texts FILE --benchmark goemotions                   write its texts, for any other system
    python -m eval.run --scores FILE --name NAME --benchmark goemotions      evaluate the scores of that system

`--split validation` evaluates on development rows, to choose; the result is called `<benchmark>-validation`. With
`--dev-thresholds`, macro- and micro-F1 are also computed with thresholds chosen on the benchmark's development split.
"""

import argparse
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.files.reading import json_file
from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.inputs import InputError, option_name, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.taxonomy import LABELS
from eval.benchmark_rows import Rows
from eval.benchmarks import BENCHMARKS, DEVELOPMENT, Benchmark, find
from eval.measure import bi_encoder_numbers, classifier_numbers, development_numbers
from eval.metrics import about_intervals, shown
from eval.models import BiEncoder, Classifier, Model, about_training, about_weights, load_bi_encoder, load_seeds
from eval.scores_file import VALENCE, read_scores

MODELS = Path("work/models")
DOMAINS = Path("work/domains")
PUBLISHED = "emo-pillars-"  # how the names of published models begin; ablations have other names
# The main metric of a recipe that is run again may differ by this much between machines and library versions.
TOLERANCE = 0.01


def measure_models(
    models: Sequence[Model],
    benchmarks: Sequence[Benchmark],
    places: Mapping[str, str | None],
    out: Path,
    beside: BiEncoder | None = None,
    defined: bool = False,
    dev_thresholds: bool = False,
) -> None:
    """Evaluate the seeds of a model and write a file for each benchmark.

    Args:
        places: where the files of each dataset are, by `Benchmark.data_set`; None for the Hub.
        beside: another bi-encoder, evaluated in the same way.
        defined: a bi-encoder's labels are embedded with their definitions.
        dev_thresholds: also use thresholds that are chosen on each benchmark's development split.
    """
    classifiers = [model for model in models if isinstance(model, Classifier)]
    bi_encoders = [model for model in models if isinstance(model, BiEncoder)]
    config = models[0].record.get("recipe", {}).get("config", "contextless")
    scores: dict[str, list[np.ndarray]] = {}  # benchmarks that share their texts are scored once
    for benchmark in benchmarks:
        rows = benchmark.load(places.get(benchmark.data_set), config)
        if bi_encoders:
            content = bi_encoder_result(benchmark, rows, bi_encoders, beside, defined)
        else:
            if benchmark.data_set not in scores:
                scores[benchmark.data_set] = [
                    model.predict(rows.texts, rows.contexts, rows.characters) for model in classifiers
                ]
            content = classifier_result(benchmark, rows, classifiers, scores[benchmark.data_set])
        if dev_thresholds:
            development = benchmark.development().load(places.get(benchmark.data_set), config)
            of_development = [
                model.predict(development.texts, development.contexts, development.characters) for model in classifiers
            ]
            found = development_numbers(rows, scores[benchmark.data_set], development, of_development)
            content |= found | {"metrics": content["metrics"] | found["metrics"]}
        report(benchmark, content, out)


def classifier_result(
    benchmark: Benchmark, rows: Rows, models: Sequence[Classifier], scores: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Return the content of a classifier's result file: metrics and their provenance."""
    chosen = models[0].record.get("threshold_source", "the model's config")
    numbers = classifier_numbers(benchmark, rows, scores, [model.thresholds for model in models], chosen)
    content = _result(models[0].name, benchmark, rows, numbers)
    return content | about_weights(models) | about_training(models) | provenance()


def scores_result(
    name: str, benchmark: Benchmark, rows: Rows, scores: np.ndarray, threshold: float, revision: str
) -> dict[str, Any]:
    """Return the same for another system's scores of the 28 labels, or of the benchmark's own classes without a map.

    All labels have one threshold.
    """
    thresholds, chosen = np.full(scores.shape[1], threshold), f"{threshold} for all labels, as given"
    numbers = classifier_numbers(benchmark, rows, [scores], [thresholds], chosen)
    about = {"seeds": [], "model_revision": revision, "trained_on": {}, "recipe_hash": "none"}
    return _result(name, benchmark, rows, numbers) | about | provenance()


def bi_encoder_result(
    benchmark: Benchmark, rows: Rows, models: Sequence[BiEncoder], beside: BiEncoder | None, defined: bool
) -> dict[str, Any]:
    """Return the same for a bi-encoder that uses the class names as labels."""
    model = models[0]
    content = _result(model.name, benchmark, rows, bi_encoder_numbers(benchmark, rows, models, defined))
    content |= about_weights(models) | about_training(models) | provenance()
    content["libraries"] |= {"sentence-transformers": importlib.metadata.version("sentence-transformers")}
    if beside:
        numbers = bi_encoder_numbers(benchmark, rows, [beside], defined)
        content["beside"] = {"name": beside.name, "model_revision": beside.revision, **numbers}
    return content | {
        "protocol": f"zero-shot; {rows.protocol}",
        "labels": [] if benchmark.kind == "affect" else list(rows.classes),
        "definitions": defined,
        "prompts": {name: model.encoder.prompts.get(name, "") for name in ("query", "document")},
        "temperature": model.temperature,
        "bias": model.bias,
    }


def _result(name: str, benchmark: Benchmark, rows: Rows, numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "benchmark": benchmark.name,
        "headline": benchmark.headline,
        **numbers,
        "support": len(rows.texts),
        "intervals": about_intervals(len(rows.texts), rows.clusters, rows.units),
        "data_revision": rows.revision,
        "protocol": rows.protocol,
    }


def report(benchmark: Benchmark, content: dict[str, Any], out: Path) -> None:
    """Write a result file; print its main metric and the difference from the result in git."""
    published = RESULTS / content["name"] / f"{benchmark.name}.json"
    try:
        before = float(json_file(published)["metrics"][benchmark.headline]["value"])
    except (InputError, KeyError, TypeError, ValueError):  # none, or a damaged one: nothing to compare with
        before = None
    print(write_result(content, out, content["name"], benchmark.name))
    for measured in (content, content.get("beside")):
        if measured:
            headline = measured["metrics"].get(benchmark.headline)
            says = (
                f"{benchmark.headline} {shown(headline)}"
                if headline
                else "only label frequencies, because there are no gold labels"
            )
            print(f"  {measured['name']}: {says}, {content['support']} rows")
    if before is not None and benchmark.headline in content["metrics"]:
        difference = content["metrics"][benchmark.headline]["value"] - before
        within = "within" if abs(difference) <= TOLERANCE else "OUTSIDE"
        print(f"  {published} had {before:.4f}: {difference:+.4f}, {within} ±{TOLERANCE}")


def fits(benchmark: Benchmark, model: Model) -> bool:
    """Return whether this kind of model can be evaluated on a benchmark."""
    return benchmark.by_name if isinstance(model, BiEncoder) else benchmark.is_test


def check_fits(benchmarks: Sequence[Benchmark], model: Model) -> None:
    """Raise InputError for a benchmark on which the model cannot be evaluated."""
    if wrong := next((benchmark.name for benchmark in benchmarks if not fits(benchmark, model)), None):
        kind = "bi-encoder" if isinstance(model, BiEncoder) else "classifier"
        known = ", ".join(sorted(name for name, benchmark in BENCHMARKS.items() if fits(benchmark, model)))
        raise InputError(f"benchmark '{wrong}': '{model.name}' is a {kind}, which can be evaluated on {known}.")


def check_has_thresholds(benchmarks: Sequence[Benchmark], model: Model) -> None:
    """Raise InputError for a bi-encoder, or a benchmark that is not decided by thresholds of the 28 labels."""
    for benchmark in benchmarks:
        if isinstance(model, BiEncoder) or benchmark.kind != "several" or benchmark.label_map:
            raise InputError("--dev-thresholds is for classifiers and the benchmarks goemotions and own. Remove it.")


def measure_all(folder: Path, data: Mapping[str, str], out: Path) -> None:
    """Evaluate every published model on all data that is here; at the end, list the missing data."""
    missing: dict[str, Benchmark] = {}
    for name, seeds in published_models(folder).items():
        print(f"=== {name}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}", flush=True)
        models = load_seeds(seeds)
        places = {"own": _training_data(models[0].record, data.get("own", "")), **data}
        benchmarks = [benchmark for benchmark in BENCHMARKS.values() if fits(benchmark, models[0])]
        here = [benchmark for benchmark in benchmarks if _is_here(benchmark, places.get(benchmark.data_set))]
        missing |= {benchmark.data_set: benchmark for benchmark in benchmarks if benchmark not in here}
        measure_models(models, here, places, out)
    for name, benchmark in sorted(missing.items()):
        terms = f"Licence: {benchmark.licence}. Pass --data {name}=PLACE, where PLACE is {benchmark.files}."
        print(f"not evaluated: {name}, because its data is missing. {terms}")


def _is_here(benchmark: Benchmark, place: str | None) -> bool:
    return Path(place).exists() if place else not benchmark.needs_files


def _training_data(record: dict[str, Any], given: str) -> str:
    """Return the corpus that a model was trained on: the place in its record or, if that is not here, own=PLACE."""
    recorded = str(record.get("dataset"))
    return given if not Path(recorded).exists() and Path(given).name == Path(recorded).name else recorded


def data_places(given: Sequence[str]) -> dict[str, str]:
    """The folders in work/domains by name, and what was given as NAME=PLACE. Raises InputError for other pairs."""
    places = {path.name: str(path) for path in DOMAINS.glob("*") if (path / "manifest.json").exists()}
    for pair in given:
        name, equals, place = pair.partition("=")
        if not equals or name not in BENCHMARKS:
            known = ", ".join(sorted(BENCHMARKS))
            raise InputError(f"--data {pair}: with --all, pass BENCHMARK=PLACE. Known: {known}.")
        places[name] = place
    return places


def published_models(folder: Path) -> dict[str, list[str]]:
    """The model folders by published name, several for seeds of one recipe. Raises InputError if there is none."""
    found: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(folder.glob("*/training.json")):
        record = json_file(path)
        try:
            name, seed = str(record["name"]), int(record["recipe"]["seed"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}: is not a training record. Train the model again, or move its folder.") from None
        if name.startswith(PUBLISHED):
            found.setdefault(name, []).append((seed, str(path.parent)))
    if not found:
        raise InputError(f"{folder}: contains no model folder. Train a model, or pass a folder of models after --all.")
    return {name: [place for _, place in sorted(seeds)] for name, seeds in found.items()}


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description="Evaluates a model on benchmarks.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", nargs="+", help="a model folder or Hub id, or several seeds of one model")
    what.add_argument("--scores", type=Path, help="a file with another system's scores, one line per row")
    what.add_argument("--texts", type=Path, help="write the benchmark's texts there, for `dataset_builder label-texts`")
    what.add_argument("--all", type=Path, nargs="?", const=MODELS, help=f"a folder of models; default: {MODELS}")
    parser.add_argument("--benchmark", nargs="+", help=", ".join(sorted(BENCHMARKS)))
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        help="the benchmark's files: a folder, the corpus for 'own' and 'descriptors', a file of texts for 'labels-N'; "
        "default: from the Hub. With --all as BENCHMARK=PLACE",
    )
    parser.add_argument(
        "--split",
        choices=("test", DEVELOPMENT),
        default="test",
        help=f"{DEVELOPMENT}: development rows, on which settings may be chosen; default: test",
    )
    parser.add_argument(
        "--dev-thresholds",
        action="store_true",
        help="also use thresholds chosen on the benchmark's development split, besides the model's own",
    )
    parser.add_argument("--beside", metavar="MODEL", help="another encoder to compare with a bi-encoder")
    parser.add_argument("--definitions", action="store_true", help="embed a bi-encoder's labels with their definitions")
    parser.add_argument("--name", type=option_name, help="the name of the system that produced --scores")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="the threshold for --scores, for all labels; default: 0.5"
    )
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    if args.all:
        if args.benchmark or args.split != "test" or args.dev_thresholds:
            raise InputError(
                "--all uses every test set whose data is present. Remove --benchmark, --split and --dev-thresholds."
            )
        measure_all(args.all, data_places(args.data), args.out)
    elif not args.benchmark or len(args.data) > 1:
        raise InputError("pass --benchmark, and at most one --data.")
    else:
        named = [find(name) for name in args.benchmark]
        benchmarks = named if args.split == "test" else [benchmark.development() for benchmark in named]
        measure_given(args, benchmarks, args.data[0] if args.data else None)


def measure_given(args: argparse.Namespace, benchmarks: list[Benchmark], place: str | None) -> None:
    """Measure the models or scores of a command line, or write the texts."""
    if args.texts:
        if len(benchmarks) > 1:
            raise InputError("--texts writes the texts of only one --benchmark.")
        texts = benchmarks[0].load(place).texts
        write_whole(args.texts, (to_line({"text": text}) for text in texts))
        print(f"{args.texts}: {len(texts)} texts")
    elif args.scores:
        if not args.name:
            raise InputError("--scores needs the --name of the system that produced them.")
        if not 0 <= args.threshold <= 1:  # NaN is neither
            raise InputError(f"--threshold {args.threshold:g}: must be from 0 to 1, like the scores.")
        for benchmark in benchmarks:
            if not benchmark.is_test:
                raise InputError(f"benchmark '{benchmark.name}': is for bi-encoders. --scores are for the 28 labels.")
            rows = benchmark.load(place)
            classes = VALENCE if benchmark.kind == "affect" else rows.classes
            scores, names, revision = read_scores(args.scores, rows.texts, classes)
            scored = benchmark if names == LABELS else replace(benchmark, label_map=None)
            report(benchmark, scores_result(args.name, scored, rows, scores, args.threshold, revision), args.out)
    else:
        models = load_seeds(args.model)
        check_fits(benchmarks, models[0])
        if (args.beside or args.definitions) and isinstance(models[0], Classifier):
            raise InputError("--beside and --definitions are for bi-encoders, but --model is a classifier.")
        if args.dev_thresholds:
            check_has_thresholds(benchmarks, models[0])
        beside = load_bi_encoder(args.beside) if args.beside else None
        places = {benchmark.data_set: place for benchmark in benchmarks}
        measure_models(models, benchmarks, places, args.out, beside, args.definitions, args.dev_thresholds)


if __name__ == "__main__":
    run_command(main)
