"""Checks a corpus in our format, built or downloaded: its files, every row, and rows against each other.

filters/validate.py has the rules for a single row, which the build applies too. A corpus is valid if no row fails a
check.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pydantic

from dataset_builder.analysis.file_checks import class_names, count_faults
from dataset_builder.corpus import Corpus, column_faults, open_corpus
from dataset_builder.escaping import one_line
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.benchmark_similarity import AT_ONCE, BenchmarkSimilarity
from dataset_builder.filters.deduplicate import ORIGINAL, REWRITTEN, DuplicateFilter, utterance_of
from dataset_builder.filters.validate import LONGEST_LABEL, MOST_LABELS, check_bounds, check_values
from dataset_builder.pipeline.ask import PROMPTS
from dataset_builder.pipeline.replies import is_refusal, shingles
from dataset_builder.recipe import Quality
from dataset_builder.schema import CONFIGS, ContextlessRow, ContextualRow, DescriptorsRow, PublishedRow
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from dataset_builder.text_hygiene import FAULTS, row_faults, without_surrogates

EXAMPLES = 3
ROUNDING = 1e-3  # scores are float32, raw scores may have been rounded
# What each check requires. A reason of `check_values` that concerns the situation starts with `context_`.
CHECKS = {
    "unknown_config": "the config has a known name and known columns",
    "row_count": "the number of rows is that of the manifest",
    "schema": "columns and types are those of the published config",
    "label_names": "the class names in the files and in the card are the taxonomy's, in its order",
    "null_value": "no value is missing",
    "id_twice": "every id occurs once",
    "scores_not_28": "a score for every class",
    "score_out_of_range": "scores and weights from 0 to 1",
    "no_label": "at least one label",
    "labels_out_of_order": "labels are classes, in ascending order",
    "labels_are_not_the_strongest": "no class without a label has a higher score than one with a label",
    "scores_unlike_raw_labels": "the score of a class is no lower than that of the raw label of its name",
    "no_descriptor": "at least one descriptor",
    "too_short": "long enough",
    "too_long": "short enough",
    "not_english": "English",
    "repetitive": "does not repeat itself",
    "third_person": "the speaker speaks in the first person",
    "label_word": "the text does not name its own emotion",
    "context_too_short": "the situation is long enough",
    "context_too_long": "the situation is short enough",
    "context_not_english": "the situation is English",
    "context_repetitive": "the situation does not repeat itself",
    "context_label_word": "the situation does not name the feeling",
    **FAULTS,
    "raw_labels_out_of_bounds": f"at most {MOST_LABELS} raw labels or descriptors, up to {LONGEST_LABEL} letters each",
    "requested_emotion": "the requested emotion is a class, 'unnamed', or empty if none was requested",
    "refusal": "no refusal by the teacher",
    "prompt_echo": "no part of a prompt",
    "not_its_original": "an original has its own original text",
    "no_original": "a rewriting has its original in the same split",
    "story_in_two_splits": "the rows of a story or of a contrast set are in one split, in all configs",
    "duplicate": "no two rows of a config with the same words",
    "duplicate_across_splits": "no row with the same words as a row of another split, in any config",
    "near_duplicate": "no two rows of a config with nearly the same words",
    "near_duplicate_across_splits": "no row with nearly the same words as a row of another split, in any config",
    "benchmark_text": "no text of a benchmark",
    "like_benchmark_text": "no text that says nearly what a text of a benchmark says (with benchmark_cosine)",
}

NOT_COMPARABLE = ("scores_not_28", "score_out_of_range", "no_label", "labels_out_of_order")
SCORES = ("scores_not_28", "score_out_of_range", "labels_are_not_the_strongest", "scores_unlike_raw_labels")


@dataclass
class Findings:
    """How many rows fail each check, and the first of them."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, config: str, check: str, example: str) -> None:
        """Record that a row of `config` fails `check`."""
        self.counts[config, check] += 1
        examples = self.examples.setdefault((config, check), [])
        if len(examples) < EXAMPLES:
            examples.append(one_line(example if len(example) <= 200 else f"{example[:197]}…"))

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON."""
        faults = [
            {"config": config, "check": check, "rows": count, "examples": self.examples[config, check]}
            for (config, check), count in sorted(self.counts.items())
        ]
        return {"valid": not faults, "rows": self.rows, "checks": CHECKS, "faults": faults}

    def page(self) -> str:
        """Return the findings as readable text."""
        counted = ", ".join(f"{one_line(config)} {sum(splits.values())}" for config, splits in self.rows.items())
        lines = [f"rows: {counted}"]
        for (config, check), count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"{one_line(config)}: {count} × {check} (required: {CHECKS[check]})")
            lines += [f"    {example}" for example in self.examples[config, check]]
        lines.append("NOT VALID" if self.counts else f"valid: all {len(CHECKS)} checks passed")
        return "\n".join(lines)


def validate(place: str | Path, quality: Quality | None = None, benchmarks: Iterable[str] = ()) -> Findings:
    """Find all faults in a corpus: all configs, all splits, all rows.

    Args:
        quality: lengths, near-duplicate bound and the cosine to benchmarks; by default those of recipes.
        benchmarks: files whose texts must not be in the corpus, as for `benchmark_texts`.

    Raises:
        InputError: no corpus there, or a file that cannot be read.
    """
    quality = quality or Quality()
    corpus = open_corpus(place)
    known = [pair for benchmark in (*quality.benchmarks, *benchmarks) for pair in benchmark_texts(benchmark)]
    rows = _Rows(quality, DuplicateFilter(quality.near_duplicate_at, known))
    similar = BenchmarkSimilarity([text for _, text in known], quality.benchmark_cosine)
    findings = Findings()
    for config, fault in count_faults(corpus):
        findings.add(config, "row_count", fault)
    for config in corpus.files:
        findings.rows[config] = corpus.count(config)
        if config not in CONFIGS:
            findings.add(config, "unknown_config", f"{corpus.folder.name}/{config}")
            continue
        for file, names in class_names(corpus, config):
            if names != list(LABELS):
                findings.add(config, "label_names", f"{file}: {', '.join(names)}")
        faults = column_faults(corpus, config)
        for fault in faults:
            findings.add(config, "schema", fault)
        if not faults:
            for check, example in chain(rows.faults(corpus, config), _similar_rows(corpus, config, similar)):
                findings.add(config, check, example)
    return findings


def _similar_rows(corpus: Corpus, config: str, similar: BenchmarkSimilarity) -> Iterator[tuple[str, str]]:
    """Yield the rows that are too similar to a benchmark's text."""
    rows = corpus.rows(config, broken_text=True) if similar.compares else iter(())
    while some := list(islice(rows, AT_ONCE)):
        texts = [without_surrogates(str(row["text"] or "")) for row in some]
        for row, text, is_similar in zip(some, texts, similar(texts), strict=True):
            if is_similar:
                yield "like_benchmark_text", f"{row['split']} {row['id']}: {text}"


def _instructions() -> set[tuple[str, ...]]:
    """Return word n-grams of all prompts, without their fields: a text must not repeat them."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(PROMPTS.glob("*.txt")))
    pieces = (piece for text in texts for piece in re.split(r"\{[{%].*?[%}]\}|### \w+", text, flags=re.DOTALL))
    return {gram for piece in pieces for gram in shingles(piece)}


class _Rows:
    """Checks rows one by one and against the rows before them, of this config and of earlier ones."""

    def __init__(self, quality: Quality, duplicates: DuplicateFilter) -> None:
        self._quality, self._duplicates, self._instructions = quality, duplicates, _instructions()
        self._split_of_story: dict[str, str] = {}
        self._split_of_row: dict[str, str] = {}  # of this config, as are the rewritings: utterance and split
        self._rewritings: list[tuple[str, str]] = []

    def faults(self, corpus: Corpus, config: str) -> Iterator[tuple[str, str]]:
        """Yield the checks that the rows of a config fail, each with the text that shows it."""
        self._split_of_row, self._rewritings = {}, []
        for row in corpus.rows(config, broken_text=True):
            split = row.pop("split")
            for check in self._of_row(row, config, split):
                yield check, f"{split} {without_surrogates(str(row.get('id')))}: {_shown(row, check)}"
        for utterance, split in self._rewritings:
            if self._split_of_row.get(f"{utterance}/{ORIGINAL}") != split:
                yield "no_original", f"{split} {utterance}/{REWRITTEN}"

    def _of_row(self, row: dict[str, Any], config: str, split: str) -> Iterator[str]:
        broken = list(dict.fromkeys(fault for _, fault in row_faults(row)))
        yield from broken
        if any(value is None for value in row.values()):
            self._split_of_row.setdefault(str(row["id"]), split)
            yield "null_value"
        elif "lone_surrogate" not in broken:  # with one, the text cannot be compared with anything
            try:
                typed = CONFIGS[config].model_validate(row)
            except pydantic.ValidationError:  # types agree with the schema: a number is out of its range
                yield "score_out_of_range"
            else:
                yield from self._of_values(typed)
                yield from self._of_corpus(row, config, split)

    def _of_values(self, row: PublishedRow) -> Iterator[str]:
        reason = check_values(row, self._quality)
        if reason and reason.removeprefix("context_") not in FAULTS:  # those are looked for in all fields
            yield reason
        if bounds := check_bounds(row):
            yield bounds
        if isinstance(row, ContextlessRow) and reason not in NOT_COMPARABLE:
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

    def _of_corpus(self, row: dict[str, Any], config: str, split: str) -> Iterator[str]:
        if row["id"] in self._split_of_row:
            yield "id_twice"
            return
        self._split_of_row[row["id"]] = split
        stories = {row["narrative_id"], row["group"]} - {""}
        if any(self._split_of_story.setdefault(story, split) != split for story in sorted(stories)):
            yield "story_in_two_splits"
        if row.get("variant") == REWRITTEN:
            self._rewritings.append((utterance_of(row), split))
        found = self._duplicates.check(row, config, split)
        if found and found[0] != "original_rejected":
            yield found[0]


def _of_scores(row: ContextlessRow) -> Iterator[str]:
    """Check that labels, scores and raw labels agree, which reveals classes in another order."""
    labelled = [row.scores[label] for label in row.labels]
    others = [score for label, score in enumerate(row.scores) if label not in row.labels]
    if others and max(others) > min(labelled) + ROUNDING:
        yield "labels_are_not_the_strongest"
    raw = [(LABEL_TO_INDEX[label.label], label.score) for label in row.raw_labels if label.label in LABEL_TO_INDEX]
    if any(row.scores[index] < score - ROUNDING for index, score in raw):
        yield "scores_unlike_raw_labels"


def _shown(row: dict[str, Any], check: str) -> str:
    """Return the part of a row that shows its fault."""
    if check == "null_value":
        return ", ".join(name for name, value in row.items() if value is None)
    if check.startswith("context_"):
        return str(row["context"])
    if check in SCORES:
        return str(row.get("scores", row.get("descriptors")))
    if check in FAULTS:  # shown as escapes: such faults are invisible or affect a terminal
        return "; ".join(f"{name}: {row[name]!a}" for name in dict(row_faults(row)))
    if check == "raw_labels_out_of_bounds":
        return f"{len(row.get('raw_labels') or row.get('descriptors') or ())} labels"
    return str(row[{"story_in_two_splits": "narrative_id"}.get(check, check if check in row else "text")])
