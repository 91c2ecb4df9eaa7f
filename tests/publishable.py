"""A small release whose parts a test may change, and what push finds wrong with it."""

import hashlib
import json
import shutil
from pathlib import Path

from publish import checks
from publish.plan import Folders, make_plan
from tools.push_kills.release import arguments, evidence, scripted_recipe, scripted_work, tiny_encoder, tiny_models

__all__ = ["arguments", "evidence", "scripted_recipe", "scripted_work", "tiny_encoder", "tiny_models"]


def descriptors_alone(corpus: Path, folder: Path) -> Path:
    """Copy of a built corpus that has no other config than `descriptors`, as describe-texts makes it."""
    from huggingface_hub import DatasetCard

    shutil.copytree(corpus, folder, ignore=shutil.ignore_patterns("contextless", "contextual"))
    card = DatasetCard.load(folder / "README.md")
    card.data.configs = [config for config in card.data.configs if config["config_name"] == "descriptors"]
    card.data.dataset_info = [one for one in card.data.dataset_info if one["config_name"] == "descriptors"]
    card.save(folder / "README.md")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    revision = hashlib.sha256("".join(names).encode()).hexdigest()[:16]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"revision": revision}), encoding="utf-8")
    return folder


def one_model(name: str, made: dict[str, Path], to: Path) -> Folders:
    """The folders of a release of one model, copied for a test to change; the corpus is shared.

    `made` holds the work folder, the models and the evidence.
    """
    shutil.copytree(made["models"] / name, to / "models" / name)
    for part in ("recipes", "results", "cards", "space"):
        shutil.copytree(made["evidence"] / part, to / part)
    parts = {part: to / part for part in ("models", "recipes", "results", "cards", "space")}
    return Folders(corpus=made["work"] / "corpus", descriptors=to / "texts", **parts)


def refusals(folders: Folders) -> list[str]:
    """All reasons not to send a release, except those of the Hub, the cards' numbers and git."""
    return checks.check(make_plan("tester", folders), folders)
