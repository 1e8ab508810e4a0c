"""Parquet: only the columns that are asked for, a batch of rows at a time.

A small file can decode to gigabytes: one long value repeated through a dictionary, pages that compress a thousandfold,
values that share a prefix. So rows are counted and pages measured (`parquet_pages`) before anything is decoded,
dictionaries are kept as dictionaries, values over the limit are dropped before they become Python strings, and the
texts together may have no more bytes than a file may.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.errors import InputError, Problem
from service.errors import UploadRefused, UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.parquet_pages import page_bytes
from service.uploads.parquet_values import holds_names, is_list, is_string, listed_values, values
from service.uploads.rows import Cell, Record, Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024
_FOOTER_BYTES = 8 * 1024 * 1024
_FRAME_BYTES = 12
"""PAR1 twice, and the footer's length."""
_PAGES_PER_ROW = 2
"""Most pages of all columns read, for each row that the limits allow; writers put thousands of rows in a page."""


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file whose footer has been read (see `Table`)."""

    path: Path
    columns: tuple[str, ...]
    limits: Limits
    format: Literal["parquet"] = "parquet"
    notes: tuple[str, ...] = ()

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """One row a Parquet row (see `Table.rows`).

        Raises:
            UploadRefused: A column is nested or binary, or of another type that is neither text nor label.
        """
        with opened(self.path) as file:
            for name in columns:
                _check_type(name, file.schema_arrow.field(name).type)
            plan = plan_of(file, self.path, columns, self.limits)
            if any(is_list(file.schema_arrow.field(name).type) for name in columns):
                plan = Plan((), min(plan.batch_rows, rows_at_once(file, self.path, columns, self.limits)))
        number = decoded_bytes = 0
        with opened(self.path, plan.dictionaries) as file:
            for batch in file.iter_batches(plan.batch_rows, columns=list(columns), use_threads=False):
                cells, sizes = zip(*(_values(batch.column(name), self.limits) for name in columns), strict=True)
                decoded_bytes += sum(sizes)
                if decoded_bytes > self.limits.bytes:
                    raise too_many_bytes("The texts and labels", f"at least {decoded_bytes}", self.limits)
                check_rows(number + len(batch), self.limits)
                for row in zip(*cells, strict=True):
                    number += 1
                    yield _record(number, columns, row)


def read_parquet(path: Path, limits: Limits) -> ParquetTable:
    """Opens a Parquet file: reads its footer.

    Raises:
        UploadTooLarge: More rows or columns than the limits allow.
        UploadUnreadable: The footer is broken.
    """
    _check_footer(path)
    with opened(path) as file:
        names = tuple(file.schema_arrow.names)
        rows = file.metadata.num_rows
    if len(names) > limits.columns:
        raise UploadTooLarge(
            f"The file has {len(names)} columns; the limit is {limits.columns}. Leave out those that are not needed."
        )
    check_rows(rows, limits)
    return ParquetTable(path, names, limits)


def _check_footer(path: Path) -> None:
    """The footer is decoded as a whole, into some ten times its size: its length stands before the closing PAR1."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - 8))
        footer_bytes = int.from_bytes(file.read(4), "little")
    if footer_bytes + _FRAME_BYTES > size_bytes:
        raise UploadUnreadable(
            f"The Parquet file is damaged: it has {size_bytes} bytes, and its footer alone says {footer_bytes}. "
            "Write or upload it again."
        )
    if footer_bytes > _FOOTER_BYTES:
        raise UploadTooLarge(
            f"The Parquet footer has {footer_bytes} bytes; the limit is {_FOOTER_BYTES}. "
            "It grows with columns and row groups: leave out columns that are not needed, and write larger groups."
        )


def check_rows(rows: int, limits: Limits) -> None:
    """Makes sure that a file does not have too many rows.

    Raises:
        UploadTooLarge: It has.
    """
    if rows > limits.rows:
        raise UploadTooLarge(f"The file has {rows} rows; the limit is {limits.rows}. Send a part of them.")


@contextmanager
def opened(path: Path, dictionaries: Sequence[str] = ()) -> Iterator["pq.ParquetFile"]:
    """The open file; whatever the library finds wrong with it becomes one of our errors.

    Args:
        path: The file.
        dictionaries: Columns whose dictionaries are kept as they are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=list(dictionaries), memory_map=False, pre_buffer=False) as file:
            yield file
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise UploadUnreadable(
            f"The Parquet file cannot be read ({type(error).__name__}): it is damaged or uses a feature that is not "
            "supported. Write it again, for example with pandas: frame.to_parquet(path)."
        ) from None


@dataclass(frozen=True)
class Plan:
    """How to read the columns without ever holding more than about `limits.bytes` of one.

    Attributes:
        dictionaries: Columns whose dictionaries are kept as they are.
        batch_rows: Rows to decode at a time.
    """

    dictionaries: tuple[str, ...]
    batch_rows: int


def plan_of(file: "pq.ParquetFile", path: Path, columns: Sequence[str], limits: Limits) -> Plan:
    """Checks true sizes of the columns, and chooses how to read them.

    Dictionaries are kept where the library can. It cannot where a column is delta-encoded; there a value may share its
    bytes with others, so one is at most as long as its chunk, and a batch has only as many rows as then fit.

    Raises:
        UploadTooLarge: More bytes once decompressed, more pages or more row groups than the limits allow.
        ValueError: A page's header is none, or leads out of the file.
    """
    chunks = _chunks(file, columns, limits)
    largest_bytes = _check_pages(path, chunks, limits)
    if any("DELTA" in encoding for chunk in chunks for encoding in chunk.encodings):
        return Plan((), max(1, min(_BATCH_ROWS, limits.bytes // max(1, largest_bytes))))
    return Plan(tuple(columns), _BATCH_ROWS)


def rows_at_once(file: "pq.ParquetFile", path: Path, columns: Sequence[str], limits: Limits) -> int:
    """How many rows may be decoded together where values may be as long as files.

    A value has at most the bytes of its column chunk, and a dictionary may repeat it; so many rows have no more than
    `limits.bytes`.

    Raises:
        UploadTooLarge, ValueError: See `plan_of`.
    """
    largest_bytes = _check_pages(path, _chunks(file, columns, limits), limits)
    return max(1, min(_BATCH_ROWS, limits.bytes // max(1, largest_bytes)))


def _chunks(file: "pq.ParquetFile", columns: Sequence[str], limits: Limits) -> list["pq.ColumnChunkMetaData"]:
    groups = file.metadata.num_row_groups
    if groups > limits.rows:
        raise UploadTooLarge(f"The file has {groups} row groups; the limit is {limits.rows}. Write it again.")
    wanted = set(columns)
    # A nested column has a leaf for each of its parts, under its own name; a name may itself hold points.
    paths = [file.schema.column(index).path for index in range(len(file.schema))]
    indexes = [index for index, path in enumerate(paths) if any(name in wanted for name in _prefixes(path))]
    return [file.metadata.row_group(group).column(index) for group in range(groups) for index in indexes]


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _check_pages(path: Path, chunks: Sequence["pq.ColumnChunkMetaData"], limits: Limits) -> int:
    """Measures every page; returns the bytes of the largest chunk."""
    largest = total = pages = 0
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for chunk in chunks:
            before = total
            for size in page_bytes(data, _start(chunk), chunk.total_compressed_size):
                total += size
                pages += 1
                if total > limits.bytes:
                    raise too_many_bytes("The columns", f"at least {total}", limits)
                if pages > _PAGES_PER_ROW * limits.rows:
                    raise UploadTooLarge(
                        f"The file has more than {_PAGES_PER_ROW * limits.rows} pages. Write it again."
                    )
            largest = max(largest, total - before)
    return largest


def _start(chunk: "pq.ColumnChunkMetaData") -> int:
    return int(min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset))


def too_many_bytes(what: str, seen: str, limits: Limits) -> UploadTooLarge:
    """The error for a part of a file that is larger than a whole file may be."""
    return UploadTooLarge(
        f"{what} have {seen} bytes once decompressed; the limit is {limits.bytes}. Send fewer or shorter rows."
    )


def _values(array: "pa.Array", limits: Limits) -> tuple[list[Cell | Problem], int]:
    return listed_values(array, limits) if is_list(array.type) else values(array, limits)


def _check_type(name: str, kind: "pa.DataType") -> None:
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    plain = (is_string, holds_names, types.is_integer, types.is_boolean, types.is_floating, types.is_null)
    if not any(check(inner) for check in plain):
        raise UploadRefused(
            f"Column '{name}' has the Parquet type {str(inner)[:80]}; texts and labels must be strings. Convert it."
        )


def _record(number: int, columns: Sequence[str], row: Sequence[Cell | Problem]) -> Record:
    cells: dict[str, Cell] = {}
    for name, value in zip(columns, row, strict=True):
        if isinstance(value, Problem):
            return Problem(value.detail, row=number)
        cells[name] = value
    return Row(number, cells)
