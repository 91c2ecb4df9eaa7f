"""python -m eval.corpus --data DIR_OR_ID [--out DIR]

Describes a published corpus as `load_dataset` returns it and writes <out>/<name>/corpus.json for its card. A corpus
with labels is the dataset `emo-pillars`; a corpus with only texts and descriptors is `emo-pillars-descriptors`.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from datasets import DatasetDict, concatenate_datasets, get_dataset_config_names
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
    """Return metrics of a corpus, and the count of each label over all splits of each config that has labels."""
    metrics: dict[str, dict[str, float]] = {}
    per_label: dict[str, dict[str, int]] = {}
    for config, splits in configs.items():
        metrics |= {f"{config}_{split}_rows": {"value": len(found)} for split, found in splits.items()}
        rows = concatenate_datasets(list(splits.values()))
        what = "labels" if "labels" in rows.column_names else "descriptors"
        listed = list(rows[what])
        metrics[f"{config}_{what}_per_text"] = {"value": round(sum(map(len, listed)) / len(listed), 3)}
        if what == "labels":
            counted = Counter(label for labels in listed for label in labels)
            metrics[f"{config}_neutral_share"] = {"value": round(counted[NEUTRAL] / len(listed), 3)}
            per_label[config] = {label: counted[index] for index, label in enumerate(LABELS)}
    return metrics, per_label


def read_configs(place: str) -> dict[str, DatasetDict]:
    """Return the configs of a corpus. Raises InputError if there is none."""
    try:
        published = get_dataset_config_names(place)
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError, HfHubHTTPError) as error:
        raise InputError(f"{place}: not a dataset ({first_line(error)}). Pass a built corpus or a Hub id.") from None
    configs = {config: read_data_set(place, config).splits for config in CONFIGS if config in published}
    if not configs:
        raise InputError(f"{place}: has no config {', '.join(CONFIGS)}. Pass a corpus built by dataset_builder.")
    return configs


def read_manifest(place: str) -> dict[str, Any]:
    """Return the manifest of a corpus, {} on the Hub. Raises InputError if a folder has none."""
    path = Path(place) / "manifest.json"
    manifest: dict[str, Any] = json_file(path) if path.exists() else {}
    if Path(place).exists() and (not manifest or not isinstance(manifest, dict)):
        raise InputError(f"{place}: has no manifest.json, so its build did not finish. Build it again.")
    return manifest


def main() -> None:
    """Parse the command line, describe, write."""
    parser = argparse.ArgumentParser(prog="python -m eval.corpus", description="Describes a corpus for its card.")
    parser.add_argument("--data", required=True, help="the corpus: a folder or Hub id")
    parser.add_argument("--out", type=results_folder, default=RESULTS, help=f"default: {RESULTS}")
    args = parser.parse_args()
    configs = read_configs(args.data)
    labelled = next((config for config in configs if config != "descriptors"), None)
    name, by = (CORPORA[1], "describer") if labelled is None else (CORPORA[0], "labeler")
    splits = configs[labelled or "descriptors"]
    # Older corpora have no `provenance`: their `source` says where a row is from.
    place = "provenance" if "provenance" in next(iter(splits.values())).column_names else "source"
    wanted = dict.fromkeys(("teacher", by, "prompt_version", "seed", "narrative_id", "source", place))
    for split, found in splits.items():
        if missing := [column for column in wanted if column not in found.column_names]:
            raise InputError(
                f"{args.data}: its {split} rows have no {', '.join(missing)}, so it was not written by "
                "`dataset_builder build` or describe-texts. Pass such a corpus."
            )
    rows = concatenate_datasets([found.select_columns(list(wanted)) for found in splits.values()])
    made_by = {column: list(dict.fromkeys(rows[column])) for column in wanted}
    metrics, per_label = describe(configs)
    manifest = read_manifest(args.data)
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
        "narratives": len(made_by["narrative_id"]),
        "sources": Counter(rows[place] if labelled is None else rows["source"]),
        "data_revision": manifest.get("revision", "unknown"),
        "recipe": manifest.get("recipe", "unknown"),
        "recipe_hash": manifest.get("recipe_hash", "unknown"),
        **provenance(),
    }
    print(write_result(content, args.out, name, "corpus"))


if __name__ == "__main__":
    run_command(main)
