"""The part of a model's card that comes from its recipe: other ways to run it, how it was made, whom to cite."""

from pathlib import Path
from typing import Any

from dataset_builder.markdown import table
from eval.cards.results import Results, of_models

TEMPLATES = Path(__file__).with_name("templates")
HUB = "https://huggingface.co"
LOSSES = {
    "bce": "binary cross-entropy",
    "asymmetric": "asymmetric loss (Ridnik et al. 2021)",
    "focal": "focal loss (Lin et al. 2017)",
    "sigmoid": "sigmoid contrastive loss",
    "distribution": "cross-entropy with the teachers' distributions over words",
    "info_nce": "InfoNCE",
    "cosine": "regression of cosines",
}


def recorded_recipe(results: Results) -> dict[str, Any] | None:
    """The recipe in the training record of the measured model; None where no result has one."""
    return next((found.recipe for found in of_models(results).values() if found.recipe), None)


def recipe_section(name: str, recipe: dict[str, Any]) -> str:
    """All of it, for a published model."""
    files = ["citation.md"]
    if "config" in recipe:  # a classifier
        files = ["classifier.md", *(["contextual.md"] if recipe["config"] == "contextual" else []), *files]
    *usage, citation = ((TEMPLATES / file).read_text(encoding="utf-8").strip() for file in files)
    return "\n\n".join([*(part.replace("MODEL", name) for part in usage), f"## Recipe\n\n{how_made(recipe)}", citation])


def how_made(recipe: dict[str, Any]) -> str:
    """The recipe's values that matter most, in a table; all of them are in `training.json`."""
    trainer, bi_encoder = ("classifier", False) if "config" in recipe else ("bi_encoder", True)
    start = [
        "an extra layer that starts as mean pooling" if recipe.get("pooling_layer") else "",
        "a head fitted on the untrained encoder's features" if recipe.get("fit_head") else "",
    ]
    weights = f"moving average (decay {recipe['ema_decay']})" if recipe.get("ema_decay") else "of the last step"
    averaged = {f"`{Path(of).name}`": share for of, share in (recipe.get("averaged_with") or {}).items()}
    if recipe.get("base_share"):
        averaged["the untrained encoder"] = recipe["base_share"]
    if averaged:
        weights += f", averaged with {', '.join(f'{of} ({share:g})' for of, share in averaged.items())}"
    rows = {
        "base model": f"[`{recipe['base_model']}`]({HUB}/{recipe['base_model']})",
        "data": f"`{recipe['dataset']}`" + ("" if bi_encoder else f", config `{recipe['config']}`"),
        "start": "; ".join(filter(None, start)),
        "frozen": f"the embeddings and the lowest {layers} layers" if (layers := recipe.get("frozen_layers")) else "",
        "targets": {"soft": "soft, from 0 to 1", "hard": "hard, 0 or 1"}.get(recipe.get("targets", ""), ""),
        "loss": LOSSES.get(recipe["loss"], recipe["loss"]),
        "steps": f"{recipe['epochs']} epoch{'s'[: recipe['epochs'] - 1]} of batches of {recipe['batch_size']}",
        "learning rate": f"{recipe['learning_rate']:g}",
        "weights": weights,
        "labels": "a linear projection of their own, fitted afterwards" if recipe.get("projection") else "",
        "maximum length": f"{recipe['max_length']} tokens",
        "seed": str(recipe["seed"]),
    }
    return (
        f"{table(['', ''], [[key, value] for key, value in rows.items() if value])}\n\n"
        f"`accelerate launch -m train.{trainer} --recipe train/recipes/{recipe['name']}.yaml` in the project's "
        "repository trains it again. `training.json` in this repository has every value, and what was measured during "
        "training."
    )
