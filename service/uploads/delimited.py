"""CSV and TSV: RFC 4180, streamed, with the structure checked while it is read.

    path -> _Lines (bounded) -> csv.reader (strict) -> Row | Problem

A quote that is opened and never closed swallows the rows after it. Such a file is refused as a whole, naming the row
where the quote opened: a reader that went on would lose rows without a word.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.rows import Record, Row

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}
_QUOTE_REMEDY = 'Put texts that hold the delimiter, a quote or a line end in quotes, and double a quote inside ("").'


class _Lines:
    """Lines of a text file, never more than `limit` characters for one row.

    `csv.reader` pulls as many lines as a quoted cell spans; `start_row` resets the count between rows.
    """

    def __init__(self, stream: TextIOWrapper, limit: int, delimiter: str, columns: int) -> None:
        self._stream = stream
        self._limit = limit
        self._delimiter = delimiter
        self._columns = columns
        self._row = 0
        self._chars = 0
        self._lines = 0

    def start_row(self, row: int) -> None:
        self._row, self._chars, self._lines = row, 0, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self._lines += 1
        self._chars += len(line)
        if self._chars > self._limit:
            raise self._too_long(line)
        return line

    def _too_long(self, line: str) -> UploadTooLarge | UploadUnreadable:
        if self._lines > 1:
            return _unclosed(self._row, f"the row is longer than {self._limit} characters")
        if line.count(self._delimiter) >= self._columns:
            return _too_many_columns(f"more than {line.count(self._delimiter)}", self._columns)
        return UploadTooLarge(
            f"{_place(self._row)} is longer than {self._limit} characters, which is the limit. "
            "Shorten it, or check that the file has line ends."
        )


@dataclass(frozen=True)
class DelimitedTable:
    """A CSV or TSV file whose header has been read (see `Table`)."""

    path: Path
    format: Literal["csv", "tsv"]
    delimiter: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    limits: Limits

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """Rows after the header; blank lines are counted and left out (see `Table.rows`)."""
        wanted = [(name, self.columns.index(name)) for name in columns]
        for number, fields in _records(self.path, self.delimiter, self.limits):
            if number == 0 or not fields:
                continue
            if isinstance(fields, Problem):
                yield fields
            elif len(fields) != len(self.columns):
                yield Problem(_ragged(len(fields), len(self.columns), self.delimiter), row=number)
            else:
                yield Row(number, {name: fields[index] for name, index in wanted})


def read_delimited(path: Path, kind: Literal["csv", "tsv"], limits: Limits) -> DelimitedTable:
    """Opens a CSV or TSV file: finds its delimiter and reads its header.

    The delimiter is the one that the format is named after; where the header has none of it, a semicolon (which Excel
    writes in many countries), a tab or a comma.

    Raises:
        UploadRefused: There is no header.
        UploadTooLarge: The header has more columns or characters than the limits allow.
        UploadUnreadable: The header's quotes are broken.
    """
    usual = "," if kind == "csv" else "\t"
    delimiter = _delimiter(path, usual, limits)
    _, header = next(_records(path, delimiter, limits), (0, []))
    if isinstance(header, Problem):
        raise UploadUnreadable(f"The header cannot be read: {header.detail}")
    if not header:
        raise UploadRefused("The file holds no rows, only blanks. Send a header, such as 'text,label', and rows.")
    if len(header) > limits.columns:
        raise _too_many_columns(str(len(header)), limits.columns)
    notes = () if delimiter == usual else (f"The columns are separated by a {_NAMES[delimiter]}.",)
    return DelimitedTable(path, kind, delimiter, tuple(name.strip() for name in header), notes, limits)


def _records(path: Path, delimiter: str, limits: Limits) -> Iterator[tuple[int, list[str] | Problem]]:
    """Rows as lists of fields, the header as row 0; an empty list is a blank line, which before the header is dropped.

    Only the first line that is not blank can be the header, so blank lines before it carry no number.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = _Lines(stream, limits.row_chars, delimiter, limits.columns)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        number = blank = 0
        while True:
            lines.start_row(number)
            first_line = reader.line_num
            try:
                fields: list[str] | Problem = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fields = _broken(error, number, reader.line_num - first_line)
            if number == 0 and not fields:
                blank += 1
                _check_rows(blank, limits)
                continue
            _check_rows(number, limits)
            yield number, fields
            number += 1


def _check_rows(number: int, limits: Limits) -> None:
    if number > limits.rows:
        raise UploadTooLarge(f"The file has more than {limits.rows} rows, which is the limit. Send a part of them.")


def _broken(error: csv.Error, row: int, lines: int) -> Problem:
    """A row that breaks the quoting rules: bad by itself on one line, fatal where it swallowed others."""
    if "unexpected end of data" in str(error):
        raise _unclosed(row, "the file ends inside it") from None
    if lines > 1:
        raise _unclosed(row, f"it runs on over {lines} lines and does not end as a quoted cell must") from None
    if "field larger" in str(error):
        return Problem(f"a cell is longer than {csv.field_size_limit()} characters; shorten it", row=row)
    return Problem(f"a quoted cell goes on after its closing quote; {_QUOTE_REMEDY}", row=row)


def _unclosed(row: int, seen: str) -> UploadUnreadable:
    message = f"{_place(row)} opens a quote that is not closed: {seen}. {_QUOTE_REMEDY}"
    return UploadUnreadable(message, problems=[Problem("opens a quote that is not closed", row=row)] if row else ())


def _ragged(seen: int, expected: int, delimiter: str) -> str:
    fields = "1 field" if seen == 1 else f"{seen} fields"
    return f"has {fields}, the header has {expected}; quote a text that holds a {_NAMES[delimiter]}"


def _too_many_columns(seen: str, limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"The header has {seen} columns; the limit is {limit}. Leave out the columns that are not needed."
    )


def _place(row: int) -> str:
    return f"Row {row}" if row else "The header"


def _delimiter(path: Path, usual: str, limits: Limits) -> str:
    """The usual delimiter if the first line that is not blank has one; else the commonest of the others in it."""
    with path.open(encoding="utf-8-sig") as stream:
        line = ""
        while not line.strip() and (piece := stream.readline(limits.row_chars)):
            line = piece
    if usual in line:
        return usual
    other = max(_NAMES, key=line.count)
    return other if other in line else usual
