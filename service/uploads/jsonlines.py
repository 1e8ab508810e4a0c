"""JSON Lines: one object a line, streamed; a line that is not one is a bad row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Literal, NoReturn

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.rows import Cell, Nested, Record, Row

SAMPLE_ROWS = 100
"""Rows whose fields name the columns; a field that none of them has is not found."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON")


DECODER = JSONDecoder(parse_constant=_no_constant)
"""Strict in what it takes: no NaN, no Infinity."""


@dataclass(frozen=True)
class JsonLinesTable:
    """A JSON Lines file whose first rows have been seen (see `Table`)."""

    path: Path
    columns: tuple[str, ...]
    limits: Limits
    format: Literal["jsonl"] = "jsonl"
    notes: tuple[str, ...] = ()

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """One row a line that is not blank (see `Table.rows`)."""
        return (keep(record, columns) for record in _objects(self.path, self.limits))


def read_json_lines(path: Path, limits: Limits) -> JsonLinesTable:
    """Opens a JSON Lines file: names the fields of its first 100 rows.

    Raises:
        UploadRefused: There is no row, or none of the first 100 is an object.
        UploadTooLarge: A row has more fields than `limits.columns`.
    """
    return JsonLinesTable(path, field_names(_objects(path, limits), limits), limits)


def field_names(records: Iterator[Record], limits: Limits) -> tuple[str, ...]:
    """Fields of the first rows, in the order in which they first occur.

    Raises:
        UploadRefused: There is no row, or none is an object.
        UploadTooLarge: More fields than `limits.columns`.
    """
    names: dict[str, None] = {}
    problems: list[Problem] = []
    seen = 0
    for seen, record in enumerate(records, start=1):
        if isinstance(record, Problem):
            problems.append(record)
        else:
            names.update(dict.fromkeys(record.cells))
        if len(names) > limits.columns:
            raise UploadTooLarge(
                f"The first {seen} rows have {len(names)} fields; the limit is {limits.columns}. "
                "Send the text and the label alone."
            )
        if seen == SAMPLE_ROWS:
            break
    if not names:
        raise _no_objects(seen, problems)
    return tuple(names)


def keep(record: Record, columns: Sequence[str]) -> Record:
    """The record with only `columns`; lists and objects in them become `Nested`."""
    if isinstance(record, Problem):
        return record
    return Row(record.number, {name: record.cells[name] for name in columns if name in record.cells})


def as_record(number: int, value: object) -> Record:
    """A decoded JSON value as a row, or why it is none."""
    if not isinstance(value, dict):
        return Problem(f"is {_kind(value)}, not an object", row=number)
    return Row(number, {name.strip(): _cell(cell) for name, cell in value.items()})


def reason_of(error: ValueError | RecursionError) -> str:
    """Why a value could not be decoded, in words that hold nothing of it."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, JSONDecodeError):
        return f"is not valid JSON: {error.msg.lower()} at character {error.pos + 1}"
    return str(error) if str(error).endswith("not JSON") else "holds a number with too many digits"


def _objects(path: Path, limits: Limits) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in _lines(stream, limits):
            if line is None:
                yield Problem(f"is longer than {limits.row_chars} characters", row=number)
            elif not line.isspace():
                yield _decode(number, line)


def _lines(stream: TextIOWrapper, limits: Limits) -> Iterator[tuple[int, str | None]]:
    """Lines with their numbers; `None` for one that is too long, whose rest is skipped unread."""
    number = 0
    while line := stream.readline(limits.row_chars + 1):
        number += 1
        if number > limits.rows:
            raise UploadTooLarge(f"The file has more than {limits.rows} rows, which is the limit. Send a part of them.")
        too_long = len(line) > limits.row_chars
        yield number, None if too_long else line
        while too_long and line and not line.endswith("\n"):
            line = stream.readline(limits.row_chars)


def _decode(number: int, line: str) -> Record:
    try:
        return as_record(number, DECODER.decode(line.rstrip()))
    except (ValueError, RecursionError) as error:
        return Problem(reason_of(error), row=number)


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, str | int | float) else Nested(_kind(value))


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _no_objects(seen: int, problems: list[Problem]) -> UploadRefused:
    if not seen:
        return UploadRefused('The file holds no rows. Send one object a line: {"text": "...", "label": "..."}.')
    return UploadRefused(
        f"None of the first {seen} lines is a JSON object with fields. "
        'JSON Lines has one object a line: {"text": "...", "label": "..."}.',
        problems=problems,
    )
