"""The benchmarks, one entry each: where the rows come from, which classes, what the measure is called.

There are three kinds: `several` (any number of classes a text, decided by the model's thresholds), `single` (one class
a text, decided by the largest score) and `affect` (a rating, told by the labels' valence). A `bridge` says how a set's
own classes sit among the 28 (`dataset_builder.label_maps`). Adding a benchmark is adding a loader of (text, situation,
gold) rows and an entry of the table; `eval.zero_shot_benchmarks` asks about the same rows by the classes' names.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from datasets import DatasetDict

from dataset_builder.domains.goemotions import PROTOCOL, comments, split_files
from dataset_builder.files.data_sets import check_columns, check_label_numbers, checked_rows, read_data_set, row_name
from dataset_builder.files.reading import json_file
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS, class_scores
from dataset_builder.provenance import digest_of
from dataset_builder.taxonomy import LABELS
from eval import official_files

Kind = Literal["several", "single", "affect"]
TOLERANCE = 0.01  # of a headline, between the machines and versions on which a recipe is run again


class HubData(NamedTuple):
    """Where the rows are on the Hub, at a fixed revision."""

    id: str
    config: str
    revision: str
    split: str = "test"


GOEMOTIONS = HubData("google-research-datasets/go_emotions", "simplified", "add492243ff905527e67aeb8b80c082af02207c3")


@dataclass(frozen=True)
class Rows:
    """What a model is measured on. `gold` is (rows, the benchmark's classes), 0 or 1; of `affect` ratings (rows, 2).

    `contexts` is None where there are no situations, or where the model reads none. `protocol` says which rows of the
    set these are. `clusters` has an id for each row, the same for rows that hang together: of one story, person,
    dialogue; None where every row stands alone. `units` says what is drawn again for intervals.
    """

    texts: list[str]
    contexts: list[str] | None
    gold: np.ndarray
    revision: str
    protocol: str
    clusters: list[str] | None = None
    units: str = "rows"


# What rows of a prepared set hang together by, and what their ids have beyond it: ISEAR's last digit is the emotion's,
# the rest is the person; IEMOCAP's turns are numbered within their dialogue.
HANG_TOGETHER = {
    "isear": ("persons", re.compile(r"\d$")),
    "iemocap-4": ("dialogues", re.compile(r"_[^_]*$")),
    "iemocap-6": ("dialogues", re.compile(r"_[^_]*$")),
}


@dataclass(frozen=True)
class Benchmark:
    """A test set: `load(place, config)` gives its rows, from `place` or, where that is None, from the Hub.

    `local` says which files `place` is to hold, `rows_of` names the set that the rows are (several benchmarks may ask
    about the same). `emotions` are those of the classes that `micro_f1_emotions` counts. `expected` are the headlines
    of the published models, by name, as they were measured; a run of a recipe should come within TOLERANCE.
    """

    name: str
    title: str
    kind: Kind
    load: Callable[[str | None, str], Rows]
    rows_of: str
    headline: str
    local: str
    licence: str
    citation: str
    bridge: str | None = None
    emotions: tuple[str, ...] = ()
    hub: HubData | None = None
    expected: Mapping[str, float] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """What is predicted, in the order of the columns of `gold`."""
        return LABELS if self.bridge is None else tuple(LABEL_MAPS[self.bridge])


def goemotions(place: str | None, config: str) -> Rows:
    """GoEmotions' official test split (5,427 rows, 28 labels): official TSV files, a prepared folder, or the Hub."""
    if place is None:
        rows = load_splits(GOEMOTIONS.id, GOEMOTIONS.config, GOEMOTIONS.revision)[GOEMOTIONS.split]
        return Rows(list(rows["text"]), None, multi_hot(rows["labels"]), GOEMOTIONS.revision, PROTOCOL)
    if (Path(place) / "manifest.json").exists():
        return prepared("goemotions", place, config)
    found = list(comments(Path(place), "test"))
    files = split_files(Path(place), "test")
    digest = digest_of(files[0]) if len(files) == 1 else fingerprint([digest_of(path) for path in files])
    gold = multi_hot([comment.labels for comment in found])
    return Rows([comment.text for comment in found], None, gold, f"{files[0].name} sha256 {digest[:16]}", PROTOCOL)


def grouped(bridge: str, place: str | None, config: str) -> Rows:
    """GoEmotions' test split in groups of its labels; a text has the groups that its labels are in."""
    rows = goemotions(place, config)
    gold = class_scores(bridge, rows.gold)
    return replace(rows, gold=gold, protocol=f"{rows.protocol}; labels in groups")


def official(
    name: str,
    read: Callable[[Path], tuple[Path, list[str], np.ndarray, list[str] | None]],
    place: str | None,
    config: str,
) -> Rows:
    """A test split in its makers' file."""
    if place is None:
        raise InputError(f"benchmark '{name}': give the folder of its files with --data.")
    path, texts, gold, documents = read(Path(place))
    units = "documents" if documents else "rows"
    revision = f"{path.name} sha256 {digest_of(path)[:16]}"
    return Rows(texts, None, gold, revision, "official test split", documents, units)


def prepared(domain: str, place: str | None, config: str) -> Rows:
    """The test split of a folder that `python -m dataset_builder domain` wrote; gold is over the set's own classes."""
    command = f"python -m dataset_builder domain {domain}"
    if place is None:
        raise InputError(f"benchmark '{domain}': give with --data a folder that `{command}` wrote.")
    manifest = _manifest(Path(place))
    if manifest.get("domain") != domain:
        raise InputError(f"{place}: holds {manifest.get('domain', 'no domain set')}. Give a folder of `{command}`.")
    if not isinstance(manifest.get("rows"), dict) or not manifest["rows"] or "protocol" not in manifest:
        raise InputError(f"{place}/manifest.json: has no 'rows' or no 'protocol'. Make the folder again: `{command}`.")
    own_config = next(iter(manifest["rows"]))
    data = read_data_set(place, own_config)
    contextual = own_config == config == "contextual"
    rows = checked_rows(data, "test", contextual=contextual, labels="own_label")
    index = {name: position for position, name in enumerate(LABEL_MAPS[domain])}
    gold = np.zeros((len(rows), len(index)), dtype=np.int8)
    for row, names in enumerate(rows["own_label"]):
        if names is None or any(name not in index for name in names):
            raise InputError(
                f"{data}: test {row_name(rows, row)} has the classes {names}; those of {domain} are "
                f"{', '.join(index)}. Make the folder again."
            )
        gold[row, [index[name] for name in names]] = 1
    contexts = list(rows["context"]) if contextual else None
    units, own_part = HANG_TOGETHER.get(domain, ("rows", None))
    check_columns(data, "test", {"id": f"which of the {units} a row is of"} if own_part else {})
    clusters = [own_part.sub("", row_id) for row_id in rows["id"]] if own_part else None
    return Rows(list(rows["text"]), contexts, gold, data.revision, str(manifest["protocol"]), clusters, units)


def own(place: str | None, config: str) -> Rows:
    """The test split of the corpus that a model was trained on, in the model's own config."""
    if place is None:
        raise InputError("benchmark 'own': give the corpus, a folder or Hub id, with --data.")
    data = read_data_set(place, config)
    rows = checked_rows(data, "test", contextual=config == "contextual")
    check_label_numbers(data, "test")
    contexts = list(rows["context"]) if config == "contextual" else None
    protocol, labels = "the corpus's own test split", multi_hot(rows["labels"])
    if "narrative_id" not in rows.column_names:
        return Rows(list(rows["text"]), contexts, labels, data.revision, protocol)
    return Rows(list(rows["text"]), contexts, labels, data.revision, protocol, list(rows["narrative_id"]), "stories")


def _manifest(folder: Path) -> dict[str, Any]:
    """What a folder's manifest says; nothing where there is none."""
    path = folder / "manifest.json"
    content = json_file(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__} and no object. Make the folder again.")
    return content


def load_splits(place: str, config: str, revision: str | None) -> DatasetDict:
    """The splits of a config of a folder or Hub data set. Raises InputError when nothing there loads."""
    return read_data_set(place, config, revision).splits


def multi_hot(labels: list[list[int]]) -> np.ndarray:
    """Label numbers of each row as (rows, 28), 0 or 1."""
    gold = np.zeros((len(labels), len(LABELS)), dtype=np.int8)
    for row, indices in enumerate(labels):
        gold[row, indices] = 1
    return gold


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="goemotions",
            title="GoEmotions test, 28 labels",
            kind="several",
            load=goemotions,
            rows_of="goemotions",
            headline="macro_f1",
            local="the official TSV files, or a folder of `dataset_builder domain goemotions`",
            licence="cc-by-4.0",
            citation="Demszky et al. 2020, arXiv 2005.00547",
            hub=GOEMOTIONS,
            expected={"emo-pillars-contextless-minilm-goemotions": 0.539},
        ),
        *(
            Benchmark(
                name=f"goemotions-{group}",
                title=f"GoEmotions test, {len(LABEL_MAPS[f'goemotions-{group}'])} {group} groups",
                kind="several",
                load=partial(grouped, f"goemotions-{group}"),
                rows_of="goemotions",
                headline="macro_f1",
                local="as of `goemotions`",
                licence="cc-by-4.0",
                citation="Demszky et al. 2020, arXiv 2005.00547",
                bridge=f"goemotions-{group}",
                hub=GOEMOTIONS,
            )
            for group in ("ekman", "sentiment")
        ),
        Benchmark(
            name="own",
            title="The corpus's own test split",
            kind="several",
            load=own,
            rows_of="own",
            headline="macro_f1",
            local="the corpus that the model was trained on",
            licence="apache-2.0",
            citation="this project",
        ),
        Benchmark(
            name="isear",
            title="ISEAR, 7 classes",
            kind="single",
            load=partial(prepared, "isear"),
            rows_of="isear",
            headline="macro_f1",
            local="a folder of `dataset_builder domain isear`",
            licence="none stated; research",
            citation="Scherer and Wallbott 1994",
            bridge="isear",
        ),
        Benchmark(
            name="emocontext",
            title="EmoContext test, 4 classes",
            kind="single",
            load=partial(prepared, "emocontext"),
            rows_of="emocontext",
            headline="micro_f1_emotions",
            local="a folder of `dataset_builder domain emocontext`",
            licence="participants of SemEval-2019 Task 3",
            citation="Chatterjee et al. 2019, S19-2005",
            bridge="emocontext",
            emotions=("happy", "sad", "angry"),
        ),
        *(
            Benchmark(
                name=f"iemocap-{classes}",
                title=f"IEMOCAP session 5, {classes} classes",
                kind="single",
                load=partial(prepared, f"iemocap-{classes}"),
                rows_of=f"iemocap-{classes}",
                headline="weighted_f1",
                local=f"a folder of `dataset_builder domain iemocap-{classes}`",
                licence="IEMOCAP release agreement",
                citation="Busso et al. 2008",
                bridge=f"iemocap-{classes}",
            )
            for classes in (4, 6)
        ),
        Benchmark(
            name="semeval2018-ec",
            title="SemEval-2018 E-c test, 11 classes",
            kind="several",
            load=partial(official, "semeval2018-ec", official_files.semeval2018),
            rows_of="semeval2018-ec",
            headline="jaccard",
            local=f"the folder of `{official_files.SEMEVAL_TEST}`",
            licence="research; tweets",
            citation="Mohammad et al. 2018, S18-1001",
            bridge="semeval2018-ec",
        ),
        Benchmark(
            name="emobank",
            title="EmoBank test, valence",
            kind="affect",
            load=partial(official, "emobank", official_files.emobank),
            rows_of="emobank",
            headline="pearson_valence",
            local="the folder of `emobank.csv`",
            licence="cc-by-sa-4.0",
            citation="Buechel and Hahn 2017, E17-2092",
        ),
    )
}


def find(name: str) -> Benchmark:
    """The benchmark of this name. Raises InputError with the names there are."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark '{name}'. Known: {', '.join(sorted(BENCHMARKS))}.")
    return BENCHMARKS[name]
