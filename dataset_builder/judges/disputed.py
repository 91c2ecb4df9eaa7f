"""Rows whose own labels no judge has first: they are read again by whoever wrote them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataset_builder.filters.ensemble import Judged
from dataset_builder.judges.judge import labelled_texts_of_run
from dataset_builder.taxonomy import LABELS

FEWEST_JUDGES = 2  # one judge alone disputes too much


def disputed_rows(work_dir: Path, ensemble: str) -> Iterator[dict[str, Any]]:
    """Yield each row of a build whose strongest label no judge has first and whose labels the ensemble's are not.

    Raises:
        InputError: the ensemble cannot be read, or one of its judges has not read the work folder.
    """
    judged = Judged.open(ensemble, [work_dir])
    for row, one in labelled_texts_of_run(work_dir):
        own = {label["label"]: label["score"] for label in row["raw_labels"]}
        if not own:
            continue
        decided = judged.decide(*one)
        first = max(own, key=lambda label: own[label])
        if decided.judges < FEWEST_JUDGES or judged.agreement(*one, first) or LABELS[decided.first] in own:
            continue
        yield {
            "id": row["id"],
            "source": row["source"],
            "text": one.text,
            "situation": one.situation,
            "labels": own,
            "judged": {LABELS[index]: float(decided.scores[index]) for index in decided.labels},
            "agreement": decided.agreement,
        }
