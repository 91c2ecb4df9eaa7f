"""What must hold before anything is sent. Every check gives its refusals as lines: what is wrong, and what to do."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from huggingface_hub import RepoCard

from publish import recipes
from publish.allowed import code_in
from publish.contents import is_unsafe, secrets
from publish.plan import CARD, RECORD, Content, Places, Plan, Repository, read

WEIGHTS, PARQUET = ".safetensors", ".parquet"
NEEDED = {"config.json", "tokenizer_config.json"}  # of every model, in whatever folder
SHOWN = 5  # names in a line
STATUS = ("status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none")


def source_tree(root: Path) -> tuple[str, list[str]]:
    """The commit that the source tree is at, and why it is not just that commit; '' where there is no commit."""
    try:
        found = _git(root, "rev-parse", "--show-toplevel")
        commit = _git(root, "rev-parse", "--verify", "HEAD").strip()
        changed = [line[3:] for line in _git(root, *STATUS).splitlines()]
        listed, why = _git(root, "ls-files", "-v").splitlines(), ""
    except OSError as error:  # not installed, no repository, one that git does not trust, a broken index
        found, why = "", f" ({error})"
    if not found or Path(found.strip()).resolve() != root.resolve():
        return "", [
            f"{root}: no git repository with a commit{why}, so nobody could tell what was sent. Publish from a clone."
        ]
    problems = [f"{root}: not committed: {_some(changed)}. Commit or remove it."] if changed else []
    # Files that git was told not to look at: in lower case those assumed unchanged, S those that are skipped.
    flagged = [line[2:] for line in listed if line[:1].islower() or line[0] == "S"]
    if flagged:
        problems.append(
            f"{root}: git does not look at changes of {_some(flagged)}. Run git update-index --no-assume-unchanged "
            "--no-skip-worktree on it."
        )
    return commit, problems


def _git(root: Path, *arguments: str) -> str:
    """What git says. Raises OSError, with its own words, where it is not there or fails."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        raise OSError(said[0] if said else f"git ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def cards_are_fresh(root: Path, places: Places) -> list[str]:
    """Whether the cards show the numbers of the results; the repository's own with README, any others by themselves."""
    own = (places.cards.resolve(), places.results.resolve()) == (root / "model_cards", root / "eval/results")
    command = [sys.executable, "-m", "eval.cards", "--check"]
    if not own:
        command += ["--results", os.path.relpath(places.results, root), "--out", os.path.relpath(places.cards, root)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    says = done.stderr.strip().splitlines() or [f"{' '.join(command[1:])} failed."]
    return [says[-1].removeprefix("error: ")]


def contents(plan: Plan) -> list[str]:
    """All checks of what is to be sent; notes the digest of each file, so that nothing else is sent."""
    return [line for repository in plan.repositories for line in _lines(repository)]


def _lines(repository: Repository) -> Iterator[str]:
    for name, content in repository.files.items():
        place = content if isinstance(content, Path) else f"{repository.kind} {repository.name}, {name}"
        try:
            repository.digests[name] = sha256(content)  # before it is read: a change while it is read shows later
            if is_unsafe(name, content):
                yield f"{place}: may run code when it is loaded. Publish safetensors only; move it elsewhere."
            kinds = secrets(name, content)
        except (OSError, ValueError, pa.ArrowException):
            yield f"{place}: cannot be read. Make it again."
            continue
        if kinds:
            yield f"{place}: holds {', '.join(kinds)}. Take it out, and revoke it where it was issued."


def models(plan: Plan, places: Places) -> list[str]:
    """Whether every model is its recipe's, has results, and all its parts and results are of the same weights."""
    problems: list[str] = []
    for repository in plan.repositories:
        if repository.kind == "model":
            problems += _code(repository)
            record = read(repository.folder / RECORD, problems)
            if record and not isinstance(record.get("recipe"), dict):
                problems.append(f"{repository.folder / RECORD}: its recipe cannot be read. Train it again.")
            elif record:
                problems += [*_recipe(repository, record, places), *_weights(repository, record)]
                problems += _results(repository, record, places)
    return problems


def _code(repository: Repository) -> list[str]:
    found = [
        f"{repository.folder / name}: has {what}: to load the model is to run code of its own. Take it out."
        for name, content in repository.files.items()
        if name.endswith(".json")
        for what in code_in(name, content)
    ]
    return list(dict.fromkeys(found))


def _recipe(repository: Repository, record: dict[str, Any], places: Places) -> list[str]:
    problems: list[str] = []
    path = places.recipes / f"{repository.name}.yaml"
    if not path.exists():
        return [f"{path}: no recipe of that name. A published model has one; add it, or give --recipes."]
    given = read(path, problems, yaml.safe_load)
    differing = list(_differing(given, record.get("recipe", {}))) if given else []
    if differing:
        problems.append(
            f"{repository.folder / RECORD}: trained by another recipe than {path}: {_some(differing)}. Train it again, "
            "or mend the recipe."
        )
    return problems


def _differing(given: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    """The keys of a recipe whose values the training did not have, with both.

    What the recipe leaves out is its default; so a key that was taken out of it since the training is found as well.
    """
    yield from recipes.differing(given, made)


def _weights(repository: Repository, record: dict[str, Any]) -> list[str]:
    """Whether the folder's weights are those that were trained, and its ONNX files were made from them."""
    trained, folder = record.get("weights_sha256"), repository.folder
    weights = sorted(name for name in repository.files if name.endswith(WEIGHTS))
    if not weights:
        return [f"{folder}: has no *{WEIGHTS}. Train it again."]
    there = {name.rpartition("/")[2] for name in repository.files}
    problems = [f"{folder}: has no {name}, so nobody could load it. Train it again." for name in sorted(NEEDED - there)]
    if sha256(*(repository.files[name] for name in weights)) != trained:
        problems.append(f"{folder}: other weights ({_some(weights)}) than those of its {RECORD}. Train it again.")
    if (folder / "onnx/export.json").exists():
        made = read(folder / "onnx/export.json", problems)
        if made and made.get("weights_sha256") != trained:
            problems.append(f"{folder}/onnx: made from other weights than the folder's. Run `python -m train.export`.")
    elif any(name.startswith("onnx/") for name in repository.files):
        problems.append(
            f"{folder}/onnx: has no export.json, so nobody knows what it was made from. Run `python -m train.export`."
        )
    return problems


def _results(repository: Repository, record: dict[str, Any], places: Places) -> list[str]:
    problems: list[str] = []
    folder = places.results / repository.name
    found = sorted(folder.glob("*.json"))
    if not found:
        return [f"{folder}: no result of {repository.name}. Run eval.run or eval.zero_shot_run, or give --results."]
    wanted = {"recipe_hash": record.get("recipe_hash"), "model_revision": str(record.get("weights_sha256"))[:16]}
    for path in found:
        result = read(path, problems)
        other = [
            f"{key} {result[key]}, not {value}" for key, value in wanted.items() if result.get(key, value) != value
        ]
        if other:
            problems.append(
                f"{path}: measured on another model than {repository.folder}: {_some(other)}. Measure again."
            )
    return problems


def corpus(plan: Plan, places: Places) -> list[str]:
    """Whether a data set's files are those of its manifest, and the numbers of its card are of this corpus."""
    problems: list[str] = []
    for repository in plan.repositories:
        if repository.kind != "dataset":
            continue
        revision = read(repository.folder / "manifest.json", problems).get("revision")
        problems += _sealed(repository, revision)
        path = places.results / repository.name / "corpus.json"
        if path.exists():
            described = read(path, problems).get("data_revision")
            if described != revision:
                problems.append(
                    f"{path}: describes revision {described}, and {repository.folder} is {revision}. Run eval.corpus "
                    "and eval.cards."
                )
    return problems


def _sealed(repository: Repository, revision: Any) -> Iterator[str]:
    """Whether each Parquet file is what its name says, and all together are the manifest's revision.

    A name ends with the first 16 digits of the content's SHA-256; the revision is those of the SHA-256 of all names.
    """
    names = sorted(name for name in repository.files if name.endswith(PARQUET))
    for name in names:
        if sha256(repository.files[name])[:16] != name.removesuffix(PARQUET).rpartition("-")[2]:
            yield f"{repository.folder / name}: holds other rows than those it is named after. Build it again."
    if hashlib.sha256("".join(names).encode()).hexdigest()[:16] != revision:
        yield (
            f"{repository.folder}: its files are not those of its manifest.json, revision {revision}. Build it again."
        )


def space(plan: Plan) -> list[str]:
    """Whether the Space says what runs it."""
    return [
        f"{repository.folder / CARD}: must say `sdk: gradio` between its first two lines of ---."
        for repository in plan.repositories
        if repository.kind == "space" and RepoCard(repository.card).data.to_dict().get("sdk") != "gradio"
    ]


def sha256(*contents: Content) -> str:
    """The SHA-256 of a file, or of several one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for content in contents:
        if isinstance(content, bytes):
            digest.update(content)
        else:
            with content.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
