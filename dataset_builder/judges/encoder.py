"""The judge that compares: a sentence encoder's similarity of a text to each label."""

from collections.abc import Sequence

import numpy as np

from dataset_builder.filters.encoder import Encoder, load_encoder
from dataset_builder.gold_set import read_gold_set
from dataset_builder.hashing import fingerprint
from dataset_builder.judges.base import in_situation, softmax
from dataset_builder.judges.labelled_rows import LabelledText, read_labelled
from dataset_builder.judges.recipe import EncoderKind
from dataset_builder.taxonomy import EMOTIONS

NEAREST = 5  # examples of a label that count for a text


class Similarity:
    """The cosine of a text with a label's name and definition, and with the nearest of the label's examples."""

    def __init__(self, name: str, kind: EncoderKind) -> None:
        self.name, self._kind = name, kind
        self._encode: Encoder = load_encoder(kind.encoder, kind.wheel)
        examples = read_labelled(kind.examples) if kind.examples else _gold_examples()
        self.about = {
            "encoder": f"{kind.encoder}@{self._encode.revision}",
            "examples": fingerprint([[one.text, one.situation, one.first] for one in examples]),
        }
        self._definitions = {emotion.name: emotion.definition for emotion in EMOTIONS}
        self._examples: dict[str, list[str]] = {}
        for one in examples:
            self._examples.setdefault(one.first, []).append(in_situation(one.text, one.situation))
        self._embedded: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # of each label: its own, its examples'

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`: a softmax over the labels."""
        embedded = self._encode([in_situation(*pair) for pair in zip(texts, situations, strict=True)])
        similar = np.stack([self._similarity(embedded, label) for label in labels], axis=1)
        return softmax(similar / self._kind.temperature)

    def _similarity(self, embedded: np.ndarray, label: str) -> np.ndarray:
        """Return the similarity of texts to a label, (texts,)."""
        own, examples = self._of_label(label)
        to_name = np.asarray(embedded @ own)
        if not len(examples):
            return to_name
        nearest = np.sort(embedded @ examples.T, axis=1)[:, -NEAREST:].mean(axis=1)
        return np.asarray((1 - self._kind.example_share) * to_name + self._kind.example_share * nearest)

    def _of_label(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        if label not in self._embedded:
            own = self._encode([f"{label}: {self._definitions.get(label, label)}", f"I feel {label}."]).mean(axis=0)
            texts = self._examples.get(label, [])
            examples = self._encode(texts) if texts else np.zeros((0, len(own)))
            self._embedded[label] = own, examples
        return self._embedded[label]


def _gold_examples() -> list[LabelledText]:
    return [
        LabelledText(row.id, row.text, None, {label.label: label.score for label in row.labels})
        for row in read_gold_set("few_shot")
    ]
