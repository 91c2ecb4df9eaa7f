"""The parts of a model's card that come from its recipe: other ways to run it, how it was made, sources, citation."""

from pathlib import Path
from typing import Any, NamedTuple

from dataset_builder.inputs import read_yaml
from dataset_builder.markdown import table
from eval.cards.notes import Result
from eval.cards.sections import RECIPES

TEMPLATES = Path(__file__).with_name("templates")
HUB = "https://huggingface.co"


class Source(NamedTuple):
    """What a model is made from, and on which terms it is had. What is in the project's repository has no link."""

    title: str
    link: str
    licence: str
    part: str


BASES = {
    "sentence-transformers/all-MiniLM-L6-v2": "Apache-2.0",
    "sentence-transformers/all-mpnet-base-v2": "Apache-2.0",
    "FacebookAI/roberta-large": "MIT",
    "answerdotai/ModernBERT-large": "Apache-2.0",
}
CORPUS = Source(
    "the corpus emo-pillars",
    f"{HUB}/datasets/NAMESPACE/emo-pillars",
    "Apache-2.0; its card names teacher and stories",
    "texts, situations, soft labels",
)
SETS = {
    "goemotions": Source(
        "GoEmotions",
        f"{HUB}/datasets/google-research-datasets/go_emotions",
        "CC BY 4.0 (Demszky et al. 2020)",
        "texts and people's labels",
    ),
    "isear": Source(
        "ISEAR",
        "https://www.unige.ch/cisa/research/materials-and-online-research/research-material/",
        "none stated; offered for research (Scherer and Wallbott 1994)",
        "texts and people's labels",
    ),
    "emocontext": Source(
        "EmoContext",
        "https://aclanthology.org/S19-2005",
        "participants of SemEval-2019 Task 3 (Chatterjee et al. 2019)",
        "dialogues and people's labels",
    ),
    "iemocap": Source(
        "IEMOCAP",
        "https://sail.usc.edu/iemocap/",
        "release agreement (Busso et al. 2008)",
        "dialogues and people's labels",
    ),
}
SMOLLM2 = Source(
    "SmolLM2-135M-Instruct", f"{HUB}/HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0", "texts for emotion words"
)
JUDGES = [
    SMOLLM2._replace(part="what it says of cues"),
    Source("all-mpnet-base-v2", f"{HUB}/sentence-transformers/all-mpnet-base-v2", "Apache-2.0", "similarities"),
    Source(
        "Qwen2.5-Coder-1.5B-Instruct", f"{HUB}/Qwen/Qwen2.5-Coder-1.5B-Instruct", "Apache-2.0", "judgements of texts"
    ),
]
# What is made by describe-texts and by situate, of whose folders a recipe's `dataset` is one.
OF_FOLDERS = {
    "/texts/": [
        Source(
            "emo-pillars-descriptors",
            f"{HUB}/datasets/NAMESPACE/emo-pillars-descriptors",
            "CC BY 4.0",
            "what it is trained on: texts with emotion words, made from all that follows",
        ),
        SETS["goemotions"]._replace(part="train texts; no label was read"),
        Source("short narratives of Project Gutenberg", "https://www.gutenberg.org", "public domain", "sentences"),
        Source("African Storybook, StoryWeaver", "https://github.com/global-asp", "CC BY 4.0", "sentences"),
        Source("FairytaleQA", "https://github.com/uci-soe/FairytaleQAData", "public domain; Apache-2.0", "sentences"),
        Source("`dataset_builder/vocabulary/happenings.tsv`", "", "Apache-2.0", "reports of what happens to people"),
        *JUDGES,
    ],
    "/situations/": [CORPUS, SMOLLM2, *JUDGES],
}
LOSSES = {
    "bce": "binary cross-entropy",
    "asymmetric": "asymmetric loss (Ridnik et al. 2021)",
    "focal": "focal loss (Lin et al. 2017)",
    "sigmoid": "sigmoid contrastive loss",
    "distribution": "cross-entropy with the teachers' distributions over words",
    "info_nce": "InfoNCE",
    "cosine": "regression of cosines",
}
CITATION = """```bibtex
@article{shvets2025emopillars, title={Emo Pillars: Knowledge Distillation to Support Fine-Grained Context-Aware and Context-Less Emotion Classification}, author={Shvets, Alexander}, journal={arXiv:2504.16856}, year={2025}}
@article{contrastive2025emotion, title={Contrastive Distillation of Emotion Knowledge from LLMs for Zero-Shot Emotion Recognition}, author={Niu, Minxue and others}, journal={arXiv:2505.18040}, year={2025}}
```

This project implements both papers independently; its authors had no part in it."""  # noqa: E501


def recorded_recipe(results: dict[str, Result]) -> dict[str, Any] | None:
    """The recipe of the training that some results are of, with every default; None where none of them has it."""
    return next((found["recipe"] for found in results.values() if found.get("recipe")), None)


def about_section(name: str, recorded: dict[str, Any] | None = None) -> str:
    """All of it, for a published model that has a recipe.

    Args:
        recorded: the recipe in the training's record; else its file is read, which leaves defaults out.
    """
    recipe = recorded or read_yaml(RECIPES / f"{name}.yaml")
    parts = []
    if "config" in recipe:  # a classifier
        parts.append((TEMPLATES / "classifier.md").read_text(encoding="utf-8").strip().replace("MODEL", name))
        if recipe["config"] == "contextual":
            parts.append((TEMPLATES / "contextual.md").read_text(encoding="utf-8").strip())
    rows = [[f"[{s.title}]({s.link})" if s.link else s.title, s.part, s.licence] for s in sources(recipe)]
    parts += [
        f"## Recipe\n\n{how_made(recipe)}",
        f"## Sources and their terms\n\n{table(['source', 'what of it', 'licence'], rows)}",
        f"## Citation\n\n{CITATION}",
    ]
    return "\n\n".join(parts)


def how_made(recipe: dict[str, Any]) -> str:
    """The recipe's values that matter most, in a table; all of them are in `training.json`."""
    started = [
        words
        for key, words in (
            ("pooling_layer", "one more layer that starts as mean pooling"),
            ("fit_head", "the head fitted on the untrained encoder's features"),
        )
        if recipe.get(key)
    ]
    average, others, frozen = recipe.get("ema_decay"), recipe.get("averaged_with") or {}, recipe.get("frozen_layers")
    shares = [f"{share:g} of `{Path(folder).name}`'s" for folder, share in others.items()]
    if share := recipe.get("base_share"):
        shares.insert(0, f"{share:g} of the untrained encoder's")
    rows = {
        "base model": f"[`{recipe['base_model']}`]({HUB}/{recipe['base_model']})",
        "data": f"`{recipe['dataset']}`" + (f", config `{recipe['config']}`" if "config" in recipe else ""),
        "start": "; ".join(started),
        "left as it was": f"the embeddings and the lowest {frozen} layers" if frozen else "",
        "targets": {"soft": "soft, from 0 to 1", "hard": "hard, 0 or 1"}.get(recipe.get("targets", ""), ""),
        "loss": LOSSES[recipe.get("loss", "bce" if "config" in recipe else "sigmoid")],
        "steps": f"{recipe['epochs']} epoch{'s'[: recipe['epochs'] - 1]}"
        + (f" of batches of {recipe['batch_size']}" if "batch_size" in recipe else ""),
        "learning rate": f"{recipe['learning_rate']:g}",
        "weights kept": (f"a moving average ({average})" if average else "the last ones")
        + "".join(f", and {share}" for share in shares),
        "labels": "through a linear map of their own, fitted afterwards" if recipe.get("projection") else "",
        "longest input": f"{recipe['max_length']} tokens" if "max_length" in recipe else "",
        "seed": str(recipe.get("seed", "")),
    }
    return (
        f"{table(['', ''], [[key, value] for key, value in rows.items() if value])}\n\n"
        f"`accelerate launch -m train.{'classifier' if 'config' in recipe else 'bi_encoder'} --recipe "
        f"train/recipes/{recipe['name']}.yaml` in the project's repository makes it again; `training.json` here has "
        "every value, and what was measured while it was trained."
    )


def sources(recipe: dict[str, Any]) -> list[Source]:
    """The base model and the data."""
    base = recipe["base_model"]
    licence = BASES.get(base, "as its card says")
    of_base = Source(base, f"{HUB}/{base}", licence, "weights before training")
    for folder, made_from in OF_FOLDERS.items():
        if folder in recipe["dataset"]:
            return [of_base, *made_from]
    found = [source for key, source in SETS.items() if f"/{key}" in recipe["dataset"]]
    return [of_base, *(found or [CORPUS])]
