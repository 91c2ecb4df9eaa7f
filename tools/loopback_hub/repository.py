"""The state of the loopback Hub: repositories, commits, files, and how they are listed."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import yaml

from tools.loopback_hub.access import HubError, Json

LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"}
LICENSES |= {"cc-by-nc-sa-4.0", "odc-by", "openrail", "other", "unknown"}
SDKS = ("gradio", "docker", "static")


@dataclass(frozen=True)
class File:
    """A file of a commit; `lfs` is its content's sha256 when it is stored apart."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass(frozen=True)
class Commit:
    """A commit: all files of the repository by path."""

    parent: str | None
    files: dict[str, File]
    title: str
    message: str
    author: str
    date: str


@dataclass
class Repository:
    """A repository with its commits by sha and its refs by name."""

    id: str
    kind: str
    private: bool
    created: str
    gated: Json = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[str, str] = field(default_factory=dict)

    def sha(self, revision: str) -> str:
        """Return the commit that a branch, tag, pull request or sha names."""
        for refs in (self.branches, self.tags, self.pull_requests):
            if revision in refs:
                return refs[revision]
        if revision in self.commits:
            return revision
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, parent: str | None, files: dict[str, File], title: str, message: str, author: str) -> str:
        """Add a commit and return its sha."""
        seed = json.dumps([parent, sorted((p, f.oid) for p, f in files.items()), title, time.time_ns()])
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = Commit(parent, files, title, message, author, now())
        return sha


def now() -> str:
    """Return the time as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def git_sha(content: bytes) -> str:
    """Git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def identifier(*parts: str) -> str:
    """24 hex digits, as the Hub's ids."""
    return hashlib.md5("".join(parts).encode()).hexdigest()[:24]


def front_matter(text: str) -> dict[str, Json]:
    """Return a card's metadata."""
    has_any = text.startswith("---") and text.count("---") > 1
    return (yaml.safe_load(text.split("---")[1]) if has_any else None) or {}


def card_faults(text: str, kind: str) -> list[str]:
    """Return the few of the Hub's rules for card metadata that this double knows."""
    try:
        card = front_matter(text)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    faults = []
    licence = card.get("license", "other")
    if not {str(name) for name in (licence if isinstance(licence, list) else [licence])} <= LICENSES:
        faults.append(f'"license" must be one of {sorted(LICENSES)}')
    for result in [r for index in card.get("model-index") or [] for r in index.get("results") or []]:
        for part, key in (("task", "type"), ("dataset", "type"), ("dataset", "name")):
            if not (result.get(part) or {}).get(key):
                faults.append(f'"model-index": missing {part}.{key}')
        if any(not {"type", "value"} <= metric.keys() for metric in result.get("metrics") or []):
            faults.append('"model-index": metrics need type and value')
    if kind == "space" and card.get("sdk") not in SDKS:
        faults.append(f'"sdk" must be one of {list(SDKS)}')
    if kind == "dataset" and any("config_name" not in config for config in card.get("configs") or []):
        faults.append('"configs": config_name is required')
    return faults


def eval_results(path: str, text: bytes) -> list[dict[str, Json]]:
    """Return the results in a file of `.eval_results/`, or one entry that says the file is not valid."""
    try:
        results = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [{"filename": path, "error": f"YAML: {error}"}]
    for result in results if isinstance(results, list) else [None]:
        dataset = result.get("dataset") if isinstance(result, dict) and "value" in result else None
        if not (isinstance(dataset, dict) and {"id", "task_id"} <= dataset.keys()):
            return [{"filename": path, "error": "invalid eval results"}]
    return [{"filename": path, "data": result} for result in results]


def entry(path: str, file: File) -> dict[str, Json]:
    """Return a file in a listing."""
    about: dict[str, Json] = {"type": "file", "oid": file.oid, "blobId": file.oid, "size": file.size, "path": path}
    if file.lfs:
        about["lfs"] = {"oid": file.lfs, "sha256": file.lfs, "size": file.size, "pointerSize": 134}
    return about


def folder(path: str) -> dict[str, Json]:
    """Return a folder in a listing."""
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def tree(files: dict[str, File], below: str, recursive: bool) -> list[dict[str, Json]]:
    """Return the listing of a folder; EntryNotFound if there is none (pipelines need exactly this)."""
    below = below.strip("/")
    prefix = f"{below}/" if below else ""
    folders: dict[str, dict[str, Json]] = {}
    found = []
    for path in sorted(path for path in files if path.startswith(prefix)):
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            name = prefix + "/".join(parts[:depth])
            folders.setdefault(name, folder(name))
        if recursive or len(parts) == 1:
            found.append(entry(path, files[path]))
    if below and not found and not folders:
        raise HubError(404, f"{below} does not exist", "EntryNotFound")
    return [*folders.values(), *found]


def refs(repository: Repository) -> Json:
    """Return all refs."""

    def listed(names: dict[str, str], prefix: str) -> Json:
        return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in names.items()]

    return {
        "branches": listed(repository.branches, "refs/heads/"),
        "tags": listed(repository.tags, "refs/tags/"),
        "converts": [],
        "pullRequests": listed(repository.pull_requests, ""),
    }


def history(repository: Repository, revision: str) -> Json:
    """Return the commits behind a revision, the newest first."""
    found, sha = [], repository.sha(revision) if revision else None
    while sha:
        commit = repository.commits[sha]
        about = {"id": sha, "title": commit.title, "message": commit.message, "date": commit.date}
        found.append(about | {"authors": [{"user": commit.author}]})
        sha = commit.parent
    return found
