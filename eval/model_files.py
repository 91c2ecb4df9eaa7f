"""Locates a model, a folder or a Hub repository at one commit, and the files that come with our models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dataset_builder.files.reading import json_file
from dataset_builder.inputs import InputError, first_line, wheel_path
from dataset_builder.provenance import weights_digest

REFERENCE = "reference.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """A model folder or, if `folder` is None, a Hub repository at one commit. `place` is what the user gave."""

    place: str
    name: str
    folder: Path | None
    commit: str | None = None
    on_hub: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        """The argument for `from_pretrained`."""
        return self.place if self.folder is None else str(self.folder)

    def file(self, name: str) -> Path | None:
        """Return a file of the model on this machine, downloaded if need be; None if the model has no such file."""
        if self.folder is not None:
            return self.folder / name if (self.folder / name).exists() else None
        if name not in self.on_hub:
            return None
        try:
            return Path(hf_hub_download(self.place, name, revision=self.commit))
        except Exception as error:  # of the network: the library promises no kinds
            raise unreachable(self.place, error) from None

    def revision(self, record: dict[str, Any]) -> str:
        """Return the Hub's commit, or the hash of a folder's weights; `unknown` if its record has none.

        Raises InputError if the record belongs to other weights.
        """
        if self.folder is None:
            return str(self.commit)
        recorded = str(record.get("weights_sha256", "unknown"))
        if recorded != "unknown" and weights_digest(self.folder) != recorded:
            raise InputError(
                f"model folder '{self.place}': its weights do not match training.json: an incomplete copy, or "
                "another model's. Copy the whole folder again, or train the model again."
            )
        return recorded[:16]

    def training_record(self) -> dict[str, Any]:
        """Return the content of training.json; {} if the model has none."""
        path = self.file("training.json")
        record = json_file(path) if path else {}
        recipe = record.get("recipe", {}) if isinstance(record, dict) else None
        if not isinstance(recipe, dict) or not isinstance(recipe.get("seed", 0), int):
            raise InputError(f"{path}: is not a training record. Train the model again.")
        return record

    def reference(self) -> np.ndarray | None:
        """Return embeddings (texts, size) of a bi-encoder's reference texts; None if it comes with none."""
        path = self.file(REFERENCE)
        try:
            return None if path is None else np.asarray(load_file(path)["embeddings"], dtype=np.float32)
        except (SafetensorError, OSError, KeyError) as error:
            raise InputError(
                f"{path}: cannot be loaded ({first_line(error)}). Copy or train the model again."
            ) from None


def find_model(place: str) -> ModelFiles:
    """Return a model folder, the folder of an installed package (`package/folder`), or a Hub id.

    Raises InputError if there is no such model, or if the Hub does not answer.
    """
    installed = wheel_path(place)
    folder = installed or Path(place)
    if folder.exists():
        return ModelFiles(place, place.partition("/")[0] if installed else folder.resolve().name, folder)
    if place.count("/") != 1 or place.startswith((".", "/")):
        raise InputError(
            f"model '{place}': no such folder, and not a Hub id (namespace/name). Train a model, or check --model."
        )
    try:
        info = HfApi().model_info(place)
    except RepositoryNotFoundError:
        raise InputError(
            f"model '{place}': no such folder, and no such model on the Hub, or a private one. Check --model; "
            "`hf auth login` gives access to your private models."
        ) from None
    except Exception as error:  # of the network: the library promises no kinds
        raise unreachable(place, error) from None
    on_hub = frozenset(sibling.rfilename for sibling in info.siblings or [])
    return ModelFiles(place, place.split("/")[1], None, str(info.sha), on_hub)


def unreachable(place: str, error: Exception) -> InputError:
    """Return the error for a Hub that does not answer."""
    return InputError(
        f"model '{place}': the Hub does not respond ({first_line(error)}). Check the network and HF_ENDPOINT."
    )
