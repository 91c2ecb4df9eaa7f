import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.inputs import InputError
from dataset_builder.narratives import read_narratives
from dataset_builder.recipe import Narratives

GOOD = {"id": "a", "title": "A", "text": "Ana met Ben."}


def lines(tmp_path: Path, rows: list[object], name: str = "stories.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def good(count: int) -> list[object]:
    return [GOOD | {"id": f"s{index}"} for index in range(count)]


def test_the_tales_are_as_promised() -> None:
    tales = read_narratives(Narratives())
    assert len(tales) >= 12
    for tale in tales:
        assert 300 <= len(tale.text.split()) <= 700, tale.id
        named = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", tale.text)
        assert len({name for name in named if named.count(name) >= 2}) >= 2, tale.id


def test_wikiplots_is_read_from_its_two_files(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("Ana met Ben.\nThey left.\n<EOS>\nBen slept.\n<EOS>\n")
    (tmp_path / "titles").write_text("A Town\nNight\n")
    stories = read_narratives(Narratives(source=str(tmp_path)))
    assert [(s.id, s.fields["title"], s.text, s.fields["source"]) for s in stories] == [
        ("wikiplots-0", "A Town", "Ana met Ben. They left.", "WikiPlots"),
        ("wikiplots-1", "Night", "Ben slept.", "WikiPlots"),
    ]
    (tmp_path / "titles").write_text("A Town\n")
    with pytest.raises(InputError, match=r"plots, line 5: this story has no title"):
        read_narratives(Narratives(source=str(tmp_path)))
    (tmp_path / "titles").write_text("A Town\nNight\nMore\n")
    with pytest.raises(InputError, match=r"as many stories as .*titles has titles. Is the file whole"):
        read_narratives(Narratives(source=str(tmp_path)))


def test_a_drawn_sample_depends_on_ids_alone(tmp_path: Path) -> None:
    rows = [GOOD | {"id": f"s{n}", "text": f"Ana met Ben {n} times."} for n in range(40)]
    (tmp_path / "a").mkdir()
    drawn = [
        [story.id for story in read_narratives(Narratives(source=str(path), limit=10, draw="hash"))]
        for path in (lines(tmp_path, list(rows)), lines(tmp_path / "a", list(reversed(rows))))
    ]
    assert drawn[0] == list(reversed(drawn[1]))
    assert len(drawn[0]) == 10
    assert drawn[0] != [f"s{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*good(6), '{"id": "x", "title'], "line 7: broken JSON"),
        ([*good(2), GOOD | {"text": "  "}], "line 3: field 'text' is empty"),
        ([*good(1), {"id": "b", "text": "x"}], "line 2: field 'title' is missing"),
        ([GOOD | {"id": 3}], "line 1: field 'id' must be text, found int"),
        ([GOOD, GOOD], "line 2: id 'a' was used at .*line 1"),
        ([GOOD | {"id": "a/b"}], "line 1: id 'a/b' contains '/'"),
        (["[1, 2]"], "line 1: expected an object"),
        (
            [GOOD | {"text": "Ana met \ud83d Ben."}],
            r"line 1: field 'text' contains half a character \(a lone surrogate\)",
        ),
        (
            [*good(1), GOOD | {"text": "Ana met \x00 Ben."}],
            r"line 2: field 'text' contains the control character U\+0000",
        ),
        ([GOOD | {"title": "A\nB"}], r"line 1: field 'title' contains the control character U\+000A"),
        ([], "contains no story"),
    ],
)
def test_bad_stories_name_file_and_line(tmp_path: Path, rows: list[object], says: str) -> None:
    path = lines(tmp_path, rows)
    with pytest.raises(InputError, match=says) as error:
        read_narratives(Narratives(source=str(path)))
    assert str(path) in str(error.value)


def test_marks_that_nobody_sees_are_taken_off(tmp_path: Path) -> None:
    path = lines(tmp_path, [{"id": "\ufeffa", "title": "\ufeffA", "text": "\ufeffAna met\u200b Ben.\r\n\x0cPage 2."}])
    story = read_narratives(Narratives(source=str(path)))[0]
    assert (story.id, story.fields["title"], story.text) == ("a", "A", "Ana met Ben.\n\nPage 2.")


def test_gzip_and_limit(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in [*good(3), "broken"]).encode()))
    found = read_narratives(Narratives(source=str(path), limit=2))
    assert [story.id for story in found] == ["s0", "s1"]
    assert found[0].fields["source"] == f"{tmp_path.name}/stories"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_narratives(Narratives(source=str(tmp_path / "none.jsonl")))
    broken = tmp_path / "half.jsonl.gz"
    broken.write_bytes(gzip.compress(b'{"id": "a"}\n' * 999)[:40])
    with pytest.raises(InputError, match="cannot be read"):
        read_narratives(Narratives(source=str(broken)))


def test_several_sources_each_up_to_the_limit_and_of_the_wanted_length(tmp_path: Path) -> None:
    long = {"id": "long", "title": "L", "text": "word " * 50}
    first = lines(tmp_path, [long, *good(4)], "a.jsonl")
    second = lines(tmp_path, [GOOD | {"id": f"t{index}"} for index in range(4)], "b.jsonl")
    found = read_narratives(Narratives(source=(str(first), str(second)), limit=2, max_words=20))
    assert [(story.id, story.fields["source"].rpartition("/")[2]) for story in found] == [
        ("s0", "a"),
        ("s1", "a"),
        ("t0", "b"),
        ("t1", "b"),
    ]
    with pytest.raises(InputError, match=r"b\.jsonl: contains no story of 30 to any number of words"):
        read_narratives(Narratives(source=(str(first), str(second)), min_words=30))
    with pytest.raises(InputError, match=r"the id 'long' was used in .*a\.jsonl"):
        read_narratives(Narratives(source=(str(first), str(first))))


def test_the_name_of_a_home_folder_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "jane.doe"
    (home / "tales").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for path, source in ((home / "stories.jsonl", "stories"), (home / "tales/stories.jsonl", "tales/stories")):
        path.write_text(json.dumps({"id": "a", "title": "T", "text": "Once."}) + "\n")
        [story] = read_narratives(Narratives(source=(str(path),)))
        assert story.fields["source"] == source


def test_stories_in_a_folder_are_the_train_files_of_one_kind(tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    (folder / "deep").mkdir(parents=True)
    lines(folder, [GOOD | {"id": "t", "more": 1}], "train-b.jsonl")
    lines(folder / "deep", [GOOD | {"id": "s"}], "train-a.jsonl")
    lines(folder, [GOOD | {"id": "u"}], "test.jsonl")
    found = read_narratives(Narratives(source=str(folder)))
    assert [(story.id, story.fields["source"]) for story in found] == [("s", "stories"), ("t", "stories")]
    lines(folder, [GOOD | {"id": "s"}], "train-c.jsonl")
    with pytest.raises(InputError, match=r"train-c.jsonl, line 1: id 's' was used at .*train-a.jsonl, line 1"):
        read_narratives(Narratives(source=str(folder)))
    lines(folder, [GOOD | {"id": 3}], "train-c.jsonl")
    with pytest.raises(InputError, match=r"train-c.jsonl, line 1: field 'id' must be text, found int"):
        read_narratives(Narratives(source=str(folder)))
    for name in ("train-b.jsonl", "train-c.jsonl", "deep/train-a.jsonl"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="all files are named after validation or test splits"):
        read_narratives(Narratives(source=str(folder)))


def test_stories_in_parquet(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "title": ["A", "B"], "text": ["Ana met Ben.", "Ben met Ana."]})
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    for place in (tmp_path, tmp_path / "data/train-00000-of-00001.parquet"):
        assert [story.id for story in read_narratives(Narratives(source=str(place)))] == ["a", "b"]
    lines(tmp_path, [GOOD], "a.jsonl")
    with pytest.raises(InputError, match=r"contains both .jsonl and .parquet files"):
        read_narratives(Narratives(source=str(tmp_path)))
    (tmp_path / "half.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_narratives(Narratives(source=str(tmp_path / "half.parquet")))


@pytest.mark.parametrize("name", ["texts/a.txt", "a.csv"])
def test_stories_of_another_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("Ana met Ben.\n")
    place = path.parent if name.startswith("texts") else path
    with pytest.raises(InputError, match=r"contains neither .jsonl|not one of .jsonl"):
        read_narratives(Narratives(source=str(place)))


def test_a_text_that_is_none_and_one_that_is_too_long(tmp_path: Path) -> None:
    paths = lines(tmp_path, [GOOD | {"id": f"s{n}", "text": f"books/{n}.txt"} for n in range(9)])
    with pytest.raises(InputError, match=r"the field 'text' contains ids .books/0.txt"):
        read_narratives(Narratives(source=str(paths)))
    long = lines(tmp_path, [GOOD, GOOD | {"id": "long", "text": "ab " * 400_000}], "long.jsonl")
    with pytest.raises(InputError, match=r"story 'long' has 1,199,999 characters, more than 1,000,000"):
        read_narratives(Narratives(source=str(long)))
    assert len(read_narratives(Narratives(source=str(long), max_words=1000))) == 1, "passed over by its words"


def test_no_library_s_error_is_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: '*.jsonl'\n---\n")
    (tmp_path / "a.jsonl").write_text('{"id": "a", "title": "A", "text": "x"}\n{"id": 1, "title": {}, "te')
    with pytest.raises(InputError, match="nor a dataset that can be loaded") as error:
        read_narratives(Narratives(source=str(tmp_path)))
    assert "\n" not in str(error.value)


def test_one_text_under_two_ids_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path, [*good(2), GOOD | {"text": "Ben met Ana."}])
    assert len(read_narratives(Narratives(source=str(path)))) == 3
    assert "1 of 3 stories have the same text as another story ('s1' that of 's0')" in capsys.readouterr().err


def test_other_forms_of_stories_are_told_how_to_be_written(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json", "a.txt"):
        path = lines(tmp_path, [json.dumps(good(2))], name)
        with pytest.raises(InputError, match=r"one story per line.*jq -c '\.\[\]' FILE"):
            read_narratives(Narratives(source=str(path)))
    with pytest.raises(InputError, match="line 1: field 'id' must be text, found int: write it in quotes"):
        read_narratives(Narratives(source=str(lines(tmp_path, [GOOD | {"id": 7}]))))
