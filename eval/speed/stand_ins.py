"""Models of published sizes with random weights: as fast and as large as trained models, without a download.

The vocabulary has its published size, because memory and disk depend on it. Texts are tokenised with the tokenizer of
one of our models, because speed depends only on the number of tokens.
"""

from typing import Any

from transformers import AutoConfig, AutoModelForSequenceClassification

from dataset_builder.taxonomy import LABELS

VOCABULARY = 50265  # of RoBERTa and of BART
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
# Architecture and sizes; BART's are the library's defaults, those of bart-large. The tiny ones are for trying commands.
STAND_INS: dict[str, tuple[str, dict[str, int]]] = {
    "roberta-base": ("roberta", BASE),
    "roberta-large": ("roberta", LARGE),
    "bart-large-mnli": ("bart", {}),
    "roberta-base-mnli": ("roberta", BASE),
    "tiny": ("roberta", TINY),
    "tiny-mnli": ("roberta", TINY),
}


def is_nli(name: str) -> bool:
    """Whether a stand-in decides if a text entails a hypothesis, so that 28 labels take 28 passes; others take one."""
    return name.endswith("-mnli")


def build(name: str, tokenizer: Any) -> Any:
    """Return the model, for texts of this tokenizer, in evaluation mode."""
    architecture, sizes = STAND_INS[name]
    outputs = dict(enumerate(("contradiction", "neutral", "entailment") if is_nli(name) else LABELS))
    # BART classifies by the state at the last end token.
    tokens = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    tokens |= {f"{kind}_token_id": tokenizer.sep_token_id for kind in ("decoder_start", "forced_eos")}
    if architecture == "roberta":
        # RoBERTa counts positions from 2. Two token types, for tokenizers that mark which text of a pair a token is of.
        sizes = sizes | {"max_position_embeddings": 514, "type_vocab_size": 2}
    config = AutoConfig.for_model(
        architecture,
        vocab_size=max(VOCABULARY, len(tokenizer)),
        pad_token_id=tokenizer.pad_token_id,
        id2label=outputs,
        label2id={output: index for index, output in outputs.items()},
        **sizes,
        **tokens,
    )
    return AutoModelForSequenceClassification.from_config(config).eval()
