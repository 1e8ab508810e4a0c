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
    assert (items.format, items.text_column, items.label_column) == ("jsonl", "utterance", "intent")


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
    assert any("the number 1 is the class '1'" in note for note in numbers)
    assert not any("number 1" in note for note in notes)


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
    items = read_text(
        EXAMPLES / "intents.csv", "intents.csv", text=None, label=None, strict=True, limits=Limits(bad_fraction=0.0)
    )
    assert list(Counter(items.labels).values()) == [10] * 12
    assert items.quality["duplicates"] == 0
    with (EXAMPLES / "unseen.csv").open(newline="", encoding="utf-8") as file:
        unseen = list(csv.DictReader(file))
    assert Counter(row["expected"] for row in unseen) == dict.fromkeys(items.labels, 2)
    assert not {row["text"] for row in unseen} & set(items.texts)
