"""Answers of every task, as they are shown and as they are written into rows."""

import csv
import json

import httpx
import pytest

from graft._answers import Prediction
from graft.cli.predict_answers import answered, cells_of
from graft.cli.predict_lines import BATCH

MANY = {"id": "pr_1", "labels": [["b", 0.8], ["c", 0.6]], "top": [["b", 0.8], ["c", 0.6], ["a", 0.1]]}
NONE = {"id": "pr_2", "labels": [], "top": [["a", 0.2]]}
VALUE = {"id": "pr_3", "value": 1.5}


def said(*predictions):
    return httpx.Response(200, json={"adapter": "it:2", "calibrated": True, "predictions": list(predictions)})


def test_any_number_of_labels_is_known_by_its_labels():
    many, none, value = map(Prediction.from_json, (MANY, NONE, VALUE))
    assert many.labels == (("b", 0.8), ("c", 0.6))
    assert none.labels == ()
    assert (many.label, many.probability, value.labels) == (None, None, None)


def test_tables_of_answers():
    columns, cells = cells_of([Prediction.from_json(MANY), Prediction.from_json(NONE)])
    assert columns == ("labels", "most probable")
    assert list(cells) == [("b 0.800, c 0.600", "b 0.800, c 0.600, a 0.100"), ("-", "a 0.200")]
    columns, cells = cells_of([Prediction.from_json(VALUE)])
    assert (columns, list(cells)) == (("value",), [(1.5,)])


@pytest.mark.parametrize(
    ("given", "top_k", "texts", "row"),
    [
        (MANY, 1, True, {"labels": "b|c"}),
        (NONE, 1, True, {"labels": ""}),
        (MANY, 1, False, {"labels": ["b", "c"]}),
        (
            MANY,
            2,
            False,
            {"labels": ["b", "c"], "label": "b", "probability": 0.8, "label_2": "c", "probability_2": 0.6},
        ),
        (VALUE, 3, True, {"value": 1.5}),
        ({"top": [["a", 1.0]]}, 2, True, {"label": "a", "probability": 1.0, "label_2": None, "probability_2": None}),
    ],
)
def test_rows_have_the_columns_that_files_get(given, top_k, texts, row):
    made = answered(Prediction.from_json(given | {"adapter": "it:2", "truncated": True}), top_k, texts=texts)
    assert made == row | {"truncated": True, "adapter": "it:2"}
    assert list(made) == [*row, "truncated", "adapter"]


def test_labels_are_shown(run, fake):
    fake.refusals = [said(MANY, NONE)]
    shown = run("predict", "intents", "one", "two").stdout
    assert "b 0.800, c 0.600" in shown
    assert "probability" not in shown


@pytest.mark.parametrize("out", ["out.csv", "out.jsonl"])
@pytest.mark.parametrize("blank", [1, BATCH + 1])
@pytest.mark.parametrize(("given", "columns"), [(MANY, ["labels"]), (VALUE, ["value"])], ids=["labels", "values"])
def test_lines_have_the_columns_of_their_answers_even_behind_blank_ones(
    run, fake, tmp_path, out, blank, given, columns
):
    (tmp_path / "in.txt").write_text("\n" * blank + "one\n")
    fake.refusals = [said(given)]
    done = run("predict", "intents", str(tmp_path / "in.txt"), "-o", str(tmp_path / out))
    assert done.exit_code == 0, done.output
    lines = (tmp_path / out).read_text().splitlines()
    rows = [json.loads(line) for line in lines] if out.endswith("jsonl") else list(csv.DictReader(lines))
    assert len(rows) == blank + 1
    assert all(list(row) == ["text", *columns, "truncated", "adapter", "warnings"] for row in rows)
    assert rows[0]["warnings"] == "No answer: the text is blank"
    assert rows[-1]["text"] == "one"
    if given is MANY:
        assert rows[-1]["labels"] == (["b", "c"] if out.endswith("jsonl") else "b|c")


def test_lines_that_are_all_blank_are_still_rows(run, tmp_path):
    (tmp_path / "in.txt").write_text("\n\n")
    run("predict", "intents", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "text,label,probability,truncated,adapter,warnings"


def test_files_by_name_have_the_same_columns(run, fake, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    fake.refusals = [said(MANY)]
    done = run("predict", "intents", str(tmp_path / "a.png"), "-o", str(tmp_path / "out.csv"))
    assert done.exit_code == 0, done.output
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert (row["labels"], row["adapter"]) == ("b|c", "it:2")
