"""The part of a model's card that comes from its recipe: other ways to run it, its training, citations."""

from pathlib import Path
from typing import Any

from dataset_builder.inputs import InputError
from dataset_builder.markdown import table
from dataset_builder.text_template import PLAIN
from eval.cards.results import Results, of_models

TEMPLATES = Path(__file__).with_name("templates")
HUB = "https://huggingface.co"
NEEDED = ("name", "base_model", "dataset", "loss", "epochs", "batch_size", "learning_rate", "max_length", "seed")
LOSSES = {
    "bce": "binary cross-entropy",
    "asymmetric": "asymmetric loss (Ridnik et al. 2021)",
    "sigmoid": "sigmoid contrastive loss",
    "distribution": "cross-entropy with the teachers' distributions over words",
}


def recorded_recipe(results: Results) -> dict[str, Any] | None:
    """Return the recipe in the training record of the measured model; None if no result has one."""
    return next((found.recipe for found in of_models(results).values() if found.recipe), None)


def recipe_section(name: str, recipe: dict[str, Any]) -> str:
    """Return that part for a published model. Raises InputError if the recipe is incomplete."""
    if missing := [key for key in NEEDED if key not in recipe]:
        raise InputError(f"{name}: the recipe in its results lacks '{missing[0]}'. Evaluate the model again.")
    files = ["citation.md"]
    if "config" in recipe:  # a classifier
        usage = "static.md" if recipe.get("static") else "classifier.md"
        files = [usage, *(["contextual.md"] if recipe["config"] == "contextual" else []), *files]
    *parts, citation = ((TEMPLATES / file).read_text(encoding="utf-8").strip() for file in files)
    return "\n\n".join([*(part.replace("MODEL", name) for part in parts), f"## Recipe\n\n{how_made(recipe)}", citation])


def how_made(recipe: dict[str, Any]) -> str:
    """Return the recipe's values that matter most, in a table; all of them are in `training.json`."""
    classifier, epochs = "config" in recipe, recipe["epochs"]
    start = [
        "an extra layer that starts as mean pooling" if recipe.get("pooling_layer") else "",
        "a head fitted on the untrained encoder's features" if recipe.get("fit_head") else "",
    ]
    weights = f"moving average (decay {recipe['ema_decay']})" if recipe.get("ema_decay") else "from the last step"
    averaged = {f"`{Path(of).name}`": share for of, share in (recipe.get("averaged_with") or {}).items()}
    if averaged:
        weights += f", averaged with {', '.join(f'{of} ({share:g})' for of, share in averaged.items())}"
    mixed_in = [
        f"{100 * other['share']:g}% of `{other['dataset']}`, config `{other['config']}`"
        + (", with biases of its own while training" if other["own_bias"] else "")
        for other in recipe.get("mixed_with") or ()
    ]
    rows = {
        "base model": f"[`{recipe['base_model']}`]({HUB}/{recipe['base_model']})",
        "data": f"`{recipe['dataset']}`" + (f", config `{recipe['config']}`" if classifier else ""),
        "mixed in": "; ".join(mixed_in),
        "teacher": f"`{taught_by}` ({recipe['teacher_share']:g} of the targets)"
        if (taught_by := recipe.get("teacher"))
        else "",
        "vectors": f"{static['size']} numbers for each token, rounded to 8 bits"
        if (static := recipe.get("static"))
        else "",
        "utterance": f"`{form}`" if (form := recipe.get("text_template", PLAIN)) != PLAIN else "",
        "initialisation": "; ".join(filter(None, start)),
        "frozen": f"the embeddings and the lowest {layers} layers" if (layers := recipe.get("frozen_layers")) else "",
        "targets": {"soft": "soft, from 0 to 1", "hard": "hard, 0 or 1"}.get(recipe.get("targets", ""), ""),
        "loss": LOSSES.get(recipe["loss"], recipe["loss"]),
        "duration": f"{epochs} epoch{'' if epochs == 1 else 's'} in batches of {recipe['batch_size']}",
        "learning rate": f"{recipe['learning_rate']:g}",
        "weights": weights,
        "labels": "a separate linear projection, fitted after training" if recipe.get("projection") else "",
        "maximum length": f"{recipe['max_length']} tokens",
        "seed": str(recipe["seed"]),
    }
    trainer = "train.classifier" if classifier else "train.bi_encoder"
    return (
        f"{table(['', ''], [[key, value] for key, value in rows.items() if value])}\n\n"
        "To train this model again, run "
        f"`accelerate launch -m {trainer} --recipe train/recipes/{recipe['name']}.yaml` in the project's repository. "
        "`training.json` in this repository records all settings, and the metrics logged during training."
    )
