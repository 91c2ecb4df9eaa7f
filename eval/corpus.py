"""python -m eval.corpus --data DIR_OR_ID [--out DIR]

Describes a published corpus as `load_dataset` gives it and writes <out>/<name>/corpus.json for its card. One with
labels is the data set `emo-pillars`, one of texts with descriptors alone `emo-pillars-descriptors`.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from datasets import DatasetDict, get_dataset_config_names
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import HfHubHTTPError

from dataset_builder.files.data_sets import read_data_set
from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line, run_command
from dataset_builder.provenance import RESULTS, provenance, results_folder, write_result
from dataset_builder.schema import CONFIGS
from dataset_builder.taxonomy import LABELS, NEUTRAL
from eval.cards.sections import CORPORA


def describe(configs: dict[str, DatasetDict]) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """Metrics of a corpus, and the count of each label over all splits of each config that has labels."""
    metrics: dict[str, dict[str, float]] = {}
    per_label: dict[str, dict[str, int]] = {}
    for config, splits in configs.items():
        for split, found in splits.items():
            metrics[f"{config}_{split}_rows"] = {"value": len(found)}
        labelled = "labels" in next(iter(splits.values())).features
        listed = [row for found in splits.values() for row in found["labels" if labelled else "descriptors"]]
        what = "labels" if labelled else "descriptors"
        metrics[f"{config}_{what}_per_text"] = {"value": round(sum(map(len, listed)) / len(listed), 3)}
        if labelled:
            counted = Counter(label for labels in listed for label in labels)
            metrics[f"{config}_neutral_share"] = {"value": round(counted[NEUTRAL] / len(listed), 3)}
            per_label[config] = {label: counted[index] for index, label in enumerate(LABELS)}
    return metrics, per_label


def main() -> None:
    """Parse the command line, describe, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.corpus", description="Describes a corpus for its card.")
    parser.add_argument("--data", required=True, help="the corpus: a folder or Hub id")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    try:
        published = get_dataset_config_names(args.data)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        raise InputError(f"{args.data}: no data set ({first_line(error)}). Give a built corpus or a Hub id.") from None
    configs = {config: read_data_set(args.data, config).splits for config in CONFIGS if config in published}
    if not configs:
        raise InputError(f"{args.data}: has no config {', '.join(CONFIGS)}. Give a corpus of dataset_builder.")
    labelled = next((splits for config, splits in configs.items() if config != "descriptors"), None)
    splits, by = (configs["descriptors"], "describer") if labelled is None else (labelled, "labeler")
    wanted = ("teacher", by, "prompt_version", "seed", "narrative_id", "source")
    for split, found in splits.items():
        if missing := [column for column in wanted if column not in found.column_names]:
            raise InputError(
                f"{args.data}: its {split} rows have no {', '.join(missing)}, so it is no corpus of `dataset_builder "
                "build` or describe-texts. Give one."
            )
    metrics, per_label = describe(configs)
    manifest = Path(args.data) / "manifest.json"
    made: dict[str, Any] = json_file(manifest) if manifest.exists() else {}
    if Path(args.data).exists() and (not made or not isinstance(made, dict)):
        raise InputError(f"{args.data}: has no manifest.json, so it was not built to the end. Build it again.")
    corpus, of_descriptors = CORPORA
    name = of_descriptors if labelled is None else corpus
    made_by = {
        column: list(dict.fromkeys(value for found in splits.values() for value in found[column]))
        for column in ("teacher", by, "prompt_version", "seed")
    }
    content = {
        "name": name,
        "benchmark": "corpus",
        "configs": list(configs),
        "metrics": metrics,
        "per_label": per_label,
        "teacher": " and ".join(made_by["teacher"]),
        by: ", ".join(made_by[by]),
        "prompt_version": ", ".join(made_by["prompt_version"]),
        "seeds": made_by["seed"],
        "narratives": len({row for found in splits.values() for row in found["narrative_id"]}),
        "sources": Counter(source for found in splits.values() for source in found["source"]),
        "data_revision": made.get("revision", "unknown"),
        "recipe": made.get("recipe", "unknown"),
        "recipe_hash": made.get("recipe_hash", "unknown"),
        **provenance(),
    }
    print(write_result(content, args.out, name, "corpus"))


if __name__ == "__main__":
    run_command(main)
