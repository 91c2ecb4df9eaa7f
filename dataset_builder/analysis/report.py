"""The report of a corpus: a result file, a page, a section for its card, plots, and the verdict of the gates."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.analysis.corpus_metrics import Described, Encode, describe
from dataset_builder.analysis.gates import Verdict, judge
from dataset_builder.analysis.measure_corpora import goemotions
from dataset_builder.analysis.plots import draw_all
from dataset_builder.analysis.report_page import card_section, page
from dataset_builder.analysis.report_work import describe_work, is_work_folder
from dataset_builder.analysis.survey import COLUMNS, Survey, survey
from dataset_builder.corpus import Corpus, open_corpus
from dataset_builder.files.reading import json_file
from dataset_builder.files.shards import write_whole
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.provenance import shareable, write_result
from dataset_builder.recipe import Gates
from dataset_builder.taxonomy import LABELS

MADE_BY = {  # what the result file says of the build, and how the corpus's manifest calls it
    "teacher": "teacher",
    "recipe": "recipe",
    "recipe_hash": "recipe_hash",
    "prompt_version": "prompt_version",
    "data_revision": "revision",
}


@dataclass(frozen=True)
class Report:
    """All that is written of a corpus; `plots` are PNG files by name."""

    content: dict[str, Any]
    page: str
    card: str
    plots: dict[str, bytes]
    verdicts: list[Verdict]

    @property
    def failed(self) -> bool:
        """Whether a gate failed."""
        return any(verdict.state == "FAIL" for verdict in self.verdicts)

    def write(self, out: Path, provenance: dict[str, Any]) -> Path:
        """Write everything below `<out>/system/`; returns the result file."""
        name = self.content["name"]
        written = write_result(self.content | provenance, out, "system", name)
        write_whole(written.with_suffix(".md"), self.page.encode())
        folder = written.with_suffix("")
        folder.mkdir(exist_ok=True)
        write_whole(folder / "card.md", self.card.encode())
        for plot, image in self.plots.items():
            write_whole(folder / f"{plot}.png", image)
        return written


def name_of(place: str) -> str:
    """What a corpus is called when no name is given: its folder's name, or the Hub data set's."""
    path = Path(place).resolve() if Path(place).exists() else Path(place)
    return path.parent.name if path.name == CORPUS else path.name


def report(place: str, name: str, gates: Gates, encode: Encode | None, data: Path | None = None) -> Report:
    """Measure and judge a corpus.

    Args:
        place: a work folder, a folder of configs, or a Hub id.
        encode: gives embeddings of length 1; without it, what needs them is left out.
        data: a folder with `goemotions/train.tsv`, to show lengths beside.

    Raises:
        InputError: no corpus is there, a build is not finished, or rows are not as the schema says.
    """
    work = describe_work(Path(place)) if is_work_folder(Path(place)) else {}
    corpus = open_corpus(place)
    surveys = {config: survey(corpus.rows(config, columns=COLUMNS), f"{place} {config}") for config in corpus.files}
    described = {config: _describe(found, encode) for config, found in surveys.items()}
    metrics = {
        f"{config}_{measure}": value for config, made in described.items() for measure, value in made.metrics.items()
    }
    labelled = {config: found for config, found in surveys.items() if found.labelled}
    verdicts = [found for config in labelled for found in judge(config, described[config].metrics, gates)]
    content: dict[str, Any] = {
        "name": name,
        "metrics": work.get("metrics", {}) | metrics,
        "support": work.get("support", sum(found.rows for found in surveys.values())),
        "place": shareable(place),
        "rows": {config: corpus.count(config) for config in corpus.files},
        "per_label": {
            config: dict(zip(LABELS, found.label_counts.tolist(), strict=True)) for config, found in labelled.items()
        },
        "gates": [
            {"config": v.config, "measure": v.measure, "value": v.value, "limits": v.limits(), "state": v.state}
            for v in verdicts
        ],
        "seconds": {config: made.seconds for config, made in described.items()},
    }
    content |= _made_by(corpus) | {key: work[key] for key in ("sources", "rejected", "retried") if key in work}
    main = next(iter(labelled or surveys))
    plots = _plots(main, surveys, described, data)
    shown = {config: found.shown for config, found in surveys.items()}
    return Report(content, page(content, verdicts, shown, list(plots)), card_section(content, main), plots, verdicts)


def _describe(found: Survey, encode: Encode | None) -> Described:
    """The figures of a config; of descriptors only what is theirs, since their texts are those of another config."""
    if not found.descriptors:
        return describe(found, encode)
    made = Described()
    made.put("rows", found.rows)
    made.put("descriptors_per_text", found.descriptors.total() / found.rows)
    made.put("descriptors_known", len(found.descriptors))
    return made


def _made_by(corpus: Corpus) -> dict[str, Any]:
    """What the corpus's manifest says of the build, where there is one."""
    path = corpus.folder / MANIFEST
    manifest = json_file(path) if path.exists() else {}
    if not isinstance(manifest, dict) or not all(key in manifest for key in (*MADE_BY.values(), "seed")):
        return {}
    return {key: manifest[name] for key, name in MADE_BY.items()} | {"seeds": [manifest["seed"]]}


def _plots(
    main: str, surveys: dict[str, Survey], described: dict[str, Described], data: Path | None
) -> dict[str, bytes]:
    contexts = next((found.context_lengths for found in surveys.values() if found.context_lengths), Counter[int]())
    human = survey(goemotions(data), "goemotions").text_lengths if data else None
    return draw_all(main, surveys[main], described[main], contexts, human)
