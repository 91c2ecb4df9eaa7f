"""The bi-encoder: losses by hand, batches, cached gradients, and the loop as it is run."""

import hashlib
import json
import os
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sklearn.metrics import ndcg_score
from torch.nn.functional import normalize
from transformers import AutoTokenizer, set_seed

from dataset_builder.inputs import InputError, read_recipe
from publish.plan import _model_files
from tests.conftest import ROOT, Command, launched_on
from tests.test_train_runs import Interrupted, _encoder, _losses
from train.bi_encoder import data as bi_data
from train.bi_encoder import loop as bi_encoder
from train.bi_encoder.data import CollatePairs, Pair, as_pairs, merged, ndcg, read_corpus, tokenise
from train.bi_encoder.distributed import backward, embed_all
from train.bi_encoder.loop import train
from train.bi_encoder.losses import LOSSES, distribution, fit_scale, info_nce, sigmoid
from train.bi_encoder.model import PROJECTION, BiEncoder, embed, load_model
from train.bi_encoder.projection import fit_projection, project
from train.bi_encoder.recipe import BiEncoderRecipe, Projection
from train.checkpoint import CHECKPOINT

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def recipe(base: Path, corpus: Path, **changes: object) -> BiEncoderRecipe:
    values: dict[str, object] = {
        "name": "x",
        "base_model": str(base),
        "dataset": str(corpus),
        "epochs": 2,
        "batch_size": 16,
        "negatives": 3,
        "learning_rate": 1e-3,
    }
    return BiEncoderRecipe.model_validate(values | changes)


def sigma(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def test_the_sigmoid_loss_by_hand() -> None:
    logits, targets = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.5, 0.0]])
    first = -np.log(sigma(2)) - np.log(sigma(1))
    second = -0.5 * np.log(0.5) - 0.5 * np.log(0.5) - np.log(sigma(-3))
    assert sigmoid(logits, targets).item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_info_nce_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 5.0]])
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # the second text has none, the third column neither
    softmax = np.exp([1, 2, 0]) / np.exp([1, 2, 0]).sum()
    rows = -(np.log(softmax[0]) + np.log(softmax[1])) / 2
    columns = -(np.log(sigma(1 - 0)) + np.log(sigma(2 - 1))) / 2
    assert info_nce(logits, targets).item() == pytest.approx((rows + columns) / 2, rel=1e-6)
    weighted = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.0, 0.0]])
    rows = -(0.75 * np.log(softmax[0]) + 0.25 * np.log(softmax[1]))
    assert info_nce(logits, weighted).item() == pytest.approx((rows + columns) / 2, rel=1e-6)


def test_the_distribution_s_cross_entropy_by_hand() -> None:
    """It is least where a text's softmax is its weights, light ones included; a text without any has no part in it."""
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 5.0]])
    softmax = np.exp([1, 2, 0]) / np.exp([1, 2, 0]).sum()
    weighted = torch.tensor([[1.0, 0.5, 0.1], [0.0, 0.0, 0.0]])
    by_hand = -(1.0 * np.log(softmax[0]) + 0.5 * np.log(softmax[1]) + 0.1 * np.log(softmax[2])) / 1.6
    assert distribution(logits, weighted).item() == pytest.approx(by_hand, rel=1e-6)
    right = torch.log(weighted[:1])
    assert distribution(right, weighted[:1]) < distribution(right + torch.tensor([0.1, 0, 0]), weighted[:1])


def test_temperature_and_bias_are_found() -> None:
    draw = torch.Generator().manual_seed(0)
    cosines = torch.rand(4000, generator=draw) * 2 - 1
    temperature, bias = fit_scale(cosines, torch.sigmoid(cosines / 0.2 - 1.5))
    assert temperature == pytest.approx(0.2, rel=0.01)
    assert bias == pytest.approx(-1.5, abs=0.02)


def test_ndcg_by_hand_and_as_scikit_learn_has_it() -> None:
    scores, targets = np.array([[3.0, 2.0, 1.0]]), np.array([[0.0, 1.0, 0.5]])
    gained, best = 1 / np.log2(3) + 0.5 / np.log2(4), 1 + 0.5 / np.log2(3)
    assert ndcg(scores, targets) == pytest.approx(gained / best)
    draw = np.random.default_rng(0)
    scores, targets = draw.normal(size=(30, 12)), draw.random((30, 12))
    assert ndcg(scores, targets) == pytest.approx(ndcg_score(targets, scores))


def test_a_shared_descriptor_is_positive_for_all_its_texts() -> None:
    label_ids = [[index] for index in range(6)]
    pairs = [Pair([1], {2: 1.0, 4: 0.5}), Pair([2, 3], {2: 0.25}), Pair([4], {5: 1.0})]
    batch = CollatePairs(label_ids, 0, seed=1)(list(enumerate(pairs)))
    assert batch.labels == [[2], [4], [5]]
    assert batch.targets.tolist() == [[1.0, 0.5, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 1.0]]
    more = CollatePairs(label_ids, 2, seed=1)
    first, again = more(list(enumerate(pairs))), more(list(enumerate(pairs)))
    assert first.labels == again.labels
    assert first.labels[:3] == [[2], [4], [5]]
    assert len({tuple(ids) for ids in first.labels}) == 5, "extra negatives are others, each once"
    assert first.targets[:, 3:].sum() == 0
    assert len(CollatePairs(label_ids, 99, seed=1)(list(enumerate(pairs))).labels) == 6


def test_descriptors_are_merged() -> None:
    found = [("Quiet  Pride", 0.5), ("quiet pride", 0.7), ("dread", 0.1), (" ", 1.0), ("awe", 0.0)]
    assert merged([{"text": text, "weight": weight} for text, weight in found]) == {"quiet pride": 0.7, "dread": 0.1}


def test_texts_with_descriptors_are_drawn(
    tiny_encoder: Path, scripted_work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, more = (
        read_corpus(recipe(tiny_encoder, scripted_work / "corpus", rows=rows), None).train for rows in (10, 20)
    )
    assert len(few) == 10
    assert [text for text, _ in few] == [text for text, _ in more if text in {text for text, _ in few}]
    monkeypatch.setattr(bi_data, "merged", lambda *_: {})
    with pytest.raises(InputError, match=r"no train text has a descriptor with a weight above 0"):
        read_corpus(recipe(tiny_encoder, scripted_work / "corpus"), None)


def _batch(model: BiEncoder, tokenizer: Any) -> Any:
    words = ["river", "window", "letter", "garden", "harbour", "candle", "bridge"]
    rows = [
        (f"{words[i % 7]} {words[i % 5]} {words[i % 3]}", {words[i % 7]: 1.0, words[i % 4]: 0.5}) for i in range(23)
    ]
    ids, labels = (tokenise(texts, "", tokenizer, 16) for texts in ([text for text, _ in rows], words))
    return CollatePairs(labels, 0, 1)(list(enumerate(as_pairs(rows, ids, words))))


@pytest.mark.parametrize("loss", ["sigmoid", "distribution", "info_nce"])
def test_gradients_are_those_of_autograd(tiny_encoder: Path, loss: str) -> None:
    """`backward` stops at the embeddings and goes on from their gradients; dropout is the same in both."""
    tokenizer, model = load_model(recipe(tiny_encoder, tiny_encoder, loss=loss, dropout=0.3, bias=-3.0))
    batch = _batch(model.train(), tokenizer)
    set_seed(3)
    backward(model, batch, LOSSES[loss], Accelerator(cpu=True))
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    assert {"log_scale", "bias", "encoder.embeddings.word_embeddings.weight"} <= set(found)
    model.zero_grad()
    set_seed(3)
    texts, labels = embed(model, batch.texts), embed(model, batch.labels)
    LOSSES[loss](texts @ labels.T * model.scale + model.bias, batch.targets).backward()
    for name, one in model.named_parameters():
        if one.grad is not None:
            assert torch.allclose(one.grad, found[name], atol=1e-6, rtol=1e-4), name


def test_embeddings_come_in_order(tiny_encoder: Path) -> None:
    tokenizer, model = load_model(recipe(tiny_encoder, tiny_encoder))
    batch = _batch(model, tokenizer)
    found = embed_all(model, batch.texts, Accelerator(cpu=True))
    for row, ids in enumerate(batch.texts):
        assert torch.allclose(found[row], embed(model, [ids])[0], atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(found)))


@pytest.mark.parametrize("after", [3, 9])  # in the first epoch, and in the second
def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", epochs=4, ema_decay=0.9, batch_size=32)
    whole = train(chosen, None, tmp_path / "whole", max_steps=12)
    updates = 0

    def cut(*args: Any) -> torch.Tensor:
        nonlocal updates
        updates += 1
        if updates > after:
            raise Interrupted
        return backward(*args)

    with monkeypatch.context() as patch:
        patch.setattr(bi_encoder, "backward", cut)
        with pytest.raises(Interrupted):
            train(chosen, None, tmp_path / "cut", max_steps=12, keep_every=2)
    assert (tmp_path / "cut" / CHECKPOINT).is_dir()
    assert not (tmp_path / "cut/training.json").exists()
    torch.manual_seed(999)  # another process would be in another state
    resumed = train(chosen, None, tmp_path / "cut", max_steps=12, resume=True)
    assert resumed["steps"] == whole["steps"] == 12
    for file in ("model.safetensors", "reference.safetensors", "config.json"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert resumed["temperature"] == whole["temperature"] != 0.1
    assert not (tmp_path / "cut" / CHECKPOINT).exists()


@pytest.mark.parametrize("prompts", [("", ""), ("utterance: ", "emotion: ")])
def test_what_is_saved_is_what_sentence_transformers_loads(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, prompts: tuple[str, str]
) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", text_prompt=prompts[0], label_prompt=prompts[1])
    record = train(chosen, None, tmp_path / "m", max_steps=4)
    loaded = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    texts, labels = ["river window letter", "garden"], ["harbour", "quiet pride", "dread"]
    stock = loaded.similarity(loaded.encode_query(texts), loaded.encode_document(labels)).numpy()
    tokenizer, ours = load_model(chosen.model_copy(update={"base_model": str(tmp_path / "m")}))
    parts = [
        embed(ours.eval(), tokenise(some, prompt, tokenizer, chosen.max_length))
        for some, prompt in zip((texts, labels), prompts, strict=True)
    ]
    assert stock == pytest.approx((parts[0] @ parts[1].T).detach().numpy(), abs=1e-5)
    assert loaded.similarity_fn_name == "cosine"
    assert loaded.max_seq_length == chosen.max_length
    assert {"query": prompts[0], "document": prompts[1]}.items() <= loaded.prompts.items()
    types = [module["type"] for module in json.loads((tmp_path / "m/modules.json").read_text())]
    assert types == [f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize")]
    noted = json.loads((tmp_path / "m/config.json").read_text())["zero_shot"]
    assert noted == {name: record[name] for name in ("temperature", "bias", "probability")}
    assert record["probability"] == "sigmoid(cosine / temperature + bias)"
    assert load_file(tmp_path / "m/reference.safetensors")["embeddings"].shape == (record["train_rows"], 32)
    problems: list[str] = []
    assert "1_Pooling/config.json" in _model_files(tmp_path / "m", "tester", problems), "published with the rest"
    assert not problems
    tokens = json.loads((tmp_path / "m/tokenizer_config.json").read_text())
    assert tokens["tokenizer_class"] != "TokenizersBackend", "transformers 4 could not load it"
    assert AutoTokenizer.from_pretrained(tmp_path / "m").model_max_length == chosen.max_length


@pytest.mark.parametrize("loss", ["info_nce", "distribution"])
def test_the_other_losses_end_with_a_probability_too(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, loss: str
) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", loss=loss)
    record = train(chosen, None, tmp_path, max_steps=3, resume=True)  # nothing is there: from the start
    assert record["temperature"] > 0
    assert np.isfinite(record["validation_ndcg"]).all()


def test_a_share_of_the_untrained_encoder_is_given_back(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path
) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus")
    for share in (0.0, 0.75):
        train(chosen.model_copy(update={"base_share": share}), None, tmp_path / str(share), max_steps=3)
    _, before = load_model(chosen)
    trained, mixed = (load_file(tmp_path / str(share) / "model.safetensors") for share in (0.0, 0.75))
    for name, value in before.encoder.state_dict().items():
        if name in mixed and value.is_floating_point():
            assert torch.allclose(mixed[name], 0.75 * value + 0.25 * trained[name], atol=1e-6)
    learned, fitted = (json.loads((tmp_path / str(share) / "training.json").read_text()) for share in (0.0, 0.75))
    assert (learned["temperature"], learned["bias"]) != (fitted["temperature"], fitted["bias"])


def test_other_models_have_their_shares(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus")
    other, alone = tmp_path / "other", tmp_path / "alone"
    train(chosen.model_copy(update={"seed": 7}), None, other, max_steps=2)
    train(chosen, None, alone, max_steps=3)
    averaged = chosen.model_copy(update={"base_share": 0.25, "averaged_with": {str(other): 0.5}})
    record = train(averaged, None, tmp_path / "m", max_steps=3)
    before = load_model(chosen)[1].encoder.state_dict()
    parts = [load_file(folder / "model.safetensors") for folder in (other, alone, tmp_path / "m")]
    for name, value in parts[2].items():
        expected = 0.25 * before[name] + 0.5 * parts[0][name] + 0.25 * parts[1][name]
        assert torch.allclose(value, expected, atol=1e-6), name
    assert record["averaged_with"] == {str(other): json.loads((other / "training.json").read_text())["weights_sha256"]}
    absent = chosen.model_copy(update={"averaged_with": {str(tmp_path / "none"): 0.5}})
    with pytest.raises(InputError, match=r"averaged_with: '.*none' has no trained weights"):
        train(absent, None, tmp_path / "n")
    save_file({"embeddings": torch.zeros(2, 2)}, other / "model.safetensors")
    with pytest.raises(InputError, match=r"has a different base model"):
        train(averaged, None, tmp_path / "n")
    with pytest.raises(ValueError, match=r"leave nothing for the trained weights"):
        recipe(tiny_encoder, scripted_work, base_share=0.5, averaged_with={"a": 0.5})


def test_layers_below_may_stay_as_they_are(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", frozen_layers=1, ema_decay=0.5)
    train(chosen, None, tmp_path / "m", max_steps=3)
    before = load_model(chosen)[1].encoder.state_dict()
    after = load_file(tmp_path / "m/model.safetensors")
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in after if name.startswith("encoder.layer.1.")}
    with pytest.raises(InputError, match=r"leaves none of the base model's 2 layers"):
        load_model(chosen.model_copy(update={"frozen_layers": 2}))


def test_labels_take_a_map_of_their_own(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_encoder, scripted_work / "corpus", loss="distribution", label_prompt="I feel ")
    plain = train(chosen, None, tmp_path / "plain", max_steps=3)
    mapped = chosen.model_copy(update={"projection": Projection(steps=60, learning_rate=1e-2)})
    record = train(mapped, None, tmp_path / "m", max_steps=3)
    assert (tmp_path / "m/model.safetensors").read_bytes() == (tmp_path / "plain/model.safetensors").read_bytes()
    kept = json.loads((tmp_path / "m/training.json").read_text())
    assert (record["temperature"], record["bias"]) != (plain["temperature"], plain["bias"])
    weights = [tmp_path / "m" / name for name in (PROJECTION, "model.safetensors", "reference.safetensors")]
    assert kept["weights_sha256"] == hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()
    map_ = load_file(tmp_path / "m" / PROJECTION)["linear.weight"].numpy()
    one, two = (SentenceTransformer(str(tmp_path / name), device="cpu") for name in ("plain", "m"))
    texts, labels = ["river window letter", "garden"], ["harbour", "quiet pride"]
    assert two.encode_query(texts) == pytest.approx(one.encode_query(texts), abs=1e-6), "texts go as they went"
    assert two.encode(texts) == pytest.approx(one.encode(texts), abs=1e-6)
    expected = one.encode_document(labels) @ map_.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert two.encode_document(labels) == pytest.approx(expected, abs=1e-5)
    problems: list[str] = []
    sent = _model_files(tmp_path / "m", "tester", problems)
    assert {"2_Router/router_config.json", PROJECTION} <= sent.keys(), "published with the rest"
    assert not problems
    assert not any(name.startswith("2_Normalize") for name in sent)


def test_a_projection_finds_the_map_that_texts_speak_for() -> None:
    draw = torch.Generator().manual_seed(1)
    labels = normalize(torch.randn(12, 6, generator=draw), dim=-1)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=draw))[0]
    wanted = torch.arange(12).repeat_interleave(20)
    texts = normalize(labels[wanted] @ turn.T + 0.05 * torch.randn(240, 6, generator=draw), dim=-1)
    pairs = [Pair([0], {int(label): 1.0}) for label in wanted]
    chosen = BiEncoderRecipe(
        name="x",
        base_model="y",
        dataset="z",
        epochs=1,
        learning_rate=1e-3,
        loss="distribution",
        projection=Projection(steps=300, learning_rate=1e-2),
    )
    found = fit_projection(texts[:220], labels[:11], pairs[:220], (0.1, 0.0), chosen)  # the last label is not there
    right = (texts @ project(labels, found).T).argmax(dim=1) == wanted
    assert right.float().mean() > 0.95
    assert right[220:].float().mean() > 0.8, "a label that was not there is mapped as the others"
    assert (texts @ labels.T).argmax(dim=1).eq(wanted).float().mean() < 0.3


def test_training_raises_the_right_descriptors(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last weights know the training texts by heart; the scripted teacher's words say nothing of other texts."""
    rising = count()
    monkeypatch.setattr(bi_encoder, "evaluate", lambda *_: float(next(rising)))
    chosen = recipe(tiny_encoder, scripted_work / "corpus", rows=24, epochs=40, batch_size=24, bias=-3.0, dropout=0.0)
    tokenizer, before = load_model(chosen)
    train(chosen, None, tmp_path)
    _, after = load_model(chosen.model_copy(update={"base_model": str(tmp_path)}))
    corpus = read_corpus(chosen, None)
    rows, words = corpus.train, corpus.vocabulary()
    pairs = as_pairs(rows, tokenise([text for text, _ in rows], "", tokenizer, 64), words)
    labels = tokenise(words, "", tokenizer, 64)
    targets = np.array([[pair.weights.get(column, 0.0) for column in range(len(words))] for pair in pairs])

    def measure(model: BiEncoder) -> float:
        one = Accelerator(cpu=True)
        return ndcg(embed_all(model, [p.ids for p in pairs], one) @ embed_all(model, labels, one).T, targets)

    assert measure(after) > measure(before) + 0.1


def test_wrong_recipes_and_corpora_are_refused(tiny_encoder: Path, scripted_work: Path, tmp_path: Path) -> None:
    corpus = scripted_work / "corpus"
    for changes, words in (
        ({"positive_weight": 2.0}, "key 'positive_weight' was retired; remove it"),
        ({"temperature": 0.0}, "temperature"),
        ({"negatives": -1}, "negatives"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(ValueError, match=words):
            recipe(tiny_encoder, corpus, **changes)
    with pytest.raises(InputError, match=r"config 'descriptors': cannot be loaded"):
        train(recipe(tiny_encoder, tmp_path / "none"), None, tmp_path)
    with pytest.raises(InputError, match="cannot be loaded"):
        train(recipe(tmp_path / "none", corpus), None, tmp_path)
    with pytest.raises(InputError, match="more than the base model's 512"):
        train(recipe(tiny_encoder, corpus, max_length=600), None, tmp_path)


def written(tiny_encoder: Path, scripted_work: Path, tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: x\nbase_model: {tiny_encoder}\ndataset: {scripted_work / 'corpus'}\nepochs: 1\nlearning_rate: 1e-3\n"
        f"batch_size: 16\nnegatives: 3\n{more}"
    )
    return path


@pytest.mark.end_to_end
def test_two_processes_lose_what_one_loses(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    path = written(tiny_encoder, scripted_work, tmp_path, "dropout: 0.0\nbias: -3.0\n")
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        done = command(
            *launched_on(processes, "-m", "train.bi_encoder", "--recipe", path),
            "--output-dir", folder, "--max-steps", 6,
            "--tracker", "tensorboard", environment=dict(os.environ) | {"ACCELERATE_USE_CPU": "true"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "6 steps" in done.stdout
        weights = load_file(folder / "model.safetensors")["encoder.layer.0.output.dense.weight"].numpy()
        record = json.loads((folder / "training.json").read_text())
        assert record["processes"] == processes
        found.append((_losses(folder), weights, record["validation_ndcg"], record["bias"]))
    one, two = found
    assert one[0]
    assert one[0] == pytest.approx(two[0], rel=1e-4)
    assert one[1] == pytest.approx(two[1], rel=1e-3, abs=1e-5)
    assert one[2] == pytest.approx(two[2], abs=1e-3)
    assert one[3] == pytest.approx(two[3], abs=1e-4)


def test_bad_input_ends_with_a_message(
    tiny_encoder: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    path = written(tiny_encoder, scripted_work, tmp_path, "colour: red\n")
    done = command("-m", "train.bi_encoder", "--recipe", path)
    assert done.returncode == 2
    assert "unknown key 'colour'" in done.stderr
    done = command("-m", "train.bi_encoder", "--recipe", path, "--max-steps", 0)
    assert done.returncode == 2


RECIPES = sorted((ROOT / "train/recipes").rglob("*zeroshot*.yaml"))


@pytest.mark.end_to_end
@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_takes_a_step(path: Path, stand_ins: dict[str, Path], scripted_work: Path, tmp_path: Path) -> None:
    chosen = read_recipe(path, BiEncoderRecipe)
    smaller = {"base_model": str(stand_ins[_encoder(chosen.name)]), "base_model_wheel": None, "batch_size": 8}
    smaller["frozen_layers"] = min(chosen.frozen_layers, 1)  # of two
    chosen, corpus = chosen.model_copy(update=smaller), str(scripted_work / "corpus")
    for number, (folder, share) in enumerate(chosen.averaged_with.items()):
        assert (ROOT / f"train/recipes/ablations/{Path(folder).name.removesuffix('-7')}.yaml").exists(), folder
        stands_in = tmp_path / f"other-{number}"
        other = chosen.model_copy(update={"averaged_with": {}, "projection": None, "seed": number})
        train(other, corpus, stands_in, max_steps=1)
        rest = {name: kept for name, kept in chosen.averaged_with.items() if name != folder}
        chosen = chosen.model_copy(update={"averaged_with": rest | {str(stands_in): share}})
    train(chosen, corpus, tmp_path / "m", max_steps=2)
    assert SentenceTransformer(str(tmp_path / "m"), device="cpu").encode_query("river window").shape == (32,)
