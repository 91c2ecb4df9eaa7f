"""From the stages' rows to the published corpus: validate, resolve, deduplicate, split, and typed Parquet.

Two passes over the shards, so that memory holds hashes and not rows: the first decides which rows are kept, the
second writes them. The folder appears under its name only when it is whole.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo
from huggingface_hub import DatasetCardData

from dataset_builder.files.shards import clear, to_line, write_json, write_whole
from dataset_builder.files.text_hygiene import cleaned_row, without_surrogates
from dataset_builder.files.texts import benchmark_texts
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.filters.resolve import class_of, resolve
from dataset_builder.filters.split import split_narratives
from dataset_builder.filters.validate import MOST_LABELS, check_row, check_texts
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.ask import LONGEST_KEPT, prompt_versions
from dataset_builder.pipeline.engine import MANIFEST, REJECTS, rows_of
from dataset_builder.recipe import BuildRecipe
from dataset_builder.schema import (
    CONFIGS,
    SPLITS,
    UNNAMED,
    ContextlessRow,
    ContextualRow,
    DescribedRow,
    DescriptorsRow,
    LabelledRow,
    PublishedRow,
    Rejected,
    RewrittenRow,
    Row,
    UtteranceRow,
    features,
)
from dataset_builder.taxonomy import LABELS

CORPUS = "corpus"
DEFAULT_CONFIG = "contextless"
ROWS_AT_ONCE = 10_000
UNRESOLVED_NAMED = 1_000  # of the words without a class, the most frequent ones that the manifest counts


def publish(recipe: BuildRecipe, work_dir: Path, teachers: Mapping[str, str]) -> bool:
    """Write `<work>/corpus`; False when it was there before. `teachers` names each stage's teacher."""
    target = work_dir / CORPUS
    if (target / MANIFEST).exists():
        return False
    building = work_dir / f"{CORPUS}.part"
    clear(building)
    decided = _Decisions(recipe, work_dir, teachers)
    write_whole(work_dir / REJECTS / "publish.jsonl", (to_line(reject.model_dump()) for reject in decided.rejects()))
    split_of = decided.split_of()
    splits: dict[str, dict[str, int]] = {}
    for config in CONFIGS:
        rows = zip(_rows(config, recipe, work_dir, teachers), decided.kept[config], strict=True)
        written = write_parquet(config, (row for row, keep in rows if keep), split_of, building)
        if written:  # a config without rows (no situations were asked for) is not published
            splits[config] = written
    if DEFAULT_CONFIG not in splits:
        raise InputError(
            f"no row was kept; {work_dir / REJECTS}/*.jsonl say why. Another teacher or more stories help."
        )
    revision = seal(building, splits)
    manifest = {
        "stage": "publish",
        "recipe": recipe.name,
        "recipe_hash": fingerprint(recipe.model_dump(mode="json")),
        "teacher": teachers["utterances"],
        "teachers": dict(teachers),
        "prompt_version": _prompt_version(),
        "prompts": prompt_versions(),
        "seed": recipe.seed,
        "rows": splits,
        "rejected": dict(sorted(decided.reasons.items())),
        "unresolved_labels": dict(decided.unresolved.most_common(UNRESOLVED_NAMED)),
        "revision": revision,
    }
    write_json(building / MANIFEST, manifest)
    clear(target)
    building.rename(target)
    return True


def _prompt_version() -> str:
    return fingerprint(prompt_versions())


def _rows(config: str, recipe: BuildRecipe, work_dir: Path, teachers: Mapping[str, str]) -> Iterator[PublishedRow]:
    """All rows of a config in the order of the stories, resolved but not yet checked."""
    stage = {"contextless": "labels", "contextual": "rewriting", "descriptors": "descriptors"}[config]
    for shard in range(recipe.executor.shards):
        for row in map(cleaned_row, rows_of(work_dir / stage, shard)):
            if config == "contextless":
                yield ContextlessRow(**_labelled(LabelledRow.model_validate(row), recipe, teachers))
            elif config == "contextual":
                yield from _variants(RewrittenRow.model_validate(row), recipe, teachers)
            else:
                described = DescribedRow.model_validate(row)
                own = {
                    "descriptors": described.descriptors,
                    "describer": _by(described.describer, "descriptors", teachers),
                }
                yield DescriptorsRow(**_origin(described, recipe, teachers) | own)


def _origin(row: UtteranceRow, recipe: BuildRecipe, teachers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "character": row.character,
        "narrative_id": row.narrative_id,
        "source": row.source,
        "requested_emotion": row.requested_emotion if row.requested_emotion in LABELS else UNNAMED,
        "teacher": teachers["utterances"],
        "prompt_version": _prompt_version(),
        "seed": recipe.seed,
    }


def _by(how: str, stage: str, teachers: Mapping[str, str]) -> str:
    """How something was done, and by whom where that was not the teacher who wrote the utterances."""
    return how if teachers[stage] == teachers["utterances"] else f"{how} by {teachers[stage]}"


def _labelled(row: LabelledRow, recipe: BuildRecipe, teachers: Mapping[str, str]) -> dict[str, Any]:
    scores = resolve(row.raw_labels[:MOST_LABELS], recipe.resolve)  # a row with more is rejected
    return _origin(row, recipe, teachers) | {
        "labels": [index for index, score in enumerate(scores) if score >= recipe.labels.keep_at],
        "scores": scores,
        "raw_labels": list(row.raw_labels),
        "labeler": _by(row.labeler, "labels", teachers),
    }


def _variants(row: RewrittenRow, recipe: BuildRecipe, teachers: Mapping[str, str]) -> Iterator[ContextualRow]:
    common = _labelled(row, recipe, teachers) | {"context": row.context, "original_text": row.text}
    yield ContextualRow(**common | {"id": f"{row.id}/original", "variant": "original"})
    if row.rewritten is not None:
        yield ContextualRow(**common | {"id": f"{row.id}/rewritten", "variant": "rewritten", "text": row.rewritten})


class _Decisions:
    """The first pass: which rows are kept, and where their stories go. Memory holds a byte a row, and the texts' index.

    `kept` has a flag for each row of a config, `reasons` count the others, `unresolved` the words without a class.
    """

    def __init__(self, recipe: BuildRecipe, work_dir: Path, teachers: Mapping[str, str]) -> None:
        self._recipe, self._work_dir, self._teachers = recipe, work_dir, teachers
        self.kept: dict[str, bytearray] = {config: bytearray() for config in CONFIGS}
        self.reasons: Counter[str] = Counter()
        self.unresolved: Counter[str] = Counter()
        self._rows_of_story: Counter[str] = Counter()  # of the default config; stories of other configs count 0

    def rejects(self) -> Iterator[Rejected]:
        """Go through all configs and give what is rejected, one by one."""
        quality = self._recipe.quality
        texts = (text for benchmark in quality.benchmarks for text in benchmark_texts(benchmark))
        # One for all configs: where a text is kept, no row of another utterance may have it, in whatever config.
        twins = DuplicateFilter(quality.near_duplicate_at, texts)
        for config, kept in self.kept.items():
            for row in _rows(config, self._recipe, self._work_dir, self._teachers):
                if reason := self._fault(row, config, twins):
                    self.reasons[reason] += 1
                    beginning = without_surrogates(row.text[:LONGEST_KEPT])
                    yield Rejected(
                        id=without_surrogates(row.id), stage=f"publish/{config}", reason=reason, text=beginning
                    )
                else:
                    self._rows_of_story[row.narrative_id] += config == DEFAULT_CONFIG
                kept.append(reason is None)

    def split_of(self) -> dict[str, str]:
        """The split of every story, by its rows of the default config."""
        return split_narratives(self._rows_of_story, self._recipe.split.contextless, self._recipe.seed)

    def _fault(self, row: PublishedRow, config: str, twins: DuplicateFilter) -> str | None:
        reason = check_row(row, self._recipe.quality)
        bounded = reason is None or check_texts(row) is None
        if bounded and isinstance(row, ContextlessRow) and config == DEFAULT_CONFIG:
            method = self._recipe.resolve
            self.unresolved.update(raw.label for raw in row.raw_labels if class_of(raw.label, method) is None)
        of_twins = {"id": row.id, "text": row.text, "variant": getattr(row, "variant", None)}
        if reason:
            twins.drop(of_twins)
            return reason
        twin = twins.check(of_twins)
        return twin[0] if twin else None


def write_parquet(config: str, rows: Iterator[PublishedRow], split_of: dict[str, str], folder: Path) -> dict[str, int]:
    """One Parquet file a split, each row in its narrative's; returns the rows of each."""
    split_rows = ((split_of[row.narrative_id], row) for row in rows)
    return write_splits(split_rows, features(config).arrow_schema, folder / config)


def write_splits(rows: Iterable[tuple[str, Row]], schema: pa.Schema, folder: Path) -> dict[str, int]:
    """One Parquet file a split, in the Hub's naming; returns the rows of each. A split without rows has no file."""
    writers: dict[str, pq.ParquetWriter] = {}
    waiting: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    counts = dict.fromkeys(SPLITS, 0)

    def flush(split: str) -> None:
        if waiting[split]:
            if split not in writers:
                path = folder / f"{split}-.parquet"  # `seal` names it
                path.parent.mkdir(parents=True, exist_ok=True)
                writers[split] = pq.ParquetWriter(path, schema)
            writers[split].write_table(pa.Table.from_pylist(waiting[split], schema=schema))
            counts[split] += len(waiting[split])
            waiting[split].clear()

    for split, row in rows:
        waiting[split].append(row.model_dump())
        if len(waiting[split]) == ROWS_AT_ONCE:
            flush(split)
    for split in SPLITS:
        flush(split)
    for writer in writers.values():
        writer.close()
    return {split: count for split, count in counts.items() if count}


def seal(folder: Path, splits: dict[str, dict[str, int]], kinds: Mapping[str, type[Row]] = CONFIGS) -> str:
    """Name the files by what is in them and write the card's YAML; returns the corpus's revision, a hash of it all.

    `kinds` holds each config's row type.

    `datasets` knows a local folder by its own name and its card alone: the card names each file in full, or a reader of
    a new corpus would be given the rows of an old one, from its cache.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*/*.parquet")):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        named = path.rename(path.with_name(f"{path.name.partition('-')[0]}-00000-of-00001-{content}.parquet"))
        digest.update(named.relative_to(folder).as_posix().encode())
    _write_card_data(folder, splits, kinds)
    return digest.hexdigest()[:16]


def _write_card_data(folder: Path, splits: dict[str, dict[str, int]], kinds: Mapping[str, type[Row]]) -> None:
    """A README.md with the YAML by which `load_dataset` finds configs, splits and types; push.py adds the card."""
    configs, infos = [], {}
    for config, counts in splits.items():
        paths = {split: next((folder / config).glob(f"{split}-*.parquet")) for split in counts}
        files = [{"split": split, "path": path.relative_to(folder).as_posix()} for split, path in paths.items()]
        default = {"default": True} if config == next(iter(splits)) else {}
        configs.append({"config_name": config, **default, "data_files": files})
        split_infos = SplitDict()
        for split, count in counts.items():
            split_infos.add(SplitInfo(name=split, num_bytes=paths[split].stat().st_size, num_examples=count))
        infos[config] = DatasetInfo(config_name=config, features=features(config, kinds), splits=split_infos)
    card = DatasetCardData(configs=configs)
    DatasetInfosDict(infos).to_dataset_card_data(card)
    write_whole(folder / "README.md", f"---\n{card.to_yaml()}\n---\n".encode())
