"""Tables: good and odd ones, each made here."""

import codecs
import datetime
import io
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.columns import Kind
from models.errors import InputError, Problem
from service.uploads import tables
from service.uploads.limits import Limits

NUMBERS = [round(0.37 * at % 5, 2) for at in range(30)]
WORDS = ["red", "green", "blue"] * 10
LABELS = ["yes", "no", "no", "yes", "no"] * 6
ROWS = list(zip(NUMBERS, WORDS, LABELS, strict=True))
GOOD = "size,colour,target\n" + "".join(f"{a},{b},{c}\n" for a, b, c in ROWS)
LINES = "".join(json.dumps({"size": a, "colour": b, "target": c}) + "\n" for a, b, c in ROWS)
NAMED = {"modality": "table", "target": "target"}


def parquet(columns: dict[str, object], **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def csv(*columns: str, n: int = 30, **cells: object) -> str:
    """A table of n rows; a cell is a word or a function of the row's index."""
    names = [*columns, *cells]
    made = {name: cells.get(name, lambda at: at) for name in names}
    rows = (",".join(str(cell(at) if callable(cell) else cell) for cell in made.values()) for at in range(n))
    return "\n".join([",".join(names), *rows]) + "\n"


EVERY = {
    "a.csv": GOOD,
    "semicolons.csv": GOOD.replace(",", ";"),
    "a.tsv": GOOD.replace(",", "\t"),
    "bom.csv": codecs.BOM_UTF8 + GOOD.encode(),
    "crlf.csv": GOOD.replace("\n", "\r\n"),
    "quoted.csv": GOOD.replace("red", '"red"'),
    "a.jsonl": LINES,
    "a.json": "[" + ",".join(LINES.splitlines()) + "]",
    "a.parquet": parquet({"size": NUMBERS, "colour": WORDS, "target": LABELS}),
    "dictionary.parquet": parquet(
        {
            "size": pa.array([Decimal(str(size)) for size in NUMBERS]),
            "colour": pa.array(WORDS).dictionary_encode(),
            "target": pa.array(LABELS, pa.large_string()),
        }
    ),
}


@pytest.mark.parametrize("filename", EVERY)
def test_every_format_gives_the_same_rows(upload, filename: str):
    items = upload(EVERY[filename], filename, target="target")
    assert (items.modality, items.task, items.n) == ("table", "classification", 30)
    assert items.table is not None
    assert items.table.numbers[:, 0].tolist() == NUMBERS
    assert items.table.categories[:, 0].tolist() == WORDS
    assert list(items.labels) == LABELS
    assert items.rows == tuple(range(1, 31))
    assert [(column.name, column.kind) for column in items.schema] == [("size", "number"), ("colour", "category")]
    assert items.columns == {"target": "target"}


# name: (bytes or text, file name, what the caller says, error code, words of the message)
REFUSED: dict[str, tuple[bytes | str, str, dict[str, object], str, list[str]]] = {
    "no-target": (
        csv("a", "b"), "a.csv", {"modality": "table"}, "upload-refused", ['"target": "<column>"', "'a', 'b'"],
    ),
    "misspelt": (GOOD, "a.csv", {"target": "taget"}, "upload-refused", ["'taget'", "Did you mean 'target'"]),
    "empty-target": (csv("a", target=""), "a.csv", NAMED, "upload-refused", ["'target' is empty", "30 rows"]),
    "null-target": (
        parquet({"a": [1, 2], "target": pa.array([None, None])}), "a.parquet", NAMED, "upload-refused", ["is empty"],
    ),
    "constant-target": (
        csv("a", target="x"), "a.csv", NAMED, "upload-refused", ["All 30 rows", "'x'", "two classes"],
    ),
    "constant-number": (
        csv("a", target="1.5"), "a.csv", NAMED | {"task": "regression"}, "upload-refused", ["All 30 rows", "1.5"],
    ),
    "identifier-target": (
        csv("a", target=lambda at: f"K{at}"), "a.csv", NAMED, "upload-refused",
        ["another value in each of its 30 rows", "an identifier", '"task": "regression"'],
    ),
    "text-target": (
        csv("a", target=lambda at: f"this is sentence number {at}"), "a.csv", NAMED, "upload-refused",
        ["each of its 30 rows", "free text"],
    ),
    "many-unique": (
        csv("a", target=lambda at: f"K{at}", n=3000), "a.csv", NAMED, "upload-refused", ["3000 rows", "identifier"],
    ),
    "too-many-classes": (
        csv("a", target=lambda at: f"K{at % 15}"), "a.csv", NAMED | {"limits": Limits(classes=10)}, "upload-too-large",
        ["10 different labels"],
    ),
    "one-row": (csv("a", target="x", n=1), "a.csv", NAMED, "upload-refused", ["1 row has", "'x'"]),
    "no-rows": ("a,target\n", "a.csv", NAMED, "upload-refused", ["no rows", "two rows of two classes"]),
    "no-rows-regression": (
        "a,target\n", "a.csv", NAMED | {"task": "regression"}, "upload-refused", ["no rows", "different targets"],
    ),
    "words-for-numbers": (
        csv("a", target=lambda at: "x" if at % 2 else at), "a.csv", NAMED | {"task": "regression"}, "upload-refused",
        ["15 of 30", "row 2", "not a number"],
    ),
    "strict": (
        GOOD + "1,red,\n", "a.csv", NAMED | {"strict": True}, "upload-refused", ["1 of 31", "row 31", "blank"],
    ),
    "twice": ("a,a,target\n1,2,x\n", "a.csv", NAMED, "upload-refused", ["More than one column", "'a'"]),
    "only-target": ("target\na\nb\n", "a.csv", NAMED, "upload-refused", ["no column but its target"]),
    "only-constants": (
        csv(a="1", b="x", target=lambda at: "xy"[at % 2]), "a.csv", NAMED, "upload-refused",
        ["no column that can be learned from", "'a'", "same in every row"],
    ),
    "all-ignored": (
        GOOD, "a.csv", NAMED | {"columns": {"size": "ignore", "colour": "ignore"}}, "upload-refused", ["no column"],
    ),
    "unknown-kind-column": (
        GOOD, "a.csv", NAMED | {"columns": {"sise": "number"}}, "upload-refused", ["'sise'", "Did you mean 'size'"],
    ),
    "unknown-kind": (
        GOOD, "a.csv", NAMED | {"columns": {"size": "float"}}, "upload-refused", ["'float'", "number, boolean, date"],
    ),
    "target-as-feature": (
        GOOD, "a.csv", NAMED | {"columns": {"target": "category"}}, "upload-refused", ["'target' is the target"],
    ),
    "not-a-number-column": (
        GOOD, "a.csv", NAMED | {"columns": {"colour": "number"}}, "upload-refused", ["'colour'", "'red'"],
    ),
    "nested-target": (
        parquet({"a": [1, 2], "target": [[1.5], [2.0]]}), "a.parquet", NAMED, "upload-refused", ["one value a row"],
    ),
    "numpy": (b"\x93NUMPY" + b"\0" * 9, "a.csv", NAMED, "format-unsupported", ["NumPy", "CSV"]),
    "too-many-cells": (
        GOOD, "a.csv", NAMED | {"limits": Limits(cells=80)}, "upload-too-large", ["90 cells", "limit is 80"],
    ),
    "parquet-cells": (
        EVERY["a.parquet"], "a.parquet", NAMED | {"limits": Limits(cells=80)}, "upload-too-large", ["90 cells"],
    ),
    "ragged": (GOOD + "1,2\n" * 9, "a.csv", NAMED, "upload-refused", ["9 of 39", "row 31", "2 fields"]),
    "unclosed": (GOOD + '"1,2,3\n', "a.csv", NAMED, "upload-unreadable", ["Row 31", "not closed"]),
    "text-given": (GOOD, "a.csv", NAMED | {"text": "colour"}, "upload-refused", ["'text'", "table"]),
    "target-and-label": (GOOD, "a.csv", NAMED | {"label": "colour"}, "upload-refused", ["'label'", "table"]),
    "json-nan": (
        LINES + '{"size": NaN, "target": "yes"}\n', "a.jsonl", NAMED | {"strict": True}, "upload-refused",
        ["row 31", "write null"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_what_was_seen_and_the_remedy(name: str, upload):
    data, filename, said, code, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        upload(data, filename, **said)
    assert caught.value.code == code, caught.value.message
    assert [word for word in words if word not in caught.value.message] == [], caught.value.message


def test_parquet_with_two_columns_of_one_name_is_refused(upload):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1, 2])] * 2 + [pa.array(["x", "y"])], ["a", "a", "target"]), buffer)
    with pytest.raises(InputError, match="More than one column is called 'a'"):
        upload(buffer.getvalue(), "a.parquet", target="target")


# target as a function of the row -> the task that is guessed, and a word of the note
TASKS = {
    "words": (lambda at: "xyz"[at % 3], "classification", None),
    "true and false": (lambda at: bool(at % 2), "classification", None),
    "few whole numbers": (lambda at: at % 20, "classification", '"task": "regression"'),
    "whole numbers as floats": (lambda at: float(at % 20), "classification", '"task": "regression"'),
    "many whole numbers": (lambda at: at % 21, "regression", '"task": "classification"'),
    "fractions": (lambda at: at % 2 + 0.5, "regression", '"task": "classification"'),
    "numbers with a gap": (lambda at: None if at % 20 == 7 else at % 21, "regression", '"task": "classification"'),
    "numbers and a few words": (lambda at: "unknown" if at % 20 == 7 else at % 21, "regression", "numbers"),
    "numbered classes and a word": (lambda at: "other" if at % 20 == 7 else at % 3, "classification", None),
    "half words": (lambda at: "x" if at % 2 else at % 25, "classification", None),
}


@pytest.mark.parametrize("filename", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("name", TASKS)
def test_the_task_is_guessed_from_the_target(upload, name: str, filename: str):
    target, task, note = TASKS[name]
    values = [target(at) for at in range(60)]
    if filename == "a.csv":
        data: bytes | str = csv(a=lambda at: at % 7, target=lambda at: "" if values[at] is None else values[at], n=60)
    else:
        data = "".join(json.dumps({"a": at % 7, "target": value}) + "\n" for at, value in enumerate(values))
    items = upload(data, filename, target="target")
    assert items.task == task
    assert (items.targets is None) == (task == "classification")
    assert items.n + items.bad_count == 60
    if note is not None:
        assert note in " ".join(items.notes)


def test_the_caller_may_say_otherwise(upload):
    numbers = csv(a=lambda at: at % 7, target=lambda at: at % 5)
    assert upload(numbers, target="target").labels[:3] == ("0", "1", "2")
    items = upload(numbers, target="target", task="regression")
    assert items.targets.tolist()[:3] == [0.0, 1.0, 2.0]
    assert items.quality["classes"] == {}
    many = csv(a=lambda at: at % 7, target=lambda at: at % 25, n=60)
    assert upload(many, target="target", task="classification").labels[24] == "24"


def test_rows_without_a_usable_target_are_left_out_and_listed(upload):
    data = GOOD + "1.5,red,\n2.5,green,yes\n"
    items = upload(data, target="target")
    assert items.bad == (Problem("the label is blank", row=31),)
    assert (items.n, items.bad_count, items.rows[-1]) == (31, 1, 32)
    assert items.table.numbers[-1, 0] == 2.5
    values = csv(a=lambda at: at % 7, target=lambda at: "inf" if at == 3 else "?" if at == 9 else at / 7)
    items = upload(values, target="target")
    assert items.bad == (Problem("the target is not a finite number", row=4), Problem("the target is missing", row=10))
    assert items.quality["rows_left_out"] == 2


def test_bad_rows_are_listed_in_the_files_order(upload):
    data = GOOD + "1,red,\n1\n1,red,\n"
    assert [problem.row for problem in upload(data, target="target").bad] == [31, 32, 33]


def test_missing_columns_and_extra_keys_in_json_rows_are_missing_values(upload):
    rows = [{"size": at % 9, "target": "xy"[at % 2]} for at in range(300)]
    rows[5].pop("size")
    rows[250] |= {"late": 1}
    rows[260] |= {"late": 2}
    items = upload("\n".join(map(json.dumps, rows)), "a.jsonl", target="target")
    assert [column.name for column in items.schema] == ["size", "late"]
    assert [column.missing for column in items.schema] == [1, 298]
    assert np.isnan(items.table.numbers[5, 0])
    assert "More than half of the rows have no value in 'late'." in items.notes


def test_odd_cells_become_missing_values_and_kinds_are_found(upload):
    rows = [
        {
            "f": at / 3,
            "i": at % 4,
            "b": at % 2 == 0,
            "d": f"2024-01-{at % 28 + 1:02}",
            "w": "ab"[at % 2],
            "n": [at],
            "y": "xy"[at % 2],
        }
        for at in range(200)
    ]
    rows[3] |= {"f": None, "w": ""}
    rows[4] |= {"f": "NaN"}
    rows[5] |= {"f": "Infinity"}
    items = upload("\n".join(map(json.dumps, rows)), "a.jsonl", target="y")
    kinds = {column.name: column.kind for column in items.schema}
    assert kinds == {"f": Kind.NUMBER, "i": Kind.NUMBER, "b": Kind.BOOLEAN, "d": Kind.DATE, "w": Kind.CATEGORY}
    assert np.isnan(items.table.numbers[[3, 4, 5], 0]).all()
    assert items.table.categories[3, 0] == ""
    assert any("'n' is left out: it holds lists" in note for note in items.notes)


def test_parquets_own_types(upload):
    n = 40
    start = datetime.datetime(2024, 1, 1, 6, tzinfo=datetime.UTC)
    moments = [start + datetime.timedelta(days=at) for at in range(n)]
    data = parquet(
        {
            "whole": pa.array([at % 9 for at in range(n)], pa.uint8()),
            "half": pa.array(np.arange(n) % 5 / 2, pa.float16()),
            "flag": [at % 3 == 0 for at in range(n)],
            "day": pa.array([moment.date() for moment in moments]),
            "moment": pa.array(moments, pa.timestamp("ns", "Europe/Berlin")),
            "word": pa.array(["a", None] * (n // 2)).dictionary_encode(),
            "list": [[1]] * n,
            "bytes": [b"x"] * n,
            "target": ["x", "y"] * (n // 2),
        }
    )
    items = upload(data, "a.parquet", target="target")
    kinds = {column.name: str(column.kind) for column in items.schema}
    assert kinds == {
        "whole": "number",
        "half": "number",
        "flag": "boolean",
        "day": "date",
        "moment": "date",
        "word": "category",
    }
    numbers = items.table.numbers
    assert numbers[:3, 0].tolist() == [0.0, 1.0, 2.0]
    assert numbers[:2, 3].tolist() == [19723.0, 19724.0]
    assert numbers[0, 4] == 19723.25
    assert any("'list', 'bytes'" in note for note in items.notes)


def test_a_parquet_row_with_a_cell_that_cannot_be_used_is_bad(upload):
    words = ["a", "b"] * 10 + ["c" * 100_000]
    items = upload(parquet({"word": words, "target": ["x", "y", "y"] * 7}), "a.parquet", target="target")
    assert items.bad == (Problem("a cell is longer than 20000 characters, which is the limit", row=21),)
    assert items.rows == tuple(range(1, 21))


def test_decimal_commas_are_read_where_cells_are_separated_by_semicolons(upload):
    rows = "".join(f"{at % 7},5;1.00{at % 9};a,b;{'xy'[at % 2]}\n" for at in range(30))
    items = upload("size;point;word;target\n1.234,5;1.000;a,b;x\n;2.5;c;y\n" + rows, target="target")
    assert items.table.numbers[0, 0] == 1234.5
    assert np.isnan(items.table.numbers[1, 0])
    assert items.table.numbers[:2, 1].tolist() == [1.0, 2.5]
    assert "Numbers with a decimal comma were read in 'size'." in items.notes
    chosen = upload("size;target\n" + "1,5;x\n2,5;y\n" * 9, target="target", columns={"size": "category"})
    assert chosen.table.categories[0, 0] == "1,5"
    values = upload("a;target\n" + "".join(f"{at % 4};{at},5\n" for at in range(9)), target="target")
    assert values.targets.tolist()[:2] == [0.5, 1.5]


def test_a_target_is_guessed_by_its_name_and_said(upload):
    items = upload(GOOD, modality="table")
    assert any("'target', by its name" in note for note in items.notes)
    other = upload(GOOD.replace("colour", "category"), modality="table")
    assert other.columns == {"target": "target"}


def test_names_of_ours_and_odd_names_do_not_clash(upload):
    names = ["label", "probability", "value", "adapter", "id", "row", "__index__", "a,b", "ü", " padded "]
    rows = [{name: (at * 7 + place) % 11 for place, name in enumerate(names)} | {"t": "xy"[at % 2]} for at in range(40)]
    items = upload("\n".join(map(json.dumps, rows)), "a.jsonl", target="t")
    assert [column.name for column in items.schema] == [name.strip() for name in names]


def test_a_column_without_a_name_is_left_out(upload):
    data = "," + GOOD.replace("\n", "\n7,")[:-2]
    items = upload(data, target="target")
    assert [column.name for column in items.schema] == ["size", "colour"]
    assert any("without a name" in note for note in items.notes)
    with pytest.raises(InputError, match="no target column ' '"):
        upload(data, target=" ")


def test_kinds_may_be_chosen_by_names_in_any_case(upload):
    data = csv(code=lambda at: at % 4, other=lambda at: at % 5, target=lambda at: "xy"[at % 2])
    items = upload(data, target="target", columns={"CODE": "category", "other": "ignore"})
    assert [(column.name, column.kind) for column in items.schema] == [("code", "category")]


def test_duplicates_conflicts_and_the_smallest_class(upload):
    rows = [(at, "x") for at in range(20)] + [(3, "x"), (4, "y"), (5, "y")]
    items = upload("a,target\n" + "".join(f"{a},{b}\n" for a, b in rows), target="target", columns={"a": "number"})
    assert items.quality["duplicates"] == 1
    assert items.quality["conflicts"] == [
        {"rows": [5, 22], "labels": ["x", "y"]},
        {"rows": [6, 23], "labels": ["x", "y"]},
    ]
    assert items.quality["smallest_class"] == {"name": "y", "items": 2}
    values = upload(csv(a=lambda at: at % 5, target=lambda at: at % 5 + 0.5), target="target")
    assert values.quality["duplicates"] == 25
    assert "conflicts" not in values.quality


def test_a_column_that_gives_the_class_away_is_noted(upload):
    data = csv(a=lambda at: at % 7, code=lambda at: "pq"[at % 2], target=lambda at: "xy"[at % 2])
    notes = [note for note in upload(data, target="target").notes if "one class only" in note]
    assert len(notes) == 1
    assert "'code'" in notes[0]
    assert "'a'" not in notes[0]


def test_equal_cells_share_one_object(upload, monkeypatch: pytest.MonkeyPatch):
    gathered = []
    gather = tables.gather
    monkeypatch.setattr(tables, "gather", lambda *given, **said: gathered.append(gather(*given, **said)) or gathered[0])
    upload(csv(a=lambda at: at % 7, b="some longer word", target=lambda at: "xy"[at % 2], n=3000), target="target")
    assert len({id(cell) for cell in gathered[0].cells["b"]}) == 1
