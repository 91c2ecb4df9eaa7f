"""Units that the teacher did not answer: whether that is their fault, its own, or the recipe's.

A unit is done when its question was answered, however badly, or when the teacher refuses it and answers others of its
stage. Until then it is held back: when the run ends first, because the teacher is sick or refuses whatever it is asked,
none of these units is done, and the same command asks them again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError
from dataset_builder.pipeline.stages import Stage
from dataset_builder.schema import Narrative, UnitRecord
from dataset_builder.teachers.base import NO_CONNECTION, TeacherError

# So many units in a row, of so many stories, at which the teacher failed: it is the teacher and not a story.
SICK_AFTER, SICK_STORIES = 20, 3
SICK_AT_ONCE = 5  # the same where it has not answered anything yet
# So many units of a stage, of so many stories, that it refused, and none that it answered: no story is to blame.
REFUSED_AFTER, REFUSED_STORIES = 20, 10
AGAIN = "run the same command again: what was made is kept, and these units are asked again"

Unit = tuple[Stage, dict[str, Any], Narrative]


@dataclass(frozen=True)
class Unanswered:
    """A unit without an answer: what it would be kept as, and how the teacher failed."""

    unit: Unit
    record: UnitRecord
    failure: TeacherError

    @property
    def said(self) -> str:
        """The failure's server and code, and the teacher's own words."""
        return ": ".join(filter(None, (self.failure.server, self.failure.reason, self.failure.detail)))

    @property
    def first(self) -> str:
        """What to do before the run goes on."""
        return self.failure.advice.rstrip(".") or "See to it"


class HeldBack:
    """The units of one shard that have no answer. `stories` is the number of the shard's stories."""

    def __init__(self, work: Path) -> None:
        self.stories = 0
        self._work = work
        self._failed: list[Unanswered] = []  # by the teacher's fault, to be asked once more
        self._refused: dict[str, list[Unanswered]] = {}  # of each stage, since its last answer
        self._answered: set[str] = set()  # stages of which a unit was answered
        self._in_a_row: list[str] = []  # the stories of the last units, as long as the teacher failed at all of them
        self._last_round = False

    def answer_came(self, stage: str) -> list[Unanswered]:
        """The teacher answers this stage's questions: those that it refused before are done, and no longer held."""
        self._answered.add(stage)
        self._in_a_row.clear()
        return self._refused.pop(stage, [])

    def holds(self, one: Unanswered, *, answered: bool) -> bool:
        """Hold back a unit at which the teacher failed; False where it is done, since part of it was answered.

        Raises:
            InputError: the teacher failed at so many units that it is not theirs.
        """
        stage, failure = one.unit[0].name, one.failure
        if failure.reason == NO_CONNECTION and self._last_round:  # nobody is there: no unit of theirs is to blame
            raise InputError(f"{stage}: the teacher is gone. Start it and {AGAIN}.")
        if failure.retryable and not self._last_round:
            self._failed.append(one)
            self._stop_if_sick(one)
            return True
        if answered:
            return False
        held = self._refused.setdefault(stage, [])
        held.append(one)
        if len(held) >= REFUSED_AFTER and len({other.unit[2].id for other in held}) >= REFUSED_STORIES:
            self._stop_if_never_answered(held)
        return True

    def for_the_last_round(self) -> list[Unanswered]:
        """The units at which the teacher failed, to be asked once more; twice is enough.

        Raises:
            InputError: it has not answered a single unit of a stage.
        """
        self._stop_if_never_answered(self._failed)
        again, self._failed, self._last_round = self._failed, [], True
        return again

    def refused_for_good(self) -> list[Unanswered]:
        """The units that are done although nothing followed that was answered. Raises InputError as above."""
        refused, self._refused = [one for held in self._refused.values() for one in held], {}
        self._stop_if_never_answered(refused)
        return refused

    def _stop_if_sick(self, one: Unanswered) -> None:
        self._in_a_row.append(one.unit[2].id)
        enough = SICK_AFTER if self._answered else SICK_AT_ONCE
        if len(self._in_a_row) >= enough and len(set(self._in_a_row)) >= min(SICK_STORIES, self.stories):
            raise InputError(
                f"{one.unit[0].name}: the teacher failed at {len(self._in_a_row)} units in a row (last: {one.said}). "
                f"{one.first}, then {AGAIN}."
            )

    def _stop_if_never_answered(self, units: list[Unanswered]) -> None:
        """Raise InputError where no unit of a stage was answered, neither here nor in a shard that is finished."""
        for one in units:
            stage = one.unit[0].name
            if stage not in self._answered and not any((self._work / stage).glob("*.jsonl.gz")):
                count = sum(other.unit[0].name == stage for other in units)
                raise InputError(
                    f"{stage}: the teacher answered none of {count} units (last: {one.said}). "
                    f"{one.first}, then {AGAIN}."
                )
