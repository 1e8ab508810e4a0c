from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError, Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.parquet import read_parquet
from service.uploads.parquet_rewrite import Rewritten, rewrite

SMALL = Limits(bytes=100_000, rows=5_000, cells=50_000, numbers=50_000, cell_chars=100)


def rewritten(
    folder: Path,
    table: pa.Table | dict[str, object],
    limits: Limits = SMALL,
    *,
    vectors: bool = True,
    **options: object,
) -> tuple[Rewritten, pa.Table]:
    pq.write_table(pa.table(table), folder / "given", **options)
    read_parquet(folder / "given", limits)
    found = rewrite(folder / "given", folder / "clean", limits, vectors=vectors)
    return found, pq.read_table(folder / "clean")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False},
        {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 7},
        {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY", "b": "DELTA_BINARY_PACKED"}},
    ],
    ids=["dictionary", "plain", "row-groups", "delta"],
)
def test_every_way_of_writing_gives_the_same_rows(tmp_path: Path, options: dict[str, object]):
    given = {"a": [f"é{at}" for at in range(50)], "b": list(range(50)), "a.b": [None, True] * 25}
    found, clean = rewritten(tmp_path, given, **options)
    assert clean.to_pydict() == given
    assert found == Rewritten(("a", "b", "a.b"), (), 50, {}, ())


def test_lists_of_numbers_are_kept_where_they_are_asked_for(tmp_path: Path):
    kinds = [pa.list_(pa.int64()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 2)]
    given = {f"v.{at}": pa.array([[1, 2], None, [3, None]], kind) for at, kind in enumerate(kinds)}
    found, clean = rewritten(tmp_path, {**given, "words": [["a"], None, []]})
    assert found.vectors == ("v.0", "v.1", "v.2")
    assert found.skipped == {"words": "lists"}
    assert [clean[name].to_pylist() for name in given] == [[[1, 2], None, [3, None]]] * 3
    assert set(map(str, clean.schema.types)) == {"list<element: float>"}
    found, clean = rewritten(tmp_path, given, vectors=False)
    assert (found.vectors, list(found.skipped)) == ((), list(given))


def test_cells_that_cannot_be_used_are_null_and_listed(tmp_path: Path):
    raw = pa.array([b"fine", b"caf\xe9", b"fine"])
    table = {"a": pa.StringArray.from_buffers(3, *raw.buffers()[1:]), "b": ["x", "y" * 900, "z" * 900]}
    found, clean = rewritten(tmp_path, table, store_schema=False)
    assert clean.to_pydict() == {"a": ["fine", None, "fine"], "b": ["x", None, None]}
    assert [(problem.row, problem.detail[:6]) for problem in found.problems] == [(2, "a cell"), (3, "a cell")]
    assert isinstance(found.problems[0], Problem)


def test_small_files_that_would_be_large_tables_are_refused(tmp_path: Path):
    with pytest.raises(UploadTooLarge, match="55000 cells"):
        rewritten(tmp_path, {f"c{at}": np.zeros(5_000) for at in range(11)})
    with pytest.raises(UploadTooLarge, match="more than 50000 numbers"):
        rewritten(tmp_path, {"v": [[0.0] * 100] * 501})
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array(["x" * 90]))
    with pytest.raises(UploadTooLarge, match="once decompressed; the limit is 100000"):
        rewritten(tmp_path, {"a": bomb}, store_schema=False)
    with pytest.raises(UploadTooLarge, match="The columns have at least"):
        rewritten(tmp_path, {"v.w": [[float(at)] * 100 for at in range(400)]}, compression="zstd", use_dictionary=False)


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(UploadRefused, match="More than one column"):
        rewritten(tmp_path, pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_but_input_errors(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.getbasetemp()
    given = {"a": ["x", "y"] * 9, "v": [[1.0, 2.0]] * 18, "n": list(range(18))}
    pq.write_table(pa.table(given), folder / "whole")
    damaged = bytearray((folder / "whole").read_bytes())
    # The pages alone: a damaged footer may abort the process, which is why this runs in a child.
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(4, 200))] = data.draw(st.integers(0, 255))
    (folder / "given").write_bytes(bytes(damaged))
    with suppress(InputError):
        rewrite(folder / "given", folder / "clean", SMALL, vectors=True)
