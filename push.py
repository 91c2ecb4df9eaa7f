"""Publishes the corpus, the models and their cards: python push.py --namespace NS [--execute]

Prints its plan; sends only with --execute, to the Hub that HF_ENDPOINT names, one commit for each repository.
Repositories are private unless --public is given. It reads files and imports nothing of the project.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi, RepoCard, constants
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

DATASET = "emo-pillars"
NAMESPACE = "NAMESPACE"  # what cards write in its place
PARTS = ("", "onnx", "adapter")  # of a model folder; a checkpoint of a run that was cut off is not sent
TRIES = 4


@dataclass(frozen=True)
class Repository:
    """One repository of the plan: its card's text and its other files by their path in the repository."""

    name: str
    kind: str
    card: str
    files: dict[str, Path]


def fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def plan(namespace: str, corpus: Path, models: Path, cards: Path) -> list[Repository]:
    """The data set, then every model that has a recipe's folder under `models`, in the order of sending."""
    return [_dataset(namespace, corpus, cards), *_models(namespace, models, cards)]


def _dataset(namespace: str, corpus: Path, cards: Path) -> Repository:
    for needed in (corpus / "manifest.json", corpus / "README.md"):
        if not needed.exists():
            fail(
                f"{needed}: no such file; the corpus was not built to the end. Run dataset_builder build, or --corpus."
            )
    card = DatasetCard(_card_text(cards / f"{DATASET}.md", namespace))
    built = DatasetCard.load(corpus / "README.md").data
    card.data.configs, card.data.dataset_info = built.configs, built.dataset_info
    files = {path.relative_to(corpus).as_posix(): path for path in sorted(corpus.rglob("*.parquet"))}
    return Repository(DATASET, "dataset", str(card), files | {"manifest.json": corpus / "manifest.json"})


def _models(namespace: str, models: Path, cards: Path) -> list[Repository]:
    found = []
    for folder in sorted(path for path in models.glob("*") if path.is_dir()):
        if not (folder / "training.json").exists():  # written last
            fail(f"{folder}: has no training.json, so its training did not end. Train it again, or delete the folder.")
        files = _model_files(folder)
        _same_weights(folder)
        unsafe = [name for name in files if name.endswith((".bin", ".pt", ".pkl", ".pickle"))]
        if unsafe:
            fail(f"{folder}: {', '.join(unsafe)} may run code when loaded. Publish safetensors only.")
        found.append(Repository(folder.name, "model", _card_text(cards / f"{folder.name}.md", namespace), files))
    if not found:
        fail(f"{models}: no model folder in it. Train one with train.classifier, or give --models.")
    return found


def _same_weights(folder: Path) -> None:
    record = folder / "onnx/export.json"
    if record.exists():
        made, trained = (json.loads(path.read_text(encoding="utf-8")) for path in (record, folder / "training.json"))
        if made["weights_sha256"] != trained.get("weights_sha256"):
            fail(f"{folder}/onnx: made from other weights than the folder's. Run `python -m train.export` again.")


def _model_files(folder: Path) -> dict[str, Path]:
    """A model's files by their path in the repository.

    Those beside the weights, ONNX files, an adapter, and the folders that sentence-transformers' `modules.json` names.
    """
    modules = folder / "modules.json"
    parts = [part["path"] for part in json.loads(modules.read_text(encoding="utf-8"))] if modules.exists() else []
    return {
        path.relative_to(folder).as_posix(): path
        for part in dict.fromkeys((*PARTS, *parts))
        for path in sorted((folder / part).glob("*"))
        if path.is_file() and path.name != "README.md"
    }


def _card_text(path: Path, namespace: str) -> str:
    if not path.exists():
        fail(f"{path}: no card of that name. Every published repository has one; write it, or give --cards.")
    return path.read_text(encoding="utf-8").replace(NAMESPACE, namespace)


def show(repositories: list[Repository], namespace: str, private: bool) -> None:
    """Print the plan."""
    print(f"to {constants.ENDPOINT}, {'private' if private else 'PUBLIC'}:")
    for repository in repositories:
        size = sum(path.stat().st_size for path in repository.files.values()) / 2**20
        repo_id = f"{namespace}/{repository.name}"
        other = "; deletes other Parquet files there" if repository.kind == "dataset" else ""
        print(f"  {repository.kind:<8} {repo_id}: card and {len(repository.files)} files, {size:.1f} MiB{other}")
        for name, path in repository.files.items():
            print(f"           {name} ({path.stat().st_size:,} bytes)")


def send(api: HfApi, repository: Repository, namespace: str, private: bool) -> str:
    """Create the repository where needed and make it hold the plan's files, in one commit; returns the commit."""
    repo_id = f"{namespace}/{repository.name}"
    api.create_repo(repo_id, repo_type=repository.kind, private=private, exist_ok=True)
    if bool(api.repo_info(repo_id, repo_type=repository.kind).private) != private:
        found, asked = ("public", "private") if private else ("private", "public")
        fail(f"{repo_id} is {found} there and the plan says {asked}. Change it in its settings, or use --public.")
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd("README.md", repository.card.encode())
    ]
    operations += [CommitOperationAdd(name, str(path)) for name, path in repository.files.items()]
    # A corpus's files are named by what is in them: those of the one before would be read beside the new ones.
    if repository.kind == "dataset":
        there = api.list_repo_files(repo_id, repo_type=repository.kind)
        stale = [name for name in there if name.endswith(".parquet") and name not in repository.files]
        operations += [CommitOperationDelete(name) for name in stale]
        for name in stale:
            print(f"  deletes {repo_id}: {name}")
    for attempt in range(TRIES):
        try:
            commit = api.create_commit(
                repo_id,
                operations,
                commit_message="Publish",
                repo_type=repository.kind,  # unchanged files are skipped
            )
            return str(commit.oid)
        except HfHubHTTPError as error:
            status = error.response.status_code
            if attempt == TRIES - 1 or (status < 500 and status not in (409, 412, 429)):
                raise
            time.sleep(2**attempt)
    raise AssertionError("unreachable")


def main() -> None:
    """Parse the command line, print the plan, send it if asked."""
    parser = argparse.ArgumentParser(prog="python push.py", description="Publishes data set, models and cards.")
    parser.add_argument("--namespace", required=True, help="user or organisation")
    parser.add_argument("--corpus", type=Path, default=Path("work/demo/corpus"))
    parser.add_argument("--models", type=Path, default=Path("work/models"))
    parser.add_argument("--cards", type=Path, default=Path("model_cards"))
    parser.add_argument("--public", action="store_true", help="default: private")
    parser.add_argument("--execute", action="store_true", help="send; without it only the plan is printed")
    args = parser.parse_args()
    repositories = plan(args.namespace, args.corpus, args.models, args.cards)
    show(repositories, args.namespace, not args.public)
    if not args.execute:
        print("nothing was sent; add --execute to send it")
        return
    api = HfApi()
    try:
        who = api.whoami()["name"]
        for repository in repositories:
            validate_repo_id(f"{args.namespace}/{repository.name}")
            RepoCard(repository.card).validate(repo_type=repository.kind)
        for repository in repositories:
            print(f"{args.namespace}/{repository.name}: {send(api, repository, args.namespace, not args.public)}")
    except LocalTokenNotFoundError:
        fail("no Hub token. Run `hf auth login`, or set HF_TOKEN to a token with write access.")
    except HfHubHTTPError as error:
        fail(_explain(error, args.namespace))
    except (httpx2.HTTPError, OSError) as error:
        fail(f"{constants.ENDPOINT}: {type(error).__name__}: {first_line(error)}. Run it again.")
    except ValueError as error:  # a name or a card that the Hub does not take
        fail(f"nothing was sent: {first_line(error)}")
    print(f"sent by {who}")


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return next(iter(str(error).splitlines()), "no answer")


def _explain(error: HfHubHTTPError, namespace: str) -> str:
    """What a refusal of the Hub means for the person who sent."""
    status = error.response.status_code
    if status == 401:
        return f"{constants.ENDPOINT} refuses the token (401). Set HF_TOKEN to a valid one; `hf auth whoami` tests it."
    if status == 403:
        return f"the token may not write to '{namespace}' (403). Use one with write access to that namespace."
    detail = error.server_message or first_line(error)
    return f"{constants.ENDPOINT} answered {status}: {detail}. What was sent is whole; run the same command again."


if __name__ == "__main__":
    main()
