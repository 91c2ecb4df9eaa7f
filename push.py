"""Publishes the data sets, the models, the Space and their cards: python push.py --namespace NS [--execute]

Prints its plan and checks it; sends only with --execute, to the Hub that HF_ENDPOINT names: one commit and one tag for
each repository, then one collection of them. Run twice it changes nothing; killed anywhere, the next run finishes.
Repositories are private unless --public is given. It reads files and imports nothing of the project but `publish`.
"""

import argparse
import json
import re
import sys
import tomllib
import traceback
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

import httpx2

try:
    from huggingface_hub import HfApi, constants, get_token
except ValueError:  # the client reads the address when it is imported; it may hold a password, so it is not shown
    print("error: HF_ENDPOINT is no address. Give one that begins with https://, or take it away.", file=sys.stderr)
    sys.exit(2)
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from publish import checks, hub, server
from publish.plan import DATASET, Content, Places, Plan, make

ROOT = Path(__file__).resolve().parent
TAG = re.compile(r"(?!.*(\.\.|\.lock$|\.$))(?!(main|HEAD)$)\w[\w.-]{0,99}", re.ASCII)  # as git and addresses take it


def told(text: str) -> str:
    """A text as one line may show it: with nothing that a terminal obeys, and without the password of an address."""
    return server.printable(" ".join(server.without_password(text, constants.ENDPOINT).split("\n")))


def fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"error: {told(message)}", file=sys.stderr)
    sys.exit(2)


def refuse(problems: list[str]) -> NoReturn:
    """End with all that is wrong and exit code 2."""
    for problem in problems:
        print(f"error: {told(problem)}", file=sys.stderr)
    fail(f"nothing was sent; {len(problems)} thing{'s' if len(problems) > 1 else ''} to put right, above.")


def show(plan: Plan, release: hub.Release, found: dict[tuple[str, str], dict[str, str]]) -> None:
    """Print the plan, with what it does to each file there where the Hub was asked."""
    source = f"commit {release.commit[:12]}" if release.commit else "no commit"
    where = told(constants.ENDPOINT)
    print(f"to {where}, {'private' if release.private else 'PUBLIC'}, tag {release.tag}, from {source}:")
    for repository in plan.repositories:
        size = sum(_size(content) for content in repository.files.values()) / 2**20
        repo_id = f"{release.namespace}/{repository.name}"
        print(f"  {repository.kind:<8} {repo_id}: {len(repository.files)} files, {size:.1f} MiB")
        states = found.get((repository.kind, repository.name), {})
        for name, content in repository.files.items():
            print(told(f"           {name} ({_size(content):,} bytes){', ' + states[name] if name in states else ''}"))
        for name in sorted(states.keys() - repository.files.keys()):
            print(told(f"           {name}, {states[name]}"))
    print(f"  then the collection '{hub.TITLE}' of these {len(plan.repositories)}")
    for line in plan.notes:
        print(told(f"  {line}"))


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def check(plan: Plan, places: Places, uncommitted: list[str]) -> list[str]:
    """Everything that keeps the plan from being sent, as far as it can be told without the Hub."""
    plan.notes += server.stranger(constants.ENDPOINT)
    problems = [*server.in_clear(constants.ENDPOINT), *plan.problems, *checks.cards_are_fresh(ROOT, places)]
    problems += [
        *checks.models(plan, places),
        *checks.corpus(plan, places),
        *checks.space(plan),
        *checks.contents(plan),
    ]
    if uncommitted and server.is_local(constants.ENDPOINT):
        plan.notes.append(f"allowed, since this Hub is on this machine: {uncommitted[0]}")
        return problems
    return uncommitted + problems


def ask(api: HfApi, plan: Plan, release: hub.Release) -> tuple[dict[tuple[str, str], dict[str, str]], list[str]]:
    """What the plan does to each file on the Hub, by repository, and what its state there forbids."""
    if (token := get_token()) and not (token.isascii() and token.isprintable()):
        raise hub.NotAllowed("the Hub token holds signs that none has, quotes or escapes perhaps. Copy it again.")
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
    if not TAG.fullmatch(release.tag):
        fail(f"--tag {release.tag!r} is no name for a tag: give letters, digits, '.', '_' and '-', such as v{version}.")
    try:
        validate_repo_id(f"{args.namespace}/{DATASET}")
        plan = make(args.namespace, places)
        run(plan, places, release, args, uncommitted)
    except LocalTokenNotFoundError:
        fail("no Hub token. Run `hf auth login`, or set HF_TOKEN to a token with write access.")
    except hub.NotAllowed as error:
        fail(str(error))
    except hub.Changed as error:
        fail(f"{error}. What was sent before is whole.")
    except HfHubHTTPError as error:
        fail(server.explain(error, constants.ENDPOINT, args.namespace))
    except OfflineModeIsEnabled:
        fail("the Hub is switched off by HF_HUB_OFFLINE. Take it out of the environment.")
    except KeyboardInterrupt:
        fail("interrupted. What was sent is whole; the same command goes on from there.")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            fail(f"{error.filename}: {error.strerror}. See that it is there and can be read, and run it again.")
        fail(f"{constants.ENDPOINT}: {type(error).__name__}: {hub.first_line(error)}. Run it again.")
    except json.JSONDecodeError:
        fail(f"{constants.ENDPOINT} answers what is no JSON, the page of a proxy perhaps. See HF_ENDPOINT.")
    except (LookupError, TypeError, AttributeError) as error:
        if not _of_the_client(error):
            raise
        fail(f"{constants.ENDPOINT} does not answer as a Hub does ({type(error).__name__}). See HF_ENDPOINT.")
    except ValueError as error:  # a name that the Hub does not take
        fail(f"{' '.join(str(error).split()).rstrip('.')}. What was sent before is whole.")


def _of_the_client(error: Exception) -> bool:
    """Whether the Hub's client stumbled: over an answer that is none of a Hub, for it checks none."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("huggingface_hub.")


def run(plan: Plan, places: Places, release: hub.Release, args: argparse.Namespace, uncommitted: list[str]) -> None:
    """Check the plan, ask the Hub where that is wanted, print the plan, and send it if asked."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    problems, api = check(plan, places, uncommitted), HfApi()
    if (args.compare and not server.in_clear(constants.ENDPOINT)) or (args.execute and not problems):
        found, forbidden = ask(api, plan, release)
        problems += forbidden
    show(plan, release, found)
    if problems:
        refuse(problems)
    if args.execute:
        act(api, plan, release)
    else:
        print("nothing was sent; add --execute to send it")


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


if __name__ == "__main__":
    main()
