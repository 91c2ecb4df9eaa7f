"""Everything that can be wrong with a corpus, looked for in any corpus of our form, built or downloaded.

A check has a name, a sentence, and the rows that fail it. A corpus is valid when no row fails any.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import yaml

from dataset_builder.ask import PROMPTS
from dataset_builder.inputs import InputError
from dataset_builder.quality.corpus import Corpus, open_corpus, open_parquet
from dataset_builder.quality.deduplicate import ORIGINAL, REWRITTEN, Twins, benchmark_texts, utterance_of
from dataset_builder.quality.validate import check_row
from dataset_builder.recipe import Quality
from dataset_builder.replies import is_refusal, shingles
from dataset_builder.schema import CONFIGS, ContextlessRow, ContextualRow, DescriptorsRow, PublishedRow, features
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS

EXAMPLES = 3
ROUNDING = 1e-3  # scores are float32, raw scores may have been rounded
# What each check looks for; reasons of `check_row` that a situation has too are told apart by `context_`.
CHECKS = {
    "unknown_config": "the config has a name and columns that we know",
    "schema": "columns and types are those of the published config",
    "label_names": "the class names in the files and in the card are the taxonomy's, in its order",
    "null_value": "no value is missing",
    "id_twice": "an id is there once",
    "scores_not_28": "a score for every class",
    "score_out_of_range": "scores and weights from 0 to 1",
    "no_label": "at least one label",
    "labels_out_of_order": "labels rise and are classes",
    "labels_are_not_the_strongest": "no class without a label has a higher score than one with a label",
    "scores_unlike_raw_labels": "the score of a class is no lower than that of the raw label of its name",
    "no_descriptor": "at least one descriptor",
    "too_short": "long enough",
    "too_long": "short enough",
    "not_english": "English",
    "repetitive": "does not repeat itself",
    "third_person": "the speaker speaks, and is not spoken of",
    "label_word": "the text does not name its own emotion",
    "context_too_short": "the situation is long enough",
    "context_too_long": "the situation is short enough",
    "context_not_english": "the situation is English",
    "context_repetitive": "the situation does not repeat itself",
    "context_label_word": "the situation does not name the feeling",
    "refusal": "no refusal of the teacher",
    "prompt_echo": "no piece of the instructions",
    "not_its_original": "a row that is called original is the original",
    "no_original": "a rewriting has its original in the same split",
    "story_in_two_splits": "the rows of a story are in one split",
    "duplicate": "no two rows with the same words",
    "duplicate_across_splits": "no row with the words of a row of another split",
    "near_duplicate": "no two rows of nearly the same words",
    "near_duplicate_across_splits": "no row with nearly the words of a row of another split",
    "benchmark_text": "no text of a benchmark",
}


UNSOUND = ("scores_not_28", "score_out_of_range", "no_label", "labels_out_of_order")  # nothing to compare then


@dataclass
class Findings:
    """How many rows fail each check, and the first of them."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, config: str, check: str, example: str) -> None:
        """One more row of `config` fails `check`."""
        self.counts[config, check] += 1
        shown = self.examples.setdefault((config, check), [])
        if len(shown) < EXAMPLES:
            shown.append(example if len(example) <= 200 else f"{example[:197]}…")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        faults = [
            {"config": config, "check": check, "rows": count, "examples": self.examples[config, check]}
            for (config, check), count in sorted(self.counts.items())
        ]
        return {"valid": not faults, "rows": self.rows, "checks": CHECKS, "faults": faults}

    def page(self) -> str:
        """For people."""
        counted = ", ".join(f"{config} {sum(splits.values())}" for config, splits in self.rows.items())
        lines = [f"rows: {counted}"]
        for (config, check), count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"{config}: {count} × {check} (wanted: {CHECKS[check]})")
            lines += [f"    {example}" for example in self.examples[config, check]]
        lines.append("NOT VALID" if self.counts else f"valid: all {len(CHECKS)} checks passed")
        return "\n".join(lines)


def validate(place: str | Path, quality: Quality | None = None, benchmarks: Iterable[str] = ()) -> Findings:
    """Look for every fault in a corpus; all configs, all splits, all rows.

    Args:
        quality: lengths and near-duplicate bound; by default those of recipes.
        benchmarks: whose texts must not be in it, as `benchmark_texts` takes them.

    Raises:
        InputError: no corpus there, or a file that cannot be read.
    """
    quality = quality or Quality()
    corpus = open_corpus(place)
    known = [pair for benchmark in (*quality.benchmarks, *benchmarks) for pair in benchmark_texts(benchmark)]
    instructions = _instructions()
    findings = Findings()
    for config in corpus.files:
        findings.rows[config] = corpus.count(config)
        if config not in CONFIGS:
            findings.add(config, "unknown_config", f"{corpus.folder.name}/{config}")
            continue
        for place, names in _names_of_classes(corpus, config):
            if names != list(LABELS):
                findings.add(config, "label_names", f"{place}: {', '.join(names)}")
        faults = column_faults(corpus, config)
        for fault in faults:
            findings.add(config, "schema", fault)
        if not faults:
            _Config(config, corpus, quality, findings, instructions, known).run()
    return findings


def column_faults(corpus: Corpus, config: str) -> list[str]:
    """How the columns of a config's files differ from the published ones, a sentence for each file that does."""
    wanted = features(config).arrow_schema
    found = []
    for path in (path for paths in corpus.files[config].values() for path in paths):
        schema = open_parquet(path).schema_arrow
        faults = [
            f"{name}: {schema.field(name).type if name in schema.names else 'missing'}, wanted {column.type}"
            for name, column in zip(wanted.names, wanted, strict=True)
            if name not in schema.names or schema.field(name).type != column.type
        ]
        faults += [f"{name}: unknown" for name in schema.names if name not in wanted.names]
        if faults:
            found.append(f"{config}/{path.name}: {'; '.join(faults)}")
    return found


def _names_of_classes(corpus: Corpus, config: str) -> Iterator[tuple[str, list[str]]]:
    """Where the classes of a config are named, and how: in the files' notes and in the card."""
    for path in (path for paths in corpus.files[config].values() for path in paths):
        metadata = open_parquet(path).schema_arrow.metadata or {}
        if names := _class_names(json.loads(metadata.get(b"huggingface", b"{}"))):
            yield f"{config}/{path.name}", names
    if names := _card_names(corpus).get(config):
        yield "README.md", names


def _class_names(metadata: Mapping[str, Any]) -> list[str] | None:
    """Class names of the column `labels` in what `datasets` writes into a file."""
    labels = metadata.get("info", {}).get("features", {}).get("labels", {})
    feature = labels.get("feature", {}) if isinstance(labels, dict) else {}
    return feature.get("names") if isinstance(feature, dict) else None


def _card_names(corpus: Corpus) -> dict[str, list[str]]:
    """Class names of each config in the card's YAML, where it has them in one of the forms of `datasets`."""
    path = corpus.folder / "README.md"
    try:
        parts = path.read_text(encoding="utf-8").split("---\n", 2) if path.exists() else []
        card = yaml.safe_load(parts[1]) if len(parts) == 3 else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: its YAML cannot be read ({error}).") from None
    infos = card.get("dataset_info", []) if isinstance(card, dict) else []
    found = {}
    for info in infos if isinstance(infos, list) else [infos]:
        for column in info.get("features", []):
            inner = column.get("list", column.get("sequence")) if column.get("name") == "labels" else None
            names = inner.get("class_label", {}).get("names") if isinstance(inner, dict) else None
            if isinstance(names, dict):
                names = [names[key] for key in sorted(names, key=int)]
            if names:
                found[info.get("config_name", "default")] = [str(name) for name in names]
    return found


def _instructions() -> set[tuple[str, ...]]:
    """Runs of words of all prompts, without their fields: what a text must not repeat."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(PROMPTS.glob("*.txt")))
    pieces = (piece for text in texts for piece in re.split(r"\{[{%].*?[%}]\}|### \w+", text, flags=re.DOTALL))
    return {run for piece in pieces for run in shingles(piece)}


class _Config:
    """The rows of one config, one after the other."""

    def __init__(
        self,
        config: str,
        corpus: Corpus,
        quality: Quality,
        findings: Findings,
        instructions: set[tuple[str, ...]],
        known: list[tuple[str, str]],
    ) -> None:
        self._config, self._corpus, self._quality, self._findings = config, corpus, quality, findings
        self._instructions = instructions
        self._twins = Twins(quality.near_duplicate_at, known)
        self._split_of_story: dict[str, str] = {}
        self._split_of_row: dict[str, str] = {}
        self._rewritings: list[tuple[str, str]] = []

    def run(self) -> None:
        for row in self._corpus.rows(self._config):
            split = row.pop("split")
            for check in self._faults(row, split):
                self._findings.add(self._config, check, f"{split} {row.get('id')}: {_shown(row, check)}")
        for name, split in self._rewritings:
            if self._split_of_row.get(f"{name}/{ORIGINAL}") != split:
                self._findings.add(self._config, "no_original", f"{split} {name}/{REWRITTEN}")

    def _faults(self, row: dict[str, Any], split: str) -> Iterator[str]:
        if any(value is None for value in row.values()):
            self._split_of_row.setdefault(str(row["id"]), split)
            yield "null_value"
            return
        try:
            typed = CONFIGS[self._config].model_validate(row)
        except pydantic.ValidationError:  # types agree with the schema: a number is out of its range
            yield "score_out_of_range"
            return
        yield from self._of_row(typed)
        yield from self._of_corpus(typed, row, split)

    def _of_row(self, row: PublishedRow) -> Iterator[str]:
        reason = check_row(row, self._quality)
        if reason:
            yield reason
        if isinstance(row, ContextlessRow) and reason not in UNSOUND:
            yield from _of_scores(row)
        if isinstance(row, DescriptorsRow) and not row.descriptors:
            yield "no_descriptor"
        if isinstance(row, ContextualRow) and row.variant == "original" and row.text != row.original_text:
            yield "not_its_original"
        texts = (row.text, getattr(row, "context", ""))
        if any(is_refusal(text) for text in texts):
            yield "refusal"
        if any(not self._instructions.isdisjoint(shingles(text)) for text in texts):
            yield "prompt_echo"

    def _of_corpus(self, row: PublishedRow, fields: dict[str, Any], split: str) -> Iterator[str]:
        if row.id in self._split_of_row:
            yield "id_twice"
            return
        self._split_of_row[row.id] = split
        if self._split_of_story.setdefault(row.narrative_id, split) != split:
            yield "story_in_two_splits"
        found = self._twins.check(fields)
        if fields.get("variant") == REWRITTEN:
            self._rewritings.append((utterance_of(fields), split))
            found = found if found and found[0] == "benchmark_text" else None
        if found:
            reason, twin = found
            other = reason != "benchmark_text" and self._split_of_row.get(twin, split) != split
            yield f"{reason}_across_splits" if other else reason


def _of_scores(row: ContextlessRow) -> Iterator[str]:
    """Whether labels, scores and raw labels say the same: another order of the classes shows here."""
    labelled = [row.scores[label] for label in row.labels]
    others = [score for label, score in enumerate(row.scores) if label not in row.labels]
    if others and max(others) > min(labelled) + ROUNDING:
        yield "labels_are_not_the_strongest"
    raw = [(LABEL_TO_INDEX[label.label], label.score) for label in row.raw_labels if label.label in LABEL_TO_INDEX]
    if any(row.scores[index] < score - ROUNDING for index, score in raw):
        yield "scores_unlike_raw_labels"


def _shown(row: dict[str, Any], check: str) -> str:
    """What of a row shows its fault."""
    if check == "null_value":
        return ", ".join(name for name, value in row.items() if value is None)
    if check.startswith("context_"):
        return str(row["context"])
    if check in ("scores_not_28", "score_out_of_range", "labels_are_not_the_strongest", "scores_unlike_raw_labels"):
        return str(row.get("scores", row.get("descriptors")))
    return str(row["narrative_id"] if check == "story_in_two_splits" else row["text"])
