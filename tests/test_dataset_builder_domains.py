"""Domain sets: small files of each set's form that we wrote, and the true ones where they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from dataset_builder.domains import prepare as preparing
from dataset_builder.domains.examples import Fold
from dataset_builder.domains.isear import is_non_answer, person
from dataset_builder.domains.prepare import prepare
from dataset_builder.inputs import InputError
from dataset_builder.label_maps import DOMAINS, LABEL_MAPS, class_scores, training_labels
from dataset_builder.schema import features
from dataset_builder.taxonomy import LABELS
from tests.conftest import Command

DATA = Path(__file__).parent.parent.parent / "shared/data"
ISEAR = ("joy", "fear", "anger", "sadness", "disgust", "shame", "guilt")
CHAT = "id\tturn1\tturn2\tturn3\tlabel"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def goemotions_files(folder: Path) -> Path:
    write(folder / "emotions.txt", *LABELS)
    write(folder / "train.tsv", "So happy\t17\ta", '"He said ""no"""\t3,2\tb')
    write(folder / "dev.tsv", "Fine.\t27\tc")
    write(folder / "test.tsv", "So happy\t17\td")
    return folder


def isear_files(folder: Path, persons: int = 20) -> Path:
    """Seven reports of each of the persons 100, 101 …; the last four are in dev.tsv."""
    rows = [
        f"{100 + who}{digit}\t{emotion}\tReport of {emotion} by person number {who}."
        for who in range(persons)
        for digit, emotion in enumerate(ISEAR, start=1)
    ]
    write(folder / "train.tsv", "key\temotion\ttext", *rows[:-28])
    write(folder / "dev.tsv", "key\temotion\ttext", *rows[-28:])
    return folder


def emocontext_files(folder: Path) -> Path:
    write(folder / "train.txt", CHAT, "0\tHi\tHello\tI lost my job :(\tsad", '1\t"Oh\tWhat?\tYou heard me!\tangry')
    write(folder / "dev.txt", CHAT, "0\tGuess what\tTell me\tI won! 😊\thappy")
    write(folder / "test.txt", CHAT, "0\tHi\tHello\tWhere are you\tothers", "1\tIt\tHm\tsplit\u2028here\thappy")
    return folder


def meld_files(folder: Path) -> Path:
    """Two dialogues in each split; the first of test has its turns out of order and lacks one."""
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
    write(folder / "train_sent_emo.csv", header, "1,Hello.,Ann,neutral,neutral,0,0", "2,Great!,Bob,joy,positive,0,1")
    write(folder / "dev_sent_emo.csv", header, "1,No,Ann,anger,negative,0,0")
    write(
        folder / "test_sent_emo.csv",
        header,
        '2,"Well, it\x92s late.",Bob,sadness,negative,0,3',
        "1,You came!,Ann,surprise,positive,0,0",
        "3,Ugh.,Carl  Ray,disgust,negative,1,0",
    )
    return folder


def iemocap_files(folder: Path) -> Path:
    """Two dialogues a session, whose turns are out of order in the file."""
    for session in range(1, 6):
        for number in (1, 2):
            name = f"Ses0{session}F_impro0{number}"
            place = folder / f"Session{session}" / "dialog"
            write(
                place / "transcriptions" / f"{name}.txt",
                f"{name}_F000 [001.0000-002.0000]: First of {name}.",
                f"{name}_M001 [005.0000-006.0000]: Third of {name}.",
                "M: Aside.",
                f"{name}_M000 [003.0000-004.0000]: Second of {name}.",
                f"{name}_F001 [007.0000-008.0000]: Fourth of {name}.",
                "something else",
            )
            write(
                place / "EmoEvaluation" / f"{name}.txt",
                "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
                "",
                f"[1.0000 - 2.0000]\t{name}_F000\tneu\t[2.5000, 2.5000, 2.5000]",
                "C-E2:\tNeutral;\t()",
                f"[3.0000 - 4.0000]\t{name}_M000\texc\t[2.5000, 2.5000, 2.5000]",
                f"[5.0000 - 6.0000]\t{name}_M001\txxx\t[2.5000, 2.5000, 2.5000]",
                f"[7.0000 - 8.0000]\t{name}_F001\tfru\t[2.5000, 2.5000, 2.5000]",
            )
            write(place / "EmoEvaluation" / f"._{name}.txt", "[not ours")
    return folder


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    config = next(iter(json.loads((folder / "manifest.json").read_text())["rows"]))
    return [dict(row) for row in load_dataset(str(folder), config, split=split)]


def test_the_table_is_of_the_28_labels() -> None:
    assert set(DOMAINS) == set(preparing.DATA_SETS)
    for name, bridge in LABEL_MAPS.items():
        labels = [label for own in bridge.values() for label in own]
        assert set(labels) <= set(LABELS), name
        assert len(labels) == len(set(labels)), f"{name}: a label is evidence of two classes"
        assert all(bridge.values())
    for name in ("goemotions", "goemotions-ekman", "goemotions-sentiment", "emocontext"):
        assert sum(map(len, LABEL_MAPS[name].values())) == 28, name


def test_targets_are_one_label_a_class() -> None:
    named = {name: LABELS[training_labels("isear", [name])[0]] for name in ISEAR}
    assert named == {name: name for name in ISEAR[:5]} | {"shame": "embarrassment", "guilt": "remorse"}
    assert training_labels("emocontext", ["others"]) == [27]
    assert training_labels("goemotions", ["grief", "anger"]) == [2, 16]
    assert all(LABELS[training_labels("meld", [name])[0]] == name for name in LABEL_MAPS["meld"])
    assert [LABELS[training_labels("iemocap-6", [name])[0]] for name in LABEL_MAPS["iemocap-6"]] == [
        "joy", "sadness", "neutral", "anger", "excitement", "annoyance",
    ]  # fmt: skip


def test_a_class_scores_by_its_best_label() -> None:
    scores = np.zeros((2, 28))
    scores[0, LABELS.index("amusement")] = 0.7
    scores[0, LABELS.index("neutral")] = 0.6
    scores[1, LABELS.index("curiosity")] = 0.4
    scores[1, LABELS.index("annoyance")] = 0.3
    found = dict(zip(LABEL_MAPS["emocontext"], class_scores("emocontext", scores).T.tolist(), strict=True))
    assert found == {"happy": [0.7, 0.0], "sad": [0.0, 0.0], "angry": [0.0, 0.3], "others": [0.6, 0.4]}
    assert class_scores("goemotions", scores).tolist() == scores.tolist()
    assert class_scores("goemotions-ekman", scores).shape == (2, 7)


def test_goemotions_is_a_corpus(tmp_path: Path, command: Command) -> None:
    source = goemotions_files(tmp_path / "files")
    made = command("-m", "dataset_builder", "domain", "goemotions", "--source", source, "--out", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    assert "2 train, 1 validation, 1 test" in made.stdout
    row = rows_of(tmp_path / "out", "train")[1]
    assert row["text"] == 'He said "no"'
    assert row["labels"] == [2, 3]
    assert [index for index, score in enumerate(row["scores"]) if score] == [2, 3]
    assert row["own_label"] == ["anger", "annoyance"]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["licence"] == "cc-by-4.0"
    assert manifest["test_texts_also_in_train_or_validation"] == 1
    assert set(manifest["sources"]) == {"train.tsv", "dev.tsv", "test.tsv", "emotions.txt"}
    assert manifest["revision"] == prepare("goemotions", source, tmp_path / "again")["revision"]


def test_the_columns_are_those_of_a_corpus_that_models_train_on(tmp_path: Path) -> None:
    for name, files, config in (("isear", isear_files, "contextless"), ("iemocap-4", iemocap_files, "contextual")):
        prepare(name, files(tmp_path / f"{name}-files"), tmp_path / name)
        found = load_dataset(str(tmp_path / name), config)["train"].features
        wanted = features(config)
        assert {column: found[column] for column in ("text", "labels", "scores")} == {
            column: wanted[column] for column in ("text", "labels", "scores")
        }


def test_isear_keeps_a_person_s_reports_together(tmp_path: Path) -> None:
    manifest = prepare("isear", isear_files(tmp_path / "files"), tmp_path / "out")
    assert manifest["rows"] == {"contextless": {"train": 98, "validation": 14, "test": 28}}
    persons = [{person(row["id"]) for row in rows_of(tmp_path / "out", s)} for s in ("train", "validation", "test")]
    assert [len(found) for found in persons] == [14, 2, 4]
    assert not persons[0] & persons[1]
    assert not (persons[0] | persons[1]) & persons[2]
    assert rows_of(tmp_path / "out", "test")[0]["own_label"] == ["joy"]


def test_isear_s_defects_are_handled_and_counted(tmp_path: Path) -> None:
    source = isear_files(tmp_path / "files")
    with open(source / "train.tsv", "a", encoding="utf-8") as train:
        train.write("9001\tjoy\tOn the shore.\n9002\tfear\t[ No response.]\n9003\tanger\tOne á  night.\n")
        train.write("9004\tsadness\tOn a hill.\n9011\tjoy\ton the  shore.\n9014\tsadness\tIn the yard.\n")
    with open(source / "dev.tsv", "a", encoding="utf-8") as dev:
        dev.write('9504\tsadness\tOn a hill.\n9505\tdisgust\tNO RESPONSE.\n9501\tjoy\t"Quoted" it was.\n')
    manifest = prepare("isear", source, tmp_path / "out")
    rows = {split: rows_of(tmp_path / "out", split) for split in ("train", "validation", "test")}
    trained = [row["text"] for split in ("train", "validation") for row in rows[split]]
    handled = manifest["handled"]
    assert (handled["non_answers"], handled["odd_characters"]) == (2, 2)
    assert handled["train_texts_of_test"] + handled["validation_texts_of_test"] == 1
    assert handled["repeats"] + sum(text.casefold() == "on the shore." for text in trained) == 2
    assert "One night." in trained
    assert "On a hill." not in trained
    assert [row["text"] for row in rows["test"]][-2:] == ["On a hill.", '"Quoted" it was.']


@pytest.mark.parametrize("text", ["[ No response.]", "NO RESPONSE", "Can't remember that feeling.", "Blank.", "[ ]"])
def test_non_answers(text: str) -> None:
    assert is_non_answer(text)
    assert not is_non_answer("When I could not remember what to say at a meeting.")
    assert not is_non_answer("The same as for SHAME. I was asked to resign.")
    assert not is_non_answer(
        "I cannot remember exactly such a situation. But once I went to a very dirty lavatory " * 2
    )


def test_isear_s_folds_are_a_partition(tmp_path: Path) -> None:
    source = isear_files(tmp_path / "files", persons=10)
    tested: list[str] = []
    for number in range(1, 6):
        manifest = prepare("isear", source, tmp_path / f"fold{number}", Fold(number, 5))
        assert manifest["rows"]["contextless"] == {"train": 50, "validation": 6, "test": 14}
        assert f"fold {number} of 5" in manifest["protocol"]
        tested += [row["id"] for row in rows_of(tmp_path / f"fold{number}", "test")]
    assert len(tested) == len(set(tested)) == 70
    train = (source / "train.tsv").read_text().splitlines()
    dev = (source / "dev.tsv").read_text().splitlines()
    write(source / "whole/isear.tsv", *train, *dev[1:])
    whole = prepare("isear", source / "whole", tmp_path / "whole", Fold(1, 5))
    assert whole["rows"]["contextless"]["test"] == 14
    with pytest.raises(InputError, match=r"isear.tsv: the whole dataset needs a fold. Add --fold 1"):
        prepare("isear", source / "whole", tmp_path / "none")


def test_emocontext_s_third_turn_is_the_text(tmp_path: Path) -> None:
    manifest = prepare("emocontext", emocontext_files(tmp_path / "files"), tmp_path / "out")
    assert "participants" in manifest["terms"]
    first, second = rows_of(tmp_path / "out", "train")
    assert (first["text"], first["character"], first["own_label"]) == ("I lost my job :(", "A", ["sad"])
    assert first["context"] == "A: Hi / B: Hello"
    assert second["context"] == 'A: "Oh / B: What?'
    tested = rows_of(tmp_path / "out", "test")
    assert [[LABELS[label] for label in row["labels"]] for row in tested] == [["neutral"], ["joy"]]
    assert tested[1]["text"] == "split\u2028here"


def test_meld_s_turns_follow_those_before_them(tmp_path: Path) -> None:
    manifest = prepare("meld", meld_files(tmp_path / "files"), tmp_path / "out")
    assert manifest["rows"] == {"contextual": {"train": 2, "validation": 1, "test": 3}}
    assert "context: up to 10 turns" in manifest["protocol"]
    first, second, third = rows_of(tmp_path / "out", "test")
    assert (first["id"], first["context"], first["own_label"]) == ("meld/test/0_0", "", ["surprise"])
    assert (second["id"], second["text"], second["character"]) == ("meld/test/0_3", "Well, it\u2019s late.", "Bob")
    assert second["context"] == "Ann: You came!"
    assert (third["context"], third["character"]) == ("", "Carl Ray")
    assert [LABELS[label] for row in (first, second, third) for label in row["labels"]] == [
        "surprise", "sadness", "disgust",
    ]  # fmt: skip


@pytest.mark.skipif(not (DATA / "meld").exists(), reason="MELD's files are not here")
def test_the_true_meld(tmp_path: Path) -> None:
    manifest = prepare("meld", DATA / "meld", tmp_path / "out")
    assert manifest["rows"]["contextual"] == {"train": 9989, "validation": 1109, "test": 2610}
    assert manifest["classes"]["test"] == {
        "neutral": 1256, "joy": 402, "anger": 345, "surprise": 281, "sadness": 208, "disgust": 68, "fear": 50,
    }  # fmt: skip
    rows = rows_of(tmp_path / "out", "test")
    assert len({row["id"].rpartition("_")[0] for row in rows}) == 280
    assert max(row["context"].count(" / ") for row in rows) == 9


@pytest.mark.parametrize(("name", "a_dialogue"), [("iemocap-4", ["neu", "hap"]), ("iemocap-6", ["neu", "exc", "fru"])])
def test_iemocap_s_sessions_and_contexts(tmp_path: Path, name: str, a_dialogue: list[str]) -> None:
    manifest = prepare(name, iemocap_files(tmp_path / "files"), tmp_path / "out")
    size = len(a_dialogue)
    assert manifest["rows"] == {"contextual": {"train": 7 * size, "validation": size, "test": 2 * size}}
    assert manifest["handled"] == {"lines_that_are_no_turn": 10, "turns_of_other_emotions": 10 * (4 - size)}
    assert all("Ses05" in row["id"] for row in rows_of(tmp_path / "out", "test"))
    assert not any("Ses05" in row["id"] for s in ("train", "validation") for row in rows_of(tmp_path / "out", s))
    rows = rows_of(tmp_path / "out", "test")[:size]
    assert [row["own_label"] for row in rows] == [[own] for own in a_dialogue]
    assert [row["character"] for row in rows] == ["F", "M", "F"][:size]
    said = ["F: First", "M: Second", "M: Third", "M: Aside.", "F: Fourth"]
    turns = [turn if turn.endswith(".") else f"{turn} of Ses05F_impro01." for turn in said]
    assert [row["context"] for row in rows] == ["", turns[0], " / ".join(turns[:4])][:size]


def test_a_context_is_of_ten_turns_before_it(tmp_path: Path) -> None:
    source = iemocap_files(tmp_path / "files")
    dialogue = source / "Session5/dialog"
    name = "Ses05F_impro01"
    numbers = range(30)
    write(
        dialogue / "transcriptions" / f"{name}.txt",
        *(f"{name}_F{n:03} [{n}.0-{n}.9]: Turn {n:03}." for n in reversed(numbers)),
    )
    write(
        dialogue / "EmoEvaluation" / f"{name}.txt",
        *(f"[{n}.0 - {n}.9]\t{name}_F{n:03}\tsad\t[1, 1, 1]" for n in numbers),
    )
    prepare("iemocap-4", source, tmp_path / "out")
    rows = [row for row in rows_of(tmp_path / "out", "test") if name in row["id"]]
    for number, row in zip(numbers, rows, strict=True):
        before = [int(line[8:11]) for line in row["context"].split(" / ") if line]
        assert before == list(range(max(0, number - 10), number))


@pytest.mark.parametrize(
    ("name", "file", "line", "says"),
    [
        ("goemotions", "dev.tsv", "text\t28\tid", "dev.tsv, line 2: expected text, label numbers"),
        ("isear", "train.tsv", "9001\tpride\tx", "line 114: unknown class 'pride'"),
        ("isear", "train.tsv", "9001\tjoy", "line 114: expected key, emotion, text, tab-separated, found 2 fields"),
        ("isear", "train.tsv", "abc\tjoy\tx", "line 114: key 'abc' must be a unique number"),
        ("isear", "train.tsv", "1001\tjoy\tx", "line 114: key '1001' must be a unique number"),
        ("isear", "dev.tsv", "1009\tjoy\tx", "person 100 is in both"),
        ("emocontext", "test.txt", "2\ta\tb\tc", "test.txt, line 4: expected id, turn1, .* found 4 fields"),
        ("emocontext", "test.txt", "2\ta\tb\tc\tjoy", "test.txt, line 4: unknown class 'joy'; the dataset has happy"),
        ("emocontext", "test.txt", "2\ta\tb\t \tsad", "line 4: turn3 is empty"),
        ("meld", "dev_sent_emo.csv", "9,Hm,Ross,bored,neutral,0,7", "dev_sent_emo.csv, line 3: unknown class 'bored'"),
        ("meld", "dev_sent_emo.csv", "9,Hm,Ross,joy,positive,0,x", "line 3: Utterance_ID is 'x', not the number"),
        ("meld", "dev_sent_emo.csv", "9,Hm,Ross,joy,positive,0,0", "line 3: the id 'meld/validation/0_0' occurs twice"),
        ("iemocap-4", "EmoEvaluation", "[1.0 - 2.0]\tSes01F_impro01_F000", "line 8: expected .start - end., turn"),
        ("iemocap-4", "EmoEvaluation", "[1.0 - 2.0]\tSes01F_impro01_F000\tjoy\t[1, 1, 1]", "unknown class 'joy'"),
        ("iemocap-4", "EmoEvaluation", "[1.0 - 2.0]\tSes01F_impro01_F009\tsad\t[1, 1, 1]", "F009 is not in .*transcr"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, file: str, line: str, says: str) -> None:
    makers = {"goemotions": goemotions_files, "isear": isear_files, "emocontext": emocontext_files, "meld": meld_files}
    source = makers.get(name, iemocap_files)(tmp_path / "files")
    path = source / file if name in makers else source / "Session1/dialog" / file / "Ses01F_impro01.txt"
    with open(path, "a", encoding="utf-8") as lines:
        lines.write(line + "\n")
    with pytest.raises(InputError, match=says):
        prepare(name, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there_or_of_another_form(tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    for name, says in (
        ("goemotions", "train.tsv: no such file. Pass the folder with GoEmotions"),
        ("isear", "train.tsv: no such file. Pass a folder with train.tsv and dev.tsv"),
        ("emocontext", "train.txt: no such file. Pass the folder with the task"),
        ("iemocap-6", r"Session1/dialog/EmoEvaluation: no Ses\*.txt there. Pass the folder IEMOCAP_full_release"),
        ("meld", "train_sent_emo.csv: no such file. Give the folder of MELD's official files"),
        ("meld-video", "unknown dataset 'meld-video'. Known: goemotions, isear"),
    ):
        with pytest.raises(InputError, match=says):
            prepare(name, empty, out)
    with pytest.raises(InputError, match="no such folder"):
        prepare("isear", tmp_path / "none", out)
    source = emocontext_files(tmp_path / "chat")
    write(source / "test.txt", "id\tturn1\tturn2\tturn3", "0\ta\tb\tc")
    with pytest.raises(InputError, match=r"test.txt, line 1: expected .* all with labels"):
        prepare("emocontext", source, out)
    (source / "test.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"test.txt: cannot be read"):
        prepare("emocontext", source, out)
    write(source / "test.txt", CHAT)
    with pytest.raises(InputError, match="no rows are left for test"):
        prepare("emocontext", source, out)
    (iemocap_files(tmp_path / "acted") / "Session2/dialog/transcriptions/Ses02F_impro01.txt").unlink()
    with pytest.raises(InputError, match=r"Ses02F_impro01.txt: no such file"):
        prepare("iemocap-4", tmp_path / "acted", out)
    assert not out.exists()


def test_folds_and_folders_that_cannot_be(tmp_path: Path) -> None:
    source = isear_files(tmp_path / "files")
    for fold in (Fold(0, 5), Fold(6, 5), Fold(1, 1)):
        with pytest.raises(InputError, match="use at least 2 folds"):
            prepare("isear", source, tmp_path / "out", fold)
    with pytest.raises(InputError, match="goemotions has official splits"):
        prepare("goemotions", goemotions_files(tmp_path / "other"), tmp_path / "out", Fold(1, 5))
    prepare("isear", source, tmp_path / "out")
    with pytest.raises(InputError, match="already exists"):
        prepare("isear", source, tmp_path / "out")


@pytest.mark.skipif(not (DATA / "isear").exists(), reason="ISEAR's files are not here")
def test_the_true_isear(tmp_path: Path) -> None:
    manifest = prepare("isear", DATA / "isear", tmp_path / "out")
    assert manifest["rows"]["contextless"] == {"train": 4771, "validation": 538, "test": 794}
    assert manifest["handled"]["non_answers"] == 127
    assert manifest["test_texts_also_in_train_or_validation"] == 0
    persons = [{person(row["id"]) for row in rows_of(tmp_path / "out", s)} for s in ("train", "validation", "test")]
    assert [len(found) for found in persons] == [703, 78, 115]
    assert len(set.union(*persons)) == 896


@pytest.mark.skipif(not (DATA / "goemotions").exists(), reason="GoEmotions' files are not here")
def test_the_true_goemotions(tmp_path: Path) -> None:
    manifest = prepare("goemotions", DATA / "goemotions", tmp_path / "out")
    assert manifest["rows"]["contextless"] == {"train": 43410, "validation": 5426, "test": 5427}
    assert manifest["classes"]["test"]["grief"] == 6
    assert manifest["test_texts_also_in_train_or_validation"] >= 37
    corpus = load_dataset(str(tmp_path / "out"), "contextless", split="test")
    assert not any(text.startswith('"') and text.endswith('""') for text in corpus["text"])
