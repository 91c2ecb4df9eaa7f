"""Reads written rows: texts with their writer's labels, contrast sets (one utterance in three situations), dialogues.

dataset_builder/written/GUIDE.md describes the forms: `labels<TAB>text` in a `.tsv` file, and one JSON object per set
or dialogue in a `.jsonl` file. A `.tsv` file with the only column `text` holds texts that nobody has labelled yet.
Free emotion words for the texts of `contextless-NAME.tsv` may stand beside it in `descriptors/NAME.tsv`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from dataset_builder.files.reading import json_lines, lines
from dataset_builder.hashing import fingerprint, is_drawn
from dataset_builder.inputs import InputError, Strict, validation_message
from dataset_builder.schema import Item
from dataset_builder.taxonomy import LABEL_TO_INDEX
from dataset_builder.text_hygiene import cleaned, damage_of
from dataset_builder.text_template import TURNS

WRITTEN = "written"  # the name of the project's own files in recipes
FOLDER = Path(__file__).parent / "written"
WEIGHTS = {"1": 1.0, ".7": 0.7, ".4": 0.4}  # as they are written in a table
MOST_LABELS = 3
# Files whose texts share people and scenes: each is one story, so that no split separates them.
ONE_STORY = {"contextless-neighbours"}
# The share of the written texts that is held out for development: 1,000 of the first 35,569 that are their own story.
DEVELOPMENT = 0.028703
# Of the former turns of a dialogue, the last ones that have together at most so many words are the situation.
FORMER_WORDS = 80
FORM = "Give a .tsv with the columns labels and text, or only text, or a .jsonl of contrast sets or dialogues."
Checked = Item | str  # a row, or the fault of a row


class Situation(Strict):
    """Who says the utterance, in which situation, and what it expresses there: labels with their weights."""

    character: str
    situation: str
    labels: dict[str, float]


class ContrastSet(Strict):
    """One utterance in three situations that give it different first labels."""

    text: str
    situations: tuple[Situation, Situation, Situation]


class Turn(Strict):
    """What somebody says in a dialogue, and what they feel or express in saying it."""

    character: str
    text: str
    labels: dict[str, float]


class Dialogue(Strict):
    """A dialogue with labelled turns. Each turn after the first is a row; its situation is the former turns."""

    turns: Annotated[tuple[Turn, ...], Field(min_length=2)]


def is_development(text: str) -> bool:
    """Return whether a written text is held out: it is in the validation split, and no judge may learn from it."""
    return is_drawn(DEVELOPMENT, "written development", text)


def read_written(sources: Sequence[str]) -> list[Item]:
    """Return the rows of written files; each situation of a contrast set, and each later turn of a dialogue, is a row.

    An item's fields are `source` (file and line), `story` (what must stay in one split), and, where there are any,
    `labels` (as `joy:1,love:.4`), `descriptors`, of rows in situations `character` and `context`, and of a contrast set
    `group`.

    Args:
        sources: `written` for the project's own files; files; folders with such files.

    Raises:
        InputError: the first fault, with its file and line.
    """
    found = list(checked_rows(written_files(sources)))
    faults = [one for one in found if isinstance(one, str)]
    if faults:
        more = f" {len(faults) - 1} more faults: list them with check-written." if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    return [one for one in found if isinstance(one, Item)]


def written_files(sources: Sequence[str]) -> list[Path]:
    """Return the files of sources in order. Raises InputError if a folder has none."""
    files: list[Path] = []
    for source in sources:
        path = FOLDER if source == WRITTEN else Path(source)
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(chain(path.glob("contextless-*.tsv"), path.glob("contextual-*.jsonl")))
        if not inside:
            raise InputError(f"{path}: contains no contextless-*.tsv and no contextual-*.jsonl. {FORM}")
        files += inside
    return files


def checked_rows(files: Sequence[Path]) -> Iterator[Checked]:
    """Yield every row of the files, or its fault with its place. Raises InputError for a file that cannot be read."""
    places: dict[str, str] = {}  # of each id
    for path in files:
        for place, found in _situated(path) if path.suffix == ".jsonl" else _texts(path):
            fault = next((one for one in found if isinstance(one, str)), None)
            for row in found:
                if isinstance(row, Item) and places.setdefault(row.id, place) != place:
                    fault = f"{place}: has the text of {places[row.id]}. Delete one."
            yield from [fault] if fault else found


def _texts(path: Path) -> Iterator[tuple[str, list[Checked]]]:
    """Yield the place and the checked row of each line of a table."""
    rows = lines(path, FORM)
    place, header = next(rows, (f"{path}, line 1", ""))
    columns = header.split("\t")
    if columns not in (["labels", "text"], ["text"]):
        raise InputError(f"{place}: the header is {header[:80]!r}. {FORM}")
    words = _descriptors(path)
    for place, line in rows:
        cells = line.split("\t")
        text = cleaned(cells[-1]).strip()
        row_id = f"{path.stem}-{fingerprint(text)[:10]}"
        fields = {"source": _source(path, place), "story": path.stem if path.stem in ONE_STORY else row_id}
        fault = None if len(cells) == len(columns) else f"{len(cells)} columns instead of {len(columns)}"
        fault = fault or _text_fault(text)
        if not fault and len(cells) == 2:
            fields["labels"] = cells[0]
            fault = labels_fault(cells[0])
        if text in words:
            fields["descriptors"] = words[text]
        yield place, [f"{place}: {fault}. Correct it." if fault else Item(id=row_id, text=text, fields=fields)]


def _situated(path: Path) -> Iterator[tuple[str, list[Checked]]]:
    """Yield the place and the checked rows of each contrast set or dialogue."""
    for place, value in json_lines(path, FORM):
        try:
            if isinstance(value, dict) and "turns" in value:
                yield place, _turns(path, place, Dialogue.model_validate(value))
            else:
                yield place, _set(path, place, ContrastSet.model_validate(value))
        except ValidationError as error:
            yield place, [f"{place}: {validation_message(error)}. Correct it."]


def _set(path: Path, place: str, found: ContrastSet) -> list[Checked]:
    text = cleaned(found.text).strip()
    story = f"{path.stem}-{fingerprint(text)[:10]}"
    rows: list[Checked] = []
    for number, one in enumerate(found.situations, start=1):
        context = cleaned(one.situation).strip()
        row = _in_situation(path, place, f"{story}/{number}", text, one.labels, one.character, context)
        if isinstance(row, Item):
            row.fields["group"] = story
        rows.append(f"{place}, situation {number}: {row}. Correct it." if isinstance(row, str) else row)
    firsts = [next(iter(labels_of(row))) for row in rows if isinstance(row, Item)]
    if len(firsts) == len(rows) and len(set(firsts)) < len(rows):
        return [f"{place}: the first labels {', '.join(firsts)} are not different. Correct it."]
    return rows


def _turns(path: Path, place: str, found: Dialogue) -> list[Checked]:
    said = [f"{cleaned(turn.character).strip()}: {cleaned(turn.text).strip()}" for turn in found.turns]
    story = f"{path.stem}-{fingerprint(said)[:10]}"
    rows: list[Checked] = []
    for number, turn in enumerate(found.turns, start=1):
        former: list[str] = []
        for earlier in reversed(said[: number - 1]):
            if former and len(" ".join([earlier, *former]).split()) > FORMER_WORDS:
                break
            former.insert(0, earlier)
        # The first turn has no situation, so it is only checked, with its own words instead of one.
        text, context = cleaned(turn.text).strip(), TURNS.join(former or said[:1])
        row = _in_situation(path, place, f"{story}/{number}", text, turn.labels, turn.character, context)
        if isinstance(row, str):
            rows.append(f"{place}, turn {number}: {row}. Correct it.")
        elif number > 1:
            rows.append(row)
    return rows


def _in_situation(
    path: Path, place: str, row_id: str, text: str, weights: dict[str, float], speaker: str, context: str
) -> Checked:
    """Return a row, or its fault without its place. The part of the id before the slash is the row's story."""
    labels = ",".join(f"{label}:{weight:g}".replace(":0.", ":.") for label, weight in weights.items())
    character = cleaned(speaker).strip()
    if fault := labels_fault(labels) or next(filter(None, map(_text_fault, (text, context, character))), None):
        return fault
    fields = {"source": _source(path, place), "story": row_id.partition("/")[0], "labels": labels}
    return Item(id=row_id, text=text, fields=fields | {"character": character, "context": context})


def labels_of(item: Item) -> dict[str, float]:
    """Return the writer's labels with their weights, the strongest first; empty where nobody has labelled the text."""
    return weights_of(item.fields.get("labels", ""))


def weights_of(labels: str) -> dict[str, float]:
    """Return the weights of labels such as `joy:1,love:.4`, the strongest first."""
    pairs = (one.partition(":")[::2] for one in labels.split(",") if one)
    return dict(sorted(((label, WEIGHTS[weight]) for label, weight in pairs), key=lambda pair: -pair[1]))


def _source(path: Path, place: str) -> str:
    return f"{path.name}, {place.rpartition(', ')[2]}"


def labels_fault(labels: str) -> str | None:
    """Return why labels such as `joy:1,love:.4` are not valid: one to three of the 28, one of them with weight 1."""
    pairs = [one.partition(":")[::2] for one in labels.split(",")]
    for label, weight in pairs:
        if label not in LABEL_TO_INDEX or weight not in WEIGHTS:
            return f"'{label}:{weight}' is not one of the 28 labels with a weight of 1, .7 or .4"
    if len(pairs) > MOST_LABELS or len({label for label, _ in pairs}) < len(pairs):
        return f"'{labels}' is not one to three different labels"
    return None if any(weight == "1" for _, weight in pairs) else f"'{labels}' has no label of weight 1"


def _text_fault(text: str) -> str | None:
    if not text:
        return "a text is empty"
    if len(text) > 1 and text[0] in '"“' and text[-1] in '"”' and not any(mark in text[1:-1] for mark in '"“”'):
        return "quotation marks around the whole text"
    damage = damage_of(text, one_line=True)
    return f"the text contains {damage}" if damage else None


def _descriptors(path: Path) -> dict[str, str]:
    """Return the free emotion words of each text of a file; empty if there are none beside it."""
    beside = path.parent / "descriptors" / path.name.removeprefix("contextless-")
    if not beside.exists():
        return {}
    cells = (line.split("\t") for _, line in lines(beside))
    return {cleaned(text).strip(): words for words, text in cells}
