"""Shared fixtures: a scripted corpus, a tiny encoder, and commands as a user runs them."""

import contextlib
import importlib.util
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tests.publishable as publishable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Tests leave nothing in the cache of whoever runs them.
_CACHE = tempfile.TemporaryDirectory(prefix="datasets-cache-")
os.environ["HF_DATASETS_CACHE"] = _CACHE.name
ROOT = Path(__file__).parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# As root in a container, and with nothing that asks for the network by itself.
BROWSER_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

LAUNCH = ("-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1", "--mixed_precision", "no")

Command = Callable[..., subprocess.CompletedProcess[str]]


def launched_on(processes: int, *training: object) -> list[object]:
    """A training on so many processes: on a CPU `accelerate launch` starts one, however many it is asked for."""
    several = ["-m", "torch.distributed.run", "--nproc_per_node", processes]
    return [*(several if processes > 1 else [*LAUNCH, "--num_processes", 1]), *training]


def run_command(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` from the repository's root.

    Builder and measures run in this process where nothing but arguments are given: imports, half of the time, are there
    already. Trainers have a process of their own, since `accelerate` keeps the first settings that it meets.
    """
    asked = [*map(str, arguments)]
    if asked[0] == "-m" and asked[1].startswith(("dataset_builder", "eval.")) and environment is None:
        return run_module_here(asked)
    return subprocess.run(
        [sys.executable, *asked],
        cwd=ROOT,
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run_module_here(asked: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `-m MODULE ARGUMENTS` as a program would be run, with its own `__main__`, arguments, output and exit code."""
    out, err = io.StringIO(), io.StringIO()
    before, code = sys.argv, 0
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            sys.argv = asked[1:]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
                runpy.run_module(asked[1], run_name="__main__", alter_sys=True)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
            if isinstance(left.code, str):
                print(left.code, file=sys.stderr)
        except Exception:
            traceback.print_exc()
            code = 1
        finally:
            sys.argv = before
    return subprocess.CompletedProcess(asked, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command() -> Command:
    return run_command


@pytest.fixture(scope="session")
def scripted_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publishable.scripted_recipe(tmp_path_factory.mktemp("recipes") / "scripted.yaml")


@pytest.fixture(scope="session")
def scripted_work(scripted_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder built by the scripted teacher; tests only read it."""
    return publishable.scripted_work(scripted_recipe, tmp_path_factory.mktemp("scripted"))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights and a word-piece vocabulary of its own."""
    return publishable.tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and grouped-query attention, and a tokenizer with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("tiny-teacher")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {piece: index for index, piece in enumerate(["<end>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    fast.save_pretrained(folder)
    set_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=0,
        bos_token_id=0,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_models(tiny_encoder: Path, scripted_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both published models, trained on the scripted corpus from the tiny encoder for a few steps."""
    return publishable.tiny_models(tiny_encoder, scripted_work / "corpus", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def evidence(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipes, results, cards and a Space that go with the tiny models; tests only read them."""
    return publishable.evidence(tiny_models, tmp_path_factory.mktemp("evidence") / "of-tiny-models")


@pytest.fixture(scope="session")
def bi_encoder(tiny_encoder: Path, scripted_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published bi-encoder, from the tiny encoder in a few steps."""
    from train.bi_encoder.loop import train
    from train.bi_encoder.recipe import BiEncoderRecipe

    folder = tmp_path_factory.mktemp("bi") / "emo-pillars-zeroshot-minilm"
    recipe = BiEncoderRecipe(
        name=folder.name,
        base_model=str(tiny_encoder),
        dataset=str(scripted_work / "corpus"),
        epochs=1,
        batch_size=32,
        learning_rate=1e-3,
        label_prompt="emotion: ",
    )
    train(recipe, None, folder, max_steps=3)
    return folder


@pytest.fixture(scope="session")
def raw_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of sentence-transformers that knows nothing of us."""
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("raw") / "raw"
    SentenceTransformer(str(tiny_encoder), device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def stand_ins(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two-layer encoders with random weights of every published architecture, each with a tokenizer of its kind."""
    import transformers
    from tokenizers.processors import TemplateProcessing
    from transformers import MPNetTokenizer, PreTrainedTokenizerFast, RobertaTokenizer, set_seed

    from dataset_builder.teachers.scripted import WORDS

    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[UNK]", *dict.fromkeys(WORDS)]
    pieces = _byte_pieces(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    framed = _byte_pieces(["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    framed.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    merges = [tuple(pair) for pair in json.loads(pieces.to_str())["model"]["merges"]]
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    made = {
        "roberta": (
            RobertaTokenizer(vocab=pieces.get_vocab(), merges=merges),
            {"max_position_embeddings": 514, "type_vocab_size": 1},
        ),
        "mpnet": (
            MPNetTokenizer(vocab={piece: index for index, piece in enumerate(words)}),
            {"max_position_embeddings": 514},
        ),
        "modernbert": (
            PreTrainedTokenizerFast(
                tokenizer_object=framed,
                pad_token="[PAD]",
                cls_token="[CLS]",
                sep_token="[SEP]",
                mask_token="[MASK]",
                model_input_names=["input_ids", "attention_mask"],
            ),
            {"max_position_embeddings": 1024, "local_attention": 16, "global_attn_every_n_layers": 2},
        ),
    }
    places = {"minilm": tiny_encoder}
    for name, (tokenizer, more) in made.items():
        kind = {"roberta": "Roberta", "mpnet": "MPNet", "modernbert": "ModernBert"}[name]
        places[name] = tmp_path_factory.mktemp(f"tiny-{name}")
        tokenizer.save_pretrained(places[name])
        set_seed(0)
        sizes = small | more | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        config = getattr(transformers, f"{kind}Config")(**sizes)
        getattr(transformers, f"{kind}Model")(config).save_pretrained(places[name])
    return places


def _byte_pieces(special: list[str]) -> "Tokenizer":
    """A byte-level BPE vocabulary of the scripted teacher's words."""
    from tokenizers import ByteLevelBPETokenizer, Tokenizer

    from dataset_builder.teachers.scripted import WORDS

    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator([" ".join(WORDS)] * 3, vocab_size=700, special_tokens=special, show_progress=False)
    return Tokenizer.from_str(pieces.to_str())


def without(what: str) -> None:
    """Skip a test for which something is not installed; in CI, where everything has to be, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and in CI it must be")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        without("playwright")
    if CHROMIUM is None:
        without("Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(BROWSER_OPTIONS))
        yield found
        found.close()


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """The library keeps a process's first settings, and recipes differ in their precision."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def contrast(one: str, two: str) -> float:
    """WCAG's contrast ratio of two CSS colours `rgb(r, g, b)`."""
    lights = []
    for colour in (one, two):
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)
