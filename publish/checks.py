"""The checks before anything is sent. Each returns lines: the file, what is wrong, and what to do."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from huggingface_hub import RepoCard

from publish.allowed import code_in
from publish.contents import is_unsafe, secrets
from publish.files import first, read_json, sha256
from publish.plan import CARD, MANIFEST, RECORD, Folders, Plan, Repository

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS, PARQUET = ".safetensors", ".parquet"
# Files that a library needs to load a model, in whatever folder; a model2vec pipeline has its tokenizer in one file.
NEEDED = ("config.json", "tokenizer_config.json")
NEEDED_BY_STATIC = ("config.json", "tokenizer.json")
STATIC_HEAD = "head.safetensors"
STATUS = ("status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none")


def source_tree(root: Path) -> tuple[str, list[str]]:
    """Return the commit of the source tree ('' if there is none), and how the tree differs from it."""
    try:
        top = Path(_git(root, "rev-parse", "--show-toplevel").strip()).resolve()
        commit = _git(root, "rev-parse", "--verify", "HEAD").strip()
        changed = [line[3:] for line in _git(root, *STATUS).splitlines()]
        listed, reason = _git(root, "ls-files", "-v").splitlines(), ""
    except OSError as error:  # git is missing, does not trust the folder, or its index is damaged
        top, reason = None, f" ({error})"
    if top != root.resolve():
        return "", [
            f"{root}: not a git repository with a commit{reason}, so the source is unknown. Publish from a clone."
        ]
    problems = [f"{root}: not committed: {first(changed)}. Commit or remove it."] if changed else []
    # Changes that git was told to ignore: a lower-case letter means "assume unchanged", S "skip worktree".
    flagged = [line[2:] for line in listed if line[:1].islower() or line[0] == "S"]
    if flagged:
        problems.append(
            f"{root}: git ignores changes of {first(flagged)}. Run `git update-index --no-assume-unchanged "
            "--no-skip-worktree` on it."
        )
    return commit, problems


def _git(root: Path, *arguments: str) -> str:
    """Return the output of a git command. Raises OSError, with git's own message, if git is missing or fails."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode("utf-8", "replace").splitlines()
        raise OSError(message[0] if message else f"git ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def cards_are_fresh(folders: Folders) -> list[str]:
    """Return whether the cards show the numbers of the results; README too if these are the repository's own cards."""
    # As a program, because this package imports nothing of eval.
    command = [sys.executable, "-m", "eval.cards", "--check"]
    if (folders.cards.resolve(), folders.results.resolve()) != (ROOT / "model_cards", ROOT / "eval/results"):
        command += ["--results", os.path.relpath(folders.results, ROOT), "--out", os.path.relpath(folders.cards, ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    message = done.stderr.strip().splitlines() or [f"{' '.join(command[1:])} failed."]
    return [message[-1].removeprefix("error: ")]


def check(plan: Plan, folders: Folders) -> list[str]:
    """All checks of the files, in one list. Takes the digest of each file first, so that nothing else is sent."""
    problems = list(plan.problems)
    for repository in plan.repositories:
        problems += _contents(repository)
        if repository.kind == "model":
            problems += _model(repository, folders)
        elif repository.kind == "dataset":
            problems += _dataset(repository, folders)
        elif RepoCard(repository.card).data.to_dict().get("sdk") != "gradio":
            problems.append(f"{repository.folder / CARD}: add `sdk: gradio` to the YAML at its start.")
    return problems


def _contents(repository: Repository) -> Iterator[str]:
    for name, content in repository.files.items():
        place = content if isinstance(content, Path) else f"{repository.kind} {repository.name}, {name}"
        try:
            # Before the file is read: if it changes while it is read, it no longer has this digest.
            repository.digests[name] = sha256(content)
            if is_unsafe(content):
                yield (
                    f"{place}: is an archive or may run code when it is loaded. Publish safetensors only; move this "
                    "away."
                )
            kinds = secrets(name, content)
        except (OSError, ValueError, pa.ArrowException):
            yield f"{place}: cannot be read. Create it again."
            continue
        if kinds:
            yield f"{place}: contains {', '.join(kinds)}. Remove it, and revoke it where it was issued."


def _model(repository: Repository, folders: Folders) -> list[str]:
    """Whether a model brings no code, was trained by its recipe, and has weights and results that belong together."""
    problems = [
        f"{repository.folder / name}: has {code}, so loading the model would run code from the repository. Remove it."
        for name, content in repository.files.items()
        if name.endswith(".json")
        for code in dict.fromkeys(code_in(name, content))
    ]
    record = read_json(repository.folder / RECORD, problems)
    if not record:
        return problems
    if not isinstance(record.get("recipe"), dict):
        return [*problems, f"{repository.folder / RECORD}: has no readable 'recipe'. Train the model again."]
    name = f"{repository.name}.yaml"
    recipe = next(folders.recipes.rglob(name), folders.recipes / name)  # of the papers in a folder of their own
    return [
        *problems,
        *_recipe(recipe, record["recipe"], repository.folder / RECORD),
        *_weights(repository, record.get("weights_sha256")),
        *_results(folders.results / repository.name, repository.folder, record),
    ]


def _recipe(path: Path, trained_by: dict[str, Any], record: Path) -> Iterator[str]:
    """Yield whether the recipe is the one of the training; both have their defaults filled in."""
    if not path.exists():
        yield f"{path}: no recipe of this name. Every published model needs one; add it, or pass --recipes."
        return
    values = []
    for place, text in ((path, path.read_bytes()), (record, json.dumps(trained_by).encode())):
        try:
            values.append(recipe_values(text))
        except ValueError as error:
            yield f"{place}: not a recipe: {error}."
            return
    wanted, found = values
    if differing := [*_differences(wanted, found)]:
        yield f"{record}: not trained by {path}: {first(differing)}. Train the model again, or correct the recipe."


@cache
def recipe_values(text: bytes) -> dict[str, Any]:
    """The values of a training recipe with all its defaults. Raises ValueError, with the reason, if there are none.

    `train` is asked as a program: this package imports nothing of it.
    """
    command = [sys.executable, "-m", "train.recipe_values"]
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip().rpartition("error: ")[2].rstrip("."))
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def _differences(wanted: dict[str, Any], found: dict[str, Any], parent: str = "") -> Iterator[str]:
    for key in dict.fromkeys((*wanted, *found)):
        one, other = wanted.get(key), found.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{parent}{key}.")
        elif one != other:
            yield f"{parent}{key} {json.dumps(other)}, not {json.dumps(one)}"


def _weights(repository: Repository, trained: str | None) -> Iterator[str]:
    """Yield whether the folder holds the weights that were trained, and the ONNX files were exported from them."""
    folder, files = repository.folder, repository.files
    weights = sorted(name for name in files if name.endswith(WEIGHTS))
    if not weights:
        yield f"{folder}: has no *{WEIGHTS}. Train the model again."
        return
    names = {Path(name).name for name in files}
    for name in sorted({*(NEEDED_BY_STATIC if STATIC_HEAD in names else NEEDED)} - names):
        yield f"{folder}: has no {name}, so the model could not be loaded. Train it again."
    # In the order of the names, as the training hashed them (provenance.weights_digest).
    if sha256(*(files[name] for name in weights)) != trained:
        yield f"{folder}: has other weights ({first(weights)}) than those of its {RECORD}. Train the model again."
    if not any(name.startswith("onnx/") for name in files):
        return
    unread: list[str] = []
    if read_json(folder / "onnx/export.json", unread).get("weights_sha256") != trained or unread:
        reason = "has no readable export.json" if unread else "was exported from other weights"
        yield f"{folder}/onnx: {reason}. Run `python -m train.export`."


def _results(results: Path, model: Path, record: dict[str, Any]) -> list[str]:
    """Return whether there are results, all of them measured on this model."""
    problems: list[str] = []
    paths = sorted(results.glob("*.json"))
    if not paths:
        return [
            f"{results}: no result of {results.name}. Evaluate the model with `python -m eval.run`, or pass --results."
        ]
    # A result names the model by the first 16 digits of its weights' hash.
    wanted = {"recipe_hash": record.get("recipe_hash"), "model_revision": str(record.get("weights_sha256"))[:16]}
    for path in paths:
        result = read_json(path, problems)
        other = [
            f"{key} {result[key]}, not {wanted[key]}" for key in wanted if result.get(key, wanted[key]) != wanted[key]
        ]
        if other:
            problems.append(f"{path}: evaluated with another model than {model}: {first(other)}. Evaluate again.")
    return problems


def _dataset(repository: Repository, folders: Folders) -> list[str]:
    """Return whether the files of a dataset are those of its manifest, and the numbers of its card describe them.

    The name of a Parquet file ends with the first 16 digits of its SHA-256; the revision is that of all the names.
    """
    problems: list[str] = []
    folder = repository.folder
    revision = read_json(folder / MANIFEST, problems).get("revision")
    names = sorted(name for name in repository.files if name.endswith(PARQUET))
    problems += [
        f"{folder / name}: its content does not match the hash in its name. Build the corpus again."
        for name in names
        if repository.digests.get(name, "")[:16] != name.removesuffix(PARQUET).rpartition("-")[2]
    ]
    # The names hold the hashes of the contents, so the hash of the names is one of the whole data set.
    if hashlib.sha256("".join(names).encode()).hexdigest()[:16] != revision:
        problems.append(
            f"{folder}: its files are not those of {MANIFEST}, revision {revision}. Build the corpus again."
        )
    result = folders.results / repository.name / "corpus.json"
    if result.exists():
        described = read_json(result, problems).get("data_revision")
        if described != revision:
            problems.append(
                f"{result}: describes revision {described}, but {folder} is {revision}. Run `python -m eval.corpus` "
                "and `python -m eval.cards`."
            )
    return problems
