"""How a training starts: its threads, its base model, and what recipes and models cannot do together."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import GPT2Config, GPT2Model, XLNetConfig, XLNetModel

from dataset_builder.inputs import InputError, read_recipe
from tests.conftest import ROOT, Command
from train.base_model import base_model_source, positions
from train.bi_encoder.recipe import BiEncoderRecipe
from train.classifier.loop import train
from train.classifier.losses import asymmetric
from train.classifier.model import load_model
from train.classifier.recipe import ClassifierRecipe

CORES = len(os.sched_getaffinity(0))

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def recipe(base: Path, corpus: Path | None = None, **changes: object) -> ClassifierRecipe:
    values: dict[str, Any] = {"name": "x", "base_model": str(base), "dataset": str(corpus), "config": "contextless"}
    values |= {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "head_learning_rate": 1e-2}
    return ClassifierRecipe.model_validate(values | changes)


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("processes", "exported", "options", "expected"),
    [
        (1, {}, [], CORES),
        (2, {}, [], max(1, CORES // 2)),
        (1, {"OMP_NUM_THREADS": "1"}, [], 1),
        (1, {}, ["--num_cpu_threads_per_process", "1"], 1),
    ],
)
def test_a_training_takes_its_share_of_the_cores(
    tmp_path: Path, command: Command, processes: int, exported: dict[str, str], options: list[str], expected: int
) -> None:
    """`accelerate launch` sets OMP_NUM_THREADS=1 where nobody did; what the user says stands."""
    (tmp_path / "told.py").write_text(
        "import sys, torch\nfrom accelerate import Accelerator\nfrom train.launch import use_cores\n"
        "a = Accelerator()\nfile = open(f'{sys.argv[1]}/{a.process_index}.told', 'w')\n"
        "print(use_cores(), torch.get_num_threads(), a.num_processes, file=file)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS",)}
    environment |= {"PYTHONPATH": str(ROOT)} | exported
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    if processes > 1:
        launch, environment["ACCELERATE_USE_CPU"] = ["torch.distributed.run", "--nproc_per_node", "2"], "true"
    done = command("-m", *launch, *options, tmp_path / "told.py", tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    told = [path.read_text() for path in tmp_path.glob("*.told")]
    assert told == [f"{expected} {expected} {processes}\n"] * processes


def _offset(kind: str, **more: object) -> torch.nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, f"{kind}Config")(**sizes | {"vocab_size": 50} | more)
    return getattr(transformers, f"{kind}Model")(config).eval()


@pytest.mark.parametrize(
    ("kind", "more", "room"),
    [
        ("Roberta", {"max_position_embeddings": 66, "pad_token_id": 1}, 64),
        ("XLMRoberta", {"max_position_embeddings": 66, "pad_token_id": 1}, 64),
        ("Camembert", {"max_position_embeddings": 66, "pad_token_id": 1}, 64),
        ("Longformer", {"max_position_embeddings": 66, "pad_token_id": 1, "attention_window": 8}, 64),
        ("MPNet", {"max_position_embeddings": 66}, 64),
        ("Bert", {"max_position_embeddings": 64}, 64),
        ("Electra", {"max_position_embeddings": 64}, 64),
        ("DistilBert", {"max_position_embeddings": 64, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}, 64),
        ("ModernBert", {"max_position_embeddings": 64, "pad_token_id": 0}, None),
        (
            "DebertaV2",
            {"max_position_embeddings": 64, "relative_attention": True, "position_biased_input": False},
            None,
        ),
        ("T5Encoder", {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}, None),
    ],
)
def test_how_many_tokens_an_architecture_takes(kind: str, more: dict[str, Any], room: int | None) -> None:
    if kind == "T5Encoder":
        model = transformers.T5EncoderModel(transformers.T5Config(vocab_size=50, **more)).eval()
    else:
        model = _offset(kind, **more)
    assert positions(model) == room
    with torch.no_grad():
        model(input_ids=torch.full((1, room or 100), 5))
        if room is not None and kind != "Longformer":  # which pads to its window
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, room + 1), 5))


def test_a_length_that_the_base_does_not_hold_is_refused(stand_ins: dict[str, Path]) -> None:
    for name in ("roberta", "mpnet"):
        assert load_model(recipe(stand_ins[name], max_length=512))
        with pytest.raises(InputError, match=r"'max_length' 514 is more .* its 514 positions hold 512 tokens"):
            load_model(recipe(stand_ins[name], max_length=514))
    assert load_model(recipe(stand_ins["modernbert"], max_length=4096)), "rotary positions have no end"
    with pytest.raises(InputError, match="'max_length' 2 only leaves room for the 2 special tokens"):
        load_model(recipe(stand_ins["minilm"], max_length=2))


def test_a_base_model_that_cannot_be_trained_is_told_so(tiny_encoder: Path, tmp_path: Path) -> None:
    """Without a padding token, a tokenizer, weights; with another's tokenizer; one that nobody has."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast.from_pretrained(tiny_encoder)
    bare = PreTrainedTokenizerFast(tokenizer_object=fast.backend_tokenizer, eos_token="[SEP]")
    bare.save_pretrained(tmp_path / "gpt2")
    GPT2Model(GPT2Config(vocab_size=len(bare), n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt2")
    without = {"tokenizer": ["tokenizer*", "vocab.txt"], "weights": ["*.safetensors"], "config": ["config.json"]}
    for name, patterns in without.items():
        shutil.copytree(tiny_encoder, tmp_path / name, ignore=shutil.ignore_patterns(*patterns))
    shutil.copytree(tiny_encoder, tmp_path / "torn")
    weights = tmp_path / "torn/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    other = tmp_path / "other"
    XLNetModel(XLNetConfig(vocab_size=20, d_model=16, n_layer=1, n_head=2, d_inner=16)).save_pretrained(other)
    fast.save_pretrained(other)
    for name, says in {
        "gpt2": "no padding token",
        "tokenizer": "no vocabulary",
        "weights": "cannot be loaded",
        "config": "cannot be loaded",
        "torn": "cannot be loaded",
        "other": "do not match",
        "nobody/has-this": "cannot be loaded",
    }.items():
        with pytest.raises(InputError, match=rf"base model '.*{name}'.*{says}") as raised:
            load_model(recipe(tmp_path / name if name != "nobody/has-this" else Path(name)))
        assert "\n" not in str(raised.value)


def test_a_base_that_pads_on_the_left_and_has_no_table_of_positions(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, padding_side="left")
    tokenizer.save_pretrained(tmp_path / "xlnet")
    config = XLNetConfig(vocab_size=len(tokenizer), d_model=16, n_layer=1, n_head=2, d_inner=16, pad_token_id=0)
    XLNetModel(config).save_pretrained(tmp_path / "xlnet")
    about = tmp_path / "xlnet/tokenizer_config.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    record = train(recipe(tmp_path / "xlnet", scripted_work / "corpus"), None, tmp_path / "out", max_steps=2)
    assert record["steps"] == 2


def test_our_own_model_as_a_base(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    """Recipes write NAMESPACE for whoever publishes; --base-model says where the model is."""
    chosen = recipe(Path("NAMESPACE/emo-pillars-x"), scripted_work / "corpus")
    with pytest.raises(InputError, match=r"our model 'emo-pillars-x'.* --base-model: .*work/models/emo-pillars-x"):
        train(chosen, None, tmp_path / "out")
    record = train(chosen, None, tmp_path / "out", max_steps=1, base_model=str(tiny_encoder))
    assert record["base_model"] == f"…/{tiny_encoder.name}"
    assert len(record["base_weights_sha256"]) == 64
    assert record["recipe"]["base_model"] == "NAMESPACE/emo-pillars-x"


def test_the_record_says_what_was_read_and_names_no_place(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path
) -> None:
    train(recipe(tiny_encoder, scripted_work / "corpus"), None, tmp_path / "out", max_steps=1)
    text = (tmp_path / "out/training.json").read_text()
    record = json.loads(text)
    assert str(tmp_path.parent.parent) not in text
    assert record["recipe"]["base_model"] == f"…/{tiny_encoder.name}"
    assert record["data"]["config"] == "contextless"
    assert set(record["data"]["rows"]) == {"train", "validation", "test"}
    assert all(
        len(digest) == 64 and name.startswith("contextless/") for name, digest in record["data"]["files"].items()
    )
    assert record["threads"] == torch.get_num_threads()
    assert record["processes"] == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss": "asymmetric"}, "'targets: hard'"),
        ({"compile": True}, "key 'compile' was retired; remove it"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"max_length": 0}, "max_length"),
        ({"batch_size": 0}, "batch_size"),
        ({"hard_at": 0.0}, "hard_at"),
        ({"text_template": "{character}:"}, "needs the field {text}"),
        ({"text_template": "{who}: {text}"}, "the only other one"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        recipe(Path("none"), **changes)


def test_a_retired_key_at_its_default_is_passed_over() -> None:
    """A recipe that was copied out of an older `training.json` has all keys of its time."""
    older = {"compile": False, "gamma_positive": 0.0, "lora": {"rank": 4, "publish": "merged"}}
    made = recipe(Path("none"), **older)
    assert made == recipe(Path("none"), lora={"rank": 4})
    assert not {"gamma_positive", "compile"} & set(made.recorded_values())
    with pytest.raises(ValueError, match="key 'compile' was retired; remove it"):
        recipe(Path("none"), compile=True)


def test_published_recipes_are_proper() -> None:
    for path in sorted((ROOT / "train/recipes").rglob("*.yaml")):
        of_pairs = "zeroshot" in path.name
        made = read_recipe(path, BiEncoderRecipe if of_pairs else ClassifierRecipe)
        assert made.name == path.stem
        if made.base_model.startswith("NAMESPACE/"):
            with pytest.raises(InputError, match="--base-model"):
                base_model_source(made)


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
def test_gradients_are_finite_for_every_exponent(gamma: float) -> None:
    """A power below 1 has no gradient at 0, which sure decisions and clipped ones reach."""
    for far in (20.0, 200.0):
        logits = torch.tensor([[-far, 0.0, far, -3.0]], requires_grad=True)
        targets = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
        for clip in (0.0, 0.05):
            value = asymmetric(logits, targets, gamma, clip)
            assert torch.isfinite(value)
            assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


def test_nothing_of_a_base_model_s_own_code_runs(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(recipe(folder))
    assert not (tmp_path / "ran").exists()
