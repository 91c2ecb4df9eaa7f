"""The report as Markdown: the page of a corpus, and the short section for its card."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from dataset_builder.analysis.build_metrics import STAGE_COLUMNS
from dataset_builder.analysis.gates import Verdict
from dataset_builder.analysis.measure_corpora import read_reference
from dataset_builder.markdown import cell, code, table
from dataset_builder.taxonomy import LABELS

HUMAN = ("goemotions", "meld", "isear")  # sets of human text whose values the page shows
PAPER = {
    "characters_per_story": "15 ± 9.44",
    "labels_per_text": "3.17 ± .97",
    "neutral_share": ".09",
    "neutral_share_of_labels": ".027",
    "class_shares_like_paper": "1 (Spearman's rank correlation with its classes' shares)",
    "cosine_neutral_within_character": ".30 ± .16",
    "cosine_neutral_across_characters": ".16 ± .12",
    "cleaning_similarity": ".92 ± .08",
    "rewriting_similarity": ".78 ± .15",
}
CAPTIONS = {
    "labels": "texts with each label",
    "together": "labels that occur together",
    "scores": "how strongly each label is given",
    "asked": "requested emotions and labels",
    "lengths": "lengths of texts and situations",
}
MOST_REASONS = 8
# The metrics of the dataset's card, in plain words.
FOR_CARD = {
    "distinct_2": "distinct 2-grams, share",
    "gzip_ratio": "compression (gzip)",
    "shared_four_grams": "4-grams that occur in another text, share",
    "self_bleu": "Self-BLEU of 1,000 texts",
    "exact_duplicates": "exact duplicates, share",
    "near_duplicates": "near-duplicates, share",
    "label_entropy": "entropy of the labels, bits of 4.81",
    "requested_is_a_label": "requested emotion is among the labels, share",
    "label_errors": "labels that a classifier of embeddings doubts (confident learning), share",
}
NOTE = (
    "Distinct-n, compression and shared 4-grams depend on size: human values are of 10,000 texts and 500 kB; only "
    "those `of_15k_tokens` and `of_60_kb` compare corpora of any size (human ones: `corpus-measures.md`). "
    "`label_errors` are rows for which a classifier of embeddings (its accuracy: `label_errors_classifier`) is "
    "confident of another class; they compare corpora and are no count of errors."
)


def page(
    content: dict[str, Any], verdicts: Sequence[Verdict], shown: dict[str, list[dict[str, Any]]], plots: Sequence[str]
) -> str:
    """Return the whole page; `shown` are rows of each config, `plots` the names of the pictures."""
    metrics, rows = content["metrics"], content["rows"]
    parts = [f"# {cell(content['name'])}", _origin(content)]
    if verdicts:
        lines = [(code(v.config), v.measure, f"{v.value:.4g}", v.limits(), f"**{v.state}**") for v in verdicts]
        parts += ["## Gates", table(("config", "measure", "value", "gate", "verdict"), lines)]
    if "retried" in content:
        parts += _build(content)
    splits = list(dict.fromkeys(split for counts in rows.values() for split in counts))
    counted = [(code(config), *(counts.get(split, 0) for split in splits)) for config, counts in rows.items()]
    parts += ["## The corpus", table(("config", *splits), counted)]
    names = [name for key in PAPER for name in (key, f"contextless_{key}") if name in metrics]
    if names:
        keys = {name: name.removeprefix("contextless_") for name in names}
        paper = [(f"`{key}`", _value(metrics[name]), PAPER[key]) for name, key in keys.items()]
        parts.append(table(("figure", "here", "paper A"), paper))
    parts += ["## Measures", _measures(content), NOTE]
    if content["per_label"]:
        labelled = content["per_label"]
        per_label = [(label, *(counts[label] for counts in labelled.values())) for label in LABELS]
        parts += ["## Labels", table(("label", *map(cell, labelled)), per_label)]
    if plots:
        folder = quote(content["name"], errors="replace")
        parts += ["## Plots", *(f"![{CAPTIONS[name]}]({folder}/{name}.png)" for name in plots)]
    for config, some in shown.items():
        parts += [f"## {len(some)} random rows of {code(config)}, as they are", *map(_row, some)]
    return "\n\n".join(parts) + "\n"


def card_section(content: dict[str, Any], config: str) -> str:
    """Return a short section for the dataset's card: the main metrics of one config beside GoEmotions."""
    human = read_reference()["goemotions"]
    found = {name: content["metrics"].get(f"{config}_{name}") for name in FOR_CARD}
    lines = [
        (FOR_CARD[name], f"{metric['value']:.3g}", f"{human[name]:g}" if name in human else "")
        for name, metric in found.items()
        if metric
    ]
    texts = int((found["distinct_2"] or {}).get("texts", 0))
    note = f"Of {code(config)}; distinct n-grams and 4-grams of {texts:,} texts. " + (
        "GoEmotions' are of 10,000 texts: of fewer texts, 2-grams are more distinct and fewer 4-grams are shared.\n"
        if texts < 10_000
        else "GoEmotions' are of 10,000 texts too.\n"
    )
    return f"### Variety and labels\n\n{table(('measure', 'here', 'GoEmotions, human text'), lines)}\n\n{note}"


def _origin(content: dict[str, Any]) -> str:
    if "teacher" not in content:
        return f"Corpus {code(content['place'])}."
    stories = ""
    if "sources" in content:
        sources = ", ".join(f"{count} of {cell(source)}" for source, count in content["sources"].items())
        stories = f"{content['support']} stories ({sources}); "
    return (
        f"{stories}teacher {code(content['teacher'])}; recipe {code(content['recipe'])} "
        f"({cell(content['recipe_hash'])}), prompts {cell(content['prompt_version'])}, corpus "
        f"{cell(content['data_revision'])}."
    )


def _build(content: dict[str, Any]) -> list[str]:
    """Return the section about the units of each stage, and why some were rejected."""
    lines = [
        (stage, *(round(content["metrics"][f"stage_{stage}_{key}"]["value"]) for key in STAGE_COLUMNS))
        for stage in content["retried"]
    ]
    return [
        "## What became of everything",
        table(("stage", *STAGE_COLUMNS.values()), lines),
        "Reasons of rejection; those of a stage's parts (one utterance of several) are counted too:",
        table(
            ("stage", "reasons"),
            [(stage, _counted(reasons)) for stage, reasons in content["rejected"].items() if reasons],
        ),
    ]


def _counted(reasons: dict[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    others = sum(count for _, count in ordered[MOST_REASONS:])
    named = [f"{count} {cell(reason)}" for reason, count in ordered[:MOST_REASONS]]
    return ", ".join([*named, f"{others} others"] if others else named)


def _measures(content: dict[str, Any]) -> str:
    """Return every metric of every config beside human text."""
    metrics, reference, configs = content["metrics"], read_reference(), list(content["rows"])
    names = dict.fromkeys(
        name.removeprefix(f"{config}_") for config in configs for name in metrics if name.startswith(f"{config}_")
    )
    lines = []
    for name in names:
        ours = [_value(metrics[f"{config}_{name}"]) if f"{config}_{name}" in metrics else "" for config in configs]
        humans = [f"{reference[human][name]:g}" if name in reference[human] else "" for human in HUMAN]
        lines.append((f"`{name}`", *ours, *humans))
    return table(("measure", *map(code, configs), *HUMAN), lines)


def _value(metric: dict[str, float]) -> str:
    """Return a value with its deviation and the size that it depends on."""
    text = f"{metric['value']:,.0f}" if metric["value"] >= 1000 else f"{metric['value']:.3g}"
    if "deviation" in metric:
        text += f" ± {metric['deviation']:.2f}"
    return text + "".join(f" ({metric[unit]:,.0f} {unit})" for unit in ("texts", "pairs", "bytes") if unit in metric)


def _row(row: dict[str, Any]) -> str:
    """One row as a list: its text, what belongs to it, and its origin."""
    return "\n".join([f"- **{cell(row['text'])}**", *(f"  - {line}" for line in _about(row))])


def _about(row: dict[str, Any]) -> Iterator[str]:
    if row.get("context"):
        yield f"situation: {cell(row['context'])}"
    if row.get("variant"):
        of = f", of: {cell(row.get('original_text'))}" if row["variant"] == "rewritten" else ""
        yield f"{cell(row['variant'])}{of}"
    if row.get("labels"):
        scores = row.get("scores")
        yield "labels: " + ", ".join(LABELS[n] + (f" {scores[n]:.2f}" if scores else "") for n in row["labels"])
    if row.get("descriptors"):
        yield "descriptors: " + ", ".join(map(_descriptor, row["descriptors"]))
    wish = f"asked for {cell(row['requested_emotion'])}" if row.get("requested_emotion") else ""
    origin = (cell(row.get("character") or ""), wish, code(row["id"]) if row.get("id") else "")
    place = row.get("provenance") or row.get("source")  # older corpora have no `provenance`
    yield ", ".join(filter(None, origin)) + (f" ({cell(place)})" if place else "")


def _descriptor(found: Any) -> str:
    """Return a word and its weight; in corpora of other makers perhaps the word alone."""
    if not isinstance(found, dict):
        return cell(found)
    return cell(found.get("text")) + (f" {found['weight']:.2f}" if found.get("weight") is not None else "")
