"""The likelihood labeler, with hand-made log-probabilities."""

import asyncio
from collections.abc import Sequence

import pytest

from dataset_builder.pipeline.ask import Ask, UnitRejected
from dataset_builder.pipeline.stages.labels import CHOICES, run
from dataset_builder.pipeline.stages.likelihood import CONTENT_FREE, soft_scores
from dataset_builder.recipe import BuildRecipe, ScriptedTeacher
from dataset_builder.schema import Item, Usage, UtteranceRow
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS, NEUTRAL
from dataset_builder.teachers.base import Reply, Request, Scores, TeacherError

STORY = Item(id="s", text="Mara ran.", fields={"title": "S", "source": "tales"})


class HandMade:
    """Prefers `anger` whatever it reads, and after content-free texts neutral most of all; fails `failures` times."""

    name = "hand-made"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.read: list[str] = []

    async def generate(self, request: Request) -> Reply:
        raise NotImplementedError

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        if self.failures:
            self.failures -= 1
            raise TeacherError("http_500")
        text = request.user.rpartition("Sentence: ")[2]
        self.read.append(text)
        values = [-5.0] * len(choices)
        values[LABEL_TO_INDEX["anger"]] = -1.0
        if text in CONTENT_FREE:
            values[NEUTRAL] = 0.0
        else:
            values[LABEL_TO_INDEX["fear"]] = -3.0
        return Scores(tuple(values), Usage(calls=1))

    async def close(self) -> None:
        pass


def label(teacher: HandMade, texts: list[str]) -> list[dict[str, float]]:
    recipe = BuildRecipe(name="x", teacher=ScriptedTeacher(kind="scripted"))

    async def all_of_them() -> list[dict[str, float]]:
        shared: dict[str, asyncio.Task[object]] = {}
        found = []
        for index, text in enumerate(texts):
            row = UtteranceRow(
                id=f"s/c00/u{index:02d}",
                narrative_id="s",
                source="tales",
                character="Mara",
                requested_emotion="",
                text=text,
            )
            made = await run(row, STORY, Ask(teacher, 1, "labels", row.id, shared), recipe)
            found.append({raw.label: raw.score for raw in made[0].raw_labels})
        return found

    return asyncio.run(all_of_them())


def test_what_the_teacher_prefers_anyway_is_taken_off() -> None:
    teacher = HandMade()
    first, second = label(teacher, ["Who is there?", "Run!"])
    assert first == second
    assert max(first, key=first.__getitem__) == "fear"
    assert first["fear"] == 1.0
    assert first.get("anger", 0) < 0.3, "its usual word"
    assert len(teacher.read) == len(CONTENT_FREE) + 2, "one pass a text, the calibration once"


def test_a_calibration_that_failed_is_tried_again() -> None:
    teacher = HandMade(failures=1)
    with pytest.raises(UnitRejected, match="http_500"):
        label(teacher, ["Run!"])
    assert label(teacher, ["Run!"])[0]["fear"] == 1.0


def test_the_rule_by_hand() -> None:
    scores = soft_scores((-1.0, -2.0, -4.0), [-1.0, -3.0, -3.0], temperature=1.0)
    assert scores == [0.368, 1.0, 0.135]
    assert soft_scores((-1.0, -2.0, -4.0), [-1.0, -3.0, -3.0], temperature=0.5) == [0.135, 1.0, 0.018]
    assert len(CHOICES) == len(LABELS)
