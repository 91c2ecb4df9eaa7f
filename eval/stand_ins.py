"""Models of the sizes that others publish, with random weights, which are as fast as trained ones.

Their vocabulary has its published size, because memory and disk depend on it; their texts come from the tokenizer of a
model of ours, because speed depends on the number of tokens alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

from transformers import BartConfig, BartForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from dataset_builder.taxonomy import LABELS

HYPOTHESIS = "The speaker feels {}."
ENTAILMENT = {0: "contradiction", 1: "neutral", 2: "entailment"}
ROBERTA_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
ROBERTA_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TINY_BART = {
    "d_model": 32,
    **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
}
PUBLISHED_VOCABULARY = 50265  # of roberta and of bart


@dataclass(frozen=True)
class StandIn:
    """An architecture and its sizes.

    `nli`: it tells whether a text entails a hypothesis, so that 28 labels are 28 passes; else one pass gives all 28.
    """

    architecture: Literal["roberta", "bart"]
    sizes: dict[str, int]
    nli: bool = False
    vocabulary: int = PUBLISHED_VOCABULARY


STAND_INS = {
    "roberta-base": StandIn("roberta", ROBERTA_BASE),
    "roberta-large": StandIn("roberta", ROBERTA_LARGE),
    "bart-large-mnli": StandIn("bart", {}, nli=True),  # the library's defaults are bart-large's sizes
    "tiny": StandIn("roberta", TINY, vocabulary=0),  # the last two are for trying a command
    "tiny-nli": StandIn("bart", TINY_BART, nli=True, vocabulary=0),
}


def build(stand_in: StandIn, tokenizer: Any) -> Any:
    """The model, for texts of this tokenizer, in evaluation mode."""
    names = ENTAILMENT if stand_in.nli else dict(enumerate(LABELS))
    shared = {
        "vocab_size": max(stand_in.vocabulary, len(tokenizer)),
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
    }
    if stand_in.architecture == "roberta":
        types = {
            "type_vocab_size": 2,
            "max_position_embeddings": 514,
        }  # two, for tokenizers that tell a pair's texts apart
        return RobertaForSequenceClassification(RobertaConfig(**shared, **types, **stand_in.sizes)).eval()
    end = tokenizer.sep_token_id  # bart reads the state at the last of these
    ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": end, "decoder_start_token_id": end}
    return BartForSequenceClassification(BartConfig(**shared, **ends, forced_eos_token_id=end, **stand_in.sizes)).eval()
