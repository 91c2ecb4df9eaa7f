"""Makes a judge of its recipe."""

from dataset_builder.judges.base import Judge
from dataset_builder.judges.classifier import Classifier
from dataset_builder.judges.encoder import Similarity
from dataset_builder.judges.labels import Labels
from dataset_builder.judges.language_model import Likelihood, Verbalised
from dataset_builder.judges.phrases import Phrases
from dataset_builder.judges.recipe import (
    ClassifierKind,
    EncoderKind,
    JudgeRecipe,
    LabelsKind,
    LikelihoodKind,
    PhrasesKind,
)


def load_judge(recipe: JudgeRecipe) -> Judge:
    """Return the judge of a recipe. Raises InputError if a model or file that it needs is missing."""
    kind = recipe.judge
    if isinstance(kind, LikelihoodKind):
        return Likelihood(recipe, kind)
    if isinstance(kind, PhrasesKind):
        return Phrases(recipe.name, kind)
    if isinstance(kind, EncoderKind):
        return Similarity(recipe.name, kind)
    if isinstance(kind, ClassifierKind):
        return Classifier(recipe.name, kind)
    if isinstance(kind, LabelsKind):
        return Labels(recipe.name, kind)
    return Verbalised(recipe, kind)
