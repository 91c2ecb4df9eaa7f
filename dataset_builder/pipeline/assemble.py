"""Turns the stages' rows into the published corpus: check, drop duplicates, split, write Parquet.

The rows come from one work folder or from several. Each row is read and checked once. The split of a story depends on
the rows of all stories, so accepted rows are kept in a file per config until then: memory holds an index of the texts,
not the rows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dataset_builder.files.parquet_rows import read_rows
from dataset_builder.files.shards import clear, to_line, write_whole
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.benchmark_similarity import AT_ONCE, BenchmarkSimilarity
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.filters.ensemble import Judged
from dataset_builder.filters.resolve import class_of
from dataset_builder.filters.split import split_narratives
from dataset_builder.filters.validate import check_row, check_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.parquet import CORPUS, SplitWriter, whole_folder, write_manifest, write_splits
from dataset_builder.pipeline.parts import Labelling, Part
from dataset_builder.recipe import BuildRecipe
from dataset_builder.run_state import REJECTS
from dataset_builder.schema import CONFIGS, SPLITS, ContextlessRow, PublishedRow, Rejected
from dataset_builder.written_rows import is_development

STAGE = "publish"  # its name in manifests and for --restart-from
DEPENDS_ON = ("recipe.split", "recipe.name", "recipe.quality", "recipe.labels", "recipe.resolve")
KEPT = "kept"  # the folder of the rows that pass, until their split is known
MOST_UNRESOLVED = 1_000  # words without a class that the manifest counts, the most frequent ones
RowAndReason = tuple[PublishedRow, str | None]  # a row, and why it must be rejected whatever the checks say


def assemble(recipe: BuildRecipe, parts: Sequence[Part], target: Path) -> dict[str, dict[str, int]]:
    """Write `<target>/corpus` from the rows of work folders; return the rows of each config and split.

    `recipe` decides on labels, checks, splits and the name; how the rows were made is in the parts.

    Raises:
        InputError: no row was kept.
    """
    with whole_folder(target / CORPUS) as building:
        rows = _PublishedRows(recipe, parts)
        kept = building / KEPT
        # `keep` is a generator: writing the rejects runs it to its end. Only then are the counts for manifest and split
        # complete.
        rejected = (to_line(reject.model_dump()) for reject in rows.keep(kept))
        write_whole(target / REJECTS / f"{STAGE}.jsonl", rejected)
        manifest = rows.manifest()
        # One split for all configs, by the rows of the first one that has some: no story is in two splits.
        split_of = split_narratives(rows.of_story(), recipe.split.contextless, recipe.seed, rows.held_out)
        counts = {}
        for config in CONFIGS:
            if files := [*(kept / config).glob("*")]:
                passed = ((split_of[row["narrative_id"]], row) for file in files for row in read_rows(file))
                counts[config] = write_splits(passed, config, building)
        if not counts:
            raise InputError(
                f"no row was kept; {target / REJECTS}/*.jsonl lists the reasons. Use another teacher or more stories."
            )
        # Everything in this folder becomes part of the corpus.
        clear(kept)
        write_manifest(building, manifest | {"rows": counts})
    return counts


class _PublishedRows:
    """The rows of all parts, and which of them are kept."""

    def __init__(self, recipe: BuildRecipe, parts: Sequence[Part]) -> None:
        self._recipe, self._parts = recipe, parts
        judges = recipe.labels.judges
        judged = Judged.open(judges, [part.work_dir for part in parts]) if judges else None
        self._labelling = Labelling(recipe.resolve, recipe.labels.keep_at, judged)
        self._reasons: Counter[str] = Counter()
        self._unresolved: Counter[str] = Counter()  # words without a class
        self._benchmarks: Counter[str] = Counter()  # texts kept out, by their file or data set
        self._kept: dict[str, Counter[str]] = {config: Counter() for config in CONFIGS}  # rows of each story
        self.held_out: set[str] = set()  # stories that are written for development: they are in the validation split

    def keep(self, folder: Path) -> Iterator[Rejected]:
        """Write accepted rows to `folder`, config by config, and yield the rejected rows."""
        quality = self._recipe.quality
        known = [pair for benchmark in quality.benchmarks for pair in benchmark_texts(benchmark)]
        self._benchmarks = Counter(key.rpartition(":")[0] for key, _ in known)
        # One filter for all configs: no other utterance may repeat a kept text, in any config.
        duplicates = DuplicateFilter(quality.near_duplicate_at, known)
        similar = BenchmarkSimilarity([text for _, text in known], quality.benchmark_cosine)
        for config in CONFIGS:
            with SplitWriter(config, folder) as passed:
                for row, given in _with_similarity(self._rows(config), similar):
                    if reason := self._fault(row, duplicates, given):
                        self._reasons[reason] += 1
                        yield Rejected.of(row.id, f"{STAGE}/{config}", reason, row.text)
                    else:
                        self._count(row, config)
                        passed.add(SPLITS[0], row.model_dump())  # until its split is known

    def of_story(self) -> dict[str, int]:
        """Return the rows of each story in the first config that has some; stories of other configs have 0."""
        first = next((counts for counts in self._kept.values() if counts), Counter())
        return dict.fromkeys(chain(*self._kept.values()), 0) | first

    def manifest(self) -> dict[str, Any]:
        """Return the content of the corpus's manifest."""
        first = self._parts[0].run
        content = {
            "stage": STAGE,
            "recipe": self._recipe.name,
            "recipe_hash": fingerprint(self._recipe.model_dump(mode="json")),
            "teacher": _joined(part.author for part in self._parts),
            "teachers": first["teachers"],
            "prompt_version": _joined(part.prompt_version for part in self._parts),
            "prompts": first["prompts"],
            "seed": self._recipe.seed,
            "rejected": dict(sorted(self._reasons.items())),
            "unresolved_labels": dict(self._unresolved.most_common(MOST_UNRESOLVED)),
        }
        if self._benchmarks:
            content["benchmarks"] = dict(self._benchmarks)
        if len(self._parts) > 1:
            del content["teachers"], content["prompts"]
            content["parts"] = [part.about() for part in self._parts]
        return content

    def _rows(self, config: str) -> Iterator[RowAndReason]:
        return chain.from_iterable(part.rows(config, self._labelling) for part in self._parts)

    def _count(self, row: PublishedRow, config: str) -> None:
        self._kept[config][row.narrative_id] += 1
        is_own_story = row.narrative_id == row.id
        if row.source == "written" and is_own_story and is_development(row.text):
            self.held_out.add(row.narrative_id)

    def _fault(self, row: PublishedRow, duplicates: DuplicateFilter, given: str | None) -> str | None:
        """Return why a row is not published; `given` is a reason that is known before it is checked."""
        reason = check_row(row, self._recipe.quality)
        # Unresolved words are counted where the row's texts and labels are bounded.
        if type(row) is ContextlessRow and (not reason or not check_texts(row)):
            words = (raw.label for raw in row.raw_labels)
            self._unresolved.update(word for word in words if class_of(word, self._recipe.resolve) is None)
        compared = {"id": row.id, "text": row.text, "group": row.group, "variant": getattr(row, "variant", None)}
        if reason in (None, "no_label"):  # judges say more exactly why there is none
            reason = given or reason
        if reason:
            # Tell the filter, or it would keep the rewriting without its original.
            duplicates.drop(compared)
            return reason
        repeated = duplicates.check(compared)
        return repeated[0] if repeated else None


def _with_similarity(rows: Iterator[RowAndReason], similar: BenchmarkSimilarity) -> Iterator[RowAndReason]:
    """Yield the rows; those without a reason get one if their text is too similar to a benchmark's text.

    Texts that are rejected anyway, such as the many that nobody has labelled, are not embedded.
    """
    while some := list(islice(rows, AT_ONCE)):
        kept = {row.text for row, reason in some if not reason and getattr(row, "labels", True)}
        found = {text for text, is_similar in zip(kept, similar([*kept]), strict=True) if is_similar}
        for row, reason in some:
            yield row, reason or ("like_benchmark_text" if row.text in found else None)


def _joined(names: Iterable[str]) -> str:
    return ", ".join(name for name in dict.fromkeys(names) if name)
