"""Writes the report on a corpus: a result file, a page, a section for its card, plots, and the gates' verdicts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.analysis.build_metrics import measure_build
from dataset_builder.analysis.corpus_metrics import CorpusMetrics, Encode, measure_config
from dataset_builder.analysis.gates import Verdict, judge
from dataset_builder.analysis.measure_corpora import goemotions
from dataset_builder.analysis.plots import draw_all
from dataset_builder.analysis.report_page import card_section, page
from dataset_builder.analysis.survey import COLUMNS, Survey, survey
from dataset_builder.corpus import open_corpus
from dataset_builder.files.reading import json_file
from dataset_builder.files.shards import write_whole
from dataset_builder.parquet import CORPUS, MANIFEST
from dataset_builder.provenance import shareable, write_result
from dataset_builder.recipe import Gates
from dataset_builder.taxonomy import LABELS

# Keys of the result file about the build; `data_revision` is `revision` in the corpus's manifest.
MADE_BY = ("teacher", "recipe", "recipe_hash", "prompt_version", "data_revision")


@dataclass(frozen=True)
class Report:
    """The result file's content, the page, the card's section, PNG files by name, and the verdicts."""

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
    """Return the default name of a corpus: that of its folder or Hub dataset."""
    path = Path(place).resolve() if Path(place).exists() else Path(place)
    return path.parent.name if path.name == CORPUS else path.name


def report(place: str, name: str, gates: Gates, encode: Encode | None, data: Path | None = None) -> Report:
    """Measure a corpus and apply the gates.

    Args:
        place: a work folder, a folder of configs, or a Hub id.
        encode: returns embeddings of length 1; without it, metrics that need them are left out.
        data: a folder with `goemotions/train.tsv`, whose text lengths the plot shows.

    Raises:
        InputError: no corpus is there, a build is not finished, or rows are not as the schema says.
    """
    build = measure_build(Path(place))
    corpus = open_corpus(place)
    surveys = {config: survey(corpus.rows(config, columns=COLUMNS), f"{place} {config}") for config in corpus.files}
    measured = {config: _measure(found, encode) for config, found in surveys.items()}
    labelled = {config: found for config, found in surveys.items() if found.labelled}
    verdicts = [verdict for config in labelled for verdict in judge(config, measured[config].metrics, gates)]
    metrics = {
        f"{config}_{metric}": value for config, made in measured.items() for metric, value in made.metrics.items()
    }
    content: dict[str, Any] = {
        "name": name,
        "metrics": build.get("metrics", {}) | metrics,
        "support": build.get("support", sum(found.rows for found in surveys.values())),
        "place": shareable(place),
        "rows": {config: corpus.count(config) for config in corpus.files},
        "per_label": {
            config: dict(zip(LABELS, found.label_counts.tolist(), strict=True)) for config, found in labelled.items()
        },
        "gates": [
            {"config": v.config, "measure": v.measure, "value": v.value, "limits": v.limits(), "state": v.state}
            for v in verdicts
        ],
        "seconds": {config: made.seconds for config, made in measured.items()},
    }
    content |= _made_by(corpus.folder) | {key: build[key] for key in ("sources", "rejected", "retried") if key in build}
    main = next(iter(labelled or surveys))
    contexts = next((found.context_lengths for found in surveys.values() if found.context_lengths), Counter[int]())
    human = survey(goemotions(data), "goemotions").text_lengths if data else None
    plots = draw_all(main, surveys[main], contexts, human)
    shown = {config: found.shown for config, found in surveys.items()}
    return Report(content, page(content, verdicts, shown, list(plots)), card_section(content, main), plots, verdicts)


def _measure(found: Survey, encode: Encode | None) -> CorpusMetrics:
    """Return the metrics of a config; for descriptors only their number, because another config has their texts."""
    if not found.descriptors:
        return measure_config(found, encode)
    made = CorpusMetrics()
    made.add("rows", found.rows)
    made.add("descriptors_per_text", found.descriptors.total() / found.rows)
    made.add("descriptors_known", len(found.descriptors))
    return made


def _made_by(folder: Path) -> dict[str, Any]:
    """Return the build information in the corpus's manifest, if there is one."""
    manifest = json_file(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    if isinstance(manifest, dict):
        manifest = manifest | {"data_revision": manifest.get("revision")}
        if all(manifest.get(key) is not None for key in (*MADE_BY, "seed")):
            return {key: manifest[key] for key in MADE_BY} | {"seeds": [manifest["seed"]]}
    return {}
