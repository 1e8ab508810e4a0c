"""A file whose rows are to be predicted: checked as a whole, then read some rows at a time.

    path -> open_rows (checks every row) -> Incoming -> batches

Unlike an upload, nothing is left out: a row that cannot be read is an error before the first answer, because an answer
has one row for each row of the file. CSV, TSV and JSON are streamed; Parquet is rewritten by a child process first, so
that this one reads nothing but our own writing; NumPy's vectors are held in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.columns import Kind, Schema
from models.errors import Problem
from service.errors import FormatUnsupported
from service.uploads.cells import Bad
from service.uploads.delimited import DelimitedTable
from service.uploads.formats import JsonTable, open_json_table, open_text_table
from service.uploads.items import F32, Modality
from service.uploads.limits import Limits
from service.uploads.names import check_different
from service.uploads.npy import open_arrays
from service.uploads.numbers import with_point
from service.uploads.parquet_clean import CleanTable, clean_table, rewritten, rows_of
from service.uploads.rows import Row
from service.uploads.rows_checked import check_rows, check_vectors, decimal_commas, in_parts
from service.uploads.sniff import Format, sniff
from service.uploads.vector_cells import as_float32, as_vector, as_vectors, matrix, out_of_range
from service.uploads.vector_sources import embedding_array, embedding_column, embedding_field

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Batch:
    """Some rows of the file, in its order.

    Attributes:
        numbers: (n,) row numbers, 1-based, the header not counted.
        rows: (n,) the cells of each row by column, all of them but the vectors, in the file's order: texts of a CSV
            file, JSON values, or plain values of Parquet with dates as ISO text.
        vectors: (n, d) float32 where vectors were asked for.
        arrow: The same rows as `rows` in Parquet's own types; None in the other formats.
    """

    numbers: Sequence[int]
    rows: Sequence[Mapping[str, Any]]
    vectors: F32 | None = None
    arrow: "pa.RecordBatch | None" = None


@dataclass(frozen=True)
class Incoming(ABC):
    """A file of which every row can be read.

    Attributes:
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet``, ``npy`` or ``npz``.
        columns: Names of its columns, in its order, without the vectors'; of JSON, the fields of the first 100 rows.
        count: How many rows it has.
        notes: What the reader had to decide by itself.
        width: Numbers in each vector, where vectors were asked for.
        delimiter: What separates cells, in CSV and TSV.
        schema: Names and types of `columns`, in Parquet.
        decimal_commas: Columns whose numbers have decimal commas, in CSV with semicolons.
    """

    format: Format
    columns: tuple[str, ...]
    count: int
    notes: tuple[str, ...] = ()
    width: int | None = None
    delimiter: str | None = None
    schema: "pa.Schema | None" = None
    decimal_commas: frozenset[str] = frozenset()

    @abstractmethod
    def batches(self, size: int) -> Iterator[Batch]:
        """Reads the file from its start, at most `size` rows at a time."""

    def inputs(self, batch: Batch, schema: Schema) -> list[dict[str, Any]]:
        """The rows of a batch as a table's adapter takes them: its columns alone, numbers with a decimal point.

        A column that a row does not have is missing in it.
        """
        points = {column.name for column in schema if column.kind == Kind.NUMBER} & self.decimal_commas
        names = [column.name for column in schema]
        inputs = [{name: row[name] for name in names if name in row} for row in batch.rows]
        for row in inputs if points else ():
            row.update({name: with_point(row[name]) for name in points})
        return inputs


def open_rows(path: Path, filename: str, limits: Limits, *, modality: Modality, clean: Path) -> Incoming:
    """Opens a file whose rows are to be predicted, and checks every one of them. Blocks.

    Args:
        path: The finished local file.
        filename: What the caller called it; its suffix helps where the bytes leave a choice.
        limits: How large it, and each part of it, may be.
        modality: What the adapter takes: only for vectors are columns of lists of numbers read.
        clean: Where Parquet is rewritten to; the caller deletes it once the answer is made.

    Raises:
        FormatUnsupported: It is of a format that the modality does not have.
        UploadUnreadable: A row cannot be read; the first hundred such rows are listed.
        UploadTooLarge: It, or a part of it, is over a limit.
        UploadRefused: It has no rows, two columns of one name, or no column of vectors where they were asked for.

    Cost: one pass over the file; 1 s for 100 MB of CSV. Parquet also takes a process of its own, 0.4 s.
    """
    kind = sniff(path, filename, limits)
    if kind == "parquet":
        return _open_parquet(path, filename, limits, modality, clean)
    if modality == "vector":
        return _open_vectors(path, kind, limits)
    table = open_text_table(path, kind, limits)
    if isinstance(table, DelimitedTable):
        return _open_delimited(table, limits)
    return _JsonRows(kind, table.columns, check_rows(table.objects(), limits), table=table)


def _open_delimited(table: DelimitedTable, limits: Limits) -> "_DelimitedRows":
    check_different(table.columns)
    count = check_rows(_numbered(table), limits)
    commas = decimal_commas(table) if table.delimiter == ";" else frozenset()
    return _DelimitedRows(
        *(table.format, table.columns, count, table.notes),
        delimiter=table.delimiter,
        decimal_commas=commas,
        table=table,
    )


def _open_vectors(path: Path, kind: Format, limits: Limits) -> Incoming:
    if kind in {"npy", "npz"}:
        array = embedding_array(open_arrays(path, kind, limits), limits)
        z = as_float32(array.load())
        faults = out_of_range(z)
        problems = (Problem(faults[at], row=at + 1) if at in faults else None for at in range(len(z)))
        check_rows(enumerate(problems, start=1), limits)
        return _Matrix(kind, (), len(z), width=z.shape[1], z=z)
    if kind not in {"jsonl", "json"}:
        raise FormatUnsupported(
            "The file is delimited text, which holds no vectors. Send them as .npy, .npz, Parquet or JSON Lines "
            '({"embedding": [...]}).'
        )
    table = open_json_table(path, kind, limits)
    count = check_rows(table.objects(), limits)
    embedding = embedding_field(table)
    vectors = ((number, as_vector(value.get(embedding))) for number, value in _objects(table))
    width = check_vectors(vectors, limits)
    columns = tuple(name for name in table.columns if name != embedding)
    return _JsonRows(kind, columns, count, width=width, table=table, embedding=embedding)


def _open_parquet(path: Path, filename: str, limits: Limits, modality: Modality, clean: Path) -> "_ParquetRows":
    reply = rewritten(path, clean, filename, limits, modality=modality, words=None)
    table = clean_table(clean, reply)
    count = check_rows(((row, table.problems.get(row)) for row in range(1, reply["rows"] + 1)), limits)
    embedding = embedding_column(table) if modality == "vector" else None
    width = check_vectors(_numbered_vectors(table, embedding), limits) if embedding else None
    return _ParquetRows(
        *("parquet", table.columns, count, table.notes),
        width=width,
        schema=table.schema,
        table=table,
        embedding=embedding,
    )


def _numbered(table: DelimitedTable) -> Iterator[tuple[int, object]]:
    return ((record.number if isinstance(record, Row) else 0, record) for record in table.rows(()))


def _objects(table: JsonTable) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((number, value) for number, value in table.objects() if not isinstance(value, Problem))


def _numbered_vectors(table: CleanTable, embedding: str) -> Iterator[tuple[int, F32 | Bad]]:
    batches = table.batches([embedding], _BATCH_ROWS)
    return enumerate((vector for batch in batches for vector in as_vectors(batch.column(0))), start=1)


@dataclass(frozen=True, kw_only=True)
class _DelimitedRows(Incoming):
    table: DelimitedTable

    def batches(self, size: int) -> Iterator[Batch]:
        rows = (record for record in self.table.rows(self.columns) if isinstance(record, Row))
        for part in in_parts(rows, size):
            yield Batch([row.number for row in part], [row.cells for row in part])


@dataclass(frozen=True, kw_only=True)
class _JsonRows(Incoming):
    table: JsonTable
    embedding: str | None = None

    def batches(self, size: int) -> Iterator[Batch]:
        for part in in_parts(_objects(self.table), size):
            vectors = None
            if self.embedding is not None:
                vectors = matrix([as_vector(value.pop(self.embedding)) for _, value in part])
            yield Batch([number for number, _ in part], [value for _, value in part], vectors)


@dataclass(frozen=True, kw_only=True)
class _ParquetRows(Incoming):
    table: CleanTable
    embedding: str | None = None

    def batches(self, size: int) -> Iterator[Batch]:
        number = 0
        vectors = [self.embedding] if self.embedding else []
        for batch in self.table.batches([*self.columns, *vectors], size):
            numbers = range(number + 1, number + len(batch) + 1)
            plain = batch.select(list(self.columns))
            z = matrix(as_vectors(batch.column(self.embedding))) if self.embedding else None
            yield Batch(numbers, list(rows_of(plain)), z, plain)
            number += len(batch)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Matrix(Incoming):
    z: F32

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self.z), size):
            part = self.z[start : start + size]
            yield Batch(range(start + 1, start + len(part) + 1), [{} for _ in part], part)
