"""One cell as a text or as a label, or why it is neither."""

import math
import re
import unicodedata
from dataclasses import dataclass

from adapters.cells import MISSING_WORDS, number
from service.uploads.limits import Limits
from service.uploads.rows import Cell, Nested

_INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Bad:
    """Why a cell cannot be used."""

    reason: str


def as_text(cell: Cell, limits: Limits) -> str | Bad:
    """The cell as it came, if it is a text of 1 to `limits.cell_chars` characters with something to see in it."""
    if not isinstance(cell, str):
        return Bad(f"the text is {_kind(cell)}; it must be a string")
    if len(cell) > limits.cell_chars:
        return Bad(f"the text has {len(cell)} characters; the limit is {limits.cell_chars}")
    if is_blank(cell):
        return Bad("the text is blank")
    if _UNSTORABLE.search(cell):
        return Bad("the text holds a NUL or half a surrogate pair, which cannot be stored")
    return cell


def as_label(cell: Cell, limits: Limits) -> str | Bad:
    """The cell as a class name: without surrounding blanks, in Unicode's composed form (NFC).

    A whole number and true or false become their text: spreadsheets and data frames write class ids that way, and a
    column of whole numbers with a gap in it as floating point (``3.0`` is class ``3``).
    """
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, int):
        return str(cell) if abs(cell) < 10**18 else Bad("the label is a number of more than 18 digits")
    if not isinstance(cell, str):
        return Bad(f"the label is {_kind(cell)}; it must be a string or a whole number")
    return _clean(cell, limits)


def as_target(cell: Cell) -> float | Bad:
    """The cell as a finite number, if it is one: a JSON number, or a text such as ``-1.5e3``."""
    if cell is None or isinstance(cell, bool | Nested):
        return Bad(f"the target is {_kind(cell)}; it must be a number")
    value = number(cell)
    if value is None:
        return Bad("the target is not a number")
    if math.isnan(value):
        return Bad("the target is missing")
    return value if math.isfinite(value) else Bad("the target is not a finite number")


def is_empty(cell: Cell) -> bool:
    """Nothing there: null, NaN, an empty text or a word for it (``NA``, ``null``)."""
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in MISSING_WORDS)


def is_blank(text: str) -> bool:
    """Nothing to see: blanks, control and format characters only."""
    stripped = text.strip()
    # Most texts have a printable character at once; only the rest is worth a look at each.
    return not any(map(str.isprintable, stripped)) and all(
        unicodedata.category(char) in _INVISIBLE for char in stripped
    )


def _clean(cell: str, limits: Limits) -> str | Bad:
    label = cell.strip()
    if len(label) > limits.label_chars:
        return Bad(f"the label has {len(label)} characters; the limit is {limits.label_chars}")
    if is_blank(label):
        return Bad("the label is blank")
    if _UNSTORABLE.search(label):
        return Bad("the label holds a NUL or half a surrogate pair, which cannot be stored")
    return unicodedata.normalize("NFC", label)


def _kind(cell: Cell) -> str:
    if cell is None:
        return "missing (null)"
    if isinstance(cell, Nested):
        return cell.kind
    if isinstance(cell, bool):
        return "true or false"
    if isinstance(cell, float) and math.isnan(cell):
        return "missing (NaN)"
    return "a number that is not whole" if isinstance(cell, float) else "a number"
