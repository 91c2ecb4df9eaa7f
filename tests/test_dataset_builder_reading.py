"""Files as they circulate: one reader for JSON lines and one for tables, and what each refuses by line."""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.analysis.measure_corpora import goemotions
from dataset_builder.domains.goemotions import comments
from dataset_builder.files import reading
from dataset_builder.files.reading import json_file, json_lines, lines, named_columns, table_rows
from dataset_builder.files.texts import benchmark_texts, not_texts, texts_of
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from dataset_builder.teacher_eval.labelers import read_dev

DATA = Path(__file__).parent.parent.parent / "shared/data"
ODD = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"  # str.splitlines ends a line at each of these


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path, end: str, mark: str, packed: bool) -> None:
    content = mark + end.join([json.dumps({"text": ODD}, ensure_ascii=False), "", '{"text": "last"}'])
    path = put(
        tmp_path / ("a.jsonl.gz" if packed else "a.jsonl"), gzip.compress(content.encode()) if packed else content
    )
    assert [(place.rpartition(" ")[2], row["text"]) for place, row in json_lines(path)] == [("1", ODD), ("3", "last")]
    assert [row for _, row in lines(put(tmp_path / "a.txt", f"{mark}{ODD}{end}{end}x"))] == [ODD, "x"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a": 1}\n{"a": 1', "line 2: broken JSON"),
        ('{"a": 1}\n{"a": 1, "a": 2}', "line 2: broken JSON .the key 'a' occurs twice"),
        ("[" * 200_000, "line 1: broken JSON .nested too deeply"),
        ('{"a": ' + "9" * 50_000 + "}", "line 1: broken JSON .Exceeds the limit"),
        ('[\n{"a": 1}\n]', "line 1: one JSON value over several lines"),
        ('{\n"a": 1\n}', "line 1: one JSON value over several lines"),
        ('{"a": "é"}\n'.encode() + '{"a": "é"}\n'.encode("latin-1"), "line 2: cannot be read: byte 0xe9 is not UTF-8"),
        ('{"a": 1}\n'.encode("utf-16"), "it is UTF-16; convert it: iconv"),
        ('{"a": 1}\n'.encode("utf-16-le"), "line 1: a NUL byte"),
        (b"PAR1....", "it is a Parquet file"),
        (b"PK\x03\x04....", "it is a ZIP archive or a spreadsheet"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("<!DOCTYPE html>\n", "it is an HTML page"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = put(tmp_path / "a.jsonl", content)
    with pytest.raises(InputError, match=says) as error:
        list(json_lines(path))
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 400


def test_packed_files_by_what_they_are(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}\n')
    assert [row for _, row in json_lines(put(tmp_path / "a.jsonl", packed))] == [{"a": 1}]
    for name, content, says in (
        ("a.jsonl.gz", b'{"a": 1}\n', "cannot be read: it is not gzip"),
        ("b.jsonl.gz", packed[:20], "cannot be read"),
        ("c.jsonl.gz", packed[:-6] + b"\0\0\0\0\0\0", "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            list(json_lines(put(tmp_path / name, content)))
    with pytest.raises(InputError, match=r"none.jsonl: no such file. Give one."):
        list(json_lines(tmp_path / "none.jsonl", "Give one."))
    with pytest.raises(InputError, match="Is a directory"):
        list(json_lines(tmp_path))


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BLANK", 50)
    path = put(tmp_path / "a.gz", gzip.compress(b"x\n" + b"a" * (reading.LONGEST_LINE + 1)))
    with pytest.raises(InputError, match="line 2: a line of more than 16,777,216 bytes"):
        list(lines(path))
    with pytest.raises(InputError, match="line 51: 50 blank lines"):
        list(lines(put(tmp_path / "b.txt", "\n" * 60)))
    monkeypatch.setattr(reading, "LARGEST_FILE", 1000)
    with pytest.raises(InputError, match=r"a.json: more than 1,000 characters"):
        json_file(put(tmp_path / "a.json", "[1,\n" * 400))


def test_a_json_file(tmp_path: Path) -> None:
    assert json_file(put(tmp_path / "a.json", '\ufeff{\r\n"a": "\u2028"}')) == {"a": "\u2028"}
    with pytest.raises(InputError, match=r"b.json: broken JSON .* at line 2, column 6"):
        json_file(put(tmp_path / "b.json", '{\n"a": }'))


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('He said "no"\t1\n"Quoted at its start\t2\n', ['He said "no"', '"Quoted at its start']),
        ('"I see," he said.\t1\nplain\t2\n', ['"I see," he said.', "plain"]),
        ('"So true"\t1\nplain\t2\n', ['"So true"', "plain"]),  # no writer quotes this: the quotes are the text's
        ('"He said ""no"""\t1\nplain\t2\n', ['He said "no"', "plain"]),
        ('"Well, yes"\t1\nplain\t2\n', ["Well, yes", "plain"]),  # as spreadsheets save tables
        ('"text"\t"n"\n"So true"\t1\n"plain"\t2\n', ["text", "So true", "plain"]),  # all quoted
        ('"two\nlines, ""quoted"""\t1\nplain\t2\n', ['two\nlines, "quoted"', "plain"]),
        ('"open\t1\nplain\t2\nand closed"\t3\n', ['"open', "plain", 'and closed"']),
        ('"He said ""no"""\t1\nodd " one\t2\n', ['"He said ""no"""', 'odd " one']),
        (f"{ODD}\t1\n", [ODD]),
    ],
)
def test_one_rule_of_quoting_for_tab_separated_files(tmp_path: Path, content: str, texts: list[str]) -> None:
    assert [fields[0] for _, fields in table_rows(put(tmp_path / "a.tsv", content), "\t")] == texts


TEXTS = ['"', '""', '"a"', '"a', 'a"', "a, b", '"a, b"', 'a "b" c', '""a""', "a\nb", "", "'", ODD]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
def test_what_csv_writers_write_is_read(tmp_path: Path, delimiter: str, quoting: int) -> None:
    for texts in (TEXTS, [text for text in TEXTS if "\n" not in text]):
        found = io.StringIO()
        writer = csv.writer(found, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([["text", "n"], *([text, number] for number, text in enumerate(texts))])
        path = put(tmp_path / "a.tsv", found.getvalue())
        assert [fields[0] for _, fields in table_rows(path, delimiter)] == ["text", *texts]


@pytest.mark.parametrize(
    ("delimiter", "content", "says"),
    [
        ("\t", "a\t1\nb\nc\t3\n", "line 2: expected 2 fields as in the first line, tab-separated, found 1"),
        ("\t", "a\t1\nb\tc\t2\n", "line 2: expected 2 fields as in the first line, tab-separated, found 3"),
        (",", 'a,1\n"never,2\nb,3\n', "line 2: a quoted field begins here and is never closed"),
        (",", 'a,1\n"b" c,2\n', "line 2: a quote inside a quoted field that is not doubled"),
        (",", "a,1\nb\rc,2\n", "line 2: a carriage return in a field without quotes"),
        (",", 'a,1\n"' + "b\n" * 70_000 + '",2\n', "line 2: a field of more than 131,072"),
        (",", "a,1\nb,2,3\n", "line 2: expected 2 fields"),
    ],
)
def test_broken_tables_are_named_by_line(tmp_path: Path, delimiter: str, content: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        list(table_rows(put(tmp_path / "a", content), delimiter))


def test_columns_by_name(tmp_path: Path) -> None:
    wanted = {"key": ("key", "id"), "text": ("text",)}
    for name, content in (
        ("a.tsv", "key\ttext\n1\tone\n"),
        ("a.csv", "\ufeffText,other,ID\none,x,1\n"),
        ("b.csv", "id;Text\n1;one\n"),
        ("b.tsv", "x|MY|TEXT|Key\n.|.|one|1\n"),
    ):
        assert [row for _, row in named_columns(put(tmp_path / name, content), wanted)] == [{"key": "1", "text": "one"}]
    for content, says in (
        ("key\tbody\n", r"line 1: expected key, text, tab-separated, found 'key\\tbody'. Give it."),
        ("key\tid\ttext\n", "line 1: the column 'key' occurs twice"),
        ("", "line 1: expected key, text"),
    ):
        with pytest.raises(InputError, match=says):
            list(named_columns(put(tmp_path / "c.tsv", content), wanted, "Give it."))


SENTENCES = [f"this is sentence number {number}" for number in range(30)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.tsv",
            "id\ttweet\tlabel\n1\tI know that\t0\n",
            r"line 1: no column 'text' in its header \(id, tweet",
        ),
        ("a.csv", "a,b\nI know that,0\n", r"line 1: no column 'text' in its header"),
        ("a.tsv", "Text\ttext\na\tb\n", "the column 'text' occurs twice"),
        (
            "a.tsv",
            "eew5j0j\tThat game hurt.\t25\n",
            r"the first column contains single words \(eew5j0j\), and column 2",
        ),
        ("a.tsv", "".join(f"joy\t{text}\n" for text in SENTENCES), "the first column contains single words .joy, joy"),
        (
            "a.tsv",
            "text\tbody\n" + "".join(f"t{n}\t{s}\n" for n, s in enumerate(SENTENCES)),
            "the column 'text' contains",
        ),
        ("a.jsonl", "".join(f'{{"text": "{n}.5"}}\n' for n in range(9)), "'text' contains numbers"),
        ("a.jsonl", "".join(f'{{"text": "t3_ab{n}"}}\n' for n in range(9)), "'text' contains ids"),
        ("a.jsonl", '{"text": "joy"}\n{"text": "quiet pride"}\n' * 20, "'text' contains labels .joy, quiet pride"),
        ("a.jsonl", '{"text": 3}\n', "line 1: no text in 'text'"),
        ("a.jsonl", '["text"]\n', "line 1: no text in 'text' .it is list"),
        ("a.txt", "x", "not a .jsonl, .csv, .tsv or .parquet file"),
    ],
)
def test_a_column_that_is_not_the_text_is_noticed(tmp_path: Path, name: str, content: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        list(texts_of(put(tmp_path / name, content), "text", "Give texts."))
    assert str(error.value).endswith("Give texts.") or "twice" in says


def test_texts_are_texts(tmp_path: Path) -> None:
    assert not_texts(SENTENCES) is None
    assert not_texts(["lol", "wow", "ok then", "😊", "No."]) is None
    assert not_texts(["1", "2"]) is None, "too few to tell"
    for name, content, column in (
        ("a.tsv", "One odd thing\t0\nAnother\t1\n", "text"),
        ("a.tsv", "id\tTEXT\n1\tOne odd thing\n2\tAnother\n", "text"),
        ("a.csv", "id,Body\n1,One odd thing\n2,Another\n", "body"),
        ("a.jsonl", '{"text": "One odd thing"}\n\n{"text": "Another"}\n', "text"),
    ):
        found = [text for _, _, text in texts_of(put(tmp_path / name, content), column, "")]
        assert found == ["One odd thing", "Another"]
    pq.write_table(pa.table({"text": ["One odd thing", "Another"]}), tmp_path / "a.parquet")
    assert [text for _, text in benchmark_texts(tmp_path / "a.parquet")] == found
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 0: no text in 'text'"):
        list(benchmark_texts(tmp_path / "a.parquet"))


def test_texts_of_a_benchmark_have_keys(tmp_path: Path) -> None:
    for name, content, texts in (
        ("a.tsv", 'He said "no\t3\tx\nYes\t1\ty\n', ['He said "no', "Yes"]),
        ("a.csv", 'id,text\n1,"One, two"\n2,Three\n', ["One, two", "Three"]),
    ):
        keys = [f"{tmp_path.name}/{name}:{number}" for number in range(2)]
        assert dict(benchmark_texts(put(tmp_path / name, content))) == dict(zip(keys, texts, strict=True))
    for content, says in (("", "contains no text"), ('{"text": "One"}\n{"say": 1}\n', r"a\.jsonl, line 2: .*'text'")):
        with pytest.raises(InputError, match=says):
            list(benchmark_texts(put(tmp_path / "a.jsonl", content)))


def official(folder: Path, *rows: str) -> Path:
    put(folder / "emotions.txt", "\n".join(LABELS) + "\n")
    for name in ("train", "dev", "test"):
        put(folder / f"{name}.tsv", "".join(f"{row}{name}\n" for row in rows))
    return folder


@pytest.mark.parametrize("is_quoted", [True, False])
def test_all_readers_of_goemotions_give_the_same_texts(tmp_path: Path, is_quoted: bool) -> None:
    quoted = ['"He said ""no"""\t2\ta', "Fine.\t27\tb", '"""So be it"", I said."\t3,4\tc']
    plain = ['"Nobody told me\t2\ta', "Fine.\t27\tb", 'He said "ten" and left.\t3,4\tc']
    texts = ['He said "no"', "Fine.", '"So be it", I said.'] if is_quoted else [row.split("\t")[0] for row in plain]
    folder = official(tmp_path / "goemotions", *(quoted if is_quoted else plain))
    assert [found.text for found in comments(folder, "train")] == texts
    assert [row["text"] for row in goemotions(tmp_path)] == texts
    assert sorted(read_dev(folder / "dev.tsv", 3).texts) == sorted(texts)
    assert [text for _, text in benchmark_texts(folder / "train.tsv")] == texts


@pytest.mark.skipif(not (DATA / "goemotions").exists(), reason="GoEmotions' files are not here")
def test_all_readers_give_the_same_of_the_true_files() -> None:
    texts = [found.text for found in comments(DATA / "goemotions", "train")]
    assert len(texts) == 43410
    assert sum('"' in text for text in texts) == 1097
    assert [row["text"] for row in goemotions(DATA)] == texts
    assert [text for _, text in benchmark_texts(DATA / "goemotions/train.tsv")] == texts
    with open(DATA / "goemotions/train.tsv", encoding="utf-8", newline="") as rows:
        assert [fields[0] for fields in csv.reader(rows, delimiter="\t", strict=True)] == texts
