"""One cell as a text or as a label, or why it is neither."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.cells import MISSING_WORDS, number
from service.uploads.limits import Limits
from service.uploads.rows import Cell, Listed, Nested

BAR = "|"
"""What joins several labels in one text."""

_LARGEST_WEIGHT = 1e30
"""The weights of all rows together must fit a float32."""
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
    if isinstance(cell, Listed) and len(cell.values) == 1:
        return as_label(cell.values[0], limits)
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, int):
        return str(cell) if abs(cell) < 10**18 else Bad("the label is a number of more than 18 digits")
    if not isinstance(cell, str):
        return Bad(f"the label is {_kind(cell)}; it must be a string or a whole number")
    return _clean(cell, limits, "label")


def as_labels(cell: Cell, limits: Limits) -> tuple[str, ...] | Bad:
    """The cell as any number of class names, each as `as_label` has it and there once: a list, or ``a|b``.

    Nothing (null, a blank text, an empty list) is no name at all.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ()
    parts: Sequence[Cell] = (
        cell.values if isinstance(cell, Listed) else parts_of(cell) if isinstance(cell, str) else [cell]
    )
    labels = [as_label(part, limits) for part in parts]
    bad = next((label for label in labels if isinstance(label, Bad)), None)
    return bad or tuple(dict.fromkeys(label for label in labels if isinstance(label, str)))


def parts_of(cell: str) -> list[str]:
    """The names in ``a|b``; blank ones are passed over."""
    return [part for part in cell.split(BAR) if not is_blank(part)]


def as_group(cell: Cell, limits: Limits) -> str | Bad | None:
    """The cell as what its row belongs to, cleaned as a label is; None where there is nothing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and is_blank(cell)):
        return None
    if isinstance(cell, Nested):
        return Bad(f"the group is {cell.kind}; it must be a string or a number")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return _clean(str(cell), limits, "group")


def as_weight(cell: Cell) -> float | Bad:
    """The cell as a finite number that is not negative."""
    value = as_target(cell, "weight")
    if isinstance(value, Bad) or 0 <= value <= _LARGEST_WEIGHT:
        return value
    return Bad("the weight is negative" if value < 0 else f"the weight is larger than {_LARGEST_WEIGHT:g}")


def as_target(cell: Cell, role: str = "target") -> float | Bad:
    """The cell as a finite number, if it is one: a JSON number, or a text such as ``-1.5e3``."""
    if cell is None or isinstance(cell, bool | Nested):
        return Bad(f"the {role} is {_kind(cell)}; it must be a number")
    value = number(cell)
    if value is None:
        return Bad(f"the {role} is not a number")
    if math.isnan(value):
        return Bad(f"the {role} is missing")
    return value if math.isfinite(value) else Bad(f"the {role} is not a finite number")


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


def _clean(cell: str, limits: Limits, role: str) -> str | Bad:
    name = cell.strip()
    if len(name) > limits.label_chars:
        return Bad(f"the {role} has {len(name)} characters; the limit is {limits.label_chars}")
    if is_blank(name):
        return Bad(f"the {role} is blank")
    if _UNSTORABLE.search(name):
        return Bad(f"the {role} holds a NUL or half a surrogate pair, which cannot be stored")
    return unicodedata.normalize("NFC", name)


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
