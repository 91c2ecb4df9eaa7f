"""Judges that ask a language model: for the likelihood of each label, or for a written answer."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from dataset_builder.filters.resolve import resolve
from dataset_builder.inputs import InputError
from dataset_builder.judges.base import softmax
from dataset_builder.judges.recipe import PROMPTS, JudgeRecipe, LikelihoodKind, VerbalisedKind
from dataset_builder.pipeline.ask import Ask, emotion_list, prompt_version
from dataset_builder.pipeline.label_texts import Asked, ask_about_texts
from dataset_builder.pipeline.replies import VERBALISED_BY_A_JUDGE, scored_labels
from dataset_builder.pipeline.stages.likelihood import CONTENT_FREE
from dataset_builder.recipe import PaperMap
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers import teacher_name

STAGE = "judge"  # in seeds and rejects


class LanguageModelJudge(ABC):
    """Asks a teacher about each text; a text on which the teacher fails has no scores."""

    def __init__(self, recipe: JudgeRecipe, prompts: Sequence[str]) -> None:
        self.name = recipe.name
        self._run = recipe.run()
        self.about = {"teacher": teacher_name(self._run.teacher)}
        self.about |= {prompt: prompt_version(prompt) for prompt in prompts}
        self._answered = False

    @abstractmethod
    async def answer(self, ask: Ask, text: str, situation: str, labels: Sequence[str]) -> np.ndarray:
        """Return scores (labels,). Raises UnitRejected if the teacher gives no usable answer."""

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`. Raises InputError if the teacher has never given an answer."""
        found = np.full((len(texts), len(labels)), np.nan)

        async def one(number: int, ask: Ask) -> None:
            found[number] = await self.answer(ask, texts[number], situations[number] or "", labels)

        longest_first = sorted(range(len(texts)), key=lambda at: -len(texts[at]) - len(situations[at] or ""))
        asked = asyncio.run(ask_about_texts(self._run, STAGE, "", longest_first, one))
        self._answered |= bool(np.isfinite(found).any())
        if len(texts) and not self._answered:
            raise InputError(f"judge '{self.name}': no usable answer about any of {len(texts)} texts ({_last(asked)}).")
        return found


class Likelihood(LanguageModelJudge):
    """The probability of each label as the next word, calibrated by content-free texts; a mean over prompts."""

    def __init__(self, recipe: JudgeRecipe, kind: LikelihoodKind) -> None:
        self._kind = kind
        self._prompts = tuple(f"{PROMPTS}/{prompt}" for prompt in kind.prompts)
        self._usual: dict[tuple[str, ...], np.ndarray] = {}  # by labels: log-probabilities (prompts, labels)
        super().__init__(recipe, self._prompts)

    def score(self, texts: Sequence[str], situations: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Return scores as `Judge.score`; first time, find what the model says about content-free texts."""
        if tuple(labels) not in self._usual:
            self._usual[tuple(labels)] = self._baseline(labels)
        return super().score(texts, situations, labels)

    async def answer(self, ask: Ask, text: str, situation: str, labels: Sequence[str]) -> np.ndarray:
        """Return probabilities of the labels, which sum to 1."""
        found = await self._log_probabilities(ask, text, situation, labels)
        calibrated = (found - self._kind.calibration * self._usual[tuple(labels)]).mean(axis=0)
        return softmax(calibrated / self._kind.temperature)

    async def _log_probabilities(self, ask: Ask, text: str, situation: str, labels: Sequence[str]) -> np.ndarray:
        choices = tuple(f" {label}" for label in labels)
        fields = {"text": text, "situation": situation}
        return np.array([await ask.scores(prompt, choices, **fields) for prompt in self._prompts])

    def _baseline(self, labels: Sequence[str]) -> np.ndarray:
        """Return mean log-probabilities after content-free texts, (prompts, labels); neutral's is that of the others.

        Content-free texts are neutral themselves and cannot calibrate it.
        """
        found: dict[int, np.ndarray] = {}

        async def one(number: int, ask: Ask) -> None:
            found[number] = await self._log_probabilities(ask, CONTENT_FREE[number], "", labels)

        asked = asyncio.run(ask_about_texts(self._run, STAGE, "", range(len(CONTENT_FREE)), one))
        if not found:
            raise InputError(f"judge '{self.name}': the teacher does not answer ({_last(asked)}).")
        usual = np.mean([*found.values()], axis=0)
        others = [index for index, label in enumerate(labels) if label != "neutral"]
        if len(others) < len(labels):
            usual[:, labels.index("neutral")] = usual[:, others].mean(axis=1)
        return np.asarray(usual)


class Verbalised(LanguageModelJudge):
    """The levels of the labels that the model writes; words outside the taxonomy go by the paper's map."""

    def __init__(self, recipe: JudgeRecipe, kind: VerbalisedKind) -> None:
        self._kind = kind
        super().__init__(recipe, (VERBALISED_BY_A_JUDGE,))

    async def answer(self, ask: Ask, text: str, situation: str, labels: Sequence[str]) -> np.ndarray:
        """Return the written levels; 0 for labels that the answer does not name."""
        decoding, emotions = self._kind.decoding, emotion_list(neutral=True)
        raw = await ask.text(
            VERBALISED_BY_A_JUDGE, decoding, scored_labels, emotions=emotions, text=text, situation=situation
        )
        scores = dict(zip(LABELS, resolve(raw, PaperMap()), strict=True))
        return np.array([scores.get(label, 0.0) for label in labels])


def _last(asked: Asked) -> str:
    return f"the last: {asked.last.text or asked.last.reason}" if asked.last else "no failure was reported"
