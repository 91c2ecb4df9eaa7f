"""python -m train.schema: the JSON schemas of both kinds of recipes, with all defaults, for who may not import them."""

import json

from pydantic import BaseModel

from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.recipe import ClassifierRecipe

KINDS: dict[str, type[BaseModel]] = {"classifier": ClassifierRecipe, "bi_encoder": BiEncoderRecipe}

if __name__ == "__main__":
    print(json.dumps({name: kind.model_json_schema() for name, kind in KINDS.items()}))
