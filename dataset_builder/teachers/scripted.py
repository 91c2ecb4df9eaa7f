"""A deterministic teacher FOR TESTS ONLY: well-formed replies of words drawn by the prompt's hash; they mean nothing.

A chosen share of its replies is bad in the ways of real teachers: cut off, empty, a refusal, an echo of the prompt.
"""

import random
import re
from collections.abc import Sequence

from dataset_builder.hashing import stable_hash
from dataset_builder.recipe import ScriptedTeacher
from dataset_builder.schema import Usage
from dataset_builder.taxonomy import LABELS
from dataset_builder.teachers.base import Reply, Request, Scores

WORDS = """
river window letter garden morning street kitchen winter bridge market paper mountain engine candle harbour pocket
ticket summer ladder village mirror shoulder blanket corner silver wooden broken empty heavy quiet early narrow yellow
sudden distant bitter gentle crooked open carry follow forget borrow promise answer travel gather whisper measure
deliver repair wonder return finish listen climb because before after under behind without across nothing something
always never again almost perhaps everyone somebody tomorrow yesterday nearly enough
""".split()


class Scripted:
    """Implements the Teacher interface without a model."""

    def __init__(self, config: ScriptedTeacher) -> None:
        self.name = config.name
        self._bad_share = config.bad_reply_share

    async def generate(self, request: Request) -> Reply:
        """Return a reply in the form that the prompt asks for, or a bad one."""
        draw = random.Random(stable_hash(request.prompt, request.user, request.seed))
        if draw.random() < self._bad_share:
            refusal, cut_off = "I'm sorry, but I can't help with that request.", "and then the old"
            text = draw.choice(["", refusal, request.user[-200:], cut_off])
            cut = text == cut_off
        else:
            kind = request.prompt.partition("/")[0]  # of written/diary
            text = (request.prefill + " " if kind == "written" else "") + getattr(self, f"_{kind}")(request.user, draw)
            cut = False
        usage = Usage(calls=1, prompt_tokens=_tokens(request.system + request.user), completion_tokens=_tokens(text))
        return Reply(text=text, cut=cut, usage=usage)

    async def score(self, request: Request, choices: Sequence[str]) -> Scores:
        """Return a log-probability for each choice, from a normal distribution."""
        draw = random.Random(stable_hash("score", request.user))
        usage = Usage(calls=1, prompt_tokens=_tokens(request.system + request.user), completion_tokens=1)
        return Scores(tuple(draw.gauss(-8, 2) for _ in choices), usage)

    async def continuation_probability(self, request: Request, choices: Sequence[str]) -> tuple[float, ...]:
        """1 for each choice: this teacher has no tokens."""
        return (1.0,) * len(choices)

    async def close(self) -> None:
        """Nothing to close."""

    # One method for each prompt file, named after it.

    def _characters(self, user: str, draw: random.Random) -> str:
        story = user.partition("\n")[2].rpartition("\n")[0]
        names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", story) or re.findall(r"\b[A-Z][a-z]+", story)
        return "\n".join(f"{number}. {name}" for number, name in enumerate(dict.fromkeys(names), start=1))

    def _utterances_list(self, user: str, draw: random.Random) -> str:
        emotional = int(re.findall(r"Write (\d+) things", user)[-1])
        neutral = int((re.findall(r"then (\d+) with no emotion", user) or ["0"])[-1])
        emotions = draw.sample(LABELS[:-1], emotional) + ["neutral"] * neutral
        return "\n".join(f"{i}. [{emotion}] {_sentence(draw)}" for i, emotion in enumerate(emotions, start=1))

    def _labels_verbalised(self, user: str, draw: random.Random) -> str:
        levels = sorted((draw.randint(1, 10) / 10 for _ in range(5)), reverse=True)
        chosen = draw.sample([*LABELS, "anxiety", "hope", "longing"], 5)
        return "\n".join(
            f"{i}. {label}: {level}" for i, (label, level) in enumerate(zip(chosen, levels, strict=True), 1)
        )

    _judges = _labels_verbalised

    def _closed_set(self, user: str, draw: random.Random) -> str:
        listed = re.match(r"Labels: (.+)", user)
        return draw.choice(listed[1].split(", ")) if listed else str(draw.randint(1, 5))

    def _descriptors_generated(self, user: str, draw: random.Random) -> str:
        return "Emotions: " + ", ".join(draw.sample([*LABELS[:-1], "quiet hope", "longing"], draw.randint(1, 4)))

    def _cleaning(self, user: str, draw: random.Random) -> str:
        return user.partition("Text: ")[2].partition("\n")[0]

    def _utterances_single(self, user: str, draw: random.Random) -> str:
        return f'"{_sentence(draw)}"'

    def _context(self, user: str, draw: random.Random) -> str:
        return f"{_sentence(draw)} {_sentence(draw)}"

    _rewriting = _utterances_single
    _writing = _context


def _sentence(draw: random.Random) -> str:
    return f"I {' '.join(draw.choices(WORDS, k=draw.randint(7, 14)))}."


def _tokens(text: str) -> int:
    """About as many tokens as a real teacher would count."""
    return len(text) // 4
