"""python -m eval.zero_shot --model M --labels joy,"quiet pride",dread "text" ["text2" …]

Scores texts against any labels, without training. By default a text may have any number of them; `--single` assigns
each text the nearest label. eval/decision_rules.py decides without labelled texts, eval/valence.py computes valence.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import expit

from dataset_builder.inputs import InputError, run_command
from dataset_builder.text_hygiene import damage_of
from eval.decision_rules import DEFAULT, RULES, apply_rule
from eval.label_sets import find_set, read_definitions
from eval.metrics import largest
from eval.models import BiEncoder, load_bi_encoder
from eval.valence import values_by_anchors


@dataclass(frozen=True)
class Answer:
    """The result for a text: probabilities of all labels, and the labels that it gets."""

    text: str
    probabilities: dict[str, float]
    given: tuple[str, ...]


def classify(
    model: BiEncoder,
    texts: Sequence[str],
    labels: Sequence[str],
    definitions: Mapping[str, str] | None = None,
    rule: str = DEFAULT,
    single: bool = False,
) -> tuple[list[Answer], str]:
    """Return answers for some texts, and how they were decided.

    Args:
        definitions: definitions of some of the labels, or none.
        rule: one of `eval.decision_rules.RULES`.
        single: one label per text, the one with the largest cosine, instead of any number by the rule.
    """
    found = model.predict(texts, labels, definitions)
    if single:
        given, how = largest(found.cosines), "argmax over the labels"
    else:
        given = apply_rule(rule, found.logits, found.reference_logits, "neutral" in labels)
        how = f"rule {rule} on {found.source}"
    answers = []
    for text, scores, flags in zip(texts, expit(found.logits).tolist(), given, strict=True):
        chosen = tuple(name for name, is_given in zip(labels, flags, strict=True) if is_given)
        answers.append(Answer(text, dict(zip(labels, scores, strict=True)), chosen))
    return answers, how


def read_labels(given: str) -> list[str]:
    """Read labels separated by commas or line breaks; a label with a comma needs quotes.

    Raises InputError if there is no label, or if one is empty, occurs twice or is not text.
    """
    lines = [line.strip() for line in given.splitlines() if line.strip()]
    if len(lines) > 1:  # a pasted list: a comma at the end of a line is not a label
        lines = [line.strip(",") for line in lines]
    try:
        fields = [field for line in lines for field in next(csv.reader([line], skipinitialspace=True), [])]
    except csv.Error:  # of more than 131,072 characters
        fields = []
    labels = [" ".join(field.split()) for field in fields]
    if not labels or "" in labels or len(set(labels)) < len(labels):
        shown = given[:80].encode("utf-8", "replace").decode()
        raise InputError(
            f"--labels '{shown}': pass one or more labels, separated by commas, without empty or repeated labels."
        )
    for number, label in enumerate(labels, start=1):
        _refuse_damage(label, f"label {number}")
    return labels


def read_texts(given: Sequence[str]) -> list[str]:
    """Return the texts of a command line. Raises InputError if one is blank, or not in UTF-8."""
    for number, text in enumerate(given, start=1):
        if not text.strip():
            raise InputError(f"text {number} is empty. Pass the texts to score, each in quotes.")
        _refuse_damage(text, f"text {number}")
    return list(given)


def _refuse_damage(text: str, name: str) -> None:
    if damage := damage_of(text):
        raise InputError(f"{name} contains {damage}. Is it UTF-8? To convert Latin-1: iconv -f LATIN1 -t UTF-8.")


def main() -> None:
    """Parse the command line and print each text with its labels."""
    parser = argparse.ArgumentParser(prog="python -m eval.zero_shot", description="Scores texts against any labels.")
    parser.add_argument("texts", nargs="+", help="texts to score")
    parser.add_argument("--model", required=True, help="a bi-encoder: a folder or Hub id")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--labels", help="separated by commas or line breaks")
    what.add_argument("--label-set", help="labels-6, labels-11, labels-32, or a YAML file in that format")
    parser.add_argument("--definitions", help="a YAML file of `label: definition`, for some or all labels")
    parser.add_argument("--single", action="store_true", help="assign only the nearest label to each text")
    parser.add_argument("--rule", choices=RULES, default=DEFAULT, help=f"default: {DEFAULT}")
    parser.add_argument("--valence", action="store_true", help="print each text's valence too, from -1 to 1")
    args = parser.parse_args()
    if args.label_set:
        definitions = {label.name: label.definition for label in find_set(args.label_set).labels}
        labels = list(definitions)
    else:
        labels, definitions = read_labels(args.labels), {}
    if args.definitions:
        definitions = read_definitions(args.definitions)
        if unknown := sorted(definitions.keys() - set(labels)):
            raise InputError(f"{args.definitions}: defines {unknown[0]!r}, which is not among the labels.")
    texts = read_texts(args.texts)
    model = load_bi_encoder(args.model)
    answers, how = classify(model, texts, labels, definitions, args.rule, args.single)
    values = values_by_anchors(model, model.embed_texts(texts)) if args.valence else [None] * len(texts)
    for answer, value in zip(answers, values, strict=True):
        print(answer.text)
        if value is not None:
            print(f"  valence {value:+.3f}")
        for name in sorted(labels, key=lambda label: -answer.probabilities[label]):
            print(f"  {'*' if name in answer.given else ' '} {answer.probabilities[name]:.4f} {name}")
    print(f"*: {how}")


if __name__ == "__main__":
    run_command(main)
