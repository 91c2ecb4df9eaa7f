"""A Hub on loopback: a test double of the Hugging Face Hub's HTTP API, in memory, for the real clients.

`python -m tests.loopback_hub --port 8765` serves until interrupted. In tests: `with serve() as (hub, url): …`, clients
as subprocesses with `client_environment(url, home)`, since they read their environment when they are imported. Uploads
take the git-LFS way (HF_HUB_DISABLE_XET=1). It knows the token `hf_writer` (user tester, organisation emo-org) and the
read-only `hf_reader`.
"""

import argparse
import base64
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".parquet", ".arrow", ".pt", ".gz", ".zip", ".model", ".png", ".npz")
LFS_FROM = 10_000_000  # bytes
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0", "openrail", "other", "unknown"}
Json = Any


@dataclass(frozen=True)
class User:
    """Who a token belongs to."""

    name: str
    role: str
    organisations: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Whether the repository is in the user's own or an organisation's namespace."""
        return repo_id.split("/")[0] in (self.name, *self.organisations)


USERS = {
    "hf_writer": User("tester", "write", ("emo-org", "google-research-datasets")),
    "hf_reader": User("reader", "read"),
}


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
        """The commit that a branch, tag, pull request or sha names."""
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


@dataclass(frozen=True)
class Call:
    """A request, its raw path split before unquoting, so that `refs%2Fpr%2F1` stays one part."""

    method: str
    parts: list[str]
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str]
    user: User | None
    base: str

    @property
    def json(self) -> Json:
        """The body."""
        return json.loads(self.body or b"{}")


class HubError(Exception):
    """An answer other than success, with the headers by which the client tells errors apart."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        marks = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}
        self.response = JSONResponse({"error": message}, status, marks)


class LoopbackHub:
    """The Hub's state and its answers. `faults` maps "METHOD /path prefix" to statuses that are answered first."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.collections: dict[str, dict[str, Json]] = {}
        self.faults: dict[str, list[int]] = {}
        self.calls: list[tuple[str, str, int]] = []

    def app(self) -> Starlette:
        """The ASGI application."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])

    async def _serve(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().split("?")[0]
        body = await request.body()
        try:
            answer = self._answer(request, path, body)
        except HubError as error:
            answer = error.response
        response = answer if isinstance(answer, Response) else JSONResponse(answer)
        self.calls.append((request.method, path, response.status_code))
        return response

    def _answer(self, request: Request, path: str, body: bytes) -> Json:
        for prefix, statuses in self.faults.items():
            if statuses and f"{request.method} {path}".startswith(prefix):
                raise HubError(statuses.pop(0), "injected fault")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        base = str(request.base_url).rstrip("/")
        if parts[0] == "_lfs":  # the storage side: signed URLs, no token arrives
            return self._store(parts[1], body)
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if token and token not in USERS:
            raise HubError(401, "Invalid credentials in Authorization header")
        query = parse_qs(request.url.query, keep_blank_values=True)
        call = Call(request.method, parts, query, body, dict(request.headers), USERS.get(token), base)
        if parts[0] == "api":
            return self._api(call, parts[1:])
        kind, rest = (parts[0], parts[1:]) if parts[0] in PREFIXES and parts[0] != "models" else ("models", parts)
        if len(rest) > 4 and rest[1].endswith(".git"):
            return self._lfs_batch(call, kind, f"{rest[0]}/{rest[1].removesuffix('.git')}")
        if len(rest) > 4 and rest[2] == "resolve":
            return self._resolve(call, kind, f"{rest[0]}/{rest[1]}", rest[3], "/".join(rest[4:]))
        raise HubError(404, "Not found")

    # ------------------------------------------------------------------ the API

    def _api(self, call: Call, parts: list[str]) -> Json:
        if parts == ["whoami-v2"]:
            return self._whoami(call)
        if parts == ["validate-yaml"]:
            faults = card_faults(call.json["content"], call.json["repoType"])
            answer = {"errors": [{"message": fault} for fault in faults], "warnings": []}
            return JSONResponse(answer, 400 if faults else 200)
        if parts[0] == "repos":
            return self._create_or_delete(call, parts[1])
        if parts[0] == "collections":
            return self._collections(call, parts[1:])
        if parts[0] in PREFIXES and len(parts) == 1:
            author = call.query.get("author", [None])[0]
            found = [r for (kind, _), r in self.repositories.items() if kind == parts[0] and self._sees(call, r)]
            return [self._info(r, r.sha("main")) for r in found if author in (None, r.id.split("/")[0])]
        if parts[0] in PREFIXES and len(parts) >= 3:
            operation, argument = ([*parts[3:], "", ""])[:2]
            return self._repository(call, parts[0], f"{parts[1]}/{parts[2]}", operation, argument, "/".join(parts[5:]))
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    def _whoami(self, call: Call) -> Json:
        if not call.user:
            raise HubError(401, "Invalid username or password.")
        access = {"displayName": "test", "role": call.user.role}
        organisations = [{"type": "org", "name": name} for name in call.user.organisations]
        auth = {"type": "access_token", "accessToken": access}
        return {"type": "user", "name": call.user.name, "orgs": organisations, "auth": auth}

    def _create_or_delete(self, call: Call, action: str) -> Json:
        asked, user = call.json, call.user
        kind = (asked.get("type") or "model") + "s"
        repo_id = f"{asked.get('organization') or (user.name if user else None)}/{asked['name']}"
        if not (user and user.owns(repo_id) and user.role == "write"):
            namespace = repo_id.split("/")[0]
            message = f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{namespace}"'
            raise HubError(403 if user else 401, message)
        if action == "delete":
            return {"deleted": self.repositories.pop((kind, self._find(call, kind, repo_id).id)).id}
        url = f"{call.base}/{PREFIXES[kind]}{repo_id}"
        if (kind, repo_id) in self.repositories:
            return JSONResponse({"error": f"You already created this {kind[:-1]} repo: {repo_id}", "url": url}, 409)
        repository = Repository(repo_id, kind, private=asked.get("visibility") == "private", created=now())
        attributes = self._keep(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        first = repository.commit(None, {".gitattributes": attributes}, "initial commit", "", user.name)
        repository.branches["main"] = first
        self.repositories[kind, repo_id] = repository
        return {"url": url, "name": repo_id, "id": identifier(kind, repo_id)}

    def _repository(self, call: Call, kind: str, repo_id: str, operation: str, argument: str, rest: str) -> Json:
        writes = call.method in ("POST", "PUT", "DELETE") and operation != "paths-info"
        repository = self._find(call, kind, repo_id, writes)
        operations: dict[str, Callable[[], Json]] = {
            "": lambda: self._info(repository, repository.sha("main"), "blobs" in call.query),
            "revision": lambda: self._info(repository, repository.sha(argument), "blobs" in call.query),
            "auth-check": dict,
            "refs": lambda: refs(repository),
            "settings": lambda: self._settings(call, repository),
            "tag": lambda: self._ref(call, repository, repository.tags, call.json.get("tag", argument), argument),
            "branch": lambda: self._ref(
                call, repository, repository.branches, argument, call.json.get("startingPoint", "main")
            ),
            "commits": lambda: history(repository, argument),
            "tree": lambda: tree(self._files(repository, argument), rest, _flag(call, "recursive")),
            "paths-info": lambda: self._paths_info(call, self._files(repository, argument)),
            "preupload": lambda: self._preupload(call, self._files(repository, argument)),
            "commit": lambda: self._commit(call, repository, argument),
        }
        if operation not in operations:
            raise HubError(404, f"unknown repository operation {operation}")
        return operations[operation]()

    def _settings(self, call: Call, repository: Repository) -> Json:
        if "visibility" in call.json:
            repository.private = call.json["visibility"] == "private"
        repository.gated = call.json.get("gated", repository.gated)
        return {"private": repository.private, "gated": repository.gated}

    def _ref(self, call: Call, repository: Repository, refs: dict[str, str], name: str, start: str) -> Json:
        if call.method == "DELETE":
            if refs.pop(name, None) is None:
                raise HubError(404, f"{name} not found", "RevisionNotFound")
        elif name in refs:
            raise HubError(409, f"Reference already exists: {name}")
        else:
            refs[name] = repository.sha(start)
        return {}

    def _paths_info(self, call: Call, files: dict[str, File]) -> Json:
        asked = [path.strip("/") for path in parse_qs(call.body.decode()).get("paths", [])]
        folders = [path for path in asked if any(known.startswith(f"{path}/") for known in files)]
        return [entry(path, files[path]) for path in asked if path in files] + [folder(path) for path in folders]

    def _preupload(self, call: Call, files: dict[str, File]) -> Json:
        answers = []
        for asked in call.json["files"]:
            path = asked["path"]
            is_lfs = path.endswith(LFS_SUFFIXES) or asked["size"] > LFS_FROM
            # `oid` is what is there now: by it the client leaves unchanged files out
            known = {"oid": files[path].lfs or files[path].oid} if path in files else {}
            answers.append({"path": path, "shouldIgnore": False, "uploadMode": "lfs" if is_lfs else "regular", **known})
        return {"files": answers}

    def _commit(self, call: Call, repository: Repository, revision: str) -> Json:
        lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
        head, before = lines[0]["value"], repository.sha(revision)
        if head.get("parentCommit") and not before.startswith(head["parentCommit"]):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[before].files)
        for line in lines[1:]:
            self._apply(files, line["key"], line["value"])
        author = call.user.name if call.user else ""
        sha = repository.commit(before, files, head["summary"], head.get("description", ""), author)
        url = f"{call.base}/{PREFIXES[repository.kind]}{repository.id}"
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{url}/commit/{sha}", "hookOutput": ""}
        if "create_pr" in call.query:
            number = len(repository.pull_requests) + 1
            repository.pull_requests[f"refs/pr/{number}"] = sha
            return answer | {"pullRequestUrl": f"{url}/discussions/{number}"}
        for heads in (repository.branches, repository.pull_requests):
            if revision in heads:
                heads[revision] = sha
                return answer
        raise HubError(400, "Can only commit to a branch")

    def _apply(self, files: dict[str, File], key: str, value: Json) -> None:
        path = value["path"]
        if key == "file":
            files[path] = self._keep(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in self.blobs:
                raise HubError(400, f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = File(git_sha(value["oid"].encode()), len(self.blobs[value["oid"]]), value["oid"])
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key == "deletedFolder":
            for known in [known for known in files if known.startswith(path.rstrip("/") + "/")]:
                del files[known]

    def _collections(self, call: Call, parts: list[str]) -> Json:
        if not parts:
            return list(map(shown, self.collections.values())) if call.method == "GET" else self._new_collection(call)
        collection = self.collections.get("/".join(parts[:2]))
        if collection is None:
            raise HubError(404, "Collection not found")
        items = collection["items"]
        if parts[2:] == ["items"]:
            item = call.json["item"]
            if item["type"] in ("model", "dataset") and (f"{item['type']}s", item["id"]) not in self.repositories:
                raise HubError(404, "item does not exist")
            if any((known["id"], known["type"]) == (item["id"], item["type"]) for known in items):
                raise HubError(409, "item already in collection")
            note = {"note": {"text": call.json["note"]}} if call.json.get("note") else {}
            items.append({"_id": identifier(item["type"], item["id"]), **item, **note})
        elif len(parts) == 4:
            index = next(index for index, item in enumerate(items) if item["_id"] == parts[3])
            item = items.pop(index)
            if call.method == "PATCH":
                note = {"note": {"text": call.json["note"]}} if "note" in call.json else {}
                items.insert(call.json.get("position", index), item | note)
        elif call.method == "PATCH":
            collection.update(call.json)
            return {"data": shown(collection)}
        elif call.method == "DELETE":
            del self.collections[collection["slug"]]
        return shown(collection)

    def _new_collection(self, call: Call) -> Json:
        asked = call.json
        slug = f"{asked['namespace']}/{'-'.join(asked['title'].lower().split())}-{identifier(asked['title'])}"
        if slug in self.collections:
            return JSONResponse({"error": "exists", "slug": slug}, 409)
        fixed = {"theme": "blue", "upvotes": 0, "position": 0, "lastUpdated": now(), "items": []}
        owner = {"type": "user", "name": asked["namespace"]}
        known = {"title": asked["title"], "description": asked.get("description"), "private": asked["private"]}
        self.collections[slug] = {"slug": slug, "owner": owner, **known, **fixed}
        return shown(self.collections[slug])

    # ------------------------------------------------------------------ files

    def _store(self, name: str, body: bytes) -> Json:
        if name == "verify":
            asked = json.loads(body)
            found = len(self.blobs.get(asked["oid"], b"")) == asked["size"]
            return {} if found else JSONResponse({"error": "missing"}, 404)
        if hashlib.sha256(body).hexdigest() != name:
            raise HubError(400, "sha256 mismatch")
        self.blobs[name] = body
        return {}

    def _lfs_batch(self, call: Call, kind: str, repo_id: str) -> Json:
        self._find(call, kind, repo_id, writes=True)
        objects = []
        for asked in call.json["objects"]:
            upload = {"href": f"{call.base}/_lfs/{asked['oid']}", "header": {}}
            verify = {"href": f"{call.base}/_lfs/verify", "header": {}}
            known = asked["oid"] in self.blobs  # no "actions": the client skips the upload
            objects.append(asked if known else asked | {"actions": {"upload": upload, "verify": verify}})
        return {"transfer": "basic", "objects": objects}

    def _resolve(self, call: Call, kind: str, repo_id: str, revision: str, path: str) -> Response:
        repository = self._find(call, kind, repo_id)
        if repository.gated and not (call.user and call.user.owns(repo_id)):
            raise HubError(403 if call.user else 401, "Access to this repo is restricted.", "GatedRepo")
        sha = repository.sha(revision)
        file = repository.commits[sha].files.get(path)
        if file is None:  # with the commit, so that clients remember the absence
            raise HubError(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": sha})
        content, tag = self.blobs[file.lfs or file.oid], f'"{file.lfs or file.oid}"'
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": tag}
        if file.lfs:
            headers |= {"X-Linked-Etag": tag, "X-Linked-Size": str(file.size)}
        status, asked = 200, call.headers.get("range")
        if asked and call.method == "GET":
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(int(last), len(content) - 1) if first and last else len(content) - 1
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        headers["Content-Length"] = str(len(content))
        return Response(b"" if call.method == "HEAD" else content, status, headers, "application/octet-stream")

    # ------------------------------------------------------------------ what the answers share

    def _sees(self, call: Call, repository: Repository) -> bool:
        return not repository.private or bool(call.user and call.user.owns(repository.id))

    def _find(self, call: Call, kind: str, repo_id: str, writes: bool = False) -> Repository:
        """The repository; a private one cannot be told from a missing one."""
        repository = self.repositories.get((kind, repo_id))
        if repository is None or not self._sees(call, repository):
            raise HubError(404 if call.user else 401, "Repository not found", "RepoNotFound")
        if writes and not (call.user and call.user.owns(repo_id) and call.user.role == "write"):
            raise HubError(403 if call.user else 401, "You don't have write access to this repo")
        return repository

    def _keep(self, content: bytes) -> File:
        oid = git_sha(content)
        self.blobs[oid] = content
        return File(oid, len(content))

    def _files(self, repository: Repository, revision: str) -> dict[str, File]:
        return repository.commits[repository.sha(revision)].files

    def _info(self, repository: Repository, sha: str, blobs: bool = False) -> Json:
        commit = repository.commits[sha]
        files = commit.files
        card = front_matter(self.blobs[files["README.md"].oid].decode()) if "README.md" in files else {}
        siblings = [{"rfilename": path} | (entry(path, file) if blobs else {}) for path, file in sorted(files.items())]
        about = {
            "_id": identifier(repository.kind, repository.id),
            "id": repository.id,
            "author": repository.id.split("/")[0],
            "sha": sha,
            "private": repository.private,
            "gated": repository.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": list(card.get("tags") or []),
            "siblings": siblings,
            "cardData": card,
            "createdAt": repository.created,
            "lastModified": commit.date,
        }
        if repository.kind == "models":
            config = json.loads(self.blobs[files["config.json"].oid]) if "config.json" in files else {}
            guessed = "text-classification" if "SequenceClassification" in str(config.get("architectures")) else None
            about |= {"modelId": repository.id, "library_name": card.get("library_name"), "config": config}
            about["pipeline_tag"] = card.get("pipeline_tag") or guessed
            about["evalResults"] = [
                {"filename": path, "data": result}
                for path, file in files.items()
                if path.startswith(".eval_results/")
                for result in yaml.safe_load(self.blobs[file.oid])
            ]
        return about


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def git_sha(content: bytes) -> str:
    """Git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def identifier(*parts: str) -> str:
    """24 hex digits, as the Hub's ids."""
    return hashlib.md5("".join(parts).encode()).hexdigest()[:24]


def _flag(call: Call, name: str) -> bool:
    return call.query.get(name, ["false"])[0].lower() == "true"


def front_matter(text: str) -> dict[str, Json]:
    """A card's metadata."""
    has_any = text.startswith("---") and text.count("---") > 1
    return (yaml.safe_load(text.split("---")[1]) if has_any else None) or {}


def card_faults(text: str, kind: str) -> list[str]:
    """The few of the Hub's rules for card metadata that this double knows."""
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
    if kind == "dataset" and any("config_name" not in config for config in card.get("configs") or []):
        faults.append('"configs": config_name is required')
    return faults


def entry(path: str, file: File) -> dict[str, Json]:
    """A file in a listing."""
    about: dict[str, Json] = {"type": "file", "oid": file.oid, "blobId": file.oid, "size": file.size, "path": path}
    if file.lfs:
        about["lfs"] = {"oid": file.lfs, "sha256": file.lfs, "size": file.size, "pointerSize": 134}
    return about


def folder(path: str) -> dict[str, Json]:
    """A folder in a listing."""
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def tree(files: dict[str, File], below: str, recursive: bool) -> list[dict[str, Json]]:
    """The listing of a folder; EntryNotFound where there is none (pipelines need exactly this)."""
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
    """All refs."""

    def listed(names: dict[str, str], prefix: str) -> Json:
        return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in names.items()]

    return {
        "branches": listed(repository.branches, "refs/heads/"),
        "tags": listed(repository.tags, "refs/tags/"),
        "converts": [],
        "pullRequests": listed(repository.pull_requests, ""),
    }


def history(repository: Repository, revision: str) -> Json:
    """The commits behind a revision, the newest first."""
    found, sha = [], repository.sha(revision) if revision else None
    while sha:
        commit = repository.commits[sha]
        about = {"id": sha, "title": commit.title, "message": commit.message, "date": commit.date}
        found.append(about | {"authors": [{"user": commit.author}]})
        sha = commit.parent
    return found


def shown(collection: dict[str, Json]) -> Json:
    """A collection with its items' positions."""
    return {**collection, "items": [{**item, "position": index} for index, item in enumerate(collection["items"])]}


@contextmanager
def serve(hub: LoopbackHub | None = None, port: int = 0) -> Iterator[tuple[LoopbackHub, str]]:
    """Serve a Hub on 127.0.0.1 in a thread; yields it and its URL."""
    hub = hub or LoopbackHub()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(hub.app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield hub, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def client_environment(url: str, home: Path, token: str | None = "hf_writer") -> dict[str, str]:
    """The environment of a client process: this Hub, a cache of its own, a token or none."""
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    ours |= {"HF_HUB_DISABLE_UPDATE_CHECK": "1", **({"HF_TOKEN": token} if token else {})}
    hidden = {"HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN_PATH"}
    return {name: value for name, value in os.environ.items() if name not in hidden} | ours


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback_hub", description="Serves a Hub for tests.")
    parser.add_argument("--port", type=int, default=8765)
    with serve(port=parser.parse_args().port) as (_, url):
        print(f"export HF_ENDPOINT={url} HF_TOKEN=hf_writer HF_HOME=$(mktemp -d) HF_HUB_DISABLE_XET=1")
        threading.Event().wait()


if __name__ == "__main__":
    main()
