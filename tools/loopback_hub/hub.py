"""A Hub on loopback: a test double of the Hugging Face Hub's HTTP API, in memory, for the real clients.

`python -m tools.loopback_hub.hub --port 8765` serves until interrupted. In tests: `with serve() as (hub, url): …`, clients
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.loopback_hub.repository import (
    SDKS,
    File,
    HubError,
    Json,
    Repository,
    User,
    card_faults,
    entry,
    eval_results,
    folder,
    front_matter,
    git_sha,
    history,
    identifier,
    listed,
    now,
    refs,
    shown,
    tree,
)

PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".parquet", ".arrow", ".pt", ".gz", ".zip", ".model", ".png", ".npz")
LFS_FROM = 10_000_000  # bytes
DROPPED, APPLIED_500, APPLIED_DROPPED = "dropped", "applied, then 500", "applied, then dropped"
HIDDEN = {"HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"}
HIDDEN |= {"TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE"}


USERS = {
    "hf_writer": User("tester", "write", ("emo-org", "google-research-datasets")),
    "hf_reader": User("reader", "read"),
}


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


class LoopbackHub:
    """The Hub's state and its answers.

    `faults` maps "METHOD /path prefix" to what befalls the next calls of that kind: a status that is answered instead;
    DROPPED: the connection closes and nothing was done; APPLIED_500, APPLIED_DROPPED: done, and its answer lost.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.collections: dict[str, dict[str, Json]] = {}
        self.faults: dict[str, list[int | str]] = {}
        self.calls: list[tuple[str, str, int]] = []

    def app(self) -> Starlette:
        """The ASGI application."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])

    async def _serve(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().split("?")[0]
        try:
            body = await request.body()
        except ClientDisconnect:  # killed while it was sending: nobody is left to answer
            return Response(status_code=400)
        fault = self._fault(f"{request.method} {path}")
        try:
            if isinstance(fault, int):
                raise HubError(fault, "injected fault")
            answer = {} if fault == DROPPED else self.answer(request, path, body)
            if fault == APPLIED_500:
                raise HubError(500, "injected fault")
        except HubError as error:
            answer = error.response
        except Exception:  # a defect of this double: raised, and seen in `calls` as well
            self.calls.append((request.method, path, 500))
            raise
        response = answer if isinstance(answer, Response) else JSONResponse(answer)
        self.calls.append((request.method, path, response.status_code))
        if fault in (DROPPED, APPLIED_DROPPED):
            cycle: Any = request.receive  # uvicorn's, the one way to the connection
            cycle.__self__.transport.abort()
        return response

    def _fault(self, call: str) -> int | str | None:
        """What befalls a call, taken from the list."""
        return next((found.pop(0) for prefix, found in self.faults.items() if found and call.startswith(prefix)), None)

    def answer(self, request: Request, path: str, body: bytes) -> Json:
        """Do what a request asks for and give its answer. Raises HubError."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        base = str(request.base_url).rstrip("/")
        if parts[0] == "_lfs" and len(parts) == 2:  # the storage side: signed URLs, no token arrives
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
        if not parts:
            raise HubError(404, "Not found")
        if parts == ["whoami-v2"]:
            return self._whoami(call)
        if parts == ["validate-yaml"]:
            faults = card_faults(call.json["content"], call.json["repoType"])
            answer = {"errors": [{"message": fault} for fault in faults], "warnings": []}
            return JSONResponse(answer, 400 if faults else 200)
        if parts[0] == "repos" and len(parts) == 2:
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
        namespace = repo_id.split("/")[0]
        message = f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{namespace}"'
        self._may_write(call, repo_id, message)
        if action == "delete":
            return {"deleted": self.repositories.pop((kind, self._find(call, kind, repo_id).id)).id}
        url = f"{call.base}/{PREFIXES[kind]}{repo_id}"
        if (kind, repo_id) in self.repositories:
            return JSONResponse({"error": f"You already created this {kind[:-1]} repo: {repo_id}", "url": url}, 409)
        repository = Repository(repo_id, kind, private=asked.get("visibility") == "private", created=now())
        files = {".gitattributes": self._keep(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n")}
        if kind == "spaces":
            if asked.get("sdk") not in SDKS:
                raise HubError(400, f'"sdk" must be one of {", ".join(SDKS)}')
            files["README.md"] = self._keep(f"---\ntitle: {asked['name']}\nsdk: {asked['sdk']}\n---\n".encode())
        first = repository.commit(None, files, "initial commit", "", user.name if user else "")
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
        if not parts and call.method == "GET":
            owners = call.query.get("owner", [])
            seen = [known for known in self.collections.values() if self._shows(call, known)]
            return [listed(known) for known in seen if not owners or known["owner"]["name"] in owners]
        if not parts:
            return self._new_collection(call)
        collection = self.collections.get("/".join(parts[:2]))
        if collection is None or not self._shows(call, collection):
            raise HubError(404, "Collection not found")
        if call.method != "GET":
            self._may_write(call, collection["slug"], "You don't have write access to this collection")
        items = collection["items"]
        if parts[2:] == ["items"]:
            item = call.json["item"]
            if (
                item["type"] in ("model", "dataset", "space")
                and (f"{item['type']}s", item["id"]) not in self.repositories
            ):
                raise HubError(404, "item does not exist")
            if any((known["id"], known["type"]) == (item["id"], item["type"]) for known in items):
                raise HubError(409, "item already in collection")
            note = {"note": {"text": call.json["note"]}} if call.json.get("note") else {}
            items.append({"_id": identifier(item["type"], item["id"]), **item, **note})
        elif len(parts) == 4:
            index = next((index for index, item in enumerate(items) if item["_id"] == parts[3]), None)
            if index is None:
                raise HubError(404, "Collection item not found")
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
        self._may_write(call, asked["namespace"], f"You can't create a collection under {asked['namespace']}")
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
            if start >= len(content):
                raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        headers["Content-Length"] = str(len(content))
        return Response(b"" if call.method == "HEAD" else content, status, headers, "application/octet-stream")

    # ------------------------------------------------------------------ what the answers share

    def _sees(self, call: Call, repository: Repository) -> bool:
        return not repository.private or bool(call.user and call.user.owns(repository.id))

    def _shows(self, call: Call, collection: dict[str, Json]) -> bool:
        return not collection["private"] or bool(call.user and call.user.owns(collection["slug"]))

    def _find(self, call: Call, kind: str, repo_id: str, writes: bool = False) -> Repository:
        """The repository; a private one cannot be told from a missing one."""
        repository = self.repositories.get((kind, repo_id))
        if repository is None or not self._sees(call, repository):
            raise HubError(404 if call.user else 401, "Repository not found", "RepoNotFound")
        if writes:
            self._may_write(call, repo_id, "You don't have write access to this repo")
        return repository

    def _may_write(self, call: Call, name: str, otherwise: str) -> None:
        """Refuse who may not write under the name's namespace."""
        if not (call.user and call.user.owns(name) and call.user.role == "write"):
            raise HubError(403 if call.user else 401, otherwise)

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
        if repository.kind == "spaces":
            about |= {"sdk": card.get("sdk"), "subdomain": repository.id.lower().replace("/", "-")}
        if repository.kind == "models":
            config = json.loads(self.blobs[files["config.json"].oid]) if "config.json" in files else {}
            guessed = "text-classification" if "SequenceClassification" in str(config.get("architectures")) else None
            about |= {"modelId": repository.id, "library_name": card.get("library_name"), "config": config}
            about["pipeline_tag"] = card.get("pipeline_tag") or guessed
            results = {path: self.blobs[file.oid] for path, file in files.items() if path.startswith(".eval_results/")}
            about["evalResults"] = [result for path, text in results.items() for result in eval_results(path, text)]
        return about


def _flag(call: Call, name: str) -> bool:
    return call.query.get(name, ["false"])[0].lower() == "true"


@contextmanager
def serve(hub: LoopbackHub | None = None, port: int = 0) -> Iterator[tuple[LoopbackHub, str]]:
    """Serve a Hub on 127.0.0.1 in a thread; yields it and its URL."""
    hub = hub or LoopbackHub()
    with socket.socket() as reserved:  # handed to the server as it is: nobody can take the port in between
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", port))
        port = reserved.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(hub.app(), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [reserved]}, daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the loopback Hub did not start; its messages are above")
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
    local = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    ours |= {"NO_PROXY": local, "no_proxy": local}
    return {name: value for name, value in os.environ.items() if name not in HIDDEN} | ours


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tools.loopback_hub.hub", description="Serves a Hub for tests.")
    parser.add_argument("--port", type=int, default=8765)
    port = parser.parse_args().port
    switches = " ".join(f"HF_HUB_DISABLE_{name}=1" for name in ("XET", "TELEMETRY", "UPDATE_CHECK"))
    with suppress(KeyboardInterrupt), serve(port=port) as (_, url):
        print("unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_DATASETS_OFFLINE")
        print(f"export HF_ENDPOINT={url} HF_TOKEN=hf_writer HF_HOME=$(mktemp -d) {switches}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
