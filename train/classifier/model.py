"""The model before the first step: a stock classifier, its encoder's pooling, its head."""

from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from dataset_builder.inputs import InputError, first_line, wheel_path
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.losses import Loss
from train.classifier.recipe import ClassifierRecipe, Lora

DROPOUTS = (  # the names that the architectures give them
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
# What stands between the encoder's states and the outputs.
HEAD = {
    "classifier",
    "pooler",
    "head",
    "score",
    "pre_classifier",
    "classification_head",
    "sequence_summary",
    "logits_proj",
}
POSITIONS = {"position_embeddings", "wpe", "embed_positions"}  # what the architectures call their table of positions
OURS = "NAMESPACE/"  # stands for whoever publishes the models
MEAN_WEIGHT = 4.0  # of the other tokens against the first one's own state, where the pooling layer starts
LINEAR_PART = 0.25  # where tanh is nearly linear, for states of unit variance
RIDGE = 1e-4


def load_model(recipe: ClassifierRecipe, place: str | None = None) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and classifier of a recipe, before training.

    A pair is `text` and `text_pair`. Where the backbone has two token types (BERT), they tell the two apart; where it
    has one (RoBERTa, MPNet, ModernBERT), the separators between them do, as in its own pre-training or fine-tuning
    on pairs: a second type would be lost in a stock `pipeline`, whose tokenizer does not give it.

    Args:
        place: the base model, a folder or Hub id, instead of the recipe's.

    Raises:
        InputError: the base model does not load, or cannot take the recipe's pooling layer.
    """
    outputs = {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": LABEL_TO_INDEX,
        "problem_type": "multi_label_classification",
    }
    kind = AutoModelForSequenceClassification
    tokenizer, model = load_base(recipe, kind, outputs, place, truncation_side="left")
    if recipe.gradient_checkpointing and not getattr(model, "supports_gradient_checkpointing", False):
        raise InputError(f"{recipe.name}: the base model has no 'gradient_checkpointing'. Set it to false.")
    if last_linear(model).bias is None:  # it takes up the calibration
        raise InputError(
            f"base model '{place or recipe.base_model}': the head of '{model.config.model_type}' has no bias. Take an "
            "encoder, like BERT or RoBERTa."
        )
    if recipe.pooling_layer:
        model = with_pooling_layer(model, recipe)
    return tokenizer, model


def load_base(
    recipe: ClassifierRecipe | BiEncoderRecipe,
    kind: Any,
    outputs: dict[str, Any],
    place: str | None = None,
    **of_tokenizer: Any,
) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and stock model of a recipe's base, with the recipe's length and dropout.

    Args:
        kind: the library's class of models to load.
        outputs: what its configuration says besides.
        place: a folder or Hub id instead of the recipe's.

    Raises:
        InputError: the base model does not load, has no padding token, or is too short for the recipe.
    """
    base, named = base_model_source(recipe, place), f"base model '{place or recipe.base_model}'"
    try:
        tokenizer = AutoTokenizer.from_pretrained(**base, model_max_length=recipe.max_length, **of_tokenizer)
        config = AutoConfig.from_pretrained(**base, **outputs)
        if recipe.dropout is not None:
            config.update({name: recipe.dropout for name in DROPOUTS if hasattr(config, name)})
        model = kind.from_pretrained(**base, config=config, dtype=torch.float32)  # bases with 16 bits a weight too
    except Exception as error:  # of the Hub, torn files, unknown architectures: the library promises no kinds
        raise InputError(f"{named}: does not load ({first_line(error)}). Check 'base_model' and the network.") from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(f"{named}: its tokenizer has no vocabulary. Give a folder with the tokenizer's files.")
    if tokenizer.pad_token_id is None:
        raise InputError(f"{named}: its tokenizer has no padding token. Take an encoder, like BERT or RoBERTa.")
    if config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > (known := getattr(embeddings, "num_embeddings", len(tokenizer))):
        raise InputError(
            f"{named}: its tokenizer has {len(tokenizer)} tokens and the model {known}, so they do not "
            "go together. Give a folder with both."
        )
    check_length(recipe, model, tokenizer)
    return tokenizer, model


def check_length(
    recipe: ClassifierRecipe | BiEncoderRecipe, model: nn.Module, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raises InputError where `max_length` holds no text, or is more than the model's table of positions holds."""
    if recipe.max_length <= (special := tokenizer.num_special_tokens_to_add()):
        raise InputError(f"{recipe.name}: 'max_length' {recipe.max_length} holds the {special} special tokens alone.")
    if recipe.max_length > (room := positions(model) or recipe.max_length):
        table = getattr(model.config, "max_position_embeddings", room)
        raise InputError(
            f"{recipe.name}: 'max_length' {recipe.max_length} is more than the base model's {room}: its {table} "
            f"positions hold {room} tokens."
        )


def positions(model: nn.Module) -> int | None:
    """How many tokens a model's table of positions holds; None where it has relative or rotary ones, and no limit.

    RoBERTa and its kin count positions from behind the padding token's, BART from 2.
    """
    for name, part in model.named_modules():
        if name.rpartition(".")[2] in POSITIONS and isinstance(part, nn.Embedding):
            before = getattr(part, "offset", 0 if part.padding_idx is None else part.padding_idx + 1)
            room = int(part.num_embeddings) - before
            return min(room, getattr(model.config, "max_position_embeddings", room))
    return None


def base_model_source(recipe: ClassifierRecipe | BiEncoderRecipe, place: str | None = None) -> dict[str, Any]:
    """Arguments of `from_pretrained`: the folder in the installed package that the recipe names, else the Hub's.

    Args:
        place: a folder or Hub id instead of both.

    Raises:
        InputError: the base model is one of ours, of whose namespace the recipe knows nothing.
    """
    if place is not None:
        return {"pretrained_model_name_or_path": place, "trust_remote_code": False}
    if folder := wheel_path(recipe.base_model_wheel):
        return {"pretrained_model_name_or_path": str(folder), "trust_remote_code": False}
    if recipe.base_model.startswith(OURS):
        name = recipe.base_model.removeprefix(OURS)
        raise InputError(
            f"{recipe.name}: starts from our '{name}'. Give where it is with --base-model: the folder that it was "
            f"trained into (work/models/{name}), or its Hub id."
        )
    return {
        "pretrained_model_name_or_path": recipe.base_model,
        "revision": recipe.base_model_revision,
        "trust_remote_code": False,
    }


def with_pooling_layer(model: nn.Module, recipe: ClassifierRecipe) -> nn.Module:
    """The same BERT with one more layer, which starts as mean pooling; the stock head reads the first token.

    Encoders of sentence-transformers are trained for the mean of their token states, and BERT's stock head takes the
    first token's alone, about which that training cared little. In the new layer attention starts all but uniform and
    passes states on as they are, so that the first token's state is the mean of all. Then everything is trained.

    Raises:
        InputError: the model is not a BERT.
    """
    config = model.config
    if config.model_type != "bert":
        raise InputError(f"{recipe.name}: 'pooling_layer' is for BERT models; the base is a '{config.model_type}'.")
    states = model.state_dict()
    config.num_hidden_layers += 1
    deeper: nn.Module = type(model)(config)
    deeper.load_state_dict(states, strict=False)  # all but the new layer's
    layer = deeper.bert.encoder.layer[-1]
    with torch.no_grad():
        # Queries and keys stay as drawn, near 0: at 0 they would have no gradient.
        nn.init.eye_(layer.attention.self.value.weight)
        nn.init.eye_(layer.attention.output.dense.weight).mul_(MEAN_WEIGHT)
        nn.init.zeros_(layer.output.dense.weight)
        nn.init.eye_(deeper.bert.pooler.dense.weight).mul_(LINEAR_PART)
        for linear in (layer.attention.self.value, layer.attention.output.dense, layer.output.dense):
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(deeper.bert.pooler.dense.bias)
    return deeper


def last_linear(model: nn.Module) -> nn.Linear:
    """The head's last layer, (28, features): its inputs are the features that the labels are read from."""
    return [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == len(LABELS)][-1]


def fit_head(model: nn.Module, loader: Any, loss: Loss) -> None:
    """Fit the head's last layer on the features of the model as it is: one pass over the rows, then L-BFGS.

    Features are standardised for the fit, which the layer's weights then take up.
    """
    head = last_linear(model)
    device = head.weight.device
    features: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float()))
    targets = []
    model.eval()
    with torch.no_grad():
        for batch in tqdm(loader, desc="features for the head", unit="batch", leave=False):
            targets.append(batch.pop("targets").to(device))
            model(**{name: value.to(device) for name, value in batch.items()})
    hook.remove()
    inputs, wanted = torch.cat(features), torch.cat(targets)
    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0, correction=min(1, len(inputs) - 1)) + 1e-6
    inputs = (inputs - mean) / deviation
    share = wanted.mean(dim=0).clamp(1e-4, 1 - 1e-4)
    weight = torch.zeros_like(head.weight, dtype=torch.float32, device=device).requires_grad_()
    bias = torch.logit(share).detach().clone().requires_grad_()
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(inputs @ weight.T + bias, wanted) + RIDGE * (weight**2).sum() / len(LABELS)
        value.backward()
        return value

    optimiser.step(closure)
    with torch.no_grad():
        head.weight.copy_(weight / deviation)
        head.bias.copy_(bias - (weight / deviation) @ mean)


def with_lora(model: nn.Module, lora: Lora) -> nn.Module:
    """The model with low-rank adapters in all its linear layers; they and the head are what is trained."""
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
    )
    try:
        adapted: nn.Module = get_peft_model(model, config)
    except ValueError as error:
        raise InputError(
            f"'lora' does not fit the base model ({first_line(error)}). Take another, or no 'lora'."
        ) from None
    return adapted


def parameter_groups(model: nn.Module, recipe: ClassifierRecipe) -> list[dict[str, Any]]:
    """What the optimiser trains: encoder and head with their own rates, biases and norms without weight decay."""
    groups = []
    for is_head, rate in ((False, recipe.learning_rate), (True, recipe.head_learning_rate)):
        for decays, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [
                parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
                and any(part in HEAD for part in name.split(".")) == is_head
                and (parameter.ndim > 1) == decays
            ]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return groups
