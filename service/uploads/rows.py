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


@dataclass(frozen=True, slots=True)
class Listed(Nested):
    """A list of plain values, which may be several labels."""

    values: tuple[Scalar, ...] = ()


Cell = Scalar | Nested

MOST_LISTED = 1_000
"""Most values of a list that are kept; of a longer one nothing but that it is a list."""


def listed(values: Sequence[object]) -> Nested:
    """A list as a cell: with its values where they are plain and not too many."""
    plain = tuple(value for value in values if value is None or isinstance(value, str | int | float))
    return Listed("a list", plain) if len(plain) == len(values) <= MOST_LISTED else Nested("a list")


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
