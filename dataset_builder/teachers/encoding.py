"""Prompts as token ids. What a prompt quotes is text: control tokens come from the chat template alone."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jinja2

from dataset_builder.teachers.base import Request, TeacherError

MARKS = re.compile(r"[<>\[\]{}|]")  # what the marks among the added tokens have, and added words have not
PLAIN = "x"  # stands for a quoted text that has no marks


class PromptEncoder:
    """Encodes requests for one tokenizer: by its chat template, or as a base model reads them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        control = {
            number: token.content
            for number, token in added.items()
            if token.content.strip() and (token.special or MARKS.search(token.content))
        }
        self._control = frozenset(control)
        longest_first = sorted(control.values(), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first))) if control else None

    def encode(self, request: Request) -> list[int]:
        """Token ids of the whole prompt, the prefill included.

        Raises:
            TeacherError: the tokenizer reads a mark in the quoted texts all the same.
        """
        tokens = self._tokens(self._prompt(request, self._as_text))
        # A tokenizer may change texts before it looks for marks (full-width letters), so what came out is counted.
        if self._count(tokens) and self._count(tokens) != self._count(self._tokens(self._prompt(request, _plain))):
            raise TeacherError("control_tokens", "a text holds marks that this tokenizer reads as control tokens")
        return tokens

    def _prompt(self, request: Request, quote: Callable[[str], str]) -> str:
        system, user, prefill = quote(request.system), quote(request.user), quote(request.prefill)
        if not self._tokenizer.chat_template:
            shots = tuple((quote(user), quote(answer)) for user, answer in request.shots)
            quoted = replace(request, system=system, user=user, prefill=prefill, shots=shots)
            return (self._tokenizer.bos_token or "") + quoted.as_document()
        try:
            prompt = self._chat([{"role": "system", "content": system}, {"role": "user", "content": user}])
        except jinja2.TemplateError:  # some models know no system's turn
            prompt = self._chat([{"role": "user", "content": f"{system}\n\n{user}"}])
        return prompt + prefill

    def _chat(self, messages: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _tokens(self, prompt: str) -> list[int]:
        tokens: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return tokens

    def _count(self, tokens: list[int]) -> int:
        return sum(token in self._control for token in tokens)

    def _as_text(self, quoted: str) -> str:
        """The same with a space in every mark, so that no tokenizer takes it for one: `< |im_end|>`."""
        return self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", quoted) if self._marks else quoted


def _plain(quoted: str) -> str:
    return PLAIN if quoted else ""
