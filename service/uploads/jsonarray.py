"""One JSON list of objects, as `pandas.to_json(orient="records")` writes it: read element by element.

Elements have no line ends to start again from, so a broken one ends the file: it is refused with the element's number.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from json import JSONDecodeError
from pathlib import Path
from typing import Literal

from models.errors import Problem
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads.jsonlines import DECODER, SAMPLE_ROWS, Object, as_object, as_record, field_names, reason_of
from service.uploads.limits import Limits
from service.uploads.rows import Record

_CHUNK_CHARS = 1 << 16
_BLANKS = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class JsonArrayTable:
    """A JSON list whose first elements have been seen (see `Table`)."""

    path: Path
    columns: tuple[str, ...]
    limits: Limits
    format: Literal["json"] = "json"
    notes: tuple[str, ...] = ()

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """One row an element (see `Table.rows`)."""
        return (as_record(number, value, columns) for number, value in self.objects())

    def objects(self) -> Iterator[Object]:
        """The same rows as they are in the file, with all their fields, lists and objects included."""
        return _objects(self.path, self.limits)


def read_json_array(path: Path, limits: Limits, *, named_by: int | None = SAMPLE_ROWS) -> JsonArrayTable:
    """Opens a JSON list: names the fields of its first `named_by` elements (`None` = of all).

    Raises:
        UploadRefused: The list is empty, or none of those elements is an object.
        UploadTooLarge: An element has more fields than `limits.columns`.
        UploadUnreadable: One of them is not valid JSON.
    """
    return JsonArrayTable(path, field_names(islice(_objects(path, limits), named_by), limits), limits)


class _Window:
    """The part of the file that is being decoded: what is left of one chunk, or one element that is longer."""

    def __init__(self, stream: TextIOWrapper) -> None:
        self._stream = stream
        self._ended = False
        self.text = ""
        self.at = 0

    def grow(self) -> bool:
        """Reads on, as much again as is left, so that a long element costs few tries; False at the end of the file."""
        left = len(self.text) - self.at
        piece = "" if self._ended else self._stream.read(max(_CHUNK_CHARS, left))
        self._ended = not piece
        self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def next_char(self) -> str:
        """Steps to the next character that is not blank; an empty string at the end of the file."""
        while True:
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches the empty string
            if self.at < len(self.text) or not self.grow():
                return self.text[self.at : self.at + 1]


def _objects(path: Path, limits: Limits) -> Iterator[Object]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        window = _Window(stream)
        window.next_char()
        window.at += 1  # the bracket that made this file a list
        number = 0
        while window.next_char() != "]" or number:
            number += 1
            if number > limits.rows:
                raise UploadTooLarge(f"The list has more than {limits.rows} elements. Send a part of them.")
            yield number, as_object(number, _element(window, number, limits))
            if not _comma(window, number):
                break
        else:
            window.at += 1
        if window.next_char():
            raise _broken(number, "something follows the end of the list")


def _element(window: _Window, number: int, limits: Limits) -> object:
    """Decodes one element; the window grows until it is whole, and steps behind it."""
    while True:
        try:
            value, end = DECODER.raw_decode(window.text, window.at)
        except JSONDecodeError as error:
            if len(window.text) - window.at > limits.row_chars or not window.grow():
                raise _broken(number, reason_of(error).partition(" at character")[0]) from None
        except (ValueError, RecursionError) as error:
            raise _broken(number, reason_of(error)) from None
        else:
            # A number at the window's end may go on behind it.
            if end < len(window.text) or not window.grow():
                window.at = end
                return value


def _comma(window: _Window, number: int) -> bool:
    """Steps over what follows an element: True behind a comma, False behind the closing bracket."""
    char = window.next_char()
    if char not in {",", "]"}:
        raise _broken(number, "a comma or the closing bracket is missing behind it")
    window.at += 1
    return char == ","


def _broken(number: int, seen: str) -> UploadUnreadable:
    return UploadUnreadable(
        f"The JSON list cannot be read at element {number}: {seen}. "
        "Mend it, or send JSON Lines (one object a line), where a broken line costs that line alone.",
        problems=[Problem(seen, row=max(number, 1))],
    )
