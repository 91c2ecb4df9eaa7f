"""What is on the Hub, and how it is made to hold the plan.

Every attempt looks anew and sends what is then missing, on the commit that it saw. So it does not matter whether an
answer was lost before or after the Hub did what it was asked, nor where a run before this one was killed.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import parse_ratelimit_headers
from huggingface_hub.utils.sha import git_hash

from publish.checks import sha256
from publish.plan import CARD, Content, Repository

TRIES = 5
READ_HERE = 10 * 2**20  # bytes; more is sent from the disk
LONGEST_WAIT = 300  # seconds; the Hub counts calls over five minutes
TITLE = "Emo Pillars"
ABOUT = "Emotion understanding distilled from large language models: corpus, encoders, demo."  # 150 characters at most
# What a push puts there, and so takes away when it is no longer in the plan; a file of another kind stays.
SENT_FOLDERS, SENT_SUFFIXES = (
    ("onnx/", "adapter/", "plots/", ".eval_results/"),
    (".parquet", ".safetensors", ".json", ".py"),
)
NEW, CHANGED, UNCHANGED, DELETED = "new", "changed", "unchanged", "to be deleted"

Result = TypeVar("Result")


class NotAllowed(Exception):
    """The token may not write there, or what is there must not be written over."""


class Changed(Exception):
    """A file is no longer what was checked."""

    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path}: changed since it was checked, so it was not sent. Run it again when nothing writes there"
        )


@dataclass(frozen=True)
class Release:
    """What all repositories of a push share."""

    namespace: str
    tag: str
    commit: str
    private: bool


@dataclass(frozen=True)
class There:
    """A repository on the Hub: the head of its main branch, its files with the hash that the Hub gives, its tags."""

    head: str
    private: bool
    files: dict[str, RepoFile]
    tags: tuple[str, ...]


def retried(attempt: Callable[[], Result]) -> Result:
    """Call until it goes through, waiting longer each time; what trying again cannot mend is raised at once."""
    for tried in range(TRIES):
        try:
            return attempt()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if tried == TRIES - 1 or (status < 500 and status not in (408, 409, 412, 429)):
                raise
            limit = parse_ratelimit_headers(error.response.headers) if status == 429 else None
            wait = min(limit.reset_in_seconds + 1, LONGEST_WAIT) if limit else 2**tried
            _wait(f"the Hub answered {status}", wait)
        except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
            if tried == TRIES - 1 or isinstance(error, OfflineModeIsEnabled):
                raise
            _wait(f"no answer ({type(error).__name__})", 2**tried)
    raise AssertionError("unreachable")


def _wait(why: str, seconds: int) -> None:
    print(f"  {why}; looks again in {seconds} s", file=sys.stderr)
    time.sleep(seconds)


def look(api: HfApi, repo_id: str, kind: str, revision: str | None = None) -> There | None:
    """What is there, at a revision or at the head; None where there is no repository, or none that we may see.

    Raises:
        NotAllowed: the Hub leads to a repository of another name.
    """
    try:
        info = api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None
    if info.id.casefold() != repo_id.casefold():
        raise NotAllowed(
            f"{repo_id} ({kind}) was renamed or moved to {info.id}, which is not written to. Rename it back, or create "
            "a new repository of that name."
        )
    tree = api.list_repo_tree(repo_id, recursive=True, revision=revision or info.sha, repo_type=kind)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    tags = tuple(ref.name for ref in api.list_repo_refs(repo_id, repo_type=kind).tags)
    return There(info.sha, bool(info.private), files, tags)


def states(repository: Repository, there: There | None) -> dict[str, str]:
    """What a push does to each file: new, changed, unchanged, to be deleted."""
    known, checked = there.files if there else {}, repository.digests
    found = {
        name: NEW if name not in known else UNCHANGED if is_same(content, known[name], checked.get(name)) else CHANGED
        for name, content in repository.files.items()
    }
    stale = [name for name in known if name not in found and _is_ours(name)]
    return found | dict.fromkeys(stale, DELETED)


def is_same(content: Content, known: RepoFile, checked: str | None = None) -> bool:
    """Whether the Hub has this content. Of files stored apart it tells the SHA-256, of others git's hash.

    Args:
        checked: the content's SHA-256 as it was checked, where that is known.
    """
    if known.lfs:
        return bool(known.lfs.sha256 == (checked or sha256(content)))
    if known.size != (len(content) if isinstance(content, bytes) else content.stat().st_size):
        return False
    return bool(known.blob_id == git_hash(_read(content, checked)))


def _read(content: Content, checked: str | None) -> bytes:
    """A file's bytes. Raises Changed where they are not those that were checked."""
    found = content if isinstance(content, bytes) else content.read_bytes()
    if checked and hashlib.sha256(found).hexdigest() != checked:
        raise Changed(content)
    return found


def addition(name: str, content: Content, checked: str | None) -> CommitOperationAdd:
    """A file for a commit: read here where it is small, so that what was checked is what is sent.

    Of a large one the client sends the SHA-256 with the content, and the Hub takes no other.

    Raises:
        Changed: it is not what was checked.
    """
    if isinstance(content, bytes) or content.stat().st_size <= READ_HERE:
        return CommitOperationAdd(name, _read(content, checked))
    made = CommitOperationAdd(name, str(content))
    if checked and made.upload_info.sha256.hex() != checked:
        raise Changed(content)
    return made


def _is_ours(name: str) -> bool:
    return name.startswith(SENT_FOLDERS) or name.endswith(SENT_SUFFIXES)


def compare(api: HfApi, repository: Repository, release: Release) -> tuple[dict[str, str], list[str]]:
    """What a push would do to each file, and why the Hub's state forbids it."""
    repo_id = f"{release.namespace}/{repository.name}"
    problems = []
    there = retried(lambda: look(api, repo_id, repository.kind))
    if there and there.private != release.private:
        found, asked = ("private", "public") if there.private else ("public", "private")
        problems.append(
            f"{repo_id} ({repository.kind}) is {found} there and the plan says {asked}. Change it in its settings, or "
            f"{'leave out' if asked == 'public' else 'give'} --public."
        )
    if there and release.tag in there.tags:
        tagged = states(repository, retried(lambda: look(api, repo_id, repository.kind, release.tag)))
        other = [name for name, state in tagged.items() if state != UNCHANGED]
        if other:
            problems.append(
                f"{repo_id} ({repository.kind}) has the tag {release.tag} already, with another {_some(other)}. "
                "What is tagged stays; give a new --tag."
            )
    if CARD in repository.files:
        try:
            retried(lambda: RepoCard(repository.card).validate(repo_type=repository.kind))
        except ValueError as error:
            problems.append(f"{repo_id} ({repository.kind}): the Hub does not take its card: {error}")
    return states(repository, there), problems


def send(api: HfApi, repository: Repository, release: Release) -> tuple[str, bool]:
    """Make the repository hold the plan's files by one commit, and tag it; its head, and whether anything was sent."""
    repo_id, kind = f"{release.namespace}/{repository.name}", repository.kind
    sdk = "gradio" if kind == "space" else None
    changed = False

    def fill() -> str:
        nonlocal changed
        there = look(api, repo_id, kind)
        if there is None:
            api.create_repo(repo_id, repo_type=kind, private=release.private, space_sdk=sdk, exist_ok=True)
            there = look(api, repo_id, kind)
            if there is None:
                raise NotAllowed(
                    f"{repo_id} ({kind}) is there, but this token may not see it: it is gated, or the token is of some "
                    "repositories alone. Use a token that may read and write it."
                )
        found = states(repository, there)
        # Made anew for each attempt: the client keeps in them what it has sent.
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            addition(name, content, repository.digests.get(name))
            for name, content in repository.files.items()
            if found[name] != UNCHANGED
        ]
        operations += [CommitOperationDelete(name) for name, state in found.items() if state == DELETED]
        if not operations:
            return there.head
        if release.tag in there.tags:
            _same_tag(api, repository, release)
        changed = True
        try:
            commit = api.create_commit(
                repo_id,
                operations,
                commit_message=f"Publish {release.tag}",
                commit_description=f"Made from commit {release.commit or 'unknown'} of the source repository.",
                repo_type=kind,
                parent_commit=there.head,  # so that of two attempts at most one can land
            )
        except RuntimeError as error:  # in it the client hides what befell an upload
            _look_for_changes(repository)
            raise error.__cause__ if isinstance(error.__cause__, Exception) else OSError(first_line(error)) from None
        sent = look(api, repo_id, kind, commit.oid)
        added = [one.path_in_repo for one in operations if isinstance(one, CommitOperationAdd)]
        if sent and (left := [name for name in added if _blob(sent, name) in (None, _blob(there, name))]):
            raise NotAllowed(
                f"{repo_id} ({kind}): the Hub did not take {_some(left)}; a .gitignore there may name it. Delete that "
                "one there, then run it again."
            )
        return str(commit.oid)

    def mark() -> None:
        nonlocal changed
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=kind).tags}
        if release.tag not in tags:
            changed = True
            api.create_tag(repo_id, tag=release.tag, revision=head, repo_type=kind)
        elif tags[release.tag] != head:
            _same_tag(api, repository, release)

    head = retried(fill)
    retried(mark)
    return head, changed


def _same_tag(api: HfApi, repository: Repository, release: Release) -> None:
    """Raise NotAllowed where the tag holds other files than the plan: another push set it since this one compared."""
    repo_id = f"{release.namespace}/{repository.name}"
    tagged = states(repository, look(api, repo_id, repository.kind, release.tag))
    other = [name for name, state in tagged.items() if state != UNCHANGED]
    if other:
        raise NotAllowed(
            f"{repo_id} ({repository.kind}) was given the tag {release.tag} by another push meanwhile, with another "
            f"{other[0]}. Compare with --compare, then give a new --tag."
        )


def _blob(there: There, name: str) -> str | None:
    return there.files[name].blob_id if name in there.files else None


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _look_for_changes(repository: Repository) -> None:
    """Raise Changed for the first file that is not what was checked."""
    for name, content in repository.files.items():
        if name in repository.digests and sha256(content) != repository.digests[name]:
            raise Changed(content)


def collect(api: HfApi, repositories: list[Repository], release: Release) -> str:
    """One collection of them all, in the plan's order and before what others put there; returns its address."""

    def attempt() -> str:
        namespace = release.namespace
        found = next((known for known in api.list_collections(owner=namespace) if known.title == TITLE), None)
        if found is None:
            made = api.create_collection(
                TITLE, namespace=namespace, description=ABOUT, private=release.private, exists_ok=True
            )
        slug = found.slug if found else made.slug
        collection = api.get_collection(slug)  # whole: a listing shows the first items alone
        if collection.private != release.private:
            api.update_collection_metadata(slug, private=release.private)
        items = {(item.item_type, item.item_id): item for item in collection.items}
        order = list(items)
        for position, repository in enumerate(repositories):
            key = (repository.kind, f"{namespace}/{repository.name}")
            if key not in items:
                collection = api.add_collection_item(
                    slug, key[1], repository.kind, note=repository.note, exists_ok=True
                )
                items = {(item.item_type, item.item_id): item for item in collection.items}
                order.append(key)
            elif items[key].note != repository.note:
                api.update_collection_item(slug, items[key].item_object_id, note=repository.note)
            if order[position] != key:
                api.update_collection_item(slug, items[key].item_object_id, position=position)
                order.remove(key)
                order.insert(position, key)
        return str(collection.url)

    return retried(attempt)


def whoami(api: HfApi, namespace: str) -> str:
    """Who the token belongs to.

    Raises:
        NotAllowed: it is read-only, or not of this namespace.
    """
    about = retried(api.whoami)
    try:
        names = [about["name"], *(of["name"] for of in about.get("orgs") or ())]
        role = ((about.get("auth") or {}).get("accessToken") or {}).get("role")
    except (KeyError, TypeError, AttributeError):
        raise NotAllowed(f"{api.endpoint} does not answer as a Hub does. See HF_ENDPOINT.") from None
    if namespace not in names:
        raise NotAllowed(f"the token may not write to '{namespace}'; it is of {', '.join(names)}.")
    if role == "read":
        raise NotAllowed(f"the token may not write to '{namespace}'; it is read-only. Use one with write access.")
    return str(about["name"])


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return next(iter(str(error).splitlines()), "no answer")
