"""A loaded language model that generates and scores batches of prompts."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from dataset_builder.inputs import InputError
from dataset_builder.recipe import EmbeddedTeacher
from dataset_builder.teachers.base import DOCUMENT_STOP, Reply, Request, Scores, TeacherError
from dataset_builder.teachers.choice_tree import ChoiceTree, Path
from dataset_builder.teachers.encoding import Prompt, PromptEncoder
from dataset_builder.teachers.loading import load_model
from dataset_builder.teachers.prefix_cache import Batch, PrefixCache

NodeScores = dict[Path, dict[int, float]]  # log-probabilities of the next tokens after each node of a ChoiceTree


class LanguageModel:
    """A model with tokenizer and prefix cache, for one thread at a time. Raises InputError if there are no weights."""

    def __init__(self, config: EmbeddedTeacher) -> None:
        self.network, self._tokenizer = load_model(config)
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        self._pad = end if pad is None else pad
        self._config = config
        self._encoder = PromptEncoder(self._tokenizer)
        self._prefixes = PrefixCache(self.network, self._pad, config.kept_beginnings)
        self._end_tokens: dict[tuple[str, ...], list[int]] = {}
        self._trees: dict[tuple[Any, ...], ChoiceTree] = {}

    def encode(self, request: Request) -> Prompt:
        """Return a request with its tokens. Raises TeacherError if the model cannot read so many."""
        tokens = self._encoder.encode(request)
        longest = self.network.config.max_position_embeddings
        if len(tokens) + request.max_new_tokens > longest:
            raise TeacherError("prompt_too_long", f"{len(tokens)} tokens, but the model reads at most {longest}")
        return Prompt(request, tokens)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answers to prompts of equal settings."""
        request = prompts[0].request
        stop = request.stop if self._tokenizer.chat_template else (*request.stop, DOCUMENT_STOP)
        ends = self._tokens_that_end(stop)
        batch = self._prefixes.lay_out(prompts, request.max_new_tokens)
        sampling = {"temperature": request.temperature, "top_p": request.top_p} if request.temperature else {}
        # One seed for the batch: sampling is repeatable only if the same prompts meet in a batch again.
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
        ending = set(ends)
        for prompt, usage, row in zip(prompts, batch.usages, output[:, batch.ids.shape[1] :].tolist(), strict=True):
            length = next((index + 1 for index, token in enumerate(row) if token in ending), None)
            usage.completion_tokens = length or len(row)
            text = self._tokenizer.decode(row[:length], skip_special_tokens=True)
            # A stop may also be spread over two tokens.
            stopped_at = min((text.find(sign) for sign in stop if sign in text), default=len(text))
            cut = length is None and stopped_at == len(text)
            replies.append(Reply(prompt.request.prefill + text[:stopped_at], cut, usage))
        return replies

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def score(self, prompts: Sequence[Prompt], choices: tuple[str, ...]) -> list[Scores]:
        """Return log-probabilities of the choices after each prompt."""
        tree = self.tree(choices, prompts[0].request.prefill)
        batch = self._prefixes.lay_out(prompts, len(tree.nodes))
        for usage in batch.usages:
            # Every inner node of the tree is one more token that the model reads.
            usage.prompt_tokens += len(tree.nodes) - 1
        found = self._score_nodes(tree, batch)
        return [Scores(tree.combine(row), usage) for row, usage in zip(found, batch.usages, strict=True)]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def continuation_probability(self, prompts: Sequence[Prompt], choices: tuple[str, ...]) -> list[tuple[float, ...]]:
        """Return the probability of each choice given its first token, after each prompt."""
        tree = self.tree(choices, prompts[0].request.prefill, whole=True)
        found = self._score_nodes(tree, self._prefixes.lay_out(prompts, len(tree.nodes)))
        return [tuple(map(math.exp, tree.combine(row, start=1))) for row in found]

    def tree(self, choices: tuple[str, ...], prefill: str, whole: bool = False) -> ChoiceTree:
        """Return the choices as tokens after the prefill; some tokenizers would encode them differently alone."""
        key = (choices, prefill, whole)
        if key not in self._trees:
            texts = [prefill, *(prefill + choice for choice in choices)]
            before, *begun = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            self._trees[key] = ChoiceTree([tokens[len(before) :] for tokens in begun], whole)
        return self._trees[key]

    # ------------------------------------------------------------------ steps

    def _tokens_that_end(self, stop: tuple[str, ...]) -> list[int]:
        """Return the end tokens and every token whose text contains a stop."""
        if stop not in self._end_tokens:
            ends = self.network.generation_config.eos_token_id  # a chat model may have one for the end of a turn
            ends = ends if isinstance(ends, list) else [ends]
            own = dict.fromkeys(end for end in (self._tokenizer.eos_token_id, *ends) if end is not None)
            texts = self._tokenizer.batch_decode([[token] for token in range(len(self._tokenizer))])
            found = [token for token, text in enumerate(texts) if any(sign in text for sign in stop)]
            self._end_tokens[stop] = [*own, *found]
        return self._end_tokens[stop]

    def _score_nodes(self, tree: ChoiceTree, batch: Batch) -> list[NodeScores]:
        """Return the log-probabilities that a tree of choices needs, after each prompt."""
        # Positions count real tokens: padding, which stands on the left and in the middle, must not shift them.
        positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.network(
            input_ids=batch.ids[:, batch.read :],
            attention_mask=batch.mask,
            position_ids=positions[:, batch.read :],
            past_key_values=batch.cache,
            # Only the last position: logits of every token would take (tokens, vocabulary) numbers for each prompt.
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
        ]

    def _inner_logits(self, nodes: Sequence[Path], batch: Batch, last: torch.Tensor) -> torch.Tensor:
        """Logits after each inner node, (prompts, nodes, vocabulary), in one pass in which a node sees its own path.

        `last` are the last positions of the prompts, (prompts, 1); the cache holds the prompts.
        """
        if not self._prefixes.usable:
            raise InputError(
                f"teacher '{self._config.model}': some choices begin with the same token, and this model's layers "
                "(sliding windows) do not allow the builder to distinguish them. Set 'descriptors.describer: "
                "generated'."
            )
        rows = len(batch.ids)
        # A node sees the nodes on its own path and no others, so that all paths go through the model together.
        path = torch.tensor([[other == node[: len(other)] for other in nodes] for node in nodes])
        seen = torch.cat([batch.mask.bool()[:, None].expand(-1, len(nodes), -1), path.expand(rows, -1, -1)], dim=-1)
        logits: torch.Tensor = self.network(
            input_ids=torch.tensor([[node[-1] for node in nodes]]).expand(rows, -1),
            position_ids=last + torch.tensor([len(node) for node in nodes]),
            attention_mask=seen[:, None],
            past_key_values=batch.cache,
        ).logits
        return logits
