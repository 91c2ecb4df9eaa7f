"""A loaded language model that generates and scores batches of prompts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.schema import Usage
from dataset_builder.teachers.base import DOCUMENT_STOP, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choice_tree import ChoiceTree, Path
from dataset_builder.teachers.encoding import PromptEncoder
from dataset_builder.teachers.loading import load_model
from dataset_builder.teachers.prefix_cache import Batch, PrefixCache

SHORT = 1000  # characters; shorter prompts are cheap to read and share what they happen to share
BEGINNING = 200  # characters that tell apart the stories of longer prompts
Found = dict[Path, dict[int, float]]  # log-probabilities of the next tokens after each node of a ChoiceTree


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


class LanguageModel:
    """A model with its tokenizer and prefix cache; to be called from one thread at a time.

    Raises:
        InputError: there are no weights.
    """

    def __init__(self, config: EmbeddedTeacher) -> None:
        self.network, self._tokenizer = load_model(config)
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        self._pad = end if pad is None else pad
        self._config = config
        self._encoder = PromptEncoder(self._tokenizer)
        self._prefixes = PrefixCache(self.network, self._pad, config.kept_beginnings)
        self._end_tokens: dict[tuple[str, ...], list[int]] = {}
        self._trees: dict[tuple[Any, ...], ChoiceTree] = {}

    def encode(self, request: Request) -> list[int]:
        """The tokens of a prompt. Raises TeacherError where the model cannot read so many."""
        tokens = self._encoder.encode(request)
        longest = self.network.config.max_position_embeddings
        if len(tokens) + request.max_new_tokens > longest:
            raise TeacherError("prompt_too_long", f"{len(tokens)} tokens, the model reads {longest}")
        return tokens

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answers to prompts of equal settings."""
        request = prompts[0].request
        stop = request.stop if self._tokenizer.chat_template else (*request.stop, DOCUMENT_STOP)
        ends = self._tokens_that_end(stop)
        batch, usages = self._lay_out(prompts, request.max_new_tokens)
        sampling = {"temperature": request.temperature, "top_p": request.top_p} if request.temperature else {}
        torch.manual_seed(request.seed)
        output = self.network.generate(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            past_key_values=batch.cache,
            max_new_tokens=request.max_new_tokens,
            do_sample=request.temperature > 0,
            repetition_penalty=request.repetition_penalty,
            eos_token_id=ends,
            pad_token_id=self._pad,
            **sampling,
        )
        replies = []
        for prompt, usage, row in zip(prompts, usages, output[:, batch.ids.shape[1] :].tolist(), strict=True):
            length = next((index + 1 for index, token in enumerate(row) if token in ends), None)
            usage.completion_tokens = length or len(row)
            text = self._tokenizer.decode(row[:length], skip_special_tokens=True)
            # A stop may also be spread over two tokens.
            stopped_at = min((text.find(sign) for sign in stop if sign in text), default=len(text))
            cut = length is None and stopped_at == len(text)
            replies.append(Reply(prompt.request.prefill + text[:stopped_at], cut, usage))
        return replies

    def score(self, prompts: Sequence[Prompt], choices: tuple[str, ...]) -> list[Scores]:
        """Log-probabilities of the choices after each prompt."""
        tree = self.tree(choices, prompts[0].request.prefill)
        found, usages = self._follow(tree, prompts)
        for usage in usages:
            usage.prompt_tokens += len(tree.nodes) - 1
        return [Scores(tree.combine(row), usage) for row, usage in zip(found, usages, strict=True)]

    def continuation_probability(self, prompts: Sequence[Prompt], choices: tuple[str, ...]) -> list[tuple[float, ...]]:
        """The probability of each choice given its first token, after each prompt."""
        tree = self.tree(choices, prompts[0].request.prefill, whole=True)
        found, _ = self._follow(tree, prompts)
        return [tuple(map(math.exp, tree.combine(row, start=1))) for row in found]

    def tree(self, choices: tuple[str, ...], prefill: str, whole: bool = False) -> ChoiceTree:
        """The choices as tokens after the prefill; some tokenizers would encode them differently alone."""
        key = (choices, prefill, whole)
        if key not in self._trees:
            texts = [prefill, *(prefill + choice for choice in choices)]
            before, *begun = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            self._trees[key] = ChoiceTree([tokens[len(before) :] for tokens in begun], whole)
        return self._trees[key]

    # ------------------------------------------------------------------ steps

    def _lay_out(self, prompts: Sequence[Prompt], new_tokens: int) -> tuple[Batch, list[Usage]]:
        """A batch with room for new tokens, and what reading it costs each prompt."""
        rows, groups = [prompt.tokens for prompt in prompts], [prompt.beginning for prompt in prompts]
        batch = self._prefixes.lay_out(rows, groups, new_tokens)
        return batch, [
            Usage(calls=1, prompt_tokens=len(row), cached_tokens=cached)
            for row, cached in zip(rows, batch.cached, strict=True)
        ]

    def _tokens_that_end(self, stop: tuple[str, ...]) -> list[int]:
        """The end tokens and every token whose text contains a stop."""
        if stop not in self._end_tokens:
            ends = self.network.generation_config.eos_token_id  # a chat model may have one for the end of a turn
            ends = ends if isinstance(ends, list) else [ends]
            own = dict.fromkeys(end for end in (self._tokenizer.eos_token_id, *ends) if end is not None)
            texts = self._tokenizer.batch_decode([[token] for token in range(len(self._tokenizer))])
            found = [token for token, text in enumerate(texts) if any(sign in text for sign in stop)]
            self._end_tokens[stop] = [*own, *found]
        return self._end_tokens[stop]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _follow(self, tree: ChoiceTree, prompts: Sequence[Prompt]) -> tuple[list[Found], list[Usage]]:
        """The log-probabilities that a tree of choices needs, after each prompt."""
        batch, usages = self._lay_out(prompts, len(tree.nodes))
        positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.network(
            input_ids=batch.ids[:, batch.read :],
            attention_mask=batch.mask,
            position_ids=positions[:, batch.read :],
            past_key_values=batch.cache,
            logits_to_keep=1,
        ).logits
        if inner := tree.nodes[1:]:
            logits = torch.cat([logits, self._inner_logits(inner, batch, positions[:, -1:])], dim=1)
        log_probabilities = logits.float().log_softmax(-1)  # (prompts, nodes, vocabulary)
        return [
            {
                node: dict(zip(children, at[children].tolist(), strict=True))
                for (node, children), at in zip(tree.children.items(), row, strict=True)
            }
            for row in log_probabilities
        ], usages

    def _inner_logits(self, nodes: Sequence[Path], batch: Batch, last: torch.Tensor) -> torch.Tensor:
        """Logits after each inner node, (prompts, nodes, vocabulary), in one pass in which a node sees its own path.

        `last` are the last positions of the prompts, (prompts, 1); the cache holds the prompts.
        """
        if not self._prefixes.usable:
            raise InputError(
                f"teacher '{self._config.model}': some choices begin with the same token, and this model's layers "
                "(sliding windows) do not allow to follow them. Set 'descriptors.describer: generated'."
            )
        rows = len(batch.ids)
        path = torch.tensor([[other == node[: len(other)] for other in nodes] for node in nodes])
        seen = torch.cat([batch.mask.bool()[:, None].expand(-1, len(nodes), -1), path.expand(rows, -1, -1)], dim=-1)
        logits: torch.Tensor = self.network(
            input_ids=torch.tensor([[node[-1] for node in nodes]]).expand(rows, -1),
            position_ids=last + torch.tensor([len(node) for node in nodes]),
            attention_mask=seen[:, None],
            past_key_values=batch.cache,
        ).logits
        return logits
