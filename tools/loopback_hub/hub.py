"""The answers of the loopback Hub: the HTTP API of the Hugging Face Hub, in memory."""

import base64
import hashlib
import json
from collections.abc import Callable
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tools.loopback_hub.access import USERS, Call, HubError, Json
from tools.loopback_hub.collection import Collections
from tools.loopback_hub.repository import (
    SDKS,
    File,
    Repository,
    card_faults,
    entry,
    eval_results,
    folder,
    front_matter,
    git_sha,
    history,
    identifier,
    now,
    refs,
    tree,
)

PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".parquet", ".arrow", ".pt", ".gz", ".zip", ".model", ".png", ".npz")
LFS_FROM = 10_000_000  # bytes


class LoopbackHub:
    """The Hub's state and its answers.

    `faults` maps "METHOD /path prefix" to what happens to the next calls of that kind: a status that is answered
    instead, or one of the faults in `serving`.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self._collections = Collections(self.repositories)
        self.collections = self._collections.by_slug
        self.faults: dict[str, list[int | str]] = {}
        self.calls: list[tuple[str, str, int]] = []

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
            return self._collections.answer(call, parts[1:])
        if parts[0] in PREFIXES and len(parts) == 1:
            author = call.query.get("author", [None])[0]
            found = [
                r for (kind, _), r in self.repositories.items() if kind == parts[0] and call.may_see(r.id, r.private)
            ]
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
        call.require_write(repo_id, message)
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

    def _find(self, call: Call, kind: str, repo_id: str, writes: bool = False) -> Repository:
        """Return the repository; a private one cannot be told from a missing one."""
        repository = self.repositories.get((kind, repo_id))
        if repository is None or not call.may_see(repository.id, repository.private):
            raise HubError(404 if call.user else 401, "Repository not found", "RepoNotFound")
        if writes:
            call.require_write(repo_id, "You don't have write access to this repo")
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
