import csv
import io
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import Problem
from service.errors import UploadRefused
from service.uploads import text
from service.uploads.items import Reading
from service.uploads.limits import Limits
from service.uploads.text import read_text

EXAMPLES = Path(__file__).parents[3] / "examples"
GOOD = "text,label\n" + "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(20))


def test_bad_rows_are_listed_and_left_out(read):
    items = read(GOOD + " ,a\none more,b\n")
    assert items.bad == (Problem("the text is blank", row=21),)
    assert items.bad_count == 1
    assert items.rows == (*range(1, 21), 22)
    assert items.texts[-1] == "one more"
    assert items.quality["rows_left_out"] == 1


def test_a_row_with_two_faults_names_both(read):
    items = read(GOOD + " ,\n")
    assert items.bad == (Problem("the text is blank; the label is blank", row=21),)


def test_format_and_columns_are_told(read):
    items = read('{"intent": "x", "utterance": "a"}\n{"intent": "y", "utterance": "b"}\n', "a.jsonl")
    assert (items.format, items.columns) == ("jsonl", {"text": "utterance", "label": "intent"})


def test_spellings_of_one_label_are_one_class(read):
    items = read("text,label\na,caf\u00e9\nb,cafe\u0301\nc, café \nd,tea\n")
    assert items.quality["classes"] == {"café": 3, "tea": 1}


def test_a_missing_field_is_a_bad_row(read):
    lines = "".join(f'{{"text": "t{i}", "label": "{"ab"[i % 2]}"}}\n' for i in range(20))
    items = read(lines + '{"text": "x"}\n', "a.jsonl")
    assert items.bad == (Problem("the label is missing (null); it must be a string or a whole number", row=21),)


def test_what_was_decided_for_the_caller_is_noted(read):
    notes = read("text;kind\na;1\nb;2\n").quality["notes"]
    assert "The columns are separated by a semicolon." in notes
    assert any("told apart by their content" in note for note in notes)
    numbers = read('{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n', "a.jsonl").quality["notes"]
    assert any("2 different whole numbers, so each is a class; " in note for note in numbers)
    assert not any("numbers" in note for note in read("text,label\na,x\nb,y\n").quality["notes"])


def test_parquet_is_never_decoded_in_this_process(read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "read_parquet", lambda *_: pytest.fail("decoded here"))
    table = pa.table({"text": ["a", " ", *"bcdefghij"] * 2, "label": ["x", "y", *"xxxxxyyyy"] * 2})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    items = read(buffer.getvalue(), "a.parquet")
    assert items.bad == (Problem("the text is blank", row=2), Problem("the text is blank", row=13))
    assert items.texts[:2] == ("a", "b")
    assert items.rows[:2] == (1, 3)
    assert items.quality["duplicates"] == 10


def test_problems_of_a_refused_upload_carry_their_rows(read):
    with pytest.raises(UploadRefused) as caught:
        read("text,label\n,a\nx,b\n,a\n")
    assert [problem.row for problem in caught.value.problems] == [1, 3]


def test_the_examples_are_what_the_demo_promises():
    limits = Limits(bad_fraction=0.0)
    items = read_text(EXAMPLES / "intents.csv", "intents.csv", Reading(strict=True), limits)
    assert list(Counter(items.labels).values()) == [10] * 12
    assert items.quality["duplicates"] == 0
    with (EXAMPLES / "unseen.csv").open(newline="", encoding="utf-8") as file:
        unseen = list(csv.DictReader(file))
    assert Counter(row["expected"] for row in unseen) == dict.fromkeys(items.labels, 2)
    assert not {row["text"] for row in unseen} & set(items.texts)


VALUES = "".join(f"text {at},{at / 4}\n" for at in range(24))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("text,label", {"task": "regression"}),
        ("text,score", {"text": "text", "target": "score"}),
        ("text,target", {"modality": "text", "target": "target"}),
        ("text,target", {"modality": "text", "task": "regression"}),
    ],
)
def test_numbers_may_be_learned_of_texts(upload, header: str, said: dict[str, str]):
    items = upload(f"{header}\n{VALUES}", **said)
    assert (items.modality, items.task, items.labels) == ("text", "regression", ())
    assert items.targets.tolist() == [at / 4 for at in range(24)]
    assert items.columns == {"text": "text", "target": header.split(",")[1]}
    assert items.texts[:2] == ("text 0", "text 1")


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_numbers_of_texts_in_other_formats(upload, format_: str):
    rows = {"text": [f"text {at}" for at in range(24)], "label": [at / 4 for at in range(24)]}
    data = "".join(f'{{"text": "{a}", "label": {b}}}\n' for a, b in zip(*rows.values(), strict=True))
    if format_ == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.table(rows), buffer)
        data = buffer.getvalue()
    items = upload(data, f"a.{format_}", task="regression")
    assert items.targets.tolist() == rows["label"]


def test_numbers_as_labels_are_classes_with_a_note(upload):
    rows = "text,label\n" + "".join(f"text {at},{at % 3}\n" for at in range(24))
    items = upload(rows)
    assert (items.task, items.quality["classes"]) == ("classification", {"0": 8, "1": 8, "2": 8})
    assert any("3 different whole numbers, so each is a class; " in note for note in items.notes)
    assert upload(rows, task="regression").targets.tolist()[:4] == [0.0, 1.0, 2.0, 0.0]
    assert upload(rows, text="text", target="label").task == "classification"


def test_bad_targets_of_texts_are_bad_rows(upload):
    items = upload(f"text,label\n{VALUES}more,none\nmore,inf\n", task="regression")
    assert [(problem.row, problem.detail) for problem in items.bad] == [
        (25, "the target is missing"),
        (26, "the target is not a finite number"),
    ]
    with pytest.raises(UploadRefused, match="All 4 rows have the target 2"):
        upload("text,label\na,2\nb,2\nc,2\nd,2\n", task="regression")


def test_labels_of_one_meaning_in_two_spellings_are_warned_of_and_kept_apart(upload):
    items = upload("text,label\n" + "a,Refund\nb,refund\nc,late  parcel\nd,late parcel\ne,refund\n" * 4)
    assert items.quality["classes"] == {"Refund": 4, "refund": 8, "late  parcel": 4, "late parcel": 4}
    [note] = [note for note in items.notes if "differ only in case or blanks" in note]
    assert "'Refund' (4), 'refund' (8), 'late  parcel' (4), 'late parcel' (4)" in note
    assert "spell them alike" in note


def test_one_class_that_is_left_is_told(upload):
    rows = "text,label\n" + "a,x\n" * 30 + "b,\n"
    with pytest.raises(UploadRefused, match=r"All 30 rows that are left have the label 'x'; .* two classes") as caught:
        upload(rows)
    assert [problem.row for problem in caught.value.problems] == [31]
    with pytest.raises(UploadRefused, match="All rows of class 'y' are bad"):
        upload("text,label\n" + "a,x\n" * 30 + " ,y\n")
