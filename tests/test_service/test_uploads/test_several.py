"""Several labels a row: said or guessed, in every format and modality."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InputError
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.items import Items
from service.uploads.limits import Limits

SETS = [("beach", "sun"), ("sun",), (), ("café", "beach"), ("sun", "café"), ("beach",)] * 4
CLASSES = {"beach": 12, "sun": 12, "café": 8}


def joined(labels: tuple[str, ...]) -> str:
    return "|".join(labels)


def lines(**columns: list[object]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def npz(**arrays: object) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


TEXTS = [f"text {at}" for at in range(len(SETS))]
SIZES = [at % 7 + 0.5 for at in range(len(SETS))]
Z = np.arange(2.0 * len(SETS)).reshape(-1, 2)
LISTS = [list(labels) for labels in SETS]
BARS = [joined(labels) for labels in SETS]
CELLS = {
    "text.csv": ("text,label\n" + "".join(f"{a},{b}\n" for a, b in zip(TEXTS, BARS, strict=True)), {}),
    "text.jsonl": (lines(text=TEXTS, label=LISTS), {}),
    "strings.jsonl": (lines(text=TEXTS, label=BARS), {}),
    "text.json": (json.dumps([{"text": a, "label": b} for a, b in zip(TEXTS, LISTS, strict=True)]), {}),
    "text.parquet": (parquet(text=TEXTS, labels=LISTS), {}),
    "strings.parquet": (parquet(text=TEXTS, label=BARS), {}),
    "table.csv": (
        "size,target\n" + "".join(f"{a},{b}\n" for a, b in zip(SIZES, BARS, strict=True)),
        {"target": "target"},
    ),
    "table.jsonl": (lines(size=SIZES, tags=LISTS), {"target": "tags"}),
    "table.parquet": (parquet(size=SIZES, tags=LISTS), {"target": "tags"}),
    "table-guessed.parquet": (parquet(size=SIZES, target=LISTS), {"modality": "table"}),
    "vectors.jsonl": (lines(embedding=Z.tolist(), label=LISTS), {}),
    "vectors.parquet": (parquet(embedding=Z.tolist(), label=LISTS), {}),
    "vectors.npz": (npz(embedding=Z, label=np.array(BARS)), {}),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("said", [{}, {"task": "multilabel"}], ids=["guessed", "said"])
def test_every_format(upload: Callable[..., Items], name: str, said: dict[str, str]):
    data, given = CELLS[name]
    items = upload(data, name, **given, **said)
    assert items.task == "multilabel"
    assert items.label_sets == tuple(SETS)
    assert items.quality["classes"] == CLASSES
    assert items.quality["labels_per_item"] == round(32 / 24, 4)
    assert (items.labels, items.targets, items.n) == ((), None, 24)
    assert "4 rows have no label at all, which counts as: none of them fits." in items.notes
    assert any('send "task": "classification"' in note for note in items.notes) == (not said)


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_images_with_a_table(upload, zip_of, image, table: str):
    names = [f"{at}.png" for at in range(len(SETS))]
    rows = (
        lines(file_name=names, label=LISTS)
        if table.endswith("jsonl")
        else "file_name,label\n" + "".join(f"{a},{b}\n" for a, b in zip(names, BARS, strict=True))
    )
    files = {name: image(at) for at, name in enumerate(names)}
    items = upload(zip_of({table: rows.encode(), **files}), "a.zip")
    assert (items.task, items.label_sets) == ("multilabel", tuple(SETS))
    assert items.columns == {"file": "file_name", "label": "label"}


@pytest.mark.parametrize("labels", [LISTS, BARS], ids=["lists", "bars"])
def test_images_in_parquet(upload, image, labels: list[object]):
    files = [image(at) for at in range(len(SETS))]
    items = upload(parquet(image=files, label=labels), "a.parquet")
    assert (items.modality, items.label_sets) == ("image", tuple(SETS))


def test_folders_are_one_class_a_file(upload, zip_of, image):
    with pytest.raises(UploadRefused, match=r"Folders are classes, one a file; .* metadata\.csv"):
        upload(zip_of({"a/1.png": image(1), "b/2.png": image(2)}), "a.zip", task="multilabel")


def test_numbers_and_truth_values_in_lists(upload):
    rows = [[1, 2], [2], [1], [True], []] * 4
    found = upload(lines(text=[f"t{at}" for at in range(20)], label=rows), "a.jsonl").label_sets
    assert found[:5] == (("1", "2"), ("2",), ("1",), ("true",), ())
    whole = [[1, 2], [2], [1]] * 4
    data = parquet(embedding=Z[:12].tolist(), label=pa.array(whole, pa.list_(pa.int64())))
    assert upload(data, "a.parquet").label_sets[:3] == (("1", "2"), ("2",), ("1",))
    data = parquet(size=SIZES[:12], target=pa.array(whole, pa.list_(pa.int64())))
    assert upload(data, "a.parquet", target="target").label_sets[:3] == (("1", "2"), ("2",), ("1",))


def test_each_label_is_cleaned_and_there_once(upload):
    rows = [["a", " a ", "cafe\u0301"], ["café"], ["a"]] * 4
    assert upload(lines(text=TEXTS[:12], label=rows), "a.jsonl").label_sets[:2] == (("a", "café"), ("café",))
    bars = "text,label\n" + "t,a| b |\nu,|\nv,b|a|b\n" * 4
    assert upload(bars, task="multilabel").label_sets[:3] == (("a", "b"), (), ("b", "a"))


def test_bad_labels_are_bad_rows_by_the_one_policy(upload):
    rows = [*LISTS, ["sun", ""], ["x" * 201]]
    items = upload(lines(text=[*TEXTS, "p", "q"], label=rows), "a.jsonl")
    assert [(problem.row, problem.detail) for problem in items.bad] == [
        (25, "the label is blank"),
        (26, "the label has 201 characters; the limit is 200"),
    ]
    with pytest.raises(UploadRefused, match="strict=true refuses any"):
        upload(lines(text=[*TEXTS, "p", "q"], label=rows), "a.jsonl", strict=True)
    nested = lines(text=[*TEXTS, "p", "q"], label=[*LISTS, {"a": 1}, [["a"]]])
    assert [problem.row for problem in upload(nested, "a.jsonl").bad] == [25, 26]


def test_a_label_that_is_left_on_bad_rows_alone_refuses(upload):
    rows = lines(text=[*TEXTS, " "], label=[*LISTS, ["sun", "gone"]])
    with pytest.raises(UploadRefused, match="All rows of class 'gone' are bad"):
        upload(rows, "a.jsonl")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["a"], []] * 4, "There is one label, 'a', in all 8 rows; at least two"),
        ([[], [], [], []], "None of the 4 rows has a label"),
        ([None, None], "is empty: none of its 2 rows has a value"),
    ],
)
def test_too_few_labels(upload, labels: list[object], words: str):
    with pytest.raises(UploadRefused, match=words):
        upload(lines(text=TEXTS[: len(labels)], label=labels), "a.jsonl", task="multilabel")


def test_too_many_labels(upload):
    with pytest.raises(UploadTooLarge, match="more than 2 different labels"):
        upload(CELLS["text.jsonl"][0], "a.jsonl", limits=Limits(classes=2))


def test_an_empty_cell_is_bad_where_a_row_has_one_class(upload):
    rows = "text,label\n" + "t,a\nu,b\n" * 10 + "v,\n"
    assert upload(rows).bad[0].detail == "the label is blank"
    assert upload(rows, task="multilabel").label_sets[-1] == ()


def test_the_caller_may_say_that_bars_belong_to_the_name(upload):
    items = upload(*reversed(("text.csv", CELLS["text.csv"][0].replace(",\n", ",none\n"))), task="classification")
    assert items.task == "classification"
    assert "beach|sun" in items.quality["classes"]


def test_lists_of_one_may_be_said_to_be_classes(upload):
    data = lines(text=TEXTS, label=[["a"], ["b"]] * 12)
    guessed = upload(data, "a.jsonl")
    assert guessed.task == "multilabel"
    assert any("exactly one label" in note for note in guessed.notes)
    assert upload(data, "a.jsonl", task="classification").labels[:2] == ("a", "b")
    with pytest.raises(UploadRefused, match="the label is a list"):
        upload(CELLS["text.jsonl"][0], "a.jsonl", task="classification")


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a|x", "a|y", "b|x", "b|y"] * 5, "classification"),
        (["a|x", "a|y", "b|z"] * 7, "classification"),
        (["a", "b"] * 10 + ["a|b"], "classification"),
        (["a", "b"] * 10 + ["a|b"] * 4, "multilabel"),
        (["a|b", "b|c", "c|a", "a|d", "d|b"] * 4, "multilabel"),
        (["one|1", "two|2", "three"] * 6, "classification"),
    ],
)
def test_bars_are_read_as_several_labels_only_where_that_is_plain(upload, labels: list[str], task: str):
    rows = "text,label\n" + "".join(f"text {at},{label}\n" for at, label in enumerate(labels))
    items = upload(rows)
    assert items.task == task
    many = sum("|" in label for label in labels) >= 0.1 * len(labels)
    other = "classification" if task == "multilabel" else "multilabel"
    assert any(f'"task": "{other}"' in note for note in items.notes) == many


def test_a_stray_list_among_classes_is_a_bad_row(upload):
    items = upload(lines(text=TEXTS, label=[["a", "b"], *["a", "b", "c"] * 7, "a", "b"]), "a.jsonl")
    assert (items.task, items.bad[0].row) == ("classification", 1)
    assert "the label is a list" in items.bad[0].detail


def test_the_quality_of_several_labels(upload):
    rows = "text,label\nsame,a|b\nsame,b|a\nsame,a\nother,b\nmore,a|b\nlast,b\n" + "x,b\ny,b|a\n"
    items = upload(rows, task="multilabel")
    assert items.quality["duplicates"] == 1
    assert items.quality["conflicts"] == [{"text_rows": [1, 2, 3], "labels": ["a", "a|b"]}]
    assert items.quality["smallest_class"] == {"name": "a", "items": 5}
    always = upload("text,label\n" + "t,a|b\nu,a\nv,a|c\n" * 4, task="multilabel")
    assert any("The label 'a' is on every row" in note for note in always.notes)


def test_a_column_that_gives_classes_away_is_not_looked_for(upload):
    rows = "size,target\n" + "1,a|b\n2,b\n3,a\n" * 10
    assert not any("one class only" in note for note in upload(rows, target="target").notes)


def test_a_huge_list_in_parquet_is_no_label(upload):
    labels = [*LISTS, ["a"] * 1001]
    items = upload(parquet(text=[*TEXTS, "x"], label=labels), "a.parquet")
    assert [(bad.row, "a list" in bad.detail) for bad in items.bad] == [(25, True)]
    items = upload(parquet(size=[*SIZES, 1.0], target=labels), "a.parquet", target="target")
    assert [(bad.row, bad.detail) for bad in items.bad] == [(25, "a list has more than 1000 values")]


def test_bytes_that_are_no_text_in_a_list_never_reach_this_process(upload):
    words = pa.StringArray.from_buffers(25, *pa.array([b"a", b"b"] * 12 + [b"\xff\xfe"]).buffers()[1:])
    column = pa.ListArray.from_arrays(range(26), words)
    sink = io.BytesIO()
    pq.write_table(pa.table({"size": [*SIZES, 1.0], "target": column}), sink, store_schema=False)
    items = upload(sink.getvalue(), "a.parquet", target="target")
    assert (items.bad[0].row, "not UTF-8" in items.bad[0].detail) == (25, True)


@pytest.mark.parametrize("label", [[[0.5, 1.5]] * 4, [[["a"]]] * 4, [[{"a": 1}]] * 4])
def test_lists_of_what_is_no_label(upload, label: list[object]):
    with pytest.raises(InputError):
        upload(parquet(size=[1.0, 2.0, 3.0, 4.0], target=label), "a.parquet", target="target")
    with pytest.raises(InputError):
        upload(parquet(text=list("abcd"), label=label), "a.parquet")
    with pytest.raises(InputError):
        upload(lines(text=list("abcd"), label=label), "a.jsonl", task="multilabel")


def test_the_example(upload):
    data = (Path(__file__).parents[3] / "examples" / "tickets.csv").read_bytes()
    items = upload(data, "tickets.csv", task="multilabel", group="customer", strict=True)
    assert items.quality["classes"] == {"billing": 12, "locker": 12, "delivery": 12, "app": 11}
    assert len(set(items.groups)) == 14
    assert upload(data, "tickets.csv").label_sets == items.label_sets
