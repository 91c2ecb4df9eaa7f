"""Models of published sizes with random weights: as fast and as large as trained ones, and nothing to download.

The vocabulary has its published size, because memory and disk depend on it. Texts are tokenised by the tokenizer of a
model of ours, because speed depends on the number of tokens alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

from transformers import BartConfig, BartForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from dataset_builder.taxonomy import LABELS

ROBERTA_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
ROBERTA_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PUBLISHED_VOCABULARY = 50265  # of RoBERTa and of BART


@dataclass(frozen=True)
class StandIn:
    """An architecture and its sizes.

    `nli`: the model decides whether a text entails a hypothesis, so 28 labels take 28 passes; others take one.
    """

    architecture: Literal["roberta", "bart"]
    sizes: dict[str, int]
    nli: bool = False
    vocabulary: int = PUBLISHED_VOCABULARY


STAND_INS = {
    "roberta-base": StandIn("roberta", ROBERTA_BASE),
    "roberta-large": StandIn("roberta", ROBERTA_LARGE),
    "bart-large-mnli": StandIn("bart", {}, nli=True),  # the library's defaults are bart-large's sizes
    "roberta-base-mnli": StandIn("roberta", ROBERTA_BASE, nli=True),
    "tiny": StandIn("roberta", TINY, vocabulary=0),  # the last two are for trying a command
    "tiny-nli": StandIn("roberta", TINY, nli=True, vocabulary=0),
}


def build(stand_in: StandIn, tokenizer: Any) -> Any:
    """The model, for texts of this tokenizer, in evaluation mode."""
    names = dict(enumerate(("contradiction", "neutral", "entailment") if stand_in.nli else LABELS))
    shared = {
        "vocab_size": max(stand_in.vocabulary, len(tokenizer)),
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
    }
    if stand_in.architecture == "roberta":
        # Two token types, for tokenizers that mark which text of a pair a token is of.
        shared |= {"type_vocab_size": 2, "max_position_embeddings": 514}
        return RobertaForSequenceClassification(RobertaConfig(**shared, **stand_in.sizes)).eval()
    end = tokenizer.sep_token_id  # BART classifies by the state at the last of these
    ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": end, "decoder_start_token_id": end}
    return BartForSequenceClassification(BartConfig(**shared, **ends, forced_eos_token_id=end, **stand_in.sizes)).eval()
