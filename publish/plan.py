"""What is to be sent and where it lies: the data sets, the models and the Space, with every file of theirs."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import yaml
from huggingface_hub import DatasetCard, EvalResultEntry, RepoCard, eval_result_entries_to_yaml

from publish.allowed import CHECKPOINT, files_of, module_folders

DATASET = "emo-pillars"  # the name of the corpus's repository and of the Space's
DESCRIPTORS = f"{DATASET}-descriptors"  # of the texts with emotion words that zero-shot models are trained on
NAMESPACE = re.compile(r"\bNAMESPACE\b")  # what cards and the Space write in its place
CARD = "README.md"
RECORD = "training.json"
VARIANTS = "ablations"  # of the recipes' folder: models that are measured and not published
NAMING = (RECORD, "adapter_config.json")  # files that name the folders of a training
BACKSLASH = "\\"
PARTS = ("", "onnx", "adapter")  # of a model folder
NOTE = 300  # characters

Content = Path | bytes  # a file that is sent as it is, or one that is written here


@dataclass(frozen=True)
class Places:
    """The folders that are read."""

    corpus: Path
    descriptors: Path
    models: Path
    cards: Path
    results: Path
    recipes: Path
    space: Path


@dataclass(frozen=True)
class Repository:
    """One repository of the plan: its files by their path there, the card among them, and the folder they are from.

    `digests` holds the SHA-256 of each file as it was checked, in hexadecimal: nothing else is sent.
    """

    name: str
    kind: str  # dataset, model, space
    folder: Path
    files: dict[str, Content]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """The card's text; empty where there is none."""
        return _text(self.files.get(CARD, b""))

    @property
    def note(self) -> str:
        """The card's first sentence, as the collection shows it."""
        lines = [line.strip() for line in RepoCard(self.card).text.split("\n\n")]
        prose = next((line for line in lines if line and not line.startswith(("#", ">", "<", "`", "|"))), self.name)
        sentence = re.split(r"(?<=[.:])\s", " ".join(prose.split()), maxsplit=1)[0]
        return f"{sentence.rstrip('.:')}."[:NOTE]


@dataclass
class Plan:
    """The repositories in the order of sending, what keeps them from being sent, and what else is to be known."""

    repositories: list[Repository] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path, problems: list[str], parse: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """A JSON or YAML file that holds a mapping; {} with a line in `problems` where it does not."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path}: no such file.")
        return {}
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        content = None
    if not isinstance(content, dict):
        problems.append(f"{path}: cannot be read as what it should be. Make it again.")
        return {}
    return content


def make(namespace: str, places: Places) -> Plan:
    """The corpus, texts with descriptors where there are some, every model folder, the Space where there is one."""
    plan = Plan()
    _dataset(plan, namespace, DATASET, places.corpus, places)
    if places.descriptors.is_dir():
        _dataset(plan, namespace, DESCRIPTORS, places.descriptors, places)
    _models(plan, namespace, places)
    if places.space.is_dir():
        paths = [path for path in sorted(places.space.rglob("*")) if _is_sent(path, places.space)]
        found = files_of(places.space, paths, "space", plan.problems)
        files = {name: _named(path, namespace) for name, path in found.items()}
        if _is_card(files.get(CARD, b""), places.space / CARD, plan.problems):
            plan.repositories.append(Repository(DATASET, "space", places.space, files))
    plan.notes += [
        f"left out: {place}, which is no folder" for place in (places.descriptors, places.space) if not place.is_dir()
    ]
    return plan


def _is_sent(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    known = "__pycache__" not in parts and not any(part.startswith(".") for part in parts)
    return known and (path.is_file() or path.is_symlink())


def _dataset(plan: Plan, namespace: str, name: str, corpus: Path, places: Places) -> None:
    missing = [str(path) for path in (corpus / "manifest.json", corpus / CARD) if not path.is_file()]
    if missing:
        command, option = ("build", "corpus") if name == DATASET else ("describe-texts", "descriptors")
        plan.problems.append(
            f"{', '.join(missing)}: no such file; it was not built to the end. Run dataset_builder {command}, or give "
            f"--{option}."
        )
        return
    files: dict[str, Content] = _card(plan, places.cards / f"{name}.md", namespace)
    if not _is_card(_named(corpus / CARD, namespace), corpus / CARD, plan.problems):
        return
    if CARD in files:  # the loader reads its configuration from the card
        card, built = DatasetCard(_text(files[CARD])), DatasetCard(_text(corpus / CARD)).data
        if not built.get("configs"):
            plan.problems.append(f"{corpus / CARD}: names no configs, so nobody could load the data. Build it again.")
        card.data.configs, card.data.dataset_info = built.get("configs"), built.get("dataset_info")
        files[CARD] = str(card).encode()
    paths = [*sorted(corpus.rglob("*.parquet")), corpus / "manifest.json"]
    files |= files_of(corpus, paths, "dataset", plan.problems)
    plan.repositories.append(Repository(name, "dataset", corpus, files))


def _is_card(content: Content, path: Path, problems: list[str]) -> bool:
    """Whether a README is text with YAML before it that can be read; else a line in `problems`."""
    try:
        RepoCard(_text(content))
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        problems.append(f"{path}: no card that can be read ({' '.join(str(error).split())[:200]}). Mend it.")
        return False
    return True


def _models(plan: Plan, namespace: str, places: Places) -> None:
    folders = sorted(path for path in places.models.glob("*") if path.is_dir())
    if not folders:
        plan.problems.append(f"{places.models}: no model folder in it. Train one, or give --models.")
    for folder in folders:
        if not (folder / RECORD).exists():  # written last
            plan.problems.append(
                f"{folder}: has no {RECORD}, so its training did not end. Train it again, or delete the folder."
            )
            continue
        if checkpoints := sorted(folder.glob(f"{CHECKPOINT}*")):
            plan.problems.append(
                f"{checkpoints[0]}: a training into this folder goes on, or was cut off. Let it end, finish it "
                "with --resume, or delete the checkpoint."
            )
        made_by = read(folder / RECORD, []).get("recipe")
        recipe = str(made_by.get("name", folder.name)) if isinstance(made_by, dict) else folder.name
        if folder.name.startswith(f"{recipe}-") and not (places.recipes / f"{folder.name}.yaml").exists():
            plan.notes.append(f"left out: {folder}, which is {recipe} with another seed")
            continue
        if (places.recipes / VARIANTS / f"{recipe}.yaml").exists():
            plan.notes.append(f"left out: {folder}, a variant to compare with")
            continue
        files = _card(plan, places.cards / f"{folder.name}.md", namespace) | _model_files(folder, plan.problems)
        files |= _measured(places.results / folder.name, plan.problems)
        plan.repositories.append(Repository(folder.name, "model", folder, files))


def _model_files(folder: Path, problems: list[str]) -> dict[str, Content]:
    """Those beside the weights, ONNX files, an adapter, and the folders that `modules.json` names."""
    parts = dict.fromkeys((*PARTS, *module_folders(folder, problems)))
    paths = [
        path
        for part in parts
        for path in sorted((folder / part).glob("*" if part in PARTS else "**/*"))
        if (path.is_file() or path.is_symlink()) and path.name != CARD
    ]
    found: dict[str, Content] = dict(files_of(folder, dict.fromkeys(paths), "model", problems))
    return found | {name: _without_places(path) for name, path in found.items() if name.endswith(NAMING)}


def _without_places(path: Content) -> Content:
    """A JSON file whose folders of this machine are cut to their names; the file itself where it names none."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if isinstance(value, list):
            return [cut(one) for one in value]
        outside = isinstance(value, str) and re.match(r"(/|~|\.\./|[A-Za-z]:[\\/])\S", value)
        return f"…/{PurePath(value.replace(BACKSLASH, '/')).name}" if outside else value

    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError):
        return path
    shortened = cut(content)
    return path if shortened == content else (json.dumps(shortened, indent=2) + "\n").encode()


def _measured(folder: Path, problems: list[str]) -> dict[str, Content]:
    """A model's plots, and its results in the Hub's own form where the benchmark is a data set of the Hub."""
    plots = files_of(folder.parent, sorted(folder.glob("*.png")), "plot", problems)
    files: dict[str, Content] = {f"plots/{path.name}": path for path in plots.values()}
    for path in sorted(folder.glob("*.json")):
        result = read(path, problems)
        of, metrics = result.get("hub_dataset"), result.get("metrics")
        if not of or not metrics:
            continue
        try:
            value = float(metrics[result.get("headline", next(iter(metrics)))]["value"])
            entry = EvalResultEntry(str(of["id"]), str(of["config"]), value, dataset_revision=of.get("revision"))
        except (LookupError, TypeError, ValueError, AttributeError):
            value = math.nan
        if not math.isfinite(value):
            problems.append(
                f"{path}: its hub_dataset lacks 'id' or 'config', or its headline is no metric. Measure again."
            )
            continue
        text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
        files[f".eval_results/{path.stem}.yaml"] = text.encode()
    return files


def _card(plan: Plan, path: Path, namespace: str) -> dict[str, Content]:
    if not path.exists():
        plan.problems.append(f"{path}: no card of that name. Every repository has one; write it, or give --cards.")
        return {}
    card = _named(path, namespace)
    return {CARD: card} if _is_card(card, path, plan.problems) else {}


def _named(path: Path, namespace: str) -> Content:
    """A file as bytes with the namespace put in; the file itself where it does not ask for one or is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # before the YAML of a card nothing may stand
    except UnicodeDecodeError:
        return path
    return NAMESPACE.sub(lambda _: namespace, text).encode() if NAMESPACE.search(text) or path.suffix == ".md" else path


def _text(content: Content) -> str:
    return content.decode("utf-8") if isinstance(content, bytes) else content.read_text(encoding="utf-8-sig")
