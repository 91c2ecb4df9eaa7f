"""Decides whether the unit, the teacher or the recipe is at fault when the teacher does not answer.

A unit is finished if the teacher answered it, even badly, or if the teacher refused it but answered other units of the
same stage. Until then it is held back. If the run ends first, because the teacher fails on every unit or refuses it,
these units are not finished, and the same command repeats them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError
from dataset_builder.pipeline.stages import Stage
from dataset_builder.schema import Item, UnitRecord
from dataset_builder.teachers.base import NO_CONNECTION, TeacherError

# After this many consecutive failures, on units of this many stories, the teacher is at fault, not a story.
MAX_CONSECUTIVE_FAILURES, MIN_FAILING_STORIES = 20, 3
MAX_FIRST_FAILURES = 5  # the same limit before the teacher's first answer
# After this many refused units of a stage, from this many stories, and no answer, no single story is at fault.
MAX_REFUSALS, MIN_REFUSED_STORIES = 20, 10
AGAIN = "run the same command again: finished work is kept, and these units are repeated"


@dataclass(frozen=True)
class Unit:
    """A row that a stage reads, with the item that it came from."""

    stage: Stage
    row: dict[str, Any]
    item: Item


@dataclass(frozen=True)
class Unanswered:
    """A unit without an answer: the record to write if it is rejected, and the teacher's error."""

    unit: Unit
    record: UnitRecord
    failure: TeacherError

    def error(self, what: str) -> InputError:
        """Return the error that ends the run: what happened, the server, the reason code, the teacher's message."""
        last = ": ".join(filter(None, (self.failure.server, self.failure.reason, self.failure.detail)))
        advice = self.failure.advice.rstrip(".") or "Solve the problem"
        return InputError(f"{self.unit.stage.name}: the teacher {what} (last: {last}). {advice}, then {AGAIN}.")


class UnansweredUnits:
    """The units of one shard that are held back. `stories` is the number of the shard's stories."""

    def __init__(self, work_dir: Path, stories: int) -> None:
        self._work_dir, self._stories = work_dir, stories
        self._failed: list[Unanswered] = []  # because of the teacher; retried in the last round
        self._refused: dict[str, list[Unanswered]] = {}  # by stage, since the stage's last answer
        self._answered: set[str] = set()  # stages with an answered unit
        self._in_a_row: list[str] = []  # story ids of the units in the current series of failures
        self._last_round = False

    def answer_came(self, stage: str) -> list[Unanswered]:
        """Record an answer for this stage and return its refused units, which are now finished."""
        self._answered.add(stage)
        self._in_a_row.clear()
        return self._refused.pop(stage, [])

    def hold(self, one: Unanswered, *, answered: bool) -> bool:
        """Hold back a unit on which the teacher failed. Return False if it is finished because part of it was answered.

        Raises:
            InputError: the teacher failed on so many units that the teacher must be at fault.
        """
        stage = one.unit.stage.name
        if one.failure.reason == NO_CONNECTION and self._last_round:  # not the fault of any unit
            raise InputError(f"{stage}: the teacher no longer answers. Start it and {AGAIN}.")
        if one.failure.retryable and not self._last_round:
            self._failed.append(one)
            self._stop_if_teacher_failed(one)
            return True
        if answered:
            return False
        refused = self._refused.setdefault(stage, [])
        refused.append(one)
        if len(refused) >= MAX_REFUSALS and len({other.unit.item.id for other in refused}) >= MIN_REFUSED_STORIES:
            self._stop_if_never_answered(refused)
        return True

    def for_the_last_round(self) -> list[Unanswered]:
        """Return the units on which the teacher failed, for one more attempt.

        Raises:
            InputError: the teacher has not answered a single unit of a stage.
        """
        self._stop_if_never_answered(self._failed)
        again, self._failed, self._last_round = self._failed, [], True
        return again

    def refused_for_good(self) -> list[Unanswered]:
        """Return the refused units, which are now finished. Raises InputError like `for_the_last_round`."""
        refused, self._refused = [one for held in self._refused.values() for one in held], {}
        self._stop_if_never_answered(refused)
        return refused

    def _stop_if_teacher_failed(self, one: Unanswered) -> None:
        self._in_a_row.append(one.unit.item.id)
        failures, stories = len(self._in_a_row), len(set(self._in_a_row))
        enough = MAX_CONSECUTIVE_FAILURES if self._answered else MAX_FIRST_FAILURES
        # Require several stories, because one bad story can fail in all its units. A run of one or two stories
        # cannot have more.
        if failures >= enough and stories >= min(MIN_FAILING_STORIES, self._stories):
            raise one.error(f"failed on {failures} units in a row")

    def _stop_if_never_answered(self, units: list[Unanswered]) -> None:
        """Raise InputError if no unit of a stage was answered, neither here nor in a finished shard."""
        for one in units:
            stage = one.unit.stage.name
            if stage not in self._answered and not any((self._work_dir / stage).glob("*.jsonl.gz")):
                count = sum(other.unit.stage.name == stage for other in units)
                raise one.error(f"answered none of {count} units")
