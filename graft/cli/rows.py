"""Files of rows: reading the texts to predict, writing the rows with their answers.

    CSV, TSV, JSONL, txt -> Source (columns, rows one at a time) ... rows -> Sink (CSV, TSV, JSONL)

Nothing is held in memory but the row at hand, so a file may have any length.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

from graft.cli.signatures import binary_kind

FORMATS = ("csv", "tsv", "jsonl", "txt")
TEXT_NAMES = ("text", "sentence", "utterance", "query", "message", "content", "question", "review", "body")
"""Columns taken for the texts where none is named, in this order."""
MOST_COLUMNS = 1000
"""Columns that a CSV or TSV file may have."""
DELIMITERS = (",", ";", "\t")
"""What separates columns; Excel writes semicolons where the comma is the decimal sign."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""

Row = dict[str, Any]


class RowsUnusable(ValueError):
    """A file cannot be read, or written, as rows; says which row and what to do."""


def format_of(path: Path, *, known: Sequence[str] = FORMATS) -> str:
    """The format that a file's name says it has. Raises RowsUnusable for another one."""
    found = path.suffix.lower().removeprefix(".")
    found = "jsonl" if found == "ndjson" else found
    if found not in known:
        raise RowsUnusable(f"{path.name}: the name has to end in one of {', '.join('.' + name for name in known)}.")
    return found


def read(file: IO[bytes], format_: str) -> Iterator[Row]:
    """Rows of a file, one at a time; a line of txt is a row with the column ``text``.

    Raises:
        RowsUnusable: It is no text or not UTF-8, or a row does not fit the header; says which.
    """
    _refuse_binary(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    readers = {"csv": _delimited, "tsv": _delimited, "jsonl": _jsonl, "txt": _lines}
    try:
        yield from readers[format_](text, "\t" if format_ == "tsv" else ",")
    except UnicodeDecodeError as error:
        raise RowsUnusable(
            f"The input is not UTF-8 (byte {error.object[error.start]:#x}). Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise RowsUnusable(f"The input is not {format_.upper()}: {error}.") from error
    finally:
        text.detach()


def _refuse_binary(file: IO[bytes]) -> None:
    # Files and pipes are buffered: their first bytes can be looked at and still be read.
    kind = binary_kind(file.peek(100)) if isinstance(file, io.BufferedReader) else None
    if kind is not None:
        raise RowsUnusable(
            f"The input is {kind}, not text. Send {', '.join('.' + name for name in FORMATS)} with one row a text"
            " (from a spreadsheet: save the sheet as CSV UTF-8)."
        )


def _delimited(text: IO[str], usual: str) -> Iterator[Row]:
    first = next((line for line in text if line.strip()), "")
    reader = csv.reader(chain([first], text), delimiter=_delimiter(first, usual), strict=True)
    header = next(reader, [])
    _check_header(header)
    for number, cells in enumerate(reader, start=1):
        if not cells:
            continue
        if len(cells) > len(header):
            raise RowsUnusable(f"Row {number} has {len(cells)} cells where the header has {len(header)}.")
        yield dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))


def _delimiter(line: str, usual: str) -> str:
    """The usual delimiter if the header has one; else the commonest of the others in it."""
    other = max(DELIMITERS, key=line.count)
    return usual if usual in line or other not in line else other


def _check_header(header: Sequence[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise RowsUnusable(
            f"The header has {len(header):,} columns; the limit is {MOST_COLUMNS:,}. "
            "Send the column of the texts and the few that you need beside the answers."
        )
    doubled = sorted(name for name, count in Counter(header).items() if count > 1)
    if doubled:
        raise RowsUnusable(f"The header names {', '.join(map(repr, doubled))} twice; every column needs its own name.")


def _jsonl(text: IO[str], _: str) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise RowsUnusable(f"Line {number} is not JSON: {error}.") from error
        if not isinstance(value, dict | str):
            raise RowsUnusable(f"Line {number} is neither an object nor a string.")
        yield {"text": value} if isinstance(value, str) else value


def _lines(text: IO[str], _: str) -> Iterator[Row]:
    for line in text:
        yield {"text": line.rstrip("\r\n")}


def text_column(row: Row, named: str | None) -> str:
    """The column that holds the texts. Raises RowsUnusable when it is not there, or cannot be guessed."""
    columns = ", ".join(map(repr, row))
    if named is not None:
        if named in row:
            return named
        raise RowsUnusable(f"There is no column {named!r}; there are: {columns}.")
    by_name = {name.lower().strip(): name for name in row}
    found = next((by_name[name] for name in TEXT_NAMES if name in by_name), None)
    if found is None and len(row) == 1:
        found = next(iter(row))
    if found is None:
        raise RowsUnusable(f"Which column holds the texts? Name it with --text; there are: {columns}.")
    return found


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
    columns: tuple[str, ...] = ()

    def write(self, row: Row) -> None:
        """Write one row. Raises RowsUnusable when it has a column that the first row has not."""
        writer = csv.writer(self.file, delimiter=self.delimiter, lineterminator="\n")
        if not self.columns:
            self.columns = tuple(row)
            writer.writerow([defuse(name) for name in self.columns])
        extra = sorted(set(row) - set(self.columns))
        if extra:
            raise RowsUnusable(f"A row has the column {extra[0]!r}, which the first row has not; write .jsonl instead.")
        writer.writerow([defuse(row.get(name)) for name in self.columns])


def sink(file: IO[str], format_: str) -> Sink:
    """Where rows go in a format."""
    return JsonlSink(file) if format_ == "jsonl" else DelimitedSink(file, "\t" if format_ == "tsv" else ",")


def defuse(value: object) -> str:
    """A cell's text; one that a spreadsheet would run as a formula gets a leading ``'``. Plain numbers stay."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
