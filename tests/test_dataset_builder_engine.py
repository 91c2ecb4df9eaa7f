"""A teacher that stops answering ends the run, and nothing is lost."""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dataset_builder.corpus import open_corpus
from dataset_builder.files.shards import file_lock
from dataset_builder.hashing import stable_hash
from dataset_builder.inputs import InputError, read_recipe
from dataset_builder.pipeline.build import build
from dataset_builder.pipeline.flow import Flow
from dataset_builder.pipeline.stages import STAGES
from dataset_builder.pipeline.status import status
from dataset_builder.pipeline.unanswered import MAX_CONSECUTIVE_FAILURES
from dataset_builder.recipe import BuildRecipe, Executor, Labels, Quality, ScriptedTeacher
from dataset_builder.run_state import PROGRESS
from dataset_builder.teachers.base import Reply, Request, Scores, TeacherError
from dataset_builder.teachers.scripted import Scripted
from tests.conftest import Command


def parquet(work: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((work / "corpus").rglob("*.parquet"))]


def test_a_sick_teacher_ends_the_run_and_its_units_are_asked_again(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    recipe = recipe.model_copy(update={"executor": Executor()})
    answers = Scripted.generate
    contexts = 0

    async def fails_after_a_while(self: Scripted, request: Request) -> Reply:
        nonlocal contexts
        contexts += request.prompt == "context"
        if contexts > 30:
            raise TeacherError("http_503", retryable=True)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", fails_after_a_while)
    failures = f"context: the teacher failed on {MAX_CONSECUTIVE_FAILURES} units in a row .*http_503"
    with pytest.raises(InputError, match=failures):
        build(recipe, tmp_path)
    said = status(tmp_path)
    assert "not finished: " in said
    assert re.search(r"^context +[1-9]", said, re.MULTILINE), "units so far of every stage"
    monkeypatch.setattr(Scripted, "generate", answers)
    build(recipe, tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)
    assert "corpus contextual: " in status(tmp_path)


def test_units_at_which_the_teacher_always_fails_are_rejected_and_the_others_made(
    scripted_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than the number in a row that ends a run, but among others, and all units of one story."""
    answers = Scripted.generate

    async def fails_at_some(self: Scripted, request: Request) -> Reply:
        asked = request.prompt == "context"
        if asked and (stable_hash(request.user) % 2 == 0 or "Story: Crab" in request.user):
            raise TeacherError("time_out", retryable=True)
        return await answers(self, request)

    monkeypatch.setattr(Scripted, "generate", fails_at_some)
    build(read_recipe(scripted_recipe, BuildRecipe), tmp_path)
    manifest = json.loads((tmp_path / "context/manifest.json").read_text())
    assert manifest["rejected"]["time_out"] > MAX_CONSECUTIVE_FAILURES
    assert manifest["units"] == manifest["rows"] + sum(manifest["rejected"].values())


def test_a_calibration_without_an_answer_rejects_nobody_for_good(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, failures = Scripted.score, 3

    async def fails_first(self: Scripted, request: Request, choices: Sequence[str]) -> Scores:
        nonlocal failures
        if failures:
            failures -= 1
            raise TeacherError("http_503", retryable=True)
        return await scores(self, request, choices)

    monkeypatch.setattr(Scripted, "score", fails_first)
    build(read_recipe(scripted_recipe, BuildRecipe), tmp_path)
    assert parquet(tmp_path) == parquet(scripted_work)


def test_folders_of_nobody_are_not_built_on(scripted_recipe: Path, tmp_path: Path) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="its recipe is unknown"):
        build(recipe, tmp_path)


@pytest.mark.parametrize("stage", ["characters", "labels", "rewriting", "publish"])
def test_a_stage_and_what_follows_from_it_are_made_again(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, stage: str
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    shutil.copytree(scripted_work, tmp_path / "work")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*/*.jsonl.gz")}
    assert build(recipe, tmp_path / "work", restart_from=stage)
    assert parquet(tmp_path / "work") == parquet(scripted_work)
    again = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert (
        again
        == {
            "characters": {"characters", "utterances", "labels", "descriptors", "context", "cleaning", "rewriting"},
            "labels": {"labels", "context", "cleaning", "rewriting"},
            "rewriting": {"rewriting"},
            "publish": set(),
        }[stage]
    )


def test_changes_are_taken_from_the_stage_that_follows_from_them(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    changed = recipe.model_copy(
        update={"teacher": ScriptedTeacher(kind="scripted"), "labels": Labels(labeler="verbalised")}
    )
    shutil.copytree(scripted_work, tmp_path / "work")
    with pytest.raises(InputError, match=r"recipe\.labels\.labeler .*--restart-from"):
        build(changed, tmp_path / "work")
    with pytest.raises(InputError, match=r"recipe\.labels\.labeler"):
        build(changed, tmp_path / "work", restart_from="context")
    with pytest.raises(InputError, match="no such stage"):
        build(changed, tmp_path / "work", restart_from="label")
    assert build(changed, tmp_path / "work", restart_from="labels")
    assert {row["labeler"] for row in open_corpus(tmp_path / "work").rows("contextless", "train")} == {"verbalised"}
    assert not build(changed, tmp_path / "work"), "the folder is the changed recipe's now"


def test_texts_of_a_benchmark_are_kept_out_of_a_corpus(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path
) -> None:
    """Only the corpus is made again: the benchmark is a matter of what is published."""
    work = Path(shutil.copytree(scripted_work, tmp_path / "work"))
    row = next(open_corpus(work).rows("contextless"))
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps({"text": row["text"].upper()}) + "\n")
    recipe = read_recipe(scripted_recipe, BuildRecipe)
    changed = recipe.model_copy(
        update={
            "quality": recipe.quality.model_copy(update={"benchmarks": (str(benchmark),), "near_duplicate_at": None})
        }
    )
    assert build(changed, work, "publish")
    rejects = [json.loads(line) for line in (work / "rejects/publish.jsonl").read_text().splitlines()]
    assert ("contextless", row["id"], "benchmark_text") in {
        (reject["stage"].rpartition("/")[2], reject["id"], reject["reason"]) for reject in rejects
    }
    missing = changed.model_copy(update={"quality": Quality(benchmarks=(str(tmp_path / "none.txt"),))})
    with pytest.raises(InputError, match=r"none\.txt': no such file"):
        build(missing, tmp_path / "new")
    assert not (tmp_path / "new").exists(), "said before anything is asked"


@pytest.mark.end_to_end
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_a_ray_cluster_changes_no_row(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, command: Command
) -> None:
    """Only the executor of the recipe differs: two workers of a Ray that it starts on this machine."""
    recipe = tmp_path / "ray.yaml"
    recipe.write_text(scripted_recipe.read_text().replace("{shards: 2}", "{kind: ray, shards: 4, workers: 2}"))
    done = command("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert parquet(tmp_path / "work") == parquet(scripted_work)


SLURM = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Slurm of one machine; gives the environment in which its commands find it."""
    if not shutil.which("slurmctld") or not shutil.which("slurmd") or os.geteuid():
        pytest.skip("needs Slurm (Debian: slurm-wlm) and root")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = [found.getsockname()[1] for found in (one, two)]
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text(SLURM.format(host=socket.gethostname(), folder=folder, ports=ports))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    daemons = []
    try:
        for name in ("slurmctld", "slurmd"):
            log = open(folder / f"{name}.log", "wb")  # noqa: SIM115 - closed with the daemon
            daemons.append(subprocess.Popen([name, "-D"], env=environment, stdout=log, stderr=log))
        for _ in range(100):
            found = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, check=False)
            if found.stdout.strip() == b"idle":
                break
            time.sleep(0.2)
        else:
            pytest.skip(f"Slurm does not come up here: {(folder / 'slurmctld.log').read_text()[-200:]}")
        yield environment
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait()


@pytest.mark.end_to_end
def test_a_slurm_cluster_changes_no_row(
    scripted_recipe: Path, scripted_work: Path, tmp_path: Path, command: Command, slurm: dict[str, str]
) -> None:
    """Only the executor of the recipe differs: jobs of a real Slurm, submitted twice, of which one works on a shard."""
    recipe = tmp_path / "slurm.yaml"
    executor = "{kind: slurm, shards: 4, workers: 2, partition: test, time: '00:10:00'}"
    recipe.write_text(scripted_recipe.read_text().replace("{shards: 2}", executor))
    build = ("-m", "dataset_builder", "build", "--recipe", recipe, "--work-dir", tmp_path / "work")
    for _ in range(2):
        submitted = command(*build, environment=slurm)
        assert submitted.returncode == 2, submitted.stdout
        assert "of 4 shards are not finished yet. If the executor has only submitted them (Slurm)" in submitted.stderr
    for _ in range(300):
        if not subprocess.run(["squeue", "-h"], env=slurm, capture_output=True, check=True).stdout:
            break
        time.sleep(0.5)
    done = command(*build, environment=slurm)
    assert done.returncode == 0, done.stderr
    assert parquet(tmp_path / "work") == parquet(scripted_work)


def test_a_shard_has_one_worker(scripted_recipe: Path, scripted_work: Path, tmp_path: Path) -> None:
    work = Path(shutil.copytree(scripted_work, tmp_path / "work"))
    lock = work / PROGRESS / "00000.lock"
    flow = Flow(read_recipe(scripted_recipe, BuildRecipe), work, STAGES)
    with file_lock(lock, "another"), pytest.raises(InputError, match="another job is working on shard 0"):
        flow.run(rank=0)
    flow.run(rank=0)
