"""Prompts as token ids. Quoted texts stay text: control tokens come from the chat template alone."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jinja2

from dataset_builder.teachers.base import Request, TeacherError

# Signs of which marks (`<|im_end|>`, `[INST]`) have one, and the plain words among the added tokens have none.
MARK_SIGNS = re.compile(r"[<>\[\]{}|]")
SHORT = 1000  # characters; shorter prompts are cheap to compute and share only prefixes that happen to be equal
BEGINNING = 200  # characters that tell apart the stories of longer prompts


@dataclass(frozen=True)
class Prompt:
    """A request and its tokens."""

    request: Request
    tokens: list[int]

    @property
    def beginning(self) -> tuple[str, str]:
        """Prompts with equal ones begin with the same instructions and story."""
        user = self.request.user
        return self.request.system, "" if len(user) < SHORT else user[:BEGINNING]


class PromptEncoder:
    """Encodes requests for one tokenizer: by its chat template, or as a document for a base model."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        control = {
            number: token.content
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.content.strip() and (token.special or MARK_SIGNS.search(token.content))
        }
        self._control = frozenset(control)
        # A mark may begin with another one, and a regular expression takes the first alternative that fits.
        longest_first = sorted(control.values(), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first))) if control else None

    def encode(self, request: Request) -> list[int]:
        """Return the token ids of the whole prompt, the prefill included.

        Raises:
            TeacherError: the tokenizer finds a mark in the quoted texts in spite of `_break_marks`.
        """
        tokens = self._tokens(self._prompt(request, self._break_marks))
        # A tokenizer may change texts before it looks for marks (full-width letters). So the control tokens are
        # counted, and compared with those of a prompt whose quoted texts have no marks.
        if self._count(tokens):
            plain = self._tokens(self._prompt(request, lambda text: "x" if text else ""))
            if self._count(tokens) != self._count(plain):
                raise TeacherError(
                    "control_tokens", "a text contains strings that this tokenizer reads as control tokens"
                )
        return tokens

    def _prompt(self, request: Request, quote: Callable[[str], str]) -> str:
        system, user, prefill = quote(request.system), quote(request.user), quote(request.prefill)
        if not self._tokenizer.chat_template:
            shots = tuple((quote(user), quote(answer)) for user, answer in request.shots)
            quoted = replace(request, system=system, user=user, prefill=prefill, shots=shots)
            return (self._tokenizer.bos_token or "") + quoted.as_document()
        try:
            prompt = self._chat([{"role": "system", "content": system}, {"role": "user", "content": user}])
        except jinja2.TemplateError:  # some models have no system role
            prompt = self._chat([{"role": "user", "content": f"{system}\n\n{user}"}])
        return prompt + prefill

    def _chat(self, messages: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _tokens(self, prompt: str) -> list[int]:
        tokens: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return tokens

    def _count(self, tokens: list[int]) -> int:
        return sum(token in self._control for token in tokens)

    def _break_marks(self, quoted: str) -> str:
        """Return the text with a space in every mark, so that no tokenizer takes it for one: `< |im_end|>`."""
        return self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", quoted) if self._marks else quoted
