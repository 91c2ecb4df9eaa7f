"""Every snippet as it stands: of the cards as they are published, of README in the root of the repository."""

import argparse
import functools
import gzip
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import launch_command_parser

from dataset_builder.descriptors.recipe import WritingRecipe
from dataset_builder.descriptors.writing import write
from eval.cards.sections import CORPORA
from tests.conftest import ROOT, Command
from tests.publishable import descriptors_alone
from tests.test_dataset_builder_domains import goemotions_files, isear_files
from tools.loopback_hub import client_environment, serve
from tools.push_kills.release import SCRIPTED
from tools.push_kills.release import scripted_work as build_scripted

CARDS = sorted((ROOT / "model_cards").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PUBLISH = """
import sys
from pathlib import Path
from huggingface_hub import DatasetCard, HfApi
api, (models, corpora, cards) = HfApi(), map(Path, sys.argv[1:])
for folder in (*corpora.iterdir(), *models.iterdir()):
    kind, name = "dataset" if folder.parent == corpora else "model", folder.name
    api.create_repo(f"tester/{name}", repo_type=kind)
    api.upload_folder(repo_id=f"tester/{name}", repo_type=kind, folder_path=folder)
    card = DatasetCard((cards / f"{name}.md").read_text().replace("NAMESPACE", "tester"))
    if kind == "dataset":
        built = DatasetCard.load(folder / "README.md").data
        card.data.configs, card.data.dataset_info = built.configs, built.dataset_info
    api.upload_file(
        repo_id=f"tester/{name}", repo_type=kind, path_in_repo="README.md", path_or_fileobj=str(card).encode()
    )
"""
RUN = """
import re, sys
for number, snippet in enumerate(re.findall(r"```python\\n(.*?)```", sys.stdin.read(), re.DOTALL), start=1):
    print(f"--- snippet {number}", flush=True)
    exec(compile(snippet, f"snippet {number}", "exec"), {"__name__": "__main__"})
print("ALL RAN")
"""


@pytest.fixture(scope="module")
def published(
    tiny_models: Path,
    bi_encoder: Path,
    scripted_work: Path,
    tmp_path_factory: pytest.TempPathFactory,
    command: Command,
) -> Iterator[str]:
    """A Hub with a small stand-in of every repository that has a card, and the cards."""
    from train.export import export

    models = tmp_path_factory.mktemp("every-model")
    for name in (path.stem for path in CARDS if path.stem not in CORPORA):
        kind = "contextual" if "contextual" in name else "contextless"
        source = bi_encoder if "zeroshot" in name else tiny_models / f"emo-pillars-{kind}-minilm"
        shutil.copytree(source, models / name)
        if "zeroshot" not in name:
            export(models / name)
    if not (models / bi_encoder.name).exists():  # README's
        shutil.copytree(bi_encoder, models / bi_encoder.name)
    corpora, cards = (tmp_path_factory.mktemp(name) for name in ("corpora", "cards"))
    shutil.copytree(scripted_work / "corpus", corpora / CORPORA[0])
    descriptors_alone(scripted_work / "corpus", corpora / CORPORA[1])
    for path in CARDS:
        shutil.copy(path, cards)
    (cards / f"{bi_encoder.name}.md").touch()
    with serve() as (_, url):
        environment = client_environment(url, tmp_path_factory.mktemp("sender"))
        done = command("-c", PUBLISH, models, corpora, cards, environment=environment)
        assert done.returncode == 0, done.stderr
        yield url


def run_snippets(text: str, url: str, place: Path) -> str:
    """Run the Python snippets of a text in an empty folder, where nothing of the project can be imported."""
    environment = client_environment(url, place / "home")
    environment.pop("PYTHONPATH", None)
    (place / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=text, cwd=place / "empty", env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ALL RAN" in done.stdout
    return done.stdout


@pytest.mark.end_to_end
@pytest.mark.parametrize("path", CARDS, ids=[path.stem for path in CARDS])
def test_the_snippets_of_a_card(path: Path, published: str, tmp_path: Path) -> None:
    printed = run_snippets(path.read_text(encoding="utf-8").replace("NAMESPACE", "tester"), published, tmp_path)
    assert "--- snippet 1" in printed


@pytest.mark.end_to_end
def test_the_python_snippets_of_readme(published: str, tmp_path: Path) -> None:
    printed = run_snippets(README.replace("NAMESPACE", "tester"), published, tmp_path)
    assert "--- snippet 2" in printed
    assert "tensor([[" in printed


def commands_of(text: str) -> list[str]:
    """The commands of a page: the lines of its shell blocks, then the code spans that are commands."""
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    spans = re.findall(r"`((?:python|accelerate launch|make) [^`…]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.partition("  #")[0].strip() for line in [*blocks, *spans] if line.strip()]


def test_every_page_of_the_docs_is_reached_from_readme() -> None:
    linked = set(re.findall(r"\]\((docs/\w+\.md)\)", README))
    assert linked == {f"docs/{path.name}" for path in PAGES if path.parent.name == "docs"}


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


class _Parsed(Exception):
    """The command line was understood."""


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_the_commands_of_a_page_are_understood(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command gets as far as its parser and is understood by it; nothing is done."""
    understand = argparse.ArgumentParser.parse_args

    def only_parse(parser: argparse.ArgumentParser, *rest: Any) -> argparse.Namespace:
        understand(parser, *rest)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    monkeypatch.chdir(ROOT)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in commands_of(path.read_text(encoding="utf-8")):
        words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
        program, arguments = words[0], words[1:]
        if program == "make":
            assert arguments[0] in targets, line
            continue
        if program == "accelerate":
            launched = launch_command_parser().parse_known_args
            monkeypatch.setattr(argparse.ArgumentParser, "parse_args", understand)
            asked, _ = launched(arguments[1:])
            monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
            assert asked.module, line
            arguments = ["-m", asked.training_script, *asked.training_script_args]
        if arguments[0] == "space/app.py":  # takes no arguments
            assert len(arguments) == 1
            continue
        module = arguments[0] == "-m"
        name, rest = (arguments[1], arguments[2:]) if module else (arguments[0], arguments[1:])
        monkeypatch.setattr("sys.argv", [name, *rest])
        run: Any = functools.partial(runpy.run_module, alter_sys=False) if module else runpy.run_path
        try:
            with pytest.raises(_Parsed):
                run(name, run_name="__main__")
        except SystemExit as error:
            pytest.fail(f"{line}: exit code {error.code}")


def commands_to_run() -> list[str]:
    """List all commands of README and those of the shell blocks of the docs.

    Left out are those with a test of their own (demo, build, push, page, judges, assemble, curves) and those of a
    teacher whose weights no package carries.
    """
    pages = [README, *(path.read_text(encoding="utf-8") for path in PAGES if path.parent.name == "docs")]
    pages = [pages[0], *("".join(re.findall(r"```bash\n.*?```", page, re.DOTALL)) for page in pages[1:])]
    elsewhere = (
        "make ",
        "demo.py",
        "push.py",
        "space/app.py",
        "recipes/demo.yaml",
        "recipes/full.yaml",
        "qwen-coder",
        "my-teacher",
        "adopt ",
        "recipes/faithful.yaml",
        "recipes/paper/",
        "recipes/judges/",
        "recipes/emo-pillars.yaml",
        "eval.curves",
        "eval.little_data",
    )
    found = dict.fromkeys(line for page in pages for line in commands_of(page))
    return [line for line in found if not any(word in line for word in elsewhere)]


@pytest.mark.end_to_end
def test_the_commands_of_readme_and_docs(
    tiny_models: Path, bi_encoder: Path, raw_encoder: Path, tmp_path: Path
) -> None:
    """In a folder with our packages and, at the places that the pages name, small data and models."""
    for name in ("dataset_builder", "train"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in ("model_cards", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "eval", tmp_path / "eval", ignore=shutil.ignore_patterns("results", "__pycache__"))
    (tmp_path / "M").symlink_to(bi_encoder)
    (tmp_path / "OTHER_ENCODER").symlink_to(raw_encoder)
    (tmp_path / "sentence-transformers").mkdir()
    (tmp_path / "sentence-transformers/all-mpnet-base-v2").symlink_to(raw_encoder)  # a folder is taken before the Hub
    shutil.copytree(tiny_models, tmp_path / "work/models")
    recipe = tmp_path / "recipe.yaml"  # a third of the stories for testing, because context_use needs several
    recipe.write_text(SCRIPTED + "split: {contextless: [0.5, 0.17, 0.33]}\n", encoding="utf-8")
    build_scripted(recipe, tmp_path / "work/demo")
    asked = {"name": "w", "teacher": {"kind": "scripted"}, "words": ["joy", "fear"], "each": 40}
    for made in ("judged", "remarks"):
        assert write(WritingRecipe.model_validate(asked), tmp_path / "work" / made)
    isear_files(tmp_path / "path/to/isear")
    folder = goemotions_files(tmp_path / "path/to/goemotions")
    rows = [f"Text number {row} of some length\t{row % 28}\ti{row}\n" for row in range(170)]
    (folder / "train.tsv").write_text("".join(rows[:130]))
    (folder / "dev.tsv").write_text("".join(rows[130:]))
    with gzip.open(tmp_path / "stories.jsonl.gz", "wt") as stories:
        stories.write(json.dumps({"id": "s1", "text": "The fox came. I lost my hat on the way home. We ran."}) + "\n")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    failed = []
    order = (" domain ", "write-texts", "describe-texts", "minilm-reports", "train.")  # what other commands read first
    place_of = {line: next((n for n, word in enumerate(order) if word in line), 9) for line in commands_to_run()}
    for line in sorted(place_of, key=lambda line: place_of[line]):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            failed.append(f"{line}\n{done.stdout}\n{done.stderr[-2000:]}")
    assert not failed, "\n\n".join(failed)
    assert (tmp_path / "eval/results/emo-pillars-contextless-minilm-goemotions/goemotions.json").exists()
    assert (tmp_path / "eval/results/emo-pillars-contextless-minilm/isear.json").exists()
    assert (tmp_path / "work/texts/corpus/manifest.json").exists()
    assert (tmp_path / "work/situations/corpus/manifest.json").exists()
