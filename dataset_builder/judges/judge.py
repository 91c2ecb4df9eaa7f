"""Has a judge read texts, and keeps its scores in a work folder; a killed run loses the piece that it was reading."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dataset_builder.files.shards import Journal, file_lock, read_json, stage_rows, write_json
from dataset_builder.filters.judgements import ABOUT, SCORES, judge_folder, key_of, read_judgements, to_record
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.judges.base import Judge
from dataset_builder.judges.load import load_judge
from dataset_builder.judges.recipe import JudgeRecipe
from dataset_builder.parquet import MANIFEST
from dataset_builder.run_state import RUN, RUNTIME_ONLY
from dataset_builder.taxonomy import LABELS
from dataset_builder.text_hygiene import cleaned_row

CONTEXTLESS, CONTEXTUAL = "labels", "rewriting"  # the stages whose rows are published
ORDER = "judged"  # part of the hash that orders texts


class ToJudge(NamedTuple):
    """A text that is to be judged, alone (None) or in its situation."""

    text: str
    situation: str | None


def texts_of_run(work_dir: Path) -> list[ToJudge]:
    """Return the different texts of a build's finished stages. Raises InputError like `labelled_texts_of_run`."""
    return [*dict.fromkeys(text for _, text in labelled_texts_of_run(work_dir))]


def labelled_texts_of_run(work_dir: Path) -> Iterator[tuple[dict[str, Any], ToJudge]]:
    """Yield the rows of a build's finished stages, each with a text that will be published; some rows have two.

    Raises:
        InputError: no stage with texts is finished.
    """
    finished = [stage for stage in (CONTEXTLESS, CONTEXTUAL) if (work_dir / stage / MANIFEST).exists()]
    if not finished:
        raise InputError(f"{work_dir}: no stage '{CONTEXTLESS}' or '{CONTEXTUAL}' is finished. Run `build` first.")
    shards = range(read_json(work_dir / RUN)["shards"])
    for stage in finished:
        for row in map(cleaned_row, stage_rows(work_dir / stage, shards)):
            for text in filter(None, (row["text"], row.get("rewritten"))):
                yield row, ToJudge(text, row.get("context"))


def judge_run(work_dir: Path, recipe: JudgeRecipe, limit: int | None, disputed_by: Sequence[str] = ()) -> int:
    """Have a judge read the texts of a build.

    Args:
        limit: the largest number of texts, in all runs together.
        disputed_by: judges that have read the texts; those that get the most different first labels are read first.
            Without such judges the order is by hash, so that a part is a random sample.

    Returns:
        The number of texts that this run has read.
    """
    texts = _most_disputed(texts_of_run(work_dir), work_dir, disputed_by)
    return judge_texts(texts[:limit], recipe, work_dir)


def judge_texts(texts: Iterable[ToJudge], recipe: JudgeRecipe, work_dir: Path) -> int:
    """Have a judge read the texts that it has not read yet, in order, and keep its scores; return their number.

    Raises:
        InputError: the judge cannot work, another run uses its folder, or its scores there are of another judge.
    """
    folder = judge_folder(work_dir, recipe.name)
    with file_lock(folder / "judge.lock", f"{folder}: another run of this judge is using it"):
        judge = load_judge(recipe)
        _check_same(folder, recipe, judge)
        journal = Journal(folder / SCORES)
        missing = {key: one for one in texts if journal.get(key := key_of(*one)) is None}
        waiting = [*missing.items()]
        with tqdm(total=len(waiting), desc=recipe.name, unit="text", disable=not waiting) as bar:
            for start in range(0, len(waiting), recipe.texts_at_once):
                piece = waiting[start : start + recipe.texts_at_once]
                began = time.monotonic()
                scores = judge.score([one.text for _, one in piece], [one.situation for _, one in piece], LABELS)
                seconds = (time.monotonic() - began) / len(piece)
                for (key, one), row in zip(piece, scores, strict=True):
                    journal.append(key, to_record(key, one.text, row, seconds))
                bar.update(len(piece))
    return len(waiting)


def _check_same(folder: Path, recipe: JudgeRecipe, judge: Judge) -> None:
    """Write what the judge is, or compare it with what is there. Raises InputError if they differ."""
    left_out: dict[str, Any] = {"texts_at_once": True, "judge": {"teacher": set(RUNTIME_ONLY)}}
    about = {"recipe": recipe.model_dump(mode="json", exclude=left_out), "about": judge.about}
    path = folder / ABOUT
    if not path.exists():
        write_json(path, about)
    elif read_json(path) != about:
        raise InputError(
            f"{folder}: has scores of another judge with this name. Delete the folder, or give the judge another name."
        )


def _most_disputed(texts: list[ToJudge], work_dir: Path, judges: Sequence[str]) -> list[ToJudge]:
    """Order texts by how many of the judges differ about them, then by hash; texts that one has not read come last."""
    found = [read_judgements(work_dir, judge) for judge in judges]
    differ: dict[ToJudge, int] = {}
    for one in texts if found else ():
        given = [of_judge.get(key_of(*one)) for of_judge in found]
        answered = [scores for scores in given if scores is not None and not np.isnan(scores).any()]
        if len(answered) == len(found):
            differ[one] = len({int(scores.argmax()) for scores in answered})
    return sorted(texts, key=lambda one: (-differ.get(one, 0), stable_hash(ORDER, *one)))
