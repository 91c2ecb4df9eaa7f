"""The plan of a push: the datasets, the models and the Space, with all their files."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard, RepoCard

from publish.allowed import files_of, module_folders
from publish.files import Content, read_json, text_of, with_namespace

DATASET = "emo-pillars"  # the repository of the corpus, and that of the Space
DESCRIPTORS = f"{DATASET}-descriptors"  # the repository of the texts with emotion words, for zero-shot models
CARD, RECORD, MANIFEST = "README.md", "training.json", "manifest.json"
ABLATIONS = "ablations"  # the folder of recipes whose models are measured and not published
WITH_PATHS = (RECORD, "adapter_config.json")  # files in which a training records local paths
# A JSON string that is a path outside the repository, of this machine or of Windows.
LOCAL_PATH = re.compile(r'"(/|~|\.\./|[A-Za-z]:[/\\])([^"]*[/\\])?(?P<last>[^"/\\\s][^"/\\]*)(/|\\\\)*"')
MODEL_PARTS = ("", "onnx", "adapter")  # folders of a model, besides those of `modules.json`
LONGEST_NOTE = 300  # characters; the Hub takes 500


@dataclass(frozen=True)
class Folders:
    """The folders that are read. A model in `published` is sent if `models` has none of its name."""

    corpus: Path
    descriptors: Path
    models: Path
    cards: Path
    results: Path
    recipes: Path
    space: Path
    published: Path | None = None

    @property
    def of_models(self) -> list[Path]:
        """The folders of the models, by name."""
        kept = self.published.glob(f"*/{RECORD}") if self.published else ()
        found = {path.parent.name: path.parent for path in kept}
        found |= {path.name: path for path in self.models.glob("*") if path.is_dir()}
        return [found[name] for name in sorted(found)]


@dataclass(frozen=True)
class Repository:
    """A repository of the plan: its files by their path there, and the folder that they are from.

    `digests` holds the SHA-256 of each file at the time it was checked, in hexadecimal. Nothing else is sent.
    """

    name: str
    kind: str  # dataset, model, space
    folder: Path
    files: dict[str, Content]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """The text of the card; empty if there is none."""
        return text_of(self.files.get(CARD, b""))

    @property
    def note(self) -> str:
        """The first sentence of the card, which the collection shows."""
        paragraphs = [paragraph.strip() for paragraph in RepoCard(self.card).text.split("\n\n")]
        prose = next(
            (text for text in paragraphs if text and not text.startswith(("#", ">", "<", "`", "|"))), self.name
        )
        sentence = re.split(r"(?<=[.:])\s", " ".join(prose.split()), maxsplit=1)[0]
        return f"{sentence.rstrip('.:')}."[:LONGEST_NOTE]


@dataclass
class Plan:
    """The repositories in the order of sending, the reasons not to send them, and notes for the reader."""

    repositories: list[Repository] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_plan(namespace: str, folders: Folders) -> Plan:
    """Plan the corpus, the texts with descriptors and the Space if there are any, and every model folder."""
    plan = Plan()
    # The order of sending: cards of models refer to the data sets, and the Space loads the models.
    _add_dataset(plan, DATASET, folders.corpus, namespace, folders)
    if folders.descriptors.is_dir():
        _add_dataset(plan, DESCRIPTORS, folders.descriptors, namespace, folders)
    _add_models(plan, namespace, folders)
    if folders.space.is_dir():
        _add_space(plan, namespace, folders.space)
    plan.notes += [
        f"left out: {folder} is not a folder" for folder in (folders.descriptors, folders.space) if not folder.is_dir()
    ]
    return plan


def _add_dataset(plan: Plan, name: str, corpus: Path, namespace: str, folders: Folders) -> None:
    missing = [str(path) for path in (corpus / MANIFEST, corpus / CARD) if not path.is_file()]
    if missing:
        command, option = ("build", "corpus") if name == DATASET else ("describe-texts", "descriptors")
        plan.problems.append(
            f"{', '.join(missing)}: not found, so the build did not finish. Run `python -m dataset_builder {command}`, "
            f"or pass --{option}."
        )
        return
    files = _card(plan, folders.cards / f"{name}.md", namespace)
    if not _is_card(corpus / CARD, corpus / CARD, plan.problems):
        return
    if CARD in files:  # `load_dataset` reads its configurations from the published card
        card, built = DatasetCard(text_of(files[CARD])), DatasetCard(text_of(corpus / CARD)).data
        if not built.get("configs"):
            plan.problems.append(f"{corpus / CARD}: has no 'configs', so the data could not be loaded. Build it again.")
        card.data.configs, card.data.dataset_info = built.get("configs"), built.get("dataset_info")
        files[CARD] = str(card).encode()
    files |= files_of(corpus, [*sorted(corpus.rglob("*.parquet")), corpus / MANIFEST], "dataset", plan.problems)
    plan.repositories.append(Repository(name, "dataset", corpus, files))


def _add_space(plan: Plan, namespace: str, folder: Path) -> None:
    hidden = re.compile(r"\.|__pycache__$")
    paths = [path for path in _files_below(folder) if not any(map(hidden.match, path.relative_to(folder).parts))]
    found = files_of(folder, paths, "space", plan.problems)
    files = {name: with_namespace(path, namespace) for name, path in found.items()}
    if _is_card(files.get(CARD, b""), folder / CARD, plan.problems):
        plan.repositories.append(Repository(DATASET, "space", folder, files))


def _add_models(plan: Plan, namespace: str, folders: Folders) -> None:
    if not folders.of_models:
        plan.problems.append(f"{folders.models}: contains no model folder. Train a model, or pass --models.")
    for folder in folders.of_models:
        if not (folder / RECORD).exists():  # a training writes it last
            plan.problems.append(
                f"{folder}: has no {RECORD}, so its training did not finish. Train it again, or delete the folder."
            )
            continue
        # The record of an earlier training may still be there.
        if checkpoints := sorted(folder.glob("checkpoint*")):
            plan.problems.append(
                f"{checkpoints[0]}: a training run is still writing to this folder, or was interrupted. Wait for it, "
                "finish it with --resume, or delete the checkpoint."
            )
        if reason := _left_out(folder, folders.recipes):
            plan.notes.append(f"left out: {folder}, {reason}")
            continue
        files = _card(plan, folders.cards / f"{folder.name}.md", namespace)
        files |= _model_files(folder, namespace, plan.problems)
        plots = sorted((folders.results / folder.name).glob("*.png"))
        files |= {
            f"plots/{path.name}": path for path in files_of(folders.results, plots, "plot", plan.problems).values()
        }
        plan.repositories.append(Repository(folder.name, "model", folder, files))


def _left_out(folder: Path, recipes: Path) -> str:
    """Why a model is measured and not published; empty if it is published."""
    # The problems go into a list of their own: the checks report an unreadable record.
    trained_by = read_json(folder / RECORD, []).get("recipe")
    recipe = str(trained_by.get("name", folder.name)) if isinstance(trained_by, dict) else folder.name
    if folder.name.startswith(f"{recipe}-") and not (recipes / f"{folder.name}.yaml").exists():
        return f"which is {recipe} with another seed"
    return "which is an ablation" if (recipes / ABLATIONS / f"{recipe}.yaml").exists() else ""


def _model_files(folder: Path, namespace: str, problems: list[str]) -> dict[str, Content]:
    """Weights, configuration, ONNX files, the adapter, and the folders that `modules.json` names."""
    # sentence-transformers cannot load a model without the folders that `modules.json` names.
    parts = dict.fromkeys((*MODEL_PARTS, *module_folders(folder, problems)))
    paths = [
        path
        for part in parts
        for path in _files_below(folder / part, "*" if part in MODEL_PARTS else "**/*")
        if path.name != CARD
    ]
    files: dict[str, Content] = dict(files_of(folder, dict.fromkeys(paths), "model", problems))
    return files | {
        name: with_namespace(_without_local_paths(content), namespace)
        for name, content in files.items()
        if name.endswith(WITH_PATHS)
    }


def _files_below(folder: Path, pattern: str = "**/*") -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_file() or path.is_symlink()]


def _without_local_paths(content: Content) -> Content:
    """Return a JSON file with each local path shortened to its last part."""
    try:
        return LOCAL_PATH.sub(lambda found: f'"…/{found["last"]}"', text_of(content)).encode()
    except UnicodeDecodeError:
        return content


def _card(plan: Plan, path: Path, namespace: str) -> dict[str, Content]:
    """The card of a repository as its file; empty, with a line in the plan's problems, if it is missing or broken."""
    if not path.exists():
        plan.problems.append(f"{path}: not found. Every repository needs a card; write it, or pass --cards.")
        return {}
    card = with_namespace(path, namespace)
    return {CARD: card} if _is_card(card, path, plan.problems) else {}


def _is_card(content: Content, path: Path, problems: list[str]) -> bool:
    """Return whether a README is text that begins with readable YAML; if not, a line is added to `problems`."""
    try:
        RepoCard(text_of(content))
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        problems.append(f"{path}: not a readable card ({' '.join(str(error).split())[:200]}). Correct it.")
        return False
    return True
