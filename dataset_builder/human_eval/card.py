"""The result of a human evaluation as a section of the data set's card, beside the paper's figures."""

from collections.abc import Mapping
from typing import Any, Final

from dataset_builder.markdown import cell, code, table

PAPER: Final[dict[str, str]] = {
    "kappa": ".365 (GoEmotions: .293)",
    "accuracy_all_agree": ".86",
    "accuracy_two_agree": ".70",
    "neutral_recall": ".9",
    "rewritten_weaker": ".67, .71, .92",
}


def section(content: Mapping[str, Any]) -> str:
    """Markdown: who was asked what, the figures, then each label.

    Args:
        content: a result file's content, as `score` gives it.
    """
    metrics, people = content["metrics"], content["annotators"]
    answers = sum(one["answers"] for one in people)
    lines = [
        "## What people say\n",
        f"{_many(len(people), 'annotator')} gave {answers} answers to {content['support']} of {content['tasks']} rows "
        f"of {code(content['config'])} ({cell(content['split'])}) of {cell(content['corpus'])}, revision "
        f"{cell(content['data_revision'])}; teacher {code(content['teacher'])}. "
        f"The rows are drawn by the teacher's strongest label, rare labels as often as "
        "common ones, neutral a tenth where there are so many. Seven options: the teacher's five strongest labels, one "
        "implausible label, none of these; several picks are allowed, and the situation is hidden until asked for. In "
        f"brackets: {content['intervals']}; none where there are fewer than five tasks, or all resamples are alike.\n",
        "| figure | here | paper A |\n| --- | --- | --- |",
        *(
            f"| {_text(definition)} | {_shown(metrics[name])} | {PAPER.get(name, '')} |"
            for name, definition in content["definitions"].items()
        ),
        *(f"| {name} | not defined: {why} | {PAPER.get(name, '')} |" for name, why in _undefined(content).items()),
        "",
        "The paper does not say how it computed kappa on several picks, nor which options its annotators were shown in "
        "which rows; the columns are comparable in kind, not to the second digit.\n",
        *_people(people),
        *_groups("Order of the options", content["by_order"]),
        *_groups("Form of the utterance", content["by_variant"]),
        *_labels(content["per_label"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _undefined(content: Mapping[str, Any]) -> dict[str, str]:
    return {name: why for name, why in content["not_defined"].items() if name in PAPER}


def _people(people: list[dict[str, Any]]) -> list[str]:
    head = ("annotator", "answers", "missing", "strongest label picked", "none", "distractor", "median seconds")
    rows = [
        (
            cell(one["annotator"]),
            one["answers"],
            one["missing"],
            *(f"{one[name]:.2f}" for name in ("strongest_picked", "none_share", "distractor_share")),
            "" if one["median_seconds"] is None else f"{one['median_seconds']:.0f}",
        )
        for one in people
    ]
    return [table(head, rows) + "\n"]


def _groups(title: str, groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not groups:
        return []
    names = ("accuracy_two_agree", "strongest_picked", "none_share", "distractor_share", "revealed_share")
    head = (title, "right where two agree", "strongest label picked", "none", "distractor", "situation opened")
    rows = [(kind, *(_shown(found.get(name)) for name in names)) for kind, found in groups.items()]
    return [table(head, rows) + "\n"]


def _labels(labels: Mapping[str, Mapping[str, Any]]) -> list[str]:
    head = ("label", "tasks", "right where two agree", "picked where strongest", "picked where kept", "kappa")
    rows = [
        (
            cell(label),
            found["strongest"],
            _shown(found["accuracy_two_agree"]),
            _shown(found["strongest_picked"]),
            _shown(found["kept_picked"]),
            "" if found["kappa"] is None else f"{found['kappa']:.2f}",
        )
        for label, found in labels.items()
    ]
    return [table(head, rows) + "\n"]


def _shown(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return ""
    interval = f" [{estimate['low']:.2f}, {estimate['high']:.2f}]" if "low" in estimate else ""
    return f"{estimate['value']:.2f}{interval}"


def _text(definition: str) -> str:
    return definition[0].upper() + definition[1:]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
