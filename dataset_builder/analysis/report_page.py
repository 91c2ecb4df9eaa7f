"""The report as Markdown: the page of a corpus, and the short section for its card."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from dataset_builder.analysis.gates import Verdict
from dataset_builder.analysis.measure_corpora import read_reference
from dataset_builder.analysis.report_work import work_page
from dataset_builder.markdown import cell, code, table
from dataset_builder.taxonomy import LABELS

BESIDE = ("goemotions", "meld", "isear")  # human text that the page shows values of
PAPER = {
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
    "similarity": "likeness within and across characters",
    "map": "texts by meaning",
}
# What a reader of the data set's card wants to know, in its words.
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


def page(
    content: dict[str, Any], verdicts: Sequence[Verdict], shown: dict[str, list[dict[str, Any]]], plots: Sequence[str]
) -> str:
    """The whole page; `shown` are rows of each config, `plots` the names of the pictures."""
    metrics, configs = content["metrics"], list(content["rows"])
    parts = [f"# {cell(content['name'])}\n", _origin(content)]
    if verdicts:
        parts += ["## Gates\n", gates_table(verdicts)]
    if "retried" in content:
        parts += work_page(content)
    splits = list(dict.fromkeys(split for counts in content["rows"].values() for split in counts))
    rows = [(code(config), *(content["rows"][config].get(split, 0) for split in splits)) for config in configs]
    parts += ["## The corpus\n", table(("config", *splits), rows) + "\n"]
    paper = [
        (f"`{name.partition('_')[2] if name.startswith('contextless_') else name}`", _value(metrics[name]), PAPER[key])
        for key in PAPER
        for name in (key, f"contextless_{key}")
        if name in metrics
    ]
    if paper:
        parts.append(table(("figure", "here", "paper A"), paper) + "\n")
    parts += ["## Measures\n", _measures(content)]
    if content["per_label"]:
        counts = [(label, *(found[label] for found in content["per_label"].values())) for label in LABELS]
        parts += ["## Labels\n", table(("label", *map(cell, content["per_label"])), counts) + "\n"]
    if plots:
        parts += [
            "## Plots\n",
            *(f"![{CAPTIONS[name]}]({quote(content['name'], errors='replace')}/{name}.png)\n" for name in plots),
        ]
    for config, found in shown.items():
        parts.append(f"## {len(found)} random rows of {code(config)}, as they are\n")
        parts += [_row(row) for row in found]
    return "\n".join(parts).rstrip() + "\n"


def gates_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table."""
    lines = [(code(v.config), v.measure, f"{v.value:.4g}", v.limits(), f"**{v.state}**") for v in verdicts]
    return table(("config", "measure", "value", "gate", "verdict"), lines) + "\n"


def card_section(content: dict[str, Any], config: str) -> str:
    """A short section for the data set's card: the main figures of one config beside GoEmotions."""
    human = read_reference()["goemotions"]
    metrics = content["metrics"]
    lines = [
        (title, f"{metrics[f'{config}_{name}']['value']:.3g}", f"{human[name]:g}" if name in human else "")
        for name, title in FOR_CARD.items()
        if f"{config}_{name}" in metrics
    ]
    texts = int(metrics[f"{config}_distinct_2"].get("texts", 0)) if f"{config}_distinct_2" in metrics else 0
    note = f"Of {code(config)}; distinct n-grams and 4-grams of {texts:,} texts. " + (
        "GoEmotions' are of 10,000 texts: of fewer texts, 2-grams are more distinct and fewer 4-grams are shared.\n"
        if texts < 10_000
        else "GoEmotions' are of 10,000 texts too.\n"
    )
    return f"### Variety and labels\n\n{table(('measure', 'here', 'GoEmotions, human text'), lines)}\n\n{note}"


def _origin(content: dict[str, Any]) -> str:
    if "teacher" not in content:
        return f"Corpus {code(content['place'])}.\n"
    start = ""
    if "sources" in content:
        sources = ", ".join(f"{count} of {cell(source)}" for source, count in content["sources"].items())
        start = f"{content['support']} stories ({sources}); "
    return (
        f"{start}teacher {code(content['teacher'])}; recipe {code(content['recipe'])} "
        f"({cell(content['recipe_hash'])}), prompts {cell(content['prompt_version'])}, corpus "
        f"{cell(content['data_revision'])}.\n"
    )


def _measures(content: dict[str, Any]) -> str:
    """Every measure of every config beside human text; sizes differ and are said where a value depends on them."""
    reference = read_reference()
    configs = list(content["rows"])
    names = dict.fromkeys(
        name.removeprefix(f"{config}_")
        for config in configs
        for name in content["metrics"]
        if name.startswith(f"{config}_")
    )
    lines = []
    for name in names:
        found = [content["metrics"].get(f"{config}_{name}") for config in configs]
        humans = [f"{reference[human][name]:g}" if name in reference[human] else "" for human in BESIDE]
        lines.append((f"`{name}`", *(_value(metric) if metric else "" for metric in found), *humans))
    note = (
        "Distinct-n, compression and shared 4-grams depend on size: human values are of 10,000 texts and 500 kB; only "
        "those `of_15k_tokens` and `of_60_kb` compare corpora of any size (human ones: `corpus-measures.md`). "
        "`label_errors` are rows for which a classifier of embeddings (its accuracy: `label_errors_classifier`) is "
        "confident of another class; they compare corpora and are no count of errors.\n"
    )
    return table(("measure", *map(code, configs), *BESIDE), lines) + "\n\n" + note


def _value(metric: dict[str, float]) -> str:
    """A value with its deviation and the size that it depends on."""
    text = f"{metric['value']:,.0f}" if metric["value"] >= 1000 else f"{metric['value']:.3g}"
    if "deviation" in metric:
        text += f" ± {metric['deviation']:.2f}"
    for size, unit in (("texts", "texts"), ("pairs", "pairs"), ("bytes", "bytes")):
        if size in metric:
            text += f" ({metric[size]:,.0f} {unit})"
    return text


def _descriptor(found: Any) -> str:
    """A word and its weight; of corpora of others perhaps the word alone."""
    if not isinstance(found, dict):
        return cell(found)
    return cell(found.get("text")) + (f" {found['weight']:.2f}" if found.get("weight") is not None else "")


def _row(row: dict[str, Any]) -> str:
    """One row as a list: what it says, then where it comes from."""
    said = [f"- **{cell(row['text'])}**"]
    if row.get("context"):
        said.append(f"  - situation: {cell(row['context'])}")
    if row.get("variant"):
        original = f", of: {cell(row.get('original_text'))}" if row["variant"] == "rewritten" else ""
        said.append(f"  - {cell(row['variant'])}{original}")
    if row.get("labels"):
        scores = row.get("scores")
        given = [LABELS[label] + (f" {scores[label]:.2f}" if scores else "") for label in row["labels"]]
        said.append("  - labels: " + ", ".join(given))
    if row.get("descriptors"):
        said.append("  - descriptors: " + ", ".join(map(_descriptor, row["descriptors"])))
    source = [
        cell(row.get("character") or ""),
        f"asked for {cell(row['requested_emotion'])}" if row.get("requested_emotion") else "",
    ]
    source.append(code(row["id"]) if row.get("id") else "")
    said.append(f"  - {', '.join(filter(None, source))}" + (f" ({cell(row['source'])})" if row.get("source") else ""))
    return "\n".join(said) + "\n"
