"""Publishes the data sets, the models, the Space and their cards: python push.py --namespace NS [--execute]

Prints its plan and checks it; sends only with --execute, to the Hub that HF_ENDPOINT names: one commit and one tag for
each repository, then one collection of them. Run twice it changes nothing; killed anywhere, the next run finishes.
Repositories are private unless --public is given. It reads files and imports nothing of the project but `publish`.
"""

import argparse
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlparse

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from publish import checks, hub
from publish.plan import Content, Places, Plan, make

ROOT = Path(__file__).resolve().parent


def fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def refuse(problems: list[str]) -> NoReturn:
    """End with all that is wrong and exit code 2."""
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    fail(f"nothing was sent; {len(problems)} thing{'s' if len(problems) > 1 else ''} to put right, above.")


def show(plan: Plan, release: hub.Release, found: dict[tuple[str, str], dict[str, str]]) -> None:
    """Print the plan, with what it does to each file there where the Hub was asked."""
    source = f"commit {release.commit[:12]}" if release.commit else "no commit"
    print(f"to {constants.ENDPOINT}, {'private' if release.private else 'PUBLIC'}, tag {release.tag}, from {source}:")
    for repository in plan.repositories:
        size = sum(_size(content) for content in repository.files.values()) / 2**20
        repo_id = f"{release.namespace}/{repository.name}"
        print(f"  {repository.kind:<8} {repo_id}: {len(repository.files)} files, {size:.1f} MiB")
        states = found.get((repository.kind, repository.name), {})
        for name, content in repository.files.items():
            print(f"           {name} ({_size(content):,} bytes){', ' + states[name] if name in states else ''}")
        for name in sorted(states.keys() - repository.files.keys()):
            print(f"           {name}, {states[name]}")
    print(f"  then the collection '{hub.TITLE}' of these {len(plan.repositories)}")
    for line in plan.notes:
        print(f"  {line}")


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def check(plan: Plan, places: Places, uncommitted: list[str]) -> list[str]:
    """Everything that keeps the plan from being sent, as far as it can be told without the Hub."""
    problems = [*plan.problems, *checks.cards_are_fresh(ROOT, places)]
    problems += [
        *checks.models(plan, places),
        *checks.corpus(plan, places),
        *checks.space(plan),
        *checks.contents(plan),
    ]
    if uncommitted and urlparse(constants.ENDPOINT).hostname in ("127.0.0.1", "localhost"):
        plan.notes.append(f"allowed, since this Hub is on this machine: {uncommitted[0]}")
        return problems
    return uncommitted + problems


def ask(api: HfApi, plan: Plan, release: hub.Release) -> tuple[dict[tuple[str, str], dict[str, str]], list[str]]:
    """What the plan does to each file on the Hub, by repository, and what its state there forbids."""
    hub.whoami(api, release.namespace)
    found, problems = {}, []
    for repository in plan.repositories:
        validate_repo_id(f"{release.namespace}/{repository.name}")
        found[repository.kind, repository.name], forbidden = hub.compare(api, repository, release)
        problems += forbidden
    return found, problems


def act(api: HfApi, plan: Plan, release: hub.Release) -> None:
    """Send every repository, then make the collection."""
    for repository in plan.repositories:
        head, changed = hub.send(api, repository, release)
        done = "sent" if changed else "nothing new"
        print(f"{repository.kind} {release.namespace}/{repository.name}: {done}, {release.tag}, {head}", flush=True)
    print(f"collection: {hub.collect(api, plan.repositories, release)}")


def main() -> None:
    """Parse the command line, print the plan, check it, send it if asked."""
    args = _arguments()
    places = Places(**{part.name: getattr(args, part.name) for part in fields(Places)})
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit, uncommitted = checks.source_tree(ROOT)
    release = hub.Release(args.namespace, args.tag or f"v{version}", commit, not args.public)
    plan, api = make(args.namespace, places), HfApi()
    found: dict[tuple[str, str], dict[str, str]] = {}
    problems = check(plan, places, uncommitted)
    try:
        if args.compare or (args.execute and not problems):
            found, forbidden = ask(api, plan, release)
            problems += forbidden
        show(plan, release, found)
        if problems:
            refuse(problems)
        if not args.execute:
            print("nothing was sent; add --execute to send it")
            return
        act(api, plan, release)
    except LocalTokenNotFoundError:
        fail("no Hub token. Run `hf auth login`, or set HF_TOKEN to a token with write access.")
    except hub.NotAllowed as error:
        fail(str(error))
    except HfHubHTTPError as error:
        fail(_explain(error, args.namespace))
    except (httpx2.HTTPError, OSError) as error:
        fail(f"{constants.ENDPOINT}: {type(error).__name__}: {hub.first_line(error)}. Run it again.")
    except ValueError as error:  # a name that the Hub does not take
        fail(f"{hub.first_line(error)}. What was sent before is whole.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python push.py", description="Publishes data sets, models, Space and cards.")
    parser.add_argument("--namespace", required=True, help="user or organisation")
    parser.add_argument("--corpus", type=Path, default=Path("work/demo/corpus"))
    texts = "texts with emotion words, sent where there is such a folder"
    parser.add_argument("--descriptors", type=Path, default=Path("work/texts/corpus"), help=texts)
    parser.add_argument("--models", type=Path, default=Path("work/models"))
    parser.add_argument("--cards", type=Path, default=Path("model_cards"))
    parser.add_argument("--results", type=Path, default=Path("eval/results"), help="what the cards' numbers are from")
    parser.add_argument("--recipes", type=Path, default=Path("train/recipes"), help="what the models were trained by")
    parser.add_argument("--space", type=Path, default=Path("space"), help="sent where there is such a folder")
    parser.add_argument("--tag", help="of this release; default: v and the version in pyproject.toml")
    parser.add_argument("--public", action="store_true", help="default: private")
    parser.add_argument("--compare", action="store_true", help="ask the Hub what is new or changed, and send nothing")
    parser.add_argument("--execute", action="store_true", help="send; without it only the plan is printed")
    return parser.parse_args()


def _explain(error: HfHubHTTPError, namespace: str) -> str:
    """What a refusal of the Hub means for the person who sent."""
    status = error.response.status_code
    if status == 401:
        return f"{constants.ENDPOINT} refuses the token (401). Set HF_TOKEN to a valid one; `hf auth whoami` tests it."
    if status == 403:
        return f"the token may not write to '{namespace}' (403). Use one with write access to that namespace."
    detail = error.server_message or hub.first_line(error)
    return f"{constants.ENDPOINT} answered {status}: {detail}. What was sent is whole; run the same command again."


if __name__ == "__main__":
    main()
