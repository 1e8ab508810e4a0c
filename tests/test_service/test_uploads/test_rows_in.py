"""Files to predict: every row is there, in order and as it came, or nothing is."""

import datetime
import io
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.columns import Column, Kind
from models.errors import InputError
from service.uploads import parquet
from service.uploads.rows_in import Incoming

CSV = 'id,text,size\n1,"a, ""b""\nc",1.5\n2,ü,\n\n3,=1+1,x\n'


def parquet_of(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=3)
    return buffer.getvalue()


def numpy_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def rows(opened: Incoming, size: int = 2) -> list[dict[str, object]]:
    return [dict(row) for batch in opened.batches(size) for row in batch.rows]


def test_csv_rows_come_as_they_are_in_batches(incoming):
    opened = incoming(CSV)
    assert (opened.format, opened.columns, opened.count, opened.delimiter) == ("csv", ("id", "text", "size"), 3, ",")
    first, second = opened.batches(2)
    assert list(first.rows[0].items()) == [("id", "1"), ("text", 'a, "b"\nc'), ("size", "1.5")]
    assert (first.numbers, second.numbers) == ([1, 2], [4])
    assert second.rows == [{"id": "3", "text": "=1+1", "size": "x"}]
    assert rows(opened, 1000) == rows(opened, 1)


def test_json_rows_keep_what_is_nested_in_them(incoming):
    given = [{"b": {"c": [1]}, "a": 1}, {"a": None, "late": True}]
    for data, filename in (("\n\n".join(map(json.dumps, given)), "a.jsonl"), (json.dumps(given), "a.json")):
        opened = incoming(data, filename)
        assert (opened.columns, opened.count) == (("b", "a", "late"), 2)
        assert rows(opened) == given


def test_parquet_keeps_its_types(incoming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "opened", lambda *_: pytest.fail("opened here"))
    moments = [datetime.datetime(2024, 1, at, 6, tzinfo=datetime.UTC) for at in range(1, 6)]
    opened = incoming(
        parquet_of(
            small=pa.array([1, 2, None, 4, 5], pa.int8()),
            price=[Decimal("1.10")] * 5,
            at=pa.array(moments, pa.timestamp("ns", "UTC")),
            word=pa.array(list("aabbc")).dictionary_encode(),
            nested=[{"a": 1}] * 5,
        ),
        "a.parquet",
    )
    assert (opened.columns, opened.count) == (("small", "price", "at", "word"), 5)
    assert [str(kind) for kind in opened.schema.types] == ["int8", "double", "timestamp[us, tz=UTC]", "string"]
    batches = list(opened.batches(2))
    assert rows(opened)[0] == {"small": 1, "price": 1.1, "at": "2024-01-01 06:00:00", "word": "a"}
    whole = pa.Table.from_batches([batch.arrow for batch in batches])
    assert whole.schema == opened.schema
    assert whole["at"].to_pylist() == moments
    assert [number for batch in batches for number in batch.numbers] == [1, 2, 3, 4, 5]
    assert any("'nested'" in note for note in opened.notes)


Z = np.arange(10, dtype=np.float32).reshape(5, 2)
LISTS = Z.tolist()
VECTORS = {
    "a.npy": numpy_of(Z.astype(">f8", order="F")),
    "a.jsonl": "\n".join(json.dumps({"id": at, "embedding": z}) for at, z in enumerate(LISTS)),
    "a.parquet": parquet_of(id=range(5), embedding=LISTS),
    "only.parquet": parquet_of(v=pa.array(LISTS, pa.list_(pa.float32(), 2))),
}


@pytest.mark.parametrize("filename", VECTORS)
def test_vectors_in_batches(incoming, filename: str):
    opened = incoming(VECTORS[filename], filename, "vector")
    assert (opened.count, opened.width) == (5, 2)
    batches = list(opened.batches(2))
    assert np.array_equal(np.concatenate([batch.vectors for batch in batches]), Z)
    assert [len(batch.rows) for batch in batches] == [len(batch.vectors) for batch in batches]
    beside = [] if filename in {"a.npy", "only.parquet"} else [{"id": at} for at in range(5)]
    assert [row for row in rows(opened) if row] == beside
    assert "embedding" not in opened.columns


def test_an_archive_needs_no_labels_to_be_predicted(incoming):
    buffer = io.BytesIO()
    np.savez(buffer, embedding=Z)
    assert incoming(buffer.getvalue(), "a.npz", "vector").count == 5


# name: (bytes or text, file name, modality, error code, words of the message, rows that are listed)
REFUSED = {
    "ragged": (
        "a,b\n1,2\n1\n1,2\n1,2,3\n", "a.csv", "table", "upload-unreadable", ["2 of 4", "row 2", "1 field"], [2, 4],
    ),
    "unclosed": ('a,b\n1,2\n"1,2\n', "a.csv", "table", "upload-unreadable", ["Row 2", "not closed"], [2]),
    "latin-1": ("a\né\n".encode("latin-1"), "a.csv", "text", "upload-unreadable", ["line 2", "0xE9"], []),
    "utf-16": ("a\né\n".encode("utf-16"), "a.csv", "text", "upload-unreadable", ["UTF-16"], []),
    "twice": ("a,a\n1,2\n", "a.csv", "table", "upload-refused", ["More than one", "'a'"], []),
    "no-rows": ("a,b\n", "a.csv", "table", "upload-refused", ["no rows"], []),
    "broken-line": ('{"a": 1}\n{"a"\n[1]\n', "a.jsonl", "table", "upload-unreadable", ["2 of 3", "row 2"], [2, 3]),
    "late-line": ('{"a": 1}\n' * 200 + "{\n", "a.jsonl", "table", "upload-unreadable", ["1 of 201", "row 201"], [201]),
    "broken-list": ('[{"a": 1}, {"a"]', "a.json", "table", "upload-unreadable", ["element 2"], [2]),
    "parquet-cell": (
        parquet_of(a=["x", "y" * 90_000]), "a.parquet", "text", "upload-unreadable", ["1 of 2", "row 2", "20000"], [2],
    ),
    "parquet-damaged": (b"PAR1" + b"\0" * 50 + b"PAR1", "a.parquet", "table", "upload-unreadable", ["damaged"], []),
    "too-many-rows": ("a\n" + "1\n" * 100_001, "a.csv", "table", "upload-too-large", ["100000"], []),
    "numpy-as-table": (numpy_of(Z), "a.npy", "table", "format-unsupported", ["vectors"], []),
    "csv-as-vectors": ("a,b\n1,2\n", "a.csv", "vector", "format-unsupported", ["delimited", ".npy"], []),
    "no-vectors": ('{"a": 1}\n', "a.jsonl", "vector", "upload-refused", ["No column holds vectors", "'a'"], []),
    "nan": (numpy_of(np.where(Z == 3, np.nan, Z)), "a.npy", "vector", "upload-unreadable", ["row 2", "NaN"], [2]),
    "objects": (numpy_of(np.array([{}])), "a.npy", "vector", "upload-refused", ["Python objects"], []),
    "lengths": (
        '{"embedding": [1, 2]}\n{"embedding": [1]}\n{}\n', "a.jsonl", "vector", "upload-unreadable",
        ["2 of 3", "has 1 numbers, and the first has 2"], [2, 3],
    ),
    "parquet-lengths": (
        parquet_of(embedding=[[1.0], None, [1.0, 2.0], [None]]), "a.parquet", "vector", "upload-unreadable",
        ["3 of 4", "row 2", "missing"], [2, 3, 4],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_an_error_before_the_first_answer(incoming, name: str):
    data, filename, modality, code, words, listed = REFUSED[name]
    with pytest.raises(InputError) as caught:
        incoming(data, filename, modality)
    assert caught.value.code == code, caught.value.message
    assert [word for word in words if word not in caught.value.message] == [], caught.value.message
    assert [problem.row for problem in caught.value.problems] == listed


SCHEMA = (Column("size", Kind.NUMBER), Column("word", Kind.CATEGORY), Column("gone", Kind.NUMBER))


def test_inputs_are_the_columns_of_the_adapter(incoming):
    opened = incoming("word,other,size\na,b,1.5\n")
    (batch,) = opened.batches(10)
    assert opened.inputs(batch, SCHEMA) == [{"size": "1.5", "word": "a"}]


def test_decimal_commas_are_found_in_the_whole_file_and_only_inputs_have_points(incoming):
    data = "size;word;other\n1.234;1,5;1,5\n;2,5;x\n2,5;3;y\n"
    opened = incoming(data)
    assert opened.decimal_commas == {"size", "word"}
    first, *_ = opened.batches(1)
    assert opened.inputs(first, SCHEMA) == [{"size": "1234", "word": "1,5"}]
    assert first.rows == [{"size": "1.234", "word": "1,5", "other": "1,5"}]
    assert incoming(data.replace(";", "\t").replace(",", ""), "a.tsv").decimal_commas == frozenset()


def test_whole_numbers_with_dots_keep_them_where_no_number_has_a_comma(incoming):
    opened = incoming("size;word\n1.234;a\n")
    (batch,) = opened.batches(1)
    assert opened.inputs(batch, SCHEMA) == [{"size": "1.234", "word": "a"}]


def test_the_clean_copy_lies_where_it_was_asked_for(incoming, tmp_path: Path):
    opened = incoming(parquet_of(a=[1, 2]), "a.parquet")
    (tmp_path / "upload").unlink()
    assert rows(opened) == [{"a": 1}, {"a": 2}]
