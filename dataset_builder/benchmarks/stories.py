"""Made-up stories of any number, for measures of the builder only: every one names fifteen characters."""

import json
from pathlib import Path

from dataset_builder.files.shards import write_whole
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
    """The characters of a story, all different."""
    found: dict[str, None] = {}
    draw = 0
    while len(found) < CHARACTERS:
        number = stable_hash("name", story, draw)
        draw += 1
        first, second, third = (SYLLABLES[(number >> shift) % len(SYLLABLES)] for shift in (0, 8, 16))
        found[f"{first}{second}{third}".capitalize()] = None
    return [*found]


def write_stories(path: Path, count: int) -> Path:
    """Write `count` stories as JSON lines; the same ones each time."""

    def lines() -> "object":
        for story in range(count):
            cast = names(story)
            sentences = [
                f"That morning {one} {DEEDS[stable_hash(story, index) % len(DEEDS)]} {cast[index - 1]}."
                for index, one in enumerate(cast)
            ]
            row = {"id": f"made-{story:05d}", "title": f"Story {story}", "text": " ".join(sentences * 2)}
            yield json.dumps(row).encode() + b"\n"

    write_whole(path, lines())  # type: ignore[arg-type]
    return path
