"""python -m eval.zero_shot --model M --labels joy,"quiet pride",dread "text" ["text2" …]

Scores texts against any labels, without training. By default a text may have any number of them; `--single` gives
each text the nearest one. How labels are decided without labelled texts is written in eval/decision_rules.py, valence in
eval/valence.py.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_builder.files.text_hygiene import damage_of
from dataset_builder.inputs import InputError, run_command
from eval.decision_rules import DEFAULT, RULES, decide, sigmoid
from eval.encoder import Encoder, embed_labels, embed_texts, load_encoder, score
from eval.label_sets import find_set, read_definitions
from eval.valence import TAXONOMY, Anchors, weighted_mean


@dataclass(frozen=True)
class Answer:
    """What a text is said to express: probabilities of all labels, and those that it is given."""

    text: str
    probabilities: dict[str, float]
    given: tuple[str, ...]


def classify(
    encoder: Encoder,
    texts: Sequence[str],
    labels: Sequence[str],
    definitions: Mapping[str, str] | None = None,
    rule: str = DEFAULT,
    single: bool = False,
) -> tuple[list[Answer], str]:
    """Answers for some texts, and how they were decided.

    Args:
        definitions: of some of the labels, or none.
        rule: one of `eval.decision_rules.RULES`.
        single: one label a text, that of the largest cosine, instead of any number by the rule.
    """
    found = score(encoder, texts, labels, definitions)
    probabilities = sigmoid(found.logits)
    if single:
        given, how = np.eye(len(labels), dtype=np.int8)[found.cosines.argmax(axis=1)], "argmax over the labels"
    else:
        given = decide(rule, found.logits, found.reference_logits, "neutral" in labels)
        how = f"rule {rule} over {found.source}"
    return [
        Answer(
            text,
            dict(zip(labels, map(float, probabilities[row]), strict=True)),
            tuple(name for name, is_given in zip(labels, given[row], strict=True) if is_given),
        )
        for row, text in enumerate(texts)
    ], how


def valence(encoder: Encoder, texts: Sequence[str], anchors: Anchors = TAXONOMY) -> np.ndarray:
    """Values (texts,) in [-1, 1] by anchor words: those of valence, or others of the same form."""
    return by_anchors(encoder, embed_texts(encoder, texts), anchors)


def by_anchors(encoder: Encoder, embedded: np.ndarray, anchors: Anchors) -> np.ndarray:
    """Values (texts,) in [-1, 1] of texts that are embedded already, (texts, size)."""
    cosines = embedded @ embed_labels(encoder, list(anchors)).T
    return weighted_mean(cosines, np.array(list(anchors.values())), encoder.temperature)


def read_labels(given: str) -> list[str]:
    """Labels with commas or line breaks between them; quotes hold a comma inside a label.

    Raises:
        InputError: fewer than one, an empty one, one that is there twice, or one that is no text.
    """
    lines = [line.strip() for line in given.splitlines() if line.strip()]
    if len(lines) > 1:  # a list that was pasted: a comma at the end of a line is no label
        lines = [line.strip(",") for line in lines]
    try:
        fields = [field for line in lines for field in next(csv.reader([line], skipinitialspace=True), [])]
    except csv.Error:  # of more than 131,072 characters
        fields = []
    labels = [" ".join(field.split()) for field in fields]
    if not labels or "" in labels or len(set(labels)) < len(labels):
        shown = given[:80].encode("utf-8", "replace").decode()
        raise InputError(f"--labels '{shown}': give one or more labels, comma-separated, none empty and none twice.")
    for number, label in enumerate(labels, start=1):
        _refuse_damage(label, f"label {number}")
    return labels


def read_texts(given: Sequence[str]) -> list[str]:
    """The texts of a command line. Raises InputError where one is blank, or not in UTF-8."""
    for number, text in enumerate(given, start=1):
        if not text.strip():
            raise InputError(f"text {number} is empty. Give texts to be scored, each in quotes.")
        _refuse_damage(text, f"text {number}")
    return list(given)


def _refuse_damage(text: str, name: str) -> None:
    if damage := damage_of(text):
        raise InputError(f"{name} holds {damage}. Is it UTF-8? Latin-1 is converted by iconv -f LATIN1 -t UTF-8.")


def main() -> None:
    """Parse the command line and print each text with its labels."""
    parser = argparse.ArgumentParser(prog="python -m eval.zero_shot", description="Scores texts against any labels.")
    parser.add_argument("texts", nargs="+", help="texts to be scored")
    parser.add_argument("--model", required=True, help="a bi-encoder: a folder or Hub id")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--labels", help="with commas or line breaks between them")
    what.add_argument("--label-set", help="labels-6, labels-11, labels-32, or a YAML file of that form")
    parser.add_argument("--definitions", help="a YAML file of `label: definition`, for some of the labels or all")
    parser.add_argument("--single", action="store_true", help="one label a text")
    parser.add_argument(
        "--rule", choices=RULES, default=DEFAULT, help=f"default: {DEFAULT}; see eval/decision_rules.py"
    )
    parser.add_argument("--valence", action="store_true", help="print each text's valence too, from -1 to 1")
    args = parser.parse_args()
    if args.label_set:
        chosen = find_set(args.label_set)
        labels, definitions = [one.name for one in chosen.labels], {o.name: o.definition for o in chosen.labels}
    else:
        labels, definitions = read_labels(args.labels), {}
    if args.definitions:
        definitions = read_definitions(args.definitions)
        if strangers := set(definitions) - set(labels):
            raise InputError(f"{args.definitions}: defines {sorted(strangers)[0]!r}, which is not among the labels.")
    texts = read_texts(args.texts)
    encoder = load_encoder(args.model)
    answers, how = classify(encoder, texts, labels, definitions, args.rule, args.single)
    values = valence(encoder, texts) if args.valence else None
    for row, answer in enumerate(answers):
        print(answer.text)
        if values is not None:
            print(f"  valence {values[row]:+.3f}")
        for name in sorted(labels, key=lambda label: -answer.probabilities[label]):
            print(f"  {'*' if name in answer.given else ' '} {answer.probabilities[name]:.4f} {name}")
    print(f"*: {how}")


if __name__ == "__main__":
    run_command(main)
