"""The near-duplicate index finds what a comparison of all pairs finds, and filters and report agree on it."""

import random

import pytest

from dataset_builder.analysis.diversity_metrics import near_duplicates
from dataset_builder.filters.deduplicate import DuplicateFilter
from dataset_builder.filters.near_duplicates import NearDuplicates, shingles, tokens

WORDS = [f"w{number}" for number in range(20_000)]


def jaccard(one: str, other: str) -> float:
    """By its definition, on the texts."""
    a, b = ({tuple(text[i : i + 3]) for i in range(max(1, len(text) - 2))} for text in (tokens(one), tokens(other)))
    return len(a & b) / len(a | b)


def changes(at: float, words: int) -> int | None:
    """How many 3-grams of a text of so many words must differ for a Jaccard from `at` to .05 above it, if any."""
    size = words - 2
    return next(
        (n for n in range(size + 1) if at <= (size - n) / (size + n) and (size - n) / (size + n) < at + 0.05), None
    )


def planted(at: float, lengths: range, draw: random.Random) -> list[tuple[str, str]]:
    """300 pairs of so many words whose Jaccard is at the threshold or up to .05 above: their first words differ."""
    possible = [length for length in lengths if changes(at, length) is not None]
    pairs = []
    for _ in range(300 if possible else 0):
        text = draw.sample(WORDS, draw.choice(possible))
        differ = changes(at, len(text)) or 0
        pairs.append((" ".join(text), "  ".join([draw.choice(WORDS) for _ in range(differ)] + text[differ:])))
    return pairs


@pytest.mark.parametrize("at", [0.02, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_every_planted_pair_at_the_threshold_is_found(at: float) -> None:
    draw = random.Random(int(at * 100))
    pairs = planted(at, range(3, 14), draw) + planted(at, range(14, 160), draw)
    assert len(pairs) >= 300
    assert all(at <= jaccard(*pair) <= at + 0.051 for pair in pairs)
    index = NearDuplicates(at)
    for text in (" ".join(draw.sample(WORDS, 12)) for _ in range(2_000)):
        index.add(shingles(tokens(text)))  # in the way, so that the order is made anew
    numbers = [index.add(shingles(tokens(first))) for first, _ in pairs]
    found = [number in {*index.matches(shingles(tokens(pair[1])))} for number, pair in zip(numbers, pairs, strict=True)]
    assert all(found), f"{sum(found)} of {len(found)}"


def test_short_texts_and_long_ones_of_few_words_are_those_of_all_pairs() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices(("a", "b", "c", "!"), k=draw.randint(1, 14))) for _ in range(1_500)]
    for at in (0.05, 0.35, 0.7, 1.0):
        index = NearDuplicates(at)
        for number, text in enumerate(texts[:300]):
            wanted = {other for other in range(number) if jaccard(text, texts[other]) >= at - 1e-9}
            assert {*index.matches(shingles(tokens(text)))} == wanted
            index.add(shingles(tokens(text)))


def test_a_threshold_out_of_range_is_refused() -> None:
    for at in (0.0, -1.0, 1.1):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            NearDuplicates(at)


def changed(text: str, draw: random.Random) -> str:
    words = text.split()
    words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


@pytest.mark.parametrize("at", [0.5, 0.7, 0.85])
def test_the_report_finds_nothing_in_what_the_filter_left(at: float) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.sample(WORDS[:5_000], draw.randint(6, 30))) + draw.choice(".!?") for _ in range(1_500)]
    texts += [changed(text, draw) for text in texts[::4]] + [text.upper() + "!" for text in texts[::50]]
    draw.shuffle(texts)
    duplicates = DuplicateFilter(at)
    kept = [text for number, text in enumerate(texts) if not duplicates.check({"id": str(number), "text": text})]
    assert near_duplicates([tokens(text) for text in texts], at) > 0.02
    assert near_duplicates([tokens(text) for text in kept], at) == 0
    assert len(texts) - len(kept) >= round(near_duplicates([tokens(text) for text in texts], at) * len(texts) * 0.95)


def test_a_text_of_a_benchmark_with_a_word_more_is_found() -> None:
    draw = random.Random(4)
    texts = [" ".join(draw.sample(WORDS, draw.randint(12, 30))) for _ in range(1_200)]
    duplicates = DuplicateFilter(0.5, ((f"b:{number}", text) for number, text in enumerate(texts)))
    for number, text in enumerate(texts):
        words = text.split()
        words.insert(draw.randrange(len(words)), "then")
        assert duplicates.check({"id": "x", "text": " ".join(words)}) == ("benchmark_text", f"b:{number}")


def test_texts_of_a_benchmark_that_are_alike_all_count() -> None:
    """A row may be like the second of two such texts and not like the first."""
    first = "I told him that the old red door by the river must never be left open at night"
    second, row = f"{first} again said she", f"{first} again said she and then went home"
    assert DuplicateFilter(0.7, [("b:0", first)]).check({"id": "x", "text": row}) is None
    duplicates = DuplicateFilter(0.7, [("b:0", first), ("b:1", second)])
    assert duplicates.check({"id": "x", "text": row}) == ("benchmark_text", "b:1")
    assert duplicates.check({"id": "y", "text": first}) == ("benchmark_text", "b:0")


def test_of_several_duplicates_the_first_is_named_and_an_equal_one_before_all() -> None:
    long = "I told him a hundred times that the old red door by the river must never be left open at night"
    near = DuplicateFilter(0.7)
    assert near.check({"id": "a", "text": f"{long} now"}) is None
    assert near.check({"id": "b", "text": "Something else happened to all of us at the harbour."}) is None
    assert near.check({"id": "c", "text": f"{long} again"}) == ("near_duplicate", "a")
    assert near.check({"id": "d", "text": "something else happened: to all of us, at the HARBOUR"}) == (
        "duplicate",
        "b",
    )
    exact = DuplicateFilter(None)
    assert not any(exact.check({"id": word, "text": f"{long} {word}"}) for word in ("now", "again"))
    assert exact.check({"id": "d", "text": f"{long}, NOW!"}) == ("duplicate", "now")
