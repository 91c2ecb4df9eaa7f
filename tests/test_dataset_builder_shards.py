import json
from pathlib import Path

import pytest

from dataset_builder.files.shards import Journal, clear, file_lock, read_lines, shard_path, to_line, write_whole
from dataset_builder.inputs import InputError


def test_a_journal_forgets_only_its_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "00000.jsonl"
    journal = Journal(path)
    for unit in ("b", "a"):
        journal.append(unit, {"unit": unit, "value": unit * 3})
    with open(path, "ab") as file:
        file.write(b'{"unit": "c", "val')
    again = Journal(path)
    assert len(again) == 2
    assert again.get("c") is None
    again.append("c", {"unit": "c", "value": "ccc"})
    shard = shard_path(tmp_path, 0)
    assert again.get("b") == {"unit": "b", "value": "bbb"}
    assert again.get("d") is None
    again.write(["a", "b", "c"], shard)
    again.discard()
    assert [line["unit"] for line in read_lines(shard)] == ["a", "b", "c"]
    assert not path.exists()


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_whole(tmp_path / name / "00000.jsonl.gz", [to_line({"a": "é"}), to_line([1])])
    assert (tmp_path / "x/00000.jsonl.gz").read_bytes() == (tmp_path / "y/00000.jsonl.gz").read_bytes()


def test_a_write_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def lines() -> "object":
        yield b"one\n"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(tmp_path / "00000.jsonl", lines())  # type: ignore[arg-type]
    assert not (tmp_path / "00000.jsonl").exists()


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00000.jsonl.gz"
    write_whole(path, [to_line({"text": str(i)}) for i in range(999)])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"00000.jsonl.gz: damaged"):
        list(read_lines(path))
    assert json.loads(to_line({"ü": 1})) == {"ü": 1}


def test_nothing_is_written_through_a_planted_link(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "mine"
    victim.write_text("precious")
    (tmp_path / "run.json.part").symlink_to(victim)
    write_whole(tmp_path / "run.json", b"{}")
    assert (tmp_path / "run.json").read_bytes() == b"{}"
    assert not (tmp_path / "run.json").is_symlink()
    for name in ("00000.jsonl", "run.lock"):
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(InputError, match=r"00000.jsonl: is a symbolic link"):
        Journal(tmp_path / "00000.jsonl")
    with pytest.raises(InputError, match=r"run.lock: is a symbolic link"), file_lock(tmp_path / "run.lock", "busy"):
        pass
    folder.mkdir()
    (folder / "keep.txt").write_text("x")
    (tmp_path / "corpus.part").symlink_to(folder)
    clear(tmp_path / "corpus.part")
    clear(tmp_path / "nothing")
    assert not (tmp_path / "corpus.part").is_symlink()
    assert (folder / "keep.txt").exists()
    clear(folder)
    assert not folder.exists()
    assert victim.read_text() == "precious"
