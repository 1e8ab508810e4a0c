from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge, UploadUnreadable
from service.uploads import parquet
from service.uploads.limits import Limits
from service.uploads.parquet import read_parquet
from service.uploads.parquet_values import values
from service.uploads.rows import MOST_LISTED, Listed, Nested, Record, Row

SMALL = Limits(bytes=100_000, rows=5_000, cell_chars=100)


def records(path: Path, columns: dict[str, object], limits: Limits = SMALL, **options: object) -> list[Record]:
    pq.write_table(pa.table(columns), path, **options)
    table = read_parquet(path, limits)
    return list(table.rows(table.columns))


@pytest.fixture
def batch_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every array that is decoded."""
    seen: list[int] = []

    def measuring(array: pa.Array, limits: Limits) -> object:
        seen.append(array.nbytes)
        return values(array, limits)

    monkeypatch.setattr(parquet, "values", measuring)
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upload"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False},
        {"compression": "zstd", "data_page_version": "2.0"},
        {"row_group_size": 7, "write_batch_size": 3},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_LENGTH_BYTE_ARRAY"}},
    ],
    ids=["dictionary", "plain", "zstd-v2", "row-groups", "delta"],
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_every_way_of_writing_strings_gives_the_same_rows(path: Path, options: dict[str, object], kind: pa.DataType):
    texts, labels = [f"text é {index}" for index in range(50)], ["x", None] * 25
    found = records(path, {"text": pa.array(texts, kind), "label": pa.array(labels, kind)}, **options)
    pairs = zip(texts, labels, strict=True)
    assert found == [Row(number, {"text": text, "label": label}) for number, (text, label) in enumerate(pairs, 1)]


def test_rows_and_columns_are_counted_before_anything_is_decoded(path: Path):
    with pytest.raises(UploadTooLarge, match="5001 rows; the limit is 5000"):
        records(path, {"text": ["a"] * 5001})
    with pytest.raises(UploadTooLarge, match="1001 columns; the limit is 1000"):
        records(path, {f"c{index}": ["a"] for index in range(1001)})


def test_a_huge_footer_is_not_decoded(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "_FOOTER_BYTES", 100)
    with pytest.raises(UploadTooLarge, match=r"footer has .* bytes; the limit is 100"):
        records(path, {"text": ["a"]})


def test_one_long_value_behind_a_dictionary_is_never_repeated(path: Path, batch_bytes: list[int]):
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array(["x" * 50_000]))
    found = records(path, {"text": bomb}, compression="zstd", store_schema=False)
    assert path.stat().st_size < 5_000
    assert 50_000 < max(batch_bytes) < 2 * SMALL.bytes
    assert found[4_999] == Problem("a cell is longer than 100 characters, which is the limit", row=5_000)


def test_texts_together_may_not_pass_the_byte_limit(path: Path):
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array(["x" * 90]))
    with pytest.raises(UploadTooLarge, match="once decompressed; the limit is 100000"):
        records(path, {"text": bomb}, store_schema=False)


def test_pages_that_inflate_are_refused_before_they_do(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(UploadTooLarge, match="The columns have at least"):
        records(path, {"text": ["x" * 90] * 4_000}, use_dictionary=False, compression="zstd")


def test_shared_prefixes_are_read_in_small_batches(path: Path, batch_bytes: list[int]):
    encoding = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}
    found = records(path, {"text": ["x" * 60_000] * 30}, **encoding)
    assert path.stat().st_size < 10_000
    assert 50_000 < max(batch_bytes) < 2 * SMALL.bytes
    assert len(found) == 30
    assert all(isinstance(record, Problem) for record in found)


@pytest.mark.parametrize("value", [[[["a"]]], [[1.5]], [{"a": 1}], [b"a"]], ids=["lists", "vector", "struct", "binary"])
def test_nested_and_binary_columns_are_refused(path: Path, value: list[object]):
    with pytest.raises(UploadRefused, match="Column 'text' has the Parquet type"):
        records(path, {"text": value})


def test_lists_of_names_are_cells(path: Path):
    found = records(path, {"text": [["a", None], [], None, ["b"] * (MOST_LISTED + 1)]})
    assert [record.cells["text"] for record in found] == [
        *(Listed("a list", ("a", None)), Listed("a list", ()), None, Nested("a list"))
    ]
    assert records(path, {"text": [[1, 2], [3]]})[0] == Row(1, {"text": Listed("a list", (1, 2))})


def test_a_name_in_a_list_that_is_not_utf8_makes_a_bad_row(path: Path):
    raw = pa.array([b"fine", b"caf\xe9"])
    words = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    found = records(path, {"text": pa.ListArray.from_arrays([0, 1, 2], words)}, store_schema=False)
    assert found == [
        Row(1, {"text": Listed("a list", ("fine",))}),
        Problem("a cell is not UTF-8: byte 0xE9 at its byte 3", row=2),
    ]


def test_lists_are_measured(path: Path):
    with pytest.raises(UploadTooLarge, match="hold 30000 values"):
        records(path, {"text": [["a"] * 100] * 300}, limits=Limits(cells=1000))


def test_texts_that_are_not_utf8_are_bad_rows(path: Path):
    raw = pa.array([b"fine", b"caf\xe9"])
    found = records(path, {"text": pa.StringArray.from_buffers(2, *raw.buffers()[1:])}, store_schema=False)
    assert found == [Row(1, {"text": "fine"}), Problem("a cell is not UTF-8: byte 0xE9 at its byte 3", row=2)]


@pytest.mark.parametrize(
    "data", [b"PAR1", b"PAR1PAR1", b"PAR1" + b"\x00" * 20 + b"PAR1", b"PAR1" + b"\xff" * 9 + b"PAR1"]
)
def test_damaged_files_are_unreadable(path: Path, data: bytes):
    path.write_bytes(data)
    with pytest.raises(UploadUnreadable, match="again"):
        read_parquet(path, SMALL)
