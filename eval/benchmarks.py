"""The table of benchmarks: where the rows come from, which classes they have, how they are scored.

There are three kinds: `several` (any number of classes per text), `single` (one class per text) and `affect` (ratings
of valence and arousal). To score a 28-label classifier on a dataset with other classes, a label map
(`dataset_builder.label_maps`) is used; a bi-encoder uses the class names as labels. To add a benchmark, write a loader
that returns its rows and add an entry to the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from dataset_builder.inputs import InputError
from dataset_builder.label_maps import LABEL_MAPS
from eval.benchmark_rows import GOEMOTIONS, HubData, Rows, descriptors, goemotions, grouped, own, own_labels, prepared
from eval.label_sets import LabelSet, label_sets
from eval.official_files import SEMEVAL_TEST, emobank, semeval2018

Kind = Literal["several", "single", "affect"]
Read = Callable[[Any, str], Rows]


@dataclass(frozen=True)
class Benchmark:
    """A dataset for evaluation. `read(place, config)` returns its rows; `files` describes what the place must contain.

    `of` is the name of the dataset if it differs. `emotions` are the classes that `micro_f1_emotions` counts. With
    `by_name`, a bi-encoder can use the class names as labels. `is_test` marks test sets, on which classifiers are
    evaluated too; the other sets are for bi-encoders, to choose settings or to try labels.
    """

    name: str
    title: str
    read: Read
    licence: str
    files: str
    kind: Kind = "several"
    headline: str = "macro_f1"
    of: str | None = None
    label_map: str | None = None
    emotions: tuple[str, ...] = ()
    hub: HubData | None = None
    by_name: bool = False
    is_test: bool = True

    @property
    def data_set(self) -> str:
        """The name of the dataset; benchmarks on the same dataset share their texts."""
        return self.of or self.name

    @property
    def needs_files(self) -> bool:
        """Whether the benchmark's files must be given."""
        return self.hub is None and self.name not in label_sets()

    def load(self, place: str | None, config: str = "contextless") -> Rows:
        """Return the rows at a place or, without one, from the Hub or this repository. `config` is the model's config.

        Raises InputError if a place is needed, or does not contain the right files.
        """
        if place is None and self.needs_files:
            raise InputError(f"benchmark '{self.name}': pass {self.files} with --data.")
        return self.read(place, config)


def _goemotions(name: str, title: str, read: Read, **more: Any) -> Benchmark:
    files = "the official TSV files, or a folder written by `dataset_builder domain goemotions`"
    return Benchmark(name, title, read, "cc-by-4.0", files, of="goemotions", hub=GOEMOTIONS, **more)


def _in_groups(name: str, kind: str, **more: Any) -> Benchmark:
    title = f"GoEmotions test, {len(LABEL_MAPS[name])} {kind} groups"
    return _goemotions(name, title, partial(grouped, name), label_map=name, **more)


def _prepared(name: str, title: str, licence: str, **more: Any) -> Benchmark:
    """Return a dataset with one class per text, in a folder written by `dataset_builder domain`."""
    files, read = f"a folder written by `dataset_builder domain {name}`", partial(prepared, name)
    return Benchmark(name, title, read, licence, files, "single", label_map=name, **more)


def _own_labels(label_set: LabelSet) -> Benchmark:
    title = f"Our own sentences, {len(label_set.labels)} labels"
    files, read = "nothing, or a text file with one text per line", partial(own_labels, label_set.name)
    return Benchmark(label_set.name, title, read, "apache-2.0", files, "single", by_name=True, is_test=False)


_TABLE = [
    _goemotions("goemotions", "GoEmotions test, 28 labels", goemotions, by_name=True),
    _in_groups("goemotions-ekman", "Ekman", by_name=True),
    # No text expresses "ambiguous", so bi-encoders do not use these names.
    _in_groups("goemotions-sentiment", "sentiment"),
    Benchmark("own", "The corpus's own test split", own, "apache-2.0", "the corpus that the model was trained on"),
    _prepared("isear", "ISEAR, 7 classes", "none stated; research", by_name=True),
    _prepared(
        "emocontext",
        "EmoContext test, 4 classes",
        "participants of SemEval-2019 Task 3",
        headline="micro_f1_emotions",
        emotions=("happy", "sad", "angry"),
    ),
    *(
        _prepared(
            f"iemocap-{n}", f"IEMOCAP session 5, {n} classes", "IEMOCAP release agreement", headline="weighted_f1"
        )
        for n in (4, 6)
    ),
    Benchmark(
        "semeval2018-ec",
        "SemEval-2018 E-c test, 11 classes",
        semeval2018,
        "research; tweets",
        f"the folder that contains `{SEMEVAL_TEST}`",
        headline="jaccard",
        label_map="semeval2018-ec",
        by_name=True,
    ),
    Benchmark(
        "emobank",
        "EmoBank test, valence",
        emobank,
        "cc-by-sa-4.0",
        "the folder that contains `emobank.csv`",
        kind="affect",
        headline="pearson_valence",
        by_name=True,
    ),
    Benchmark(
        "descriptors",
        "The teacher's descriptors of validation texts",
        descriptors,
        "cc-by-4.0",
        "a corpus with the config `descriptors`",
        by_name=True,
        is_test=False,
    ),
    *map(_own_labels, sorted(label_sets().values(), key=lambda label_set: len(label_set.labels))),
]
BENCHMARKS = {benchmark.name: benchmark for benchmark in _TABLE}
TEST_SETS = {name: benchmark for name, benchmark in BENCHMARKS.items() if benchmark.is_test}


def find(name: str) -> Benchmark:
    """Return the benchmark of this name. Raises InputError, which lists the known names, if there is none."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark '{name}'. Known: {', '.join(sorted(BENCHMARKS))}.")
    return BENCHMARKS[name]
