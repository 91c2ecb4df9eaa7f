"""The state of the Hub, and the calls that make it match the plan.

Every attempt looks at the Hub again and sends what is missing, on top of the commit that it saw. So it makes no
difference whether a lost answer was lost before or after the Hub acted, or where an earlier run was killed.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import parse_ratelimit_headers, validate_repo_id
from huggingface_hub.utils.sha import git_hash

from publish.files import bytes_of, first, sha256, size_of
from publish.hub_errors import Refused, first_line
from publish.plan import CARD, Repository

TRIES = 5  # with waits of 1, 2, 4 and 8 seconds between them
READ_HERE = 10 * 2**20  # bytes; the client reads a larger file while it sends it, and the Hub stores it as LFS
LONGEST_WAIT = 300  # seconds; the Hub counts calls over five minutes
TITLE = "Emo Pillars"
ABOUT = "Emotion understanding distilled from large language models: corpus, encoders, demo."  # 150 characters at most
# A push deletes files of these kinds if they are no longer in its plan. Other files were added by hand and stay.
SENT_FOLDERS = ("onnx/", "adapter/", "plots/")
SENT_SUFFIXES = (".parquet", ".safetensors", ".json", ".py")
NEW, CHANGED, UNCHANGED, DELETED = "new", "changed", "unchanged", "to be deleted"

Result = TypeVar("Result")


class FileChanged(Refused):
    """A file is no longer the one that was checked."""

    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path}: changed after it was checked, so it was not sent. Run the command again when nothing writes "
            "there; what was sent before is complete."
        )


@dataclass(frozen=True)
class Release:
    """What all repositories of a push have in common."""

    namespace: str
    tag: str
    commit: str
    private: bool

    def repo_id(self, repository: Repository) -> str:
        """Return the repository's name on the Hub."""
        return f"{self.namespace}/{repository.name}"


@dataclass(frozen=True)
class RemoteState:
    """A repository on the Hub: the head of its main branch, its files with the Hub's hashes, its tags' commits."""

    head: str
    private: bool
    files: dict[str, RepoFile]
    tags: dict[str, str]


def retried(attempt: Callable[[], Result]) -> Result:
    """Call until it succeeds, with longer and longer waits. What another attempt cannot change is raised at once."""
    for tried in range(TRIES):
        try:
            return attempt()
        except HfHubHTTPError as error:
            status = error.response.status_code
            # 408, 429 and 5xx may pass. 409 and 412 mean that another commit came first: the next attempt starts from
            # it.
            if tried == TRIES - 1 or (status < 500 and status not in (408, 409, 412, 429)):
                raise
            limit = parse_ratelimit_headers(error.response.headers) if status == 429 else None
            wait = min(limit.reset_in_seconds + 1, LONGEST_WAIT) if limit else 2**tried
            reason = f"the Hub answered {status}"
        except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
            if tried == TRIES - 1 or isinstance(error, OfflineModeIsEnabled):
                raise
            wait, reason = 2**tried, f"no answer ({type(error).__name__})"
        print(f"  {reason}; trying again in {wait} s", file=sys.stderr)
        time.sleep(wait)
    raise AssertionError("unreachable")


def check_token(api: HfApi, namespace: str) -> None:
    """Raise Refused if the token cannot be sent, is read-only, or may not write to this namespace."""
    if (token := get_token()) and not (token.isascii() and token.isprintable()):
        raise Refused("the Hub token contains characters that no token has, such as quotes or escapes. Copy it again.")
    about = retried(api.whoami)
    try:
        names = [about["name"], *(organisation["name"] for organisation in about.get("orgs") or ())]
        role = ((about.get("auth") or {}).get("accessToken") or {}).get("role")
    except (KeyError, TypeError, AttributeError):
        raise Refused(f"{api.endpoint} does not respond like a Hub. Check HF_ENDPOINT.") from None
    if namespace not in names:
        raise Refused(f"the token may not write to '{namespace}'; it belongs to {', '.join(names)}.")
    if role == "read":
        raise Refused(f"the token may not write to '{namespace}'; it is read-only. Use one with write access.")


def look(api: HfApi, repo_id: str, kind: str, revision: str | None = None) -> RemoteState | None:
    """Return the state of a repository at a revision or at its head; None if there is none that this token may see.

    Raises:
        Refused: the Hub redirects to a repository of another name.
    """
    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None
    # The Hub answers for a renamed repository under its new name.
    if info.id.casefold() != repo_id.casefold():
        raise Refused(
            f"{repo_id} ({kind}) was renamed or moved to {info.id}, which is not changed. Rename it back, or create a "
            "new repository of that name."
        )
    # At the commit that becomes `head`: `main` may move between two calls.
    tree = api.list_repo_tree(repo_id, recursive=True, revision=revision or info.sha, repo_type=kind)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=kind).tags}
    return RemoteState(info.sha, bool(info.private), files, tags)


def file_states(repository: Repository, remote: RemoteState | None) -> dict[str, str]:
    """Return what a push does to each file: new, changed, unchanged, to be deleted."""
    known = remote.files if remote else {}
    found = dict.fromkeys(repository.files, NEW)
    for name in found.keys() & known.keys():
        found[name] = UNCHANGED if _is_same(repository, name, known[name]) else CHANGED
    stale = (name for name in known if name.startswith(SENT_FOLDERS) or name.endswith(SENT_SUFFIXES))
    return found | {name: DELETED for name in stale if name not in found}


def _is_same(repository: Repository, name: str, known: RepoFile) -> bool:
    """Whether the Hub has this content. It gives the SHA-256 of a file stored as LFS, and git's hash of any other."""
    content = repository.files[name]
    if known.lfs:
        return bool(known.lfs.sha256 == (repository.digests.get(name) or sha256(content)))
    return bool(known.size == size_of(content) and known.blob_id == git_hash(bytes_of(content)))


def _addition(repository: Repository, name: str) -> CommitOperationAdd:
    """Return a file for a commit. Raises FileChanged if it is not the one that was checked."""
    content = repository.files[name]
    if size_of(content) <= READ_HERE:  # read once, so that it cannot change while it is sent
        content = bytes_of(content)
    # With a large file the client sends the SHA-256, and the Hub accepts no other content.
    operation = CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
    if repository.digests.get(name) not in (None, operation.upload_info.sha256.hex()):
        raise FileChanged(repository.files[name])
    return operation


def compare(api: HfApi, repository: Repository, release: Release) -> tuple[dict[str, str], list[str]]:
    """Return what a push would do to each file, and the reasons in the Hub's state not to push."""
    repo_id, kind = release.repo_id(repository), repository.kind
    validate_repo_id(repo_id)
    problems = []
    remote = retried(lambda: look(api, repo_id, kind))
    if remote and remote.private != release.private:
        found, planned = ("private", "public") if remote.private else ("public", "private")
        problems.append(
            f"{repo_id} ({kind}) is {found} on the Hub but {planned} in the plan. Change it in its settings, or "
            f"{'leave out' if planned == 'public' else 'give'} --public."
        )
    if (
        remote
        and release.tag in remote.tags
        and (other := retried(lambda: _differs_from_tag(api, repository, release)))
    ):
        problems.append(
            f"{repo_id} ({kind}) already has the tag {release.tag}, with a different {other}. Tags are never moved; "
            "use a new --tag."
        )
    if CARD in repository.files:
        try:
            # The Hub itself validates the YAML, before anything is sent.
            retried(lambda: RepoCard(repository.card).validate(repo_type=kind))
        except ValueError as error:
            problems.append(f"{repo_id} ({kind}): the Hub rejected its card: {error}")
    return file_states(repository, remote), problems


def _differs_from_tag(api: HfApi, repository: Repository, release: Release) -> str:
    """Return the files that are not those of the release's tag; empty if all are."""
    tagged = look(api, release.repo_id(repository), repository.kind, release.tag)
    return first([name for name, state in file_states(repository, tagged).items() if state != UNCHANGED], 1)


def send(api: HfApi, repository: Repository, release: Release) -> tuple[str, bool]:
    """Make the repository match the plan with one commit and a tag. Returns its head, and whether anything changed."""
    before = retried(lambda: look(api, release.repo_id(repository), repository.kind))
    head = retried(lambda: _commit(api, repository, release))
    retried(lambda: _tag(api, repository, release, head))
    return head, before is None or before.head != head or release.tag not in before.tags


def _commit(api: HfApi, repository: Repository, release: Release) -> str:
    """Send new and changed files and delete stale ones. Returns the head."""
    repo_id, kind = release.repo_id(repository), repository.kind
    remote = look(api, repo_id, kind) or _create(api, repository, release)
    states = file_states(repository, remote)
    # Created anew for each attempt: the client stores in them what it has sent.
    added = [_addition(repository, name) for name in repository.files if states[name] != UNCHANGED]
    deleted = [CommitOperationDelete(name) for name, state in states.items() if state == DELETED]
    if not added and not deleted:
        return remote.head
    if release.tag in remote.tags:
        _refuse_other_tag(api, repository, release)
    try:
        commit = api.create_commit(
            repo_id,
            [*added, *deleted],
            commit_message=f"Publish {release.tag}",
            commit_description=f"Made from commit {release.commit or 'unknown'} of the source repository.",
            repo_type=kind,
            parent_commit=remote.head,  # so that of two attempts at most one succeeds
        )
    except RuntimeError as error:  # the client wraps in it whatever made an upload fail
        for name, content in repository.files.items():
            if repository.digests.get(name) not in (None, sha256(content)):
                raise FileChanged(content) from None
        raise error.__cause__ if isinstance(error.__cause__, Exception) else OSError(first_line(error)) from None
    # The Hub drops files that a .gitignore of the repository lists, and reports success.
    sent = look(api, repo_id, kind, commit.oid)
    ignored = [one.path_in_repo for one in added if sent and _blob(sent, one) in (None, _blob(remote, one))]
    if ignored:
        raise Refused(
            f"{repo_id} ({kind}): the Hub did not accept {first(ignored)}; a .gitignore there may list it. Delete that "
            ".gitignore, then run the command again."
        )
    return str(commit.oid)


def _create(api: HfApi, repository: Repository, release: Release) -> RemoteState:
    repo_id, kind = release.repo_id(repository), repository.kind
    sdk = "gradio" if kind == "space" else None
    # `exist_ok`, because an attempt whose answer was lost may have created it. A Space must name its SDK now.
    api.create_repo(repo_id, repo_type=kind, private=release.private, space_sdk=sdk, exist_ok=True)
    if remote := look(api, repo_id, kind):
        return remote
    raise Refused(
        f"{repo_id} ({kind}) exists, but this token may not see it: it is gated, or the token is for other "
        "repositories only. Use a token that may read and write it."
    )


def _blob(remote: RemoteState, added: CommitOperationAdd) -> Any:
    return remote.files[added.path_in_repo].blob_id if added.path_in_repo in remote.files else None


def _tag(api: HfApi, repository: Repository, release: Release, head: str) -> None:
    repo_id, kind = release.repo_id(repository), repository.kind
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=kind).tags}
    if release.tag not in tags:
        # After the commit and by its own call: a kill in between leaves a commit without a tag, which the next run
        # sets.
        api.create_tag(repo_id, tag=release.tag, revision=head, repo_type=kind)
    elif tags[release.tag] != head:
        _refuse_other_tag(api, repository, release)


def _refuse_other_tag(api: HfApi, repository: Repository, release: Release) -> None:
    """Raise Refused if the tag has other files than the plan: another push set it after this one compared."""
    if other := _differs_from_tag(api, repository, release):
        raise Refused(
            f"{release.repo_id(repository)} ({repository.kind}): another push has just set the tag {release.tag}, "
            f"with a different {other}. Compare with --compare, then use a new --tag."
        )


def collect(api: HfApi, repositories: list[Repository], release: Release) -> str:
    """Put all repositories into one collection, in the plan's order and before other items. Returns its address."""
    return retried(lambda: _collect(api, repositories, release))


def _collect(api: HfApi, repositories: list[Repository], release: Release) -> str:
    # Nothing here stores the collection's address, so it is found by its title.
    slug = next((one.slug for one in api.list_collections(owner=release.namespace) if one.title == TITLE), None)
    slug = slug or api.create_collection(
        TITLE, namespace=release.namespace, description=ABOUT, private=release.private, exists_ok=True
    ).slug  # fmt: skip
    collection = api.get_collection(slug)  # complete: a list of collections has their first items only
    if collection.private != release.private:
        api.update_collection_metadata(slug, private=release.private)
    order = [(item.item_type, item.item_id) for item in collection.items]
    for position, repository in enumerate(repositories):
        key = repository.kind, release.repo_id(repository)
        if key not in order:
            collection = api.add_collection_item(slug, key[1], key[0], note=repository.note, exists_ok=True)
            order.append(key)
        item = next(item for item in collection.items if (item.item_type, item.item_id) == key)
        if item.note != repository.note:
            api.update_collection_item(slug, item.item_object_id, note=repository.note)
        if order[position] != key:
            api.update_collection_item(slug, item.item_object_id, position=position)
            # The Hub has just moved this item; the list follows, so that the next positions are right.
            order.remove(key)
            order.insert(position, key)
    return str(collection.url)
