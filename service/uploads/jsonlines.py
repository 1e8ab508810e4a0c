"""JSON Lines: one object a line, streamed; a line that is not one is a bad row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, Literal, NoReturn

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.rows import Cell, Nested, Record, Row, listed

SAMPLE_ROWS = 100
"""Rows whose fields name the columns; a field that none of them has is not found."""

Object = tuple[int, dict[str, Any] | Problem]
"""A row's number and its object, or why it is none."""


class _NotJson(ValueError):
    """A word that Python writes and JSON does not have."""


def _no_constant(name: str) -> NoReturn:
    raise _NotJson(f"holds {name}, which is not JSON; write null for a missing value")


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
        return (as_record(number, value, columns) for number, value in self.objects())

    def objects(self) -> Iterator[Object]:
        """The same rows as they are in the file, with all their fields, lists and objects included."""
        return _objects(self.path, self.limits)


def read_json_lines(path: Path, limits: Limits, *, named_by: int | None = SAMPLE_ROWS) -> JsonLinesTable:
    """Opens a JSON Lines file: names the fields of its first `named_by` rows (`None` = of all).

    Raises:
        UploadRefused: There is no row, or none of those is an object.
        UploadTooLarge: A row has more fields than `limits.columns`.
    """
    return JsonLinesTable(path, field_names(islice(_objects(path, limits), named_by), limits), limits)


def field_names(objects: Iterator[Object], limits: Limits) -> tuple[str, ...]:
    """Fields of the rows, in the order in which they first occur.

    Raises:
        UploadRefused: There is no row, or none is an object.
        UploadTooLarge: More fields than `limits.columns`.
    """
    names: dict[str, None] = {}
    problems: list[Problem] = []
    seen = 0
    for seen, (_, value) in enumerate(objects, start=1):
        if not isinstance(value, Problem):
            names.update(dict.fromkeys(value))
        elif len(problems) < limits.listed_problems:
            problems.append(value)
        if len(names) > limits.columns:
            raise UploadTooLarge(
                f"The first {seen} rows have {len(names)} fields; the limit is {limits.columns}. "
                "Leave out the fields that are not needed."
            )
    if not names:
        raise _no_objects(seen, problems)
    return tuple(names)


def as_object(number: int, value: object) -> dict[str, Any] | Problem:
    """A decoded JSON value as an object, its names without surrounding blanks, or why it is none."""
    if not isinstance(value, dict):
        return Problem(f"is {_kind(value)}, not an object", row=number)
    return {name.strip(): cell for name, cell in value.items()}


def as_record(number: int, value: dict[str, Any] | Problem, columns: Sequence[str]) -> Record:
    """An object as a row with only `columns`; lists and objects in them become `Nested`."""
    if isinstance(value, Problem):
        return value
    return Row(number, {name: as_cell(value[name]) for name in columns if name in value})


def reason_of(error: ValueError | RecursionError) -> str:
    """Why a value could not be decoded, in words that hold nothing of it."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, JSONDecodeError):
        return f"is not valid JSON: {error.msg.lower()} at character {error.pos + 1}"
    return str(error) if isinstance(error, _NotJson) else "holds a number with too many digits"


def _objects(path: Path, limits: Limits) -> Iterator[Object]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in _lines(stream, limits):
            if line is None:
                yield number, Problem(f"is longer than {limits.row_chars} characters", row=number)
            elif not line.isspace():
                yield number, _decode(number, line)


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


def _decode(number: int, line: str) -> dict[str, Any] | Problem:
    try:
        return as_object(number, DECODER.decode(line.rstrip()))
    except (ValueError, RecursionError) as error:
        return Problem(reason_of(error), row=number)


def as_cell(value: object) -> Cell:
    """A decoded JSON value as a cell: of an object, or a list of anything but plain values, only the kind."""
    if isinstance(value, list):
        return listed(value)
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
