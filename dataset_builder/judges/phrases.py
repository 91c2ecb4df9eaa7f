"""The judge that reads phrases: scored once by a teacher, in a run of `describe-texts`, and then found in any text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset_builder.descriptors.recipe import TextsRecipe
from dataset_builder.descriptors.weigh import make_scorer
from dataset_builder.files.shards import read_json
from dataset_builder.filters.word_classes import class_by_hand
from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.judges.base import in_situation, softmax
from dataset_builder.judges.recipe import PhrasesKind
from dataset_builder.run_state import RUN
from dataset_builder.taxonomy import LABELS


class Phrases:
    """The strongest of a text's phrases for each word of the run, and of each label's words the strongest."""

    def __init__(self, name: str, kind: PhrasesKind) -> None:
        self.name, self._kind = name, kind
        work_dir, recipe = Path(kind.work_dir), read_recipe(kind.recipe, TextsRecipe)
        if recipe.describer != "cues":
            raise InputError(f"{kind.recipe}: judge '{name}' needs a recipe with 'describer: cues'.")
        if not (work_dir / RUN).exists():
            raise InputError(f"{work_dir}: no run of describe-texts. Run it with {kind.recipe} first.")
        run = read_json(work_dir / RUN)
        words = tuple(run["words"])
        self.about = {"teacher": run["teacher"], "phrases": run["cues"], "cues": fingerprint(recipe.cues.model_dump())}
        self._score = make_scorer(recipe.model_copy(update={"words": words}), work_dir, {})
        self._of_label: dict[str, list[int]] = {label: [] for label in LABELS}
        for index, word in enumerate(words):
            if (label := class_by_hand(word)) is not None:
                self._of_label[LABELS[label]].append(index)

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`: a softmax over the labels, 0 for a label without a word."""
        found = self._score([in_situation(*pair) for pair in zip(texts, situations, strict=True)])
        strongest = np.full((len(texts), len(labels)), -np.inf)
        for column, label in enumerate(labels):
            if words := self._of_label.get(label):
                strongest[:, column] = found[:, words].max(axis=1)
        return softmax(strongest / self._kind.temperature)
