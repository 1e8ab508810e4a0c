"""What a reader gives: a table of named columns, read row by row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.errors import Problem
from service.errors import UploadTooLarge
from service.uploads.limits import Limits

Scalar = str | int | float | bool | None
"""A cell that can be a text or a label."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A cell that holds a list or an object; only its kind is kept."""

    kind: str


Cell = Scalar | Nested


@dataclass(frozen=True, slots=True)
class Row:
    """One readable row.

    Attributes:
        number: 1-based, the header not counted; blank lines are counted, so that it is the row an editor shows.
        cells: Value of each column that was asked for; a column that this row lacks is missing here.
    """

    number: int
    cells: Mapping[str, Cell]


Record = Row | Problem
"""A row, or why it cannot be read; a `Problem` always carries its row number."""


class Table(Protocol):
    """An upload as named columns. Opening it reads no more than the names."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names as they stand in the file, in its order, without surrounding blanks."""
        ...

    @property
    def format(self) -> str:
        """``csv``, ``tsv``, ``jsonl``, ``json`` or ``parquet``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader had to decide by itself, as sentences without content of the file."""
        ...

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """Reads the file from its start, one row at a time, keeping only `columns`.

        Raises:
            UploadTooLarge: More rows, or a longer row, than the limits allow.
            UploadUnreadable: The file breaks off, or its structure is lost and no later row can be trusted.
        """
        ...


def check_cells(cells: int, limits: Limits) -> None:
    """Makes sure that a table fits in memory.

    Args:
        cells: Rows times columns.
        limits: Has the most.

    Raises:
        UploadTooLarge: It does not.
    """
    if cells > limits.cells:
        raise UploadTooLarge(
            f"The table has at least {cells} cells, rows times columns; the limit is {limits.cells}. "
            "Leave out columns that are not needed, or send fewer rows."
        )
