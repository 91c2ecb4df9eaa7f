"""Made-up stories in any number: each one names fifteen characters."""

from pathlib import Path

from dataset_builder.files.shards import to_line, write_whole
from dataset_builder.hashing import stable_hash

CHARACTERS = 15
SYLLABLES = [consonant + vowel for consonant in "bdklmnrst" for vowel in "aeio"]
DEEDS = (
    "walked to the river with",
    "borrowed a ladder from",
    "waited the whole night for",
    "would not speak to",
    "found the letter that was meant for",
    "sold the old boat of",
)


def names(story: int) -> list[str]:
    """Return the characters of a story, all different."""
    found: dict[str, None] = {}
    draw = 0
    while len(found) < CHARACTERS:
        number = stable_hash("name", story, draw)
        syllables = (SYLLABLES[(number >> shift) % len(SYLLABLES)] for shift in (0, 8, 16))
        found["".join(syllables).capitalize()] = None
        draw += 1
    return [*found]


def write_stories(path: Path, count: int) -> Path:
    """Write `count` stories as JSON lines, always the same ones."""
    write_whole(path, (to_line(_story(number)) for number in range(count)))
    return path


def _story(number: int) -> dict[str, str]:
    cast = names(number)
    sentences = [
        f"That morning {name} {DEEDS[stable_hash(number, index) % len(DEEDS)]} {cast[index - 1]}."
        for index, name in enumerate(cast)
    ]
    return {"id": f"made-{number:05d}", "title": f"Story {number}", "text": " ".join(sentences * 2)}
