"""Files of rows: what formats they have, lines of texts, and rows with their answers.

    txt -> lines ... rows -> Sink (CSV, TSV, JSONL)

Nothing is held in memory but the row at hand, so a file may have any length.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from graft.cli.magic import binary_kind

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "npy", "npz", "txt")
OTHER_NAMES = {"tab": "tsv", "ndjson": "jsonl", "pq": "parquet"}
"""Other endings of the same formats."""

_FORMULA = frozenset("=+-@\t\r")
"""What a spreadsheet takes for the start of a formula."""
_NUMBER = re.compile(r"[+-]?[.,]*[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")
"""A plain number, with a point or a comma for the decimals."""

Row = dict[str, Any]


class RowsUnusable(ValueError):
    """A file cannot be read, or written, as rows; says what to do."""


def format_of(path: Path) -> str:
    """The format that a file's name says it has. Raises RowsUnusable for another one."""
    ending = path.suffix.lower().removeprefix(".")
    found = OTHER_NAMES.get(ending, ending)
    if found not in FORMATS:
        raise RowsUnusable(f"{path.name}: the name has to end in one of {', '.join('.' + name for name in FORMATS)}.")
    return found


def lines(file: IO[bytes]) -> Iterator[str]:
    """Lines of a text, one at a time.

    Raises:
        RowsUnusable: It is no text, or not UTF-8.
    """
    _refuse_binary(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        for line in text:
            yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RowsUnusable(
            f"The input is not UTF-8 (byte {error.object[error.start]:#x}). Save it as UTF-8."
        ) from error
    finally:
        text.detach()


def _refuse_binary(file: IO[bytes]) -> None:
    # Files and pipes are buffered: their first bytes can be looked at and still be read.
    kind = binary_kind(file.peek(100)) if isinstance(file, io.BufferedReader) else None
    if kind is not None:
        raise RowsUnusable(f"The input is {kind}, not text with one text a line. Say what it is: --format.")


class Sink(Protocol):
    """Where rows go."""

    def write(self, row: Row) -> None:
        """Write one row."""
        ...


@dataclass
class JsonlSink:
    """Rows as JSON objects, one a line."""

    file: IO[str]

    def write(self, row: Row) -> None:
        """Write one row."""
        self.file.write(json.dumps(row, ensure_ascii=False) + "\n")


@dataclass
class DelimitedSink:
    """Rows as CSV or TSV under the columns of the first row, with formulas made harmless."""

    file: IO[str]
    delimiter: str
    begun: bool = False

    def write(self, row: Row) -> None:
        """Write one row."""
        writer = csv.writer(self.file, delimiter=self.delimiter, lineterminator="\n")
        if not self.begun:
            writer.writerow(row)
            self.begun = True
        writer.writerow([_cell(value) for value in row.values()])


def sink(file: IO[str], format_: str) -> Sink:
    """Where rows go in a format."""
    return JsonlSink(file) if format_ == "jsonl" else DelimitedSink(file, "\t" if format_ == "tsv" else ",")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return defuse(value if isinstance(value, str) else json.dumps(value))


def defuse(cell: str) -> str:
    """A cell's text; one that a spreadsheet would run as a formula gets a leading ``'``. Plain numbers stay."""
    return f"'{cell}" if cell[:1] in _FORMULA and _NUMBER.fullmatch(cell) is None else cell
