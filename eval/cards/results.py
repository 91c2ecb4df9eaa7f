"""Result files as typed objects: everything that a card needs is checked, by file and key, when the file is read."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError
from eval.benchmarks import TEST_SETS


class _Part(BaseModel):
    """Base of the content of result files. Other keys are allowed, because files also serve other readers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", protected_namespaces=())


class Metric(_Part):
    """A value with its interval, if it has one."""

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    def __str__(self) -> str:
        """`0.123 [0.110, 0.135]`, without brackets if there is no interval."""
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


class Result(_Part):
    """The content of all result files. `measured_before` names what an older file lacks."""

    name: str
    metrics: dict[str, Metric]
    measured_before: str | None = None
    commit: str = "unknown"
    dirty: bool = False
    hardware: str = ""

    @property
    def where(self) -> str:
        """The commit that this was measured at, whether the code had changed since, and the machine."""
        changed = " with changes that were not committed" if self.dirty else ""
        return f"commit `{self.commit[:12]}`{changed} on {self.hardware}"


class LabelRow(_Part):
    """A label's F1 on its rows."""

    f1: FiniteFloat
    support: int
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    precision: FiniteFloat | None = None
    recall: FiniteFloat | None = None
    threshold: FiniteFloat | None = None


class ModelResult(Result):
    """A model's scores on a benchmark.

    `recipe` comes from its training record, with all defaults; `beside` is another encoder, evaluated in the same way.
    """

    benchmark: str
    per_label: dict[str, LabelRow]
    support: int
    seeds: list[int]
    threshold_source: str
    dev_threshold_source: str | None = None
    protocol: str
    trained_on: dict[str, Any]
    model_revision: str
    recipe_hash: str
    commit: str
    hardware: str
    recipe: dict[str, Any] | None = None
    intervals: str | None = None
    reliability: list[dict[str, FiniteFloat | int]] | None = None
    hub_dataset: dict[str, str] | None = None
    beside: Result | None = None

    @property
    def zero_shot(self) -> bool:
        """Whether the benchmark's classes were given as words."""
        return self.protocol.startswith("zero-shot")


class ContextResult(Result):
    """How a model scores with and without situations, for groups of rows and their sizes.

    `benchmark` is "context" for the model's own corpus, and "context-<name>" for another benchmark.
    """

    benchmark: str
    support: int
    groups: dict[str, int]


class VariantResult(Result):
    """Variants of a model on the same benchmarks; metrics are called `<variant>: <benchmark> <metric>`."""

    variants: dict[str, Any]


class CorpusResult(Result):
    """A corpus: its configs, the rows of each label, and how it was built."""

    configs: list[str]
    per_label: dict[str, dict[str, int]]
    teacher: str
    labeler: str = ""
    describer: str = ""
    narratives: int
    sources: dict[str, int] = {}
    recipe: str
    recipe_hash: str
    prompt_version: str
    seeds: list[int]
    data_revision: str


ResultT = TypeVar("ResultT", bound=Result)
Results = dict[str, Result]  # of one published name, by benchmark
# Files that are not results on a benchmark, by the beginning of their names.
CONTEXT = "context"
KINDS: dict[str, type[Result]] = {
    "ablations": VariantResult,
    CONTEXT: ContextResult,
    "corpus": CorpusResult,
    "curves": Result,
    "probe": Result,
}


def read_result(path: Path, kind: type[ResultT]) -> ResultT:
    """Return a result file of a kind. Raises InputError if it is broken or lacks something."""
    content = json_file(path, "Run the evaluation again.")
    try:
        found = kind.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise InputError(f"{path}: '{key}': {fault['msg']}. Run the evaluation again, or delete the file.") from None
    if isinstance(found, ModelResult) and found.benchmark != path.stem:
        raise InputError(
            f"{path}: is a result of benchmark '{found.benchmark:.80}'. Rename it, or run the evaluation again."
        )
    benchmark = TEST_SETS.get(path.stem)
    if isinstance(found, ModelResult) and benchmark and benchmark.headline not in found.metrics:
        raise InputError(
            f"{path}: 'metrics': has no '{benchmark.headline}'. Run the evaluation again, or delete the file."
        )
    return found


def read_results(folder: Path) -> dict[str, Results]:
    """Return all result files by published name and benchmark; `system/` is not a published name."""
    results: dict[str, Results] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name != "system":
            kind = next((kind for name, kind in KINDS.items() if path.stem.startswith(name)), ModelResult)
            found = read_result(path, kind)
            results.setdefault(path.parent.name, {})[path.stem] = found
    return results


def read_ablations(folder: Path, name: str) -> list[ModelResult]:
    """Return the results of a published model's ablations: `<folder>/<name>/ablations/<recipe>/<benchmark>.json`."""
    return [read_result(path, ModelResult) for path in sorted((folder / name).glob("ablations/*/*.json"))]


def of_models(results: Results) -> dict[str, ModelResult]:
    """Return the results on benchmarks."""
    return {benchmark: found for benchmark, found in results.items() if isinstance(found, ModelResult)}
