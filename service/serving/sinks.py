"""Rows with their answers -> bytes, in the format in which the rows came.

    sink.begin() + sink.rows(batch, answers) ... + sink.end()

CSV and TSV keep their delimiter, line ends and byte order mark; Parquet keeps the types of its columns. NumPy files
have no columns, so their answers are JSON Lines.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from service.serving.answer_columns import AnswerColumn, AnswerColumns
from service.serving.formulas import defuse
from service.uploads.rows_in import Batch, Incoming
from service.uploads.sniff import Format

if TYPE_CHECKING:
    import pyarrow as pa

Answers = Sequence[tuple[Any, ...]]
"""(n,) rows of cells, in the order of the answer's columns."""

GROUP_ROWS = 1024
"""Rows of a group in Parquet: what is held before it is written."""

SEPARATOR = "|"
"""Between the labels of a row where a cell is a text, as in uploads."""

_BOM = b"\xef\xbb\xbf"
_HEADER_BYTES = 1 << 20

WRITES: Mapping[Format, Format] = {"npy": "jsonl", "npz": "jsonl"}
"""Formats that are answered in another one."""


class Sink(ABC):
    """Makes the bytes of one answer. Blocks: CPU alone, about 1 us a cell."""

    @abstractmethod
    def begin(self) -> bytes:
        """What stands before the first row."""

    @abstractmethod
    def rows(self, batch: Batch, answers: Answers) -> bytes:
        """Some rows; perhaps empty, where they are held until there are more."""

    @abstractmethod
    def end(self) -> bytes:
        """What stands behind the last row."""


def sink(incoming: Incoming, path: Path, columns: AnswerColumns) -> Sink:
    """The sink of a file.

    Args:
        incoming: The file, opened.
        path: The file itself.
        columns: What is added to it.
    """
    kind = WRITES.get(incoming.format, incoming.format)
    if kind == "parquet":
        return _Parquet(incoming.schema, columns.columns)
    if kind == "json":
        return _JsonList(columns.names)
    if kind == "jsonl":
        return _JsonLines(columns.names)
    return _Delimited(path, incoming.delimiter or ",", incoming.columns, columns.names)


class _Delimited(Sink):
    """CSV and TSV, with formulas made harmless in every cell that is a text."""

    def __init__(self, path: Path, delimiter: str, columns: Sequence[str], names: Sequence[str]) -> None:
        with path.open("rb") as file:
            header = file.readline(_HEADER_BYTES)
        self._mark = _BOM if header.startswith(_BOM) else b""
        self._text = io.StringIO(newline="")
        end = "\r\n" if header.endswith(b"\r\n") else "\n"
        self._plain = csv.writer(self._text, delimiter=delimiter, lineterminator=end)
        # A carriage return alone is quoted by itself only where it belongs to the line end.
        self._quoting = csv.writer(self._text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        self._columns = columns
        self._names = names

    def begin(self) -> bytes:
        self._write([*self._columns, *self._names])
        return self._mark + self._drained()

    def rows(self, batch: Batch, answers: Answers) -> bytes:
        for row, answer in zip(batch.rows, answers, strict=True):
            self._write([*(row[name] for name in self._columns), *map(_cell, answer)])
        return self._drained()

    def end(self) -> bytes:
        return b""

    def _write(self, cells: list[str]) -> None:
        harmless = [defuse(cell) for cell in cells]
        writer = self._quoting if any("\r" in cell for cell in harmless) else self._plain
        writer.writerow(harmless)

    def _drained(self) -> bytes:
        data = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return data


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return SEPARATOR.join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


class _JsonLines(Sink):
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def begin(self) -> bytes:
        return b""

    def rows(self, batch: Batch, answers: Answers) -> bytes:
        return b"".join(line + b"\n" for line in self._objects(batch, answers))

    def end(self) -> bytes:
        return b""

    def _objects(self, batch: Batch, answers: Answers) -> list[bytes]:
        pairs = zip(batch.rows, answers, strict=True)
        return [_json({**row, **dict(zip(self._names, answer, strict=True))}) for row, answer in pairs]


class _JsonList(_JsonLines):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self._before = b"["

    def rows(self, batch: Batch, answers: Answers) -> bytes:
        data = self._before + b",\n".join(self._objects(batch, answers))
        self._before = b",\n"
        return data

    def end(self) -> bytes:
        return b"]\n"


def _json(row: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:  # a whole number of more than 64 bits, half a surrogate pair
        return json.dumps(row).encode()


class _Parquet(Sink):
    """The file's columns with their types, and the answer's, in groups of `GROUP_ROWS` rows."""

    def __init__(self, given: "pa.Schema", columns: Sequence[AnswerColumn]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"text": pa.string(), "texts": pa.list_(pa.string()), "number": pa.float64(), "flag": pa.bool_()}
        self._answers = pa.schema([(column.name, types[column.holds]) for column in columns])
        self._schema = pa.schema([*given, *self._answers])
        self._bytes = _Outbox()
        self._writer = pq.ParquetWriter(self._bytes, self._schema)
        self._held: list[pa.RecordBatch] = []

    def begin(self) -> bytes:
        return self._bytes.drained()

    def rows(self, batch: Batch, answers: Answers) -> bytes:
        import pyarrow as pa

        given = batch.arrow.columns if batch.arrow is not None else []
        made = [
            pa.array(cells, kind) for cells, kind in zip(zip(*answers, strict=True), self._answers.types, strict=True)
        ]
        self._held.append(pa.record_batch([*given, *made], schema=self._schema))
        if sum(map(len, self._held)) >= GROUP_ROWS:
            self._flush()
        return self._bytes.drained()

    def end(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._bytes.drained()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
            self._held = []


class _Outbox(io.RawIOBase):
    """A file that is written and handed on piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def drained(self) -> bytes:
        """All that was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces = []
        return data
