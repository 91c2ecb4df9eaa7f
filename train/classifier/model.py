"""The classifier: a stock model, its initialisation, its trainable parts, and how it is saved."""

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from dataset_builder.files.shards import write_json
from dataset_builder.inputs import InputError, first_line
from dataset_builder.taxonomy import LABEL_TO_INDEX, LABELS
from train.base_model import load_base
from train.checkpoint import weights_written_to
from train.classifier.calibration import Calibration
from train.classifier.losses import Loss
from train.classifier.recipe import ClassifierRecipe, Lora
from train.classifier.static import StaticClassifier, load_static, round_vectors, save_static
from train.training_record import RECORD, write_record

ADAPTER = "adapter"
# Names of the modules between the encoder's states and the outputs, by architecture.
HEAD = {
    "classifier",
    "pooler",
    "head",
    "score",
    "pre_classifier",
    "classification_head",
    "sequence_summary",
    "logits_proj",
    "source_biases",
}
# The initial weight of the mean of all tokens, relative to the first token's own state, in the pooling layer: high
# enough that the state is nearly the mean. Training can change it, whatever its value.
MEAN_WEIGHT = 4.0
# tanh of a quarter of a state of unit variance is nearly linear, so that BERT's pooler starts as nearly the identity.
LINEAR_PART = 0.25
# For the fitted head: just enough to keep the weights of uninformative features finite.
RIDGE = 1e-4


def load_model(recipe: ClassifierRecipe, place: str | None = None) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Return the tokenizer and classifier of a recipe, before training.

    A pair is `text` and `text_pair`. If the encoder has two token types (BERT), they mark the two texts. If it has one
    (RoBERTa, MPNet, ModernBERT), separators divide the texts, as in its own training on pairs. A second token type
    would be lost in a stock `pipeline`, whose tokenizer does not return it.

    Args:
        place: the base model, a folder or Hub id, instead of the recipe's.

    Raises:
        InputError: the base model cannot be loaded, or does not support the recipe's settings.
    """
    if recipe.static:
        return load_static(recipe, recipe.static, place)
    outputs = {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": LABEL_TO_INDEX,
        "problem_type": "multi_label_classification",
    }
    # A situation that is too long loses its start: the latest events explain most of an utterance.
    tokenizer, model = load_base(recipe, AutoModelForSequenceClassification, outputs, place, truncation_side="left")
    if recipe.gradient_checkpointing and not getattr(model, "supports_gradient_checkpointing", False):
        raise InputError(f"{recipe.name}: the base model has no 'gradient_checkpointing'. Set it to false.")
    if last_linear(model).bias is None:  # the calibration will be added to it
        raise InputError(
            f"base model '{place or recipe.base_model}': the head of '{model.config.model_type}' has no bias. Use an "
            "encoder, like BERT or RoBERTa."
        )
    if recipe.pooling_layer:
        model = with_pooling_layer(model, recipe)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return tokenizer, model


def with_pooling_layer(model: nn.Module, recipe: ClassifierRecipe) -> nn.Module:
    """Return the same BERT with one more layer, initialised as mean pooling.

    Encoders of sentence-transformers are trained with mean pooling of their token states, but BERT's stock head reads
    only the first token's state, which that training left nearly without information. In the new layer, attention is
    initialised as almost uniform and passes states on unchanged, so that the first token's state is the mean of all
    states. Then everything is trained.

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
    """Return the head's last layer, (28, features)."""
    return [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == len(LABELS)][-1]


def fit_head(model: nn.Module, loader: Any, loss: Loss, autocast: AbstractContextManager[Any] | None = None) -> None:
    """Fit the head's last layer to the features of the untrained encoder: one pass over the rows, then L-BFGS.

    Features are standardised for the fit; the standardisation is then folded into the layer's weights.

    Args:
        autocast: the precision of the encoder; the fit itself is in float32.
    """
    head = last_linear(model)
    device = head.weight.device
    # The inputs of the head's last layer, whatever the architecture puts before it.
    features: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float()))
    targets = []
    model.eval()
    with torch.no_grad(), autocast or nullcontext():
        for batch in tqdm(loader, desc="features for the head", unit="batch", leave=False):
            targets.append(batch.pop("targets").to(device))
            batch.pop("source", None)
            model(**{name: value.to(device) for name, value in batch.items()})
    hook.remove()
    inputs, wanted = torch.cat(features), torch.cat(targets)
    # A single row has no sample deviation, and a constant feature has 0: both must not divide by 0.
    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0, correction=min(1, len(inputs) - 1)) + 1e-6
    inputs = (inputs - mean) / deviation
    # The bias starts at each label's frequency: from there the fit only has to find what features add.
    # Clamped, because the bias of a label without rows would start at minus infinity.
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


def with_lora(model: nn.Module, lora: Lora | None) -> nn.Module:
    """Return the model with low-rank adapters in all its linear layers; only they and the head are then trained."""
    if lora is None:
        return model
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
            f"'lora' does not fit the base model ({first_line(error)}). Use another base model, or remove 'lora'."
        ) from None
    return adapted


def with_source_biases(model: nn.Module, recipe: ClassifierRecipe) -> nn.Module:
    """Return the model with `source_biases`: a bias for each label and data set that is mixed in, 0 for the own one."""
    if recipe.mixed_with:
        biases = nn.Embedding(1 + len(recipe.mixed_with), len(LABELS), padding_idx=0)  # row 0 stays 0
        model.source_biases = biases.to(last_linear(model).weight.device)
        nn.init.zeros_(biases.weight)
    return model


def without_source_biases(model: nn.Module) -> None:
    """Remove them: the published model is a stock one, and decides as its own data set does."""
    if hasattr(model, "source_biases"):
        del model.source_biases


def parameter_groups(model: nn.Module, recipe: ClassifierRecipe) -> list[dict[str, Any]]:
    """The optimiser's parameters: encoder and head with their own rates, biases and norms without weight decay."""
    groups = []
    for is_head, rate in ((False, recipe.learning_rate), (True, recipe.head_learning_rate)):
        for decays, decay in ((True, recipe.weight_decay), (False, 0.0)):
            chosen = [
                parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
                and any(part in HEAD for part in name.split(".")) == is_head
                and (parameter.ndim > 1 and "source_biases" not in name) == decays
            ]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return groups


def round_weights(model: nn.Module) -> None:
    """Round weights to what is published: half precision, which changes a score by less than .001; 8 bits if static."""
    if isinstance(model, StaticClassifier):
        round_vectors(model)
        return
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half())


def fold_calibration_into_head(model: nn.Module, calibration: Calibration) -> None:
    """Make the head's last layer return calibrated logits, so that a stock pipeline's scores are calibrated."""
    head = last_linear(model)
    scale = torch.tensor(1 / calibration.temperature, dtype=head.weight.dtype, device=head.weight.device)
    shift = torch.tensor(calibration.shift, dtype=head.weight.dtype, device=head.weight.device)
    with torch.no_grad():
        head.weight.mul_(scale[:, None])
        head.bias.mul_(scale).add_(shift)


def save_model(
    model: Any, tokenizer: PreTrainedTokenizerBase, recipe: ClassifierRecipe, record: dict[str, Any], output_dir: Path
) -> None:
    """Write weights, tokenizer, thresholds (in `config.json` and in a file of their own) and, last, the record."""
    # First, because a folder with a record counts as complete.
    (output_dir / RECORD).unlink(missing_ok=True)
    shutil.rmtree(output_dir / "onnx", ignore_errors=True)  # of other weights
    with weights_written_to(output_dir):
        if isinstance(model, StaticClassifier):
            save_static(model, tokenizer, recipe, record["thresholds"], output_dir)
        else:
            _save_stock(model, tokenizer, recipe, record["thresholds"], output_dir)
    about = {
        "thresholds": record["thresholds"],
        "source": record["threshold_source"],
        "dataset": record["dataset_revision"],
    }
    write_json(output_dir / "thresholds.json", about)
    write_record(record, output_dir)


def _save_stock(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    recipe: ClassifierRecipe,
    thresholds: dict[str, float],
    output_dir: Path,
) -> None:
    if recipe.lora:
        # Before the merge, which removes the adapter from the model.
        model.save_pretrained(output_dir / ADAPTER)
        model = model.merge_and_unload()
    model.config.thresholds = thresholds
    model.config.text_template = recipe.text_template
    model.config.name_or_path = ""  # a path of this machine
    # The config still says float32, in which libraries then compute.
    model.save_pretrained(output_dir, state_dict={name: value.half() for name, value in model.state_dict().items()})
    tokenizer.save_pretrained(output_dir)
