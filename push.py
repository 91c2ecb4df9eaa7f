"""Publishes the datasets, the models, the Space and their cards: python push.py --namespace NS [--execute]

Plans, checks, prints the plan, and sends it only with --execute, to the Hub of HF_ENDPOINT: one commit and one tag for
each repository, then one collection of all. A second run changes nothing; after a kill at any moment the next run
finishes. Repositories are private unless --public is given. It imports nothing of the project but `publish`.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

try:
    from huggingface_hub import HfApi, constants
except ValueError:  # the client parses HF_ENDPOINT when it is imported
    # The address is not shown, because it may have a password.
    print("error: HF_ENDPOINT is not an address. Use one that begins with https://, or unset it.", file=sys.stderr)
    sys.exit(2)
from huggingface_hub.utils import validate_repo_id

from publish import checks, hub, hub_errors
from publish.files import size_of
from publish.plan import DATASET, Folders, Plan, make_plan

ROOT = Path(__file__).resolve().parent
TAG = re.compile(r"(?!.*(\.\.|\.lock$|\.$))(?!(main|HEAD)$)\w[\w.-]{0,99}", re.ASCII)  # what git and URLs accept
States = dict[tuple[str, str], dict[str, str]]  # what a push does to each file, by kind and name of its repository


def main() -> None:
    """Push, and end every failure that is not a defect of this program with one line and exit code 2."""
    args = _arguments()
    try:
        push(args)
    except (Exception, KeyboardInterrupt) as error:
        message = hub_errors.explain(error, constants.ENDPOINT, args.namespace)
        if message is None:
            raise
        fail(message)


def push(args: argparse.Namespace) -> None:
    """Plan, check, and send if asked."""
    # Plan
    folders = Folders(**{part.name: getattr(args, part.name) for part in fields(Folders)})
    commit, uncommitted = checks.source_tree(ROOT)
    release = hub.Release(args.namespace, args.tag or f"v{_version()}", commit, not args.public)
    if not TAG.fullmatch(release.tag):
        fail(f"--tag {release.tag!r} is not a name for a tag. Use letters, digits, '.', '_' and '-'.")
    validate_repo_id(f"{args.namespace}/{DATASET}")
    plan = make_plan(args.namespace, folders)

    # Check: the files, the address, and the state of the Hub
    problems = [*checks.check(plan, folders), *checks.cards_are_fresh(folders)]
    if uncommitted and hub_errors.is_local(constants.ENDPOINT):
        plan.notes.append(f"allowed, because this Hub is on this machine: {uncommitted[0]}")
    else:
        problems += uncommitted
    refused_address = hub_errors.address_problems(constants.ENDPOINT)
    problems += refused_address
    plan.notes += hub_errors.address_notes(constants.ENDPOINT)
    api, states = HfApi(), States()
    # The Hub is only asked if the address may have the token.
    if (args.compare and not refused_address) or (args.execute and not problems):
        hub.check_token(api, release.namespace)
        for repository in plan.repositories:
            states[repository.kind, repository.name], refusals = hub.compare(api, repository, release)
            problems += refusals
    show(plan, release, states)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        fail(*problems, f"nothing was sent; correct the {count} above.")

    # Act
    if not args.execute:
        print("nothing was sent; add --execute to upload")
        return
    for repository in plan.repositories:
        head, changed = hub.send(api, repository, release)
        done = "sent" if changed else "nothing new"
        print(f"{repository.kind} {release.repo_id(repository)}: {done}, {release.tag}, {head}", flush=True)
    print(hub_errors.printable(f"collection: {hub.collect(api, plan.repositories, release)}", constants.ENDPOINT))


def show(plan: Plan, release: hub.Release, states: States) -> None:
    """Print the plan and, if the Hub was asked, what happens to each file there."""
    source = f"commit {release.commit[:12]}" if release.commit else "no commit"
    visibility = "private" if release.private else "PUBLIC"
    lines = [f"to {constants.ENDPOINT}, {visibility}, tag {release.tag}, from {source}:"]
    for repository in plan.repositories:
        size = sum(map(size_of, repository.files.values())) / 2**20
        lines.append(
            f"  {repository.kind:<8} {release.repo_id(repository)}: {len(repository.files)} files, {size:.1f} MiB"
        )
        known = states.get((repository.kind, repository.name), {})
        for name in [*repository.files, *(name for name in known if name not in repository.files)]:
            bytes_ = f" ({size_of(repository.files[name]):,} bytes)" if name in repository.files else ""
            lines.append(f"           {name}{bytes_}{f', {known[name]}' if name in known else ''}")
    lines.append(f"  then the collection '{hub.TITLE}' of these {len(plan.repositories)}")
    lines += [f"  {note}" for note in plan.notes]
    for line in lines:
        print(hub_errors.printable(line, constants.ENDPOINT))


def fail(*messages: str) -> NoReturn:
    """Print each message as one line of stderr, and end with exit code 2."""
    for message in messages:
        print(f"error: {hub_errors.printable(message, constants.ENDPOINT)}", file=sys.stderr)
    sys.exit(2)


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python push.py", description="Publishes the datasets, models, Space and cards."
    )
    parser.add_argument("--namespace", required=True, help="user or organisation")
    parser.add_argument("--corpus", type=Path, default=Path("published/emo-pillars"), help="folder of the corpus")
    parser.add_argument(
        "--descriptors",
        type=Path,
        default=Path("work/texts/corpus"),
        help="folder of the texts with emotion words, if any",
    )
    parser.add_argument(
        "--models", type=Path, help="folder of the models; default: work/models, and published for those not in it"
    )
    parser.add_argument("--cards", type=Path, default=Path("model_cards"), help="folder of the cards")
    parser.add_argument(
        "--results", type=Path, default=Path("eval/results"), help="folder of the results shown in the cards"
    )
    parser.add_argument("--recipes", type=Path, default=Path("train/recipes"), help="folder of the models' recipes")
    parser.add_argument("--space", type=Path, default=Path("space"), help="folder of the Space, if any")
    parser.add_argument("--tag", help="tag of this release; default: v and the version in pyproject.toml")
    parser.add_argument("--public", action="store_true", help="make the repositories public; default: private")
    parser.add_argument("--compare", action="store_true", help="ask the Hub what is new or changed, but upload nothing")
    parser.add_argument("--execute", action="store_true", help="upload; without this option, only the plan is printed")
    args = parser.parse_args()
    args.published = None if args.models else Path("published")
    args.models = args.models or Path("work/models")
    return args


if __name__ == "__main__":
    main()
