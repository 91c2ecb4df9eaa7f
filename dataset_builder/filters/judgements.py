"""What judges said about texts: `<work>/judged/<judge>/scores.jsonl`, a journal with a line for each text.

A line's key is a fingerprint of the text and its situation, not a row's id: a row that is made again with another text
is judged again, and equal texts are judged once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.hashing import fingerprint
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS

JUDGED, SCORES, ABOUT = "judged", "scores.jsonl", "judge.json"
DIGITS = 4  # of a stored score
LEAST_SCORE = 10.0**-DIGITS


def key_of(text: str, situation: str | None) -> str:
    """Return the key of a text, read in a situation or alone (None or "")."""
    return fingerprint([text, situation or ""])


def judge_folder(work_dir: Path, judge: str) -> Path:
    """Return the folder of a judge's scores."""
    return work_dir / JUDGED / judge


def has_judged(work_dir: Path, judge: str) -> bool:
    """Return whether a judge has read any text of a work folder."""
    return (judge_folder(work_dir, judge) / SCORES).exists()


def to_record(key: str, text: str, scores: np.ndarray, seconds: float) -> dict[str, Any]:
    """Return a line of the journal: scores of the labels, or None where the judge gave no answer."""
    known = None if np.isnan(scores).any() else [round(float(score), DIGITS) for score in scores]
    return {"unit": key, "text": text[:60], "scores": known, "seconds": round(seconds, 5)}


def read_judgements(work_dir: Path, judge: str) -> dict[str, np.ndarray]:
    """Return the scores of every text that a judge has read, by key, (28,) each; NaN where it gave no answer.

    Raises:
        InputError: the judge has not read this work folder.
    """
    return {line["unit"]: _scores(line) for line in _lines(work_dir, judge)}


def seconds_per_text(work_dir: Path, judge: str) -> float:
    """Return the mean time that a judge took for a text."""
    seconds: dict[str, float] = {line["unit"]: line["seconds"] for line in _lines(work_dir, judge)}
    return sum(seconds.values()) / max(len(seconds), 1)


def _scores(line: dict[str, Any]) -> np.ndarray:
    known = line["scores"]
    return np.full(len(LABELS), np.nan, np.float32) if known is None else np.asarray(known, np.float32)


def _lines(work_dir: Path, judge: str) -> Iterator[dict[str, Any]]:
    if not has_judged(work_dir, judge):
        raise InputError(f"{work_dir}: judge '{judge}' has not read it. Run `judge` with that judge's recipe first.")
    with open(judge_folder(work_dir, judge) / SCORES, "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):  # being written, or torn by a kill
                return
            yield json.loads(line)
