"""Known sets in the forms that circulate: read, or refused by name with what to do."""

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.domains.examples import Fold
from dataset_builder.domains.goemotions import comments
from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError
from dataset_builder.taxonomy import LABELS
from eval import official_files
from eval.benchmark_rows import goemotions
from tests.conftest import Command
from tests.test_dataset_builder_domains import emocontext_files, goemotions_files, iemocap_files, isear_files, rows_of

ROWS = [("a", 'He said "no", twice.', [2, 14]), ("b", "Fine.", [27]), ("c", '"Quoted', [0])]
NAMES = ("train", "validation", "test")


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def written(rows: list[list[Any]], delimiter: str = ",") -> str:
    found = io.StringIO()
    csv.writer(found, delimiter=delimiter).writerows(rows)
    return found.getvalue()


FORMS = {
    "official": [[text, ",".join(map(str, labels)), key] for key, text, labels in ROWS],
    "header, capitals, id first": [["ID", "Text", "Labels"], *([k, t, ",".join(map(str, n))] for k, t, n in ROWS)],
    "the Hub's rows as pandas wrote them": [["text", "labels", "id"], *([t, str(n), k] for k, t, n in ROWS)],
    "with an index": [
        ["", "text", "labels", "id"],
        *([i, t, f"[ {n[0]} {n[-1]}]", k] for i, (k, t, n) in enumerate(ROWS)),
    ],
}


TABLES = [(form, "tsv") for form in FORMS] + [(form, "csv") for form in [*FORMS][1:]]  # official ones are TSV


@pytest.mark.parametrize(("form", "ending"), TABLES)
def test_goemotions_as_a_table(tmp_path: Path, form: str, ending: str) -> None:
    put(tmp_path / "emotions.txt", "\r\n".join(LABELS))
    content = written(FORMS[form], "\t" if ending == "tsv" else ",")
    put(tmp_path / f"test.{ending}", "\ufeff" + content)
    found = list(comments(tmp_path, "test"))
    assert [(one.id, one.text, one.labels) for one in found] == ROWS
    assert goemotions(str(tmp_path), "contextless").gold.sum() == 4


def test_goemotions_from_the_hub_s_parquet(tmp_path: Path) -> None:
    for number, split in enumerate(NAMES):
        table = {
            "text": [text for _, text, _ in ROWS],
            "labels": [labels for *_, labels in ROWS],
            "id": [f"{key}{number}" for key, *_ in ROWS],
        }
        (tmp_path / "simplified").mkdir(exist_ok=True)
        pq.write_table(pa.table(table), tmp_path / f"simplified/{split}-00000-of-00001.parquet")
    manifest = prepare("goemotions", tmp_path, tmp_path / "out")
    assert manifest["rows"] == {"contextless": {"train": 3, "validation": 3, "test": 3}}
    assert rows_of(tmp_path / "out", "test")[0]["text"] == 'He said "no", twice.'
    assert set(manifest["sources"]) == {f"simplified/{split}-00000-of-00001.parquet" for split in NAMES}
    assert goemotions(str(tmp_path), "contextless").texts == [text for _, text, _ in ROWS]
    for column, value, says in (
        ("labels", [[28], [1], [2]], "row 0: labels .28.: expected a list of label numbers"),
        ("labels", [[], [1], [2]], "row 0: labels .*expected a list"),
        ("text", [None, "x", "y"], "row 0: text and id must be strings"),
        ("rater_id", [1, 2, 3], "these are the raw annotations, one row per rater"),
    ):
        pq.write_table(pa.table(table | {column: value}), tmp_path / "simplified/test-00000-of-00001.parquet")
        with pytest.raises(InputError, match=says):
            list(comments(tmp_path, "test"))
    put(tmp_path / "simplified/test-00000-of-00001.parquet", "no Parquet")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        list(comments(tmp_path, "test"))


RAW = ["text", "id", "author", "subreddit", "rater_id", "example_very_unclear", *LABELS]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "test.tsv",
            "a\tThat game hurt.\t25\n",
            "line 1: .* but the id comes first. Reorder the columns",
        ),
        (
            "test.csv",
            written([RAW, ["x", "a", "b", "c", 1, False, *[0] * 28]]),
            "raw annotations, one row per",
        ),
        ("test.csv", written([["text", *LABELS], ["x", *[0] * 28]]), "one 0/1 column per emotion"),
        ("test.csv", "text,id\nx,a\n", "line 1: expected text"),
        ("test.csv", "text,labels,id\nx,joy,a\n", "line 2: labels 'joy': expected label numbers 0-27, as in 2,14"),
        ("test.csv", "text,labels\nx,1\n", "line 1: expected text, labels, id, comma-separated"),
        (
            "test.tsv",
            "Café\t1\ta\n".encode("latin-1"),
            "line 1: cannot be read: byte 0xe9 is not UTF-8.* iconv",
        ),
        ("test.tsv", "Fine\t1\ta\n".encode("utf-16"), "it is UTF-16; convert it: iconv"),
        ("test.tsv", b"Fine\t1\ta\nNo\0\t1\tb\n", "line 2: a NUL byte"),
        ("test.tsv", "Fine\t1\ta\n \t1\tb\n", "line 2: the text is empty. Correct or delete the row"),
        ("test.tsv", "Fine\t1\ta\nNo\t1\ta\n", "line 2: the id 'a' occurs twice, first at .*line 1"),
        ("test.tsv", "Fine\t1\ta\nNo\t1\t\n", "line 2: the id is empty"),
        ("test.tsv", "Fine\t" + "9" * 5000 + "\ta\n", "line 1: expected text, label numbers"),
        ("goemotions_1.csv", "x", r"test.tsv: no such file. .* The folder contains GoEmotions' raw annotations"),
    ],
)
def test_other_forms_of_goemotions_are_refused_by_name(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    put(tmp_path / "emotions.txt", "\n".join(LABELS))
    put(tmp_path / name, content)
    with pytest.raises(InputError, match=says):
        goemotions(str(tmp_path), "contextless")


def test_the_numbers_need_their_names(tmp_path: Path) -> None:
    put(tmp_path / "test.csv", "text,labels,id\nx,1,a\n")
    with pytest.raises(InputError, match=r"emotions.txt: no such file. .*It gives the label of each number"):
        goemotions(str(tmp_path), "contextless")


def test_a_row_in_two_splits_is_refused(tmp_path: Path) -> None:
    source = goemotions_files(tmp_path / "files")
    put(source / "dev.tsv", "So happy\t17\ta\n")
    with pytest.raises(InputError, match=r"dev.tsv, line 1: the id 'goemotions/a' occurs twice, .*train.tsv"):
        prepare("goemotions", source, tmp_path / "out")


def test_a_folder_of_another_set_is_named(tmp_path: Path, command: Command) -> None:
    put(tmp_path / "meld/train_sent_emo.csv", "Sr No.,Utterance\n")
    put(tmp_path / "mdb/isear.mdb", "x")
    put(tmp_path / "emobank/emobank.csv", "id,split,V,A,D,text\n")
    for name, folder, says in (
        ("goemotions", "meld", "The folder contains MELD"),
        ("emocontext", "meld", "The folder contains MELD"),
        ("iemocap-4", "meld", "The folder contains MELD"),
        ("isear", "mdb", "export it as isear.csv in UTF-8, with the columns MYKEY, Field1 and SIT"),
        ("isear", "emobank", "The folder contains EmoBank; evaluate on it with eval.run"),
        ("emobank", "emobank", "EmoBank is for evaluation only: eval.run"),
    ):
        with pytest.raises(InputError, match=says):
            prepare(name, tmp_path / folder, tmp_path / "out")
    done = command("-m", "eval.run", "--texts", tmp_path / "t", "--benchmark", "emobank", "--data", tmp_path / "meld")
    assert done.returncode == 2
    assert "emobank.csv: no such file" in done.stderr
    assert "The folder contains MELD" in done.stderr


def test_isear_s_original_export(tmp_path: Path) -> None:
    """42 columns between `|`, the emotion's name in Field1, the text in SIT, with line breaks in its quotes."""
    source = isear_files(tmp_path / "files", persons=10)
    rows = [
        line.split("\t") for name in ("train", "dev") for line in (source / f"{name}.tsv").read_text().splitlines()[1:]
    ]
    table = [["ID", "CITY", "EMOT", "Field1", "MYKEY", "SIT"]]
    table += [
        [number, 1, key[-1], emotion, key, f"{text}á\nSo it was."] for number, (key, emotion, text) in enumerate(rows)
    ]
    put(tmp_path / "whole/isear.csv", written(table, "|"))
    manifest = prepare("isear", tmp_path / "whole", tmp_path / "out", Fold(1, 5))
    assert manifest["rows"]["contextless"] == {"train": 50, "validation": 6, "test": 14}
    assert all(row["text"].endswith(" So it was.") for row in rows_of(tmp_path / "out", "test"))
    with pytest.raises(InputError, match=r"isear.csv: the whole dataset needs a fold"):
        prepare("isear", tmp_path / "whole", tmp_path / "again")
    put(tmp_path / "two/isear.csv", 'joy,"On days when I feel close to my partner."\n')
    with pytest.raises(InputError, match=r"isear.csv, line 1: expected key, emotion, text"):
        prepare("isear", tmp_path / "two", tmp_path / "again", Fold(1, 5))


HEAD = ["id", "split", "V", "A", "D", "text"]


@pytest.mark.parametrize(
    "rows",
    [
        [HEAD, ["a", "test", 3.5, 3.0, 3.1, 'He said "no", twice.']],
        [["ID", "Split", "v", "a", "d", "Text"], ["a", "test", 3.5, 3.0, 3.1, 'He said "no", twice.']],
        [["", *HEAD], [7, "a", "test", 3.5, 3.0, 3.1, 'He said "no", twice.']],
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_emobank_s_forms(tmp_path: Path, rows: list[list[Any]], delimiter: str) -> None:
    put(tmp_path / "emobank.csv", "\ufeff" + written(rows, delimiter))
    found = official_files.emobank(str(tmp_path), "contextless")
    assert (found.texts, found.gold.tolist()) == (['He said "no", twice.'], [[3.5, 3.0]])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,V,A,D,text\na,3,3,3,x\n", "Use JULIELab/EmoBank's corpus/emobank.csv, which has the split"),
        ("id,split,V,A,D,text\na,test,3,3,3,\n", "line 2: the text is empty"),
        ("id,split,V,A,D,text\na,test,3,3,3,x\na,test,3,3,3,y\n", "line 3: the id 'a' occurs twice"),
        (
            "id,split,V,A,D,text\na,test,nan,3,3,x\n",
            "line 2: cannot be read .V 'nan', A '3': expected numbers",
        ),
        ("id,split,V,A,D,text\na,test,0.3,3,3,x\n", "line 2: cannot be read"),
        ('id,split,V,A,D,text\na,test,3,3,3,"x\n', "line 2: a quoted field begins here and is never closed"),
    ],
)
def test_emobank_s_faults(tmp_path: Path, content: str, says: str) -> None:
    put(tmp_path / "emobank.csv", content)
    with pytest.raises(InputError, match=says):
        official_files.emobank(str(tmp_path), "contextless")


def semeval(*rows: tuple[str, str], head: tuple[str, ...] = ("ID", "Tweet"), given: str = "1") -> str:
    lines = ["\t".join((*head, *official_files.SEMEVAL))]
    return "\n".join([*lines, *("\t".join((*row, *[given] * 11)) for row in rows)]) + "\n"


@pytest.mark.parametrize(
    ("head", "given"), [(("ID", "Tweet"), "1"), (("id", "TWEET"), "True"), (("ID", "text"), "1.0")]
)
def test_semeval_s_forms(tmp_path: Path, head: tuple[str, ...], given: str) -> None:
    odd = 'He said "no"\u2028twice\x85.'
    for folder in (tmp_path / "a", tmp_path / "b/E-c"):
        put(
            folder / official_files.SEMEVAL_TEST,
            "\ufeff" + semeval(("1", odd), ("2", '"Quoted'), head=head, given=given),
        )
        place = tmp_path / folder.relative_to(tmp_path).parts[0]
        found = official_files.semeval2018(str(place), "contextless")
        assert found.texts == [odd, '"Quoted']
        assert found.gold.tolist() == [[1] * 11] * 2
    for content, says in (
        (semeval(("1", "x"), given="NONE"), "found 'NONE'. This is the file without the gold labels"),
        (semeval(("1", "")), "line 2: the text is empty"),
        (semeval(("1", "x"), ("1", "y")), "line 3: the id '1' occurs twice"),
        (semeval(("1", "x"), head=("ID", "Post")), "Use the E-c file"),
    ):
        put(tmp_path / "a" / official_files.SEMEVAL_TEST, content)
        with pytest.raises(InputError, match=says):
            official_files.semeval2018(str(tmp_path / "a"), "contextless")


def test_files_in_another_case_and_gzipped(tmp_path: Path) -> None:
    """As archives and other systems leave them: TRAIN.TSV, test.tsv.gz."""
    for path in goemotions_files(tmp_path / "g").glob("*.tsv"):
        put(path.with_name(f"{path.name}.gz"), gzip.compress(path.read_bytes().replace(b"\n", b"\r\n")))
        path.unlink()
    assert len(list(comments(tmp_path / "g", "train"))) == 2
    assert set(prepare("goemotions", tmp_path / "g", tmp_path / "g-out")["sources"]) >= {"train.tsv.gz", "test.tsv.gz"}
    for path in isear_files(tmp_path / "i").glob("*.tsv"):
        path.rename(path.with_name(path.name.upper()))
    assert prepare("isear", tmp_path / "i", tmp_path / "i-out")["rows"]["contextless"]["test"] == 28
    emocontext = emocontext_files(tmp_path / "e")
    put(emocontext / "Train.txt.gz", gzip.compress((emocontext / "train.txt").read_bytes().replace(b"\tsad", b"\tSad")))
    (emocontext / "train.txt").unlink()
    assert prepare("emocontext", emocontext, tmp_path / "e-out")["classes"]["train"]["sad"] == 1
    bank = "id,split,V,A,D,text\na_1_2,test,3,3,3,So\n"
    put(tmp_path / "b/EmoBank.csv.gz", gzip.compress(bank.encode()))
    assert official_files.emobank(str(tmp_path / "b"), "contextless").texts == ["So"]


def test_a_turn_with_a_time_that_is_none(tmp_path: Path) -> None:
    folder = iemocap_files(tmp_path)
    path = folder / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    path.write_text(path.read_text() + "Ses01F_impro01_F002 [1.2.3-4.0]: Odd.\n")
    assert prepare("iemocap-4", folder, tmp_path / "out")["handled"]["lines_that_are_no_turn"] == 11
