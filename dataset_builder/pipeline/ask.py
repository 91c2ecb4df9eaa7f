"""The only code that calls a teacher: prompts, seeds, attempts, reasons for failures, token counts."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jinja2

from dataset_builder.gold_set import few_shot_examples
from dataset_builder.hashing import fingerprint, stable_hash
from dataset_builder.inputs import InputError
from dataset_builder.pipeline.replies import CLOSED_FORM, SCHEMAS, check_refusal_and_echo
from dataset_builder.recipe import Decoding
from dataset_builder.schema import Rejected, Usage
from dataset_builder.taxonomy import EMOTIONS
from dataset_builder.teachers.base import NoAnswer, Reply, Request, Scores, Teacher, TeacherError
from dataset_builder.teachers.reply_text import BadReply, strip_reasoning
from dataset_builder.text_hygiene import cleaned

PROMPTS = Path(__file__).parents[1] / "prompts"
QUOTED = ("story", "context", "text")  # fields whose content a good reply may repeat
RETRY_TEMPERATURE = 0.7  # the recipes' temperature for utterances of small teachers
LONGEST_REPLY = 100_000  # characters: ten times what any answer needs
SURROGATES = range(0xD800, 0xE000)  # halves of characters
LOST = "\ufffd"  # the replacement character
T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    """A prompt file: jinja2 templates of system message, user message and prefill, with few-shot examples."""

    system: jinja2.Template
    user: jinja2.Template
    prefill: jinja2.Template
    shots: tuple[tuple[str, str], ...]


@cache
def load_prompt(name: str) -> Prompt:
    """Read `prompts/<name>.txt`, whose parts are headed `### system`, `### user`, `### prefill`."""
    parts = {"system": "", "user": "", "prefill": ""}
    part = ""
    for line in (PROMPTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            part = line.removeprefix("### ").strip()
            if part not in parts:
                raise InputError(f"{PROMPTS / name}.txt: unknown part '{part}'; parts are {', '.join(parts)}.")
        else:
            parts[part] += line + "\n"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    templates = {part: environment.from_string(text.strip("\n")) for part, text in parts.items()}
    return Prompt(**templates, shots=few_shot_examples(name, templates["user"]))


@cache
def prompt_versions() -> dict[str, str]:
    """Return the content hash of every prompt file of the corpus's stages, with its few-shot examples."""
    return {name: prompt_version(name) for name in sorted(path.stem for path in PROMPTS.glob("*.txt"))}


def prompt_version(name: str) -> str:
    """Return the content hash of a prompt file with its few-shot examples."""
    return fingerprint([(PROMPTS / f"{name}.txt").read_text(encoding="utf-8"), load_prompt(name).shots])


def checked_prompts(prompts: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """Return the names. Raises ValueError if a name has no file in the prompt folder, or occurs twice."""
    known = sorted(path.stem for path in (PROMPTS / folder).glob("*.txt"))
    for prompt in prompts:
        if prompt not in known or prompts.count(prompt) > 1:
            raise ValueError(f"'{prompt}' is unknown or occurs twice; prompts are {', '.join(known)}")
    return prompts


@cache
def emotion_list(*, neutral: bool) -> str:
    """Return the 27 emotions (and neutral) with their definitions, one per line, as in the prompts."""
    emotions = (emotion for emotion in EMOTIONS if neutral or emotion.name != "neutral")
    return "\n".join(f"- {emotion.name}: {emotion.definition}" for emotion in emotions)


class UnitRejected(Exception):
    """The unit yields no row; `reason` is the code and `text` the beginning of the teacher's last reply.

    `failure` is the teacher's error; None if it answered, but badly.
    """

    def __init__(self, reason: str, text: str = "", *, failure: TeacherError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.failure = failure


class Ask:
    """Calls a teacher for one unit of a stage, and counts usage, retries and rejected parts.

    `failure` is the error of a call that got no answer; errors of the teacher itself take precedence. `answered` tells
    whether any call got an answer.
    """

    def __init__(
        self, teacher: Teacher, run_seed: int, stage: str, unit: str, shared: "dict[str, asyncio.Task[Any]]"
    ) -> None:
        self._teacher, self._run_seed, self._shared = teacher, run_seed, shared
        self.stage, self.unit = stage, unit
        self.usage = Usage()
        self.retried: Counter[str] = Counter()
        self.rejected: list[Rejected] = []
        self.failure: TeacherError | None = None
        self.answered = False

    async def text(
        self,
        prompt: str,
        decoding: Decoding,
        parse: Callable[[str, bool], T],
        *,
        part: str = "",
        stop: tuple[str, ...] = (),
        **fields: object,
    ) -> T:
        """Ask until `parse(text, cut)` accepts the reply, at most `decoding.attempts` times, each with its own seed.

        Args:
            prompt: name of the prompt file; `fields` fill its placeholders.
            part: name that distinguishes several prompts of one unit.

        Raises:
            UnitRejected: with the last attempt's reason.
        """
        # The echo check compares the reply with these; a good reply may repeat the story and the text. Two lines of
        # labels and levels may well be those of an example, so they are not compared.
        instructions = ""
        if prompt not in CLOSED_FORM:
            instructions = load_prompt(prompt).user.render(**fields | dict.fromkeys(QUOTED, ""))
            instructions += "".join(f"\n\n{answer}" for _, answer in load_prompt(prompt).shots)
        rejected = UnitRejected("")
        for attempt in range(decoding.attempts):
            if attempt:
                self.retried[rejected.reason] += 1
            request = self._request(
                prompt,
                fields,
                stop=stop,
                schema=SCHEMAS.get(prompt),
                max_new_tokens=decoding.max_new_tokens,
                # A greedy teacher would repeat its bad reply: later attempts are sampled.
                temperature=decoding.temperature or (RETRY_TEMPERATURE if attempt else 0.0),
                top_p=decoding.top_p,
                repetition_penalty=decoding.repetition_penalty,
                # Each attempt of each unit has its own seed, independent of the order of the units and of restarts.
                seed=stable_hash(self._run_seed, self.stage, self.unit, part, attempt),
            )
            text = ""
            try:
                reply = await self._teacher.generate(request)
                if len(reply.text) > LONGEST_REPLY:  # the server ignored the token limit
                    reply = replace(reply, text=reply.text[:LONGEST_REPLY], cut=True)
                self._count(reply)
                text = reply.text
                text = usable(reply)
                check_refusal_and_echo(text, instructions)
                return parse(text, reply.cut)
            except BadReply as error:
                rejected = UnitRejected(error.reason, text)
            except NoAnswer as error:
                self.usage.add(error.usage)
                self.retried.update(error.retried)
                rejected = UnitRejected(error.reason, error.message, failure=error)
            except TeacherError as error:  # the client has already retried
                raise self._failed(error) from None
        self._remember(rejected.failure)
        raise rejected

    async def scores(self, prompt: str, choices: Sequence[str], **fields: object) -> tuple[float, ...]:
        """Return each choice's log-probability as the next word. Raises UnitRejected when the call fails."""
        try:
            scores = await self._teacher.score(self._request(prompt, fields, max_new_tokens=1), choices)
        except TeacherError as error:
            raise self._failed(error) from None
        self._count(scores)
        return scores.log_probabilities

    async def continuation_probabilities(
        self, prompt: str, words: Sequence[str], texts: Sequence[str]
    ) -> tuple[float, ...]:
        """Return the probability of the rest of each word given its first token, averaged over texts.

        Raises:
            UnitRejected: a call failed.
        """
        choices = tuple(f" {word}" for word in words)
        requests = [self._request(prompt, {"text": text}, max_new_tokens=1) for text in texts]
        try:
            found = await asyncio.gather(*(self._teacher.continuation_probability(one, choices) for one in requests))
        except TeacherError as error:
            raise self._failed(error) from None
        return tuple(sum(column) / len(found) for column in zip(*found, strict=True))

    async def shared_result(self, key: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return a result that all units of a shard share: the first unit computes it, the others await it.

        Raises:
            UnitRejected: it could not be computed; the next unit that needs it tries again.
        """
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.ensure_future(make())
        try:
            result: T = await task
        except UnitRejected as rejected:
            self._remember(rejected.failure)
            # Only the first unit that sees the failure removes the task: another unit may already have started the next
            # attempt.
            if self._shared.get(key) is task:
                del self._shared[key]
            raise
        return result

    def reject(self, reason: str, text: str, part: str = "") -> None:
        """Record rejected output of the teacher."""
        key = f"{self.unit}/{part}" if part else self.unit
        self.rejected.append(Rejected.of(key, self.stage, reason, text))

    def _request(self, prompt: str, fields: Mapping[str, object], **settings: Any) -> Request:
        templates = load_prompt(prompt)
        return Request(
            prompt=prompt,
            system=templates.system.render(**fields),
            user=templates.user.render(**fields),
            prefill=templates.prefill.render(**fields),
            story=fingerprint(str(fields.get("story", fields.get("text", fields.get("context", self.unit))))),
            shots=templates.shots,
            **settings,
        )

    def _count(self, answer: Reply | Scores) -> None:
        self.answered = True
        self.usage.add(answer.usage)
        self.retried.update(answer.retried)

    def _failed(self, error: TeacherError) -> UnitRejected:
        self.retried.update(error.retried)
        self._remember(error)
        return UnitRejected(error.reason, error.message, failure=error)

    def _remember(self, failure: TeacherError | None) -> None:
        if failure and not (self.failure and self.failure.retryable):
            self.failure = failure


def usable(reply: Reply) -> str:
    """Return the answer in a reply, without reasoning and without invisible characters.

    Half a character at the end of a truncated reply is removed. Elsewhere it becomes a replacement character, which no
    text may contain (text_hygiene.py): a list then loses only the item that contains it.

    Raises:
        BadReply: the reply contains only reasoning.
    """
    text = strip_reasoning(cleaned(reply.text))
    if reply.cut:
        text = text.rstrip("".join(map(chr, SURROGATES)) + LOST)
    return re.sub(f"[{chr(SURROGATES[0])}-{chr(SURROGATES[-1])}]", LOST, text)
