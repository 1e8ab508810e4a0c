"""Numbers as they are written where the comma is the decimal sign."""

import re
from collections.abc import Sequence

from adapters.cells import MISSING_WORDS
from service.uploads.rows import Cell

_DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?\s*", re.ASCII)
_WHOLE = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d+)\s*", re.ASCII)


def has_decimal_commas(cells: Sequence[object]) -> bool | None:
    """Whether a column is of numbers with decimal commas.

    Args:
        cells: (n,) as read; words for missing values do not count.

    Returns:
        True where some number has a comma and no cell is anything but a number, False where a cell is something else,
        None where there are whole numbers alone, which can be either.
    """
    found = None
    for cell in cells:
        if isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell):
            found = True
        elif not _is_whole_or_missing(cell):
            return False
    return found


def with_point(cell: Cell) -> Cell:
    """A number of such a column, written with a point: ``1.234,5`` gives ``1234.5``; anything else as it is."""
    if isinstance(cell, str) and (_DECIMAL_COMMA.fullmatch(cell) or _WHOLE.fullmatch(cell)):
        return cell.replace(".", "").replace(",", ".")
    return cell


def _is_whole_or_missing(cell: object) -> bool:
    return isinstance(cell, str) and (_WHOLE.fullmatch(cell) is not None or cell.strip().casefold() in MISSING_WORDS)
