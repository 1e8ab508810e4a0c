"""Which kind of value a column of a table holds, and which columns nothing can be learned from."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from adapters.cells import F64, Parsed, dates, is_absent, numbers, texts, truths


class Kind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    CATEGORY = "category"


PARSERS: Mapping[Kind, Callable[[Sequence[object]], Parsed]] = MappingProxyType(
    {Kind.BOOLEAN: truths, Kind.NUMBER: numbers, Kind.DATE: dates}
)
"""How a column of each kind is read as numbers; categories stay texts."""

NOUNS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NUMBER: "numbers",
        Kind.BOOLEAN: "true or false",
        Kind.DATE: "ISO 8601 dates",
        Kind.CATEGORY: "texts or numbers",
    }
)
"""What the cells of each kind are called in a message."""

_EMPTY = "it has no values"
_PROBED = 100
_PROBED_WRONG = 0.1
_WRONG_OF = 100
_FEWEST_NUMBERED = 5
_LONG_CHARS = 200
_TEXT_WORDS = 3
_TEXT_DIFFERENT = 0.7
_ID_DIFFERENT = 0.9
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "guid", "index", "idx"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why nothing can be learned from a column.

    Attributes:
        reason: Continues "it is left out: ".
        keep_as: The kind under which the caller may keep it, where that can make sense.
    """

    reason: str
    keep_as: Kind | None = None


def guess(name: str, cells: Sequence[object]) -> Kind | LeftOut:
    """What a column holds.

    A column is of truth values, numbers or dates if at most one in a hundred of its values is not; otherwise of
    categories. Left out are columns that are empty or the same in every row, row numbers, identifiers, free text,
    and lists or objects.

    Args:
        name: Of the column; whole numbers that all differ are an identifier if it says so ("customer_id").
        cells: (n,) as the caller gave them.

    Cost: some passes over the cells, 1 us a cell.
    """
    present = [cell for cell in cells if not is_absent(cell)]
    if not present:
        return LeftOut(_EMPTY)
    for kind in PARSERS:
        values = _values_of(kind, cells, present)
        if values is not None:
            return _useless_numbers(name, kind, values, len(cells)) or kind
    return _useless_texts(cells) or Kind.CATEGORY


def _values_of(kind: Kind, cells: Sequence[object], present: Sequence[object]) -> F64 | None:
    """The values there are, if (nearly) all present cells are of that kind."""
    parser = PARSERS[kind]
    probe = present[:: -(-len(present) // _PROBED)]
    if len(parser(probe).wrong) > _PROBED_WRONG * len(probe):
        return None
    if (kind is Kind.BOOLEAN and not any(map(_is_truth_word, present))) or (
        kind is Kind.NUMBER and _are_codes(present)
    ):
        return None
    parsed = parser(cells)
    values = parsed.values[~np.isnan(parsed.values)]
    return values if len(values) and len(parsed.wrong) <= len(present) // _WRONG_OF else None


def _is_truth_word(cell: object) -> bool:
    """Ones and zeros alone are numbers."""
    return isinstance(cell, bool) or (isinstance(cell, str) and cell.strip().casefold() in {"true", "false"})


def _are_codes(present: Sequence[object]) -> bool:
    """Digits of one length, some with leading zeros, as in postal codes: their zeros mean something."""
    codes = [cell.strip() for cell in present if isinstance(cell, str)]
    if len(codes) < len(present) or len(set(map(len, codes))) != 1 or len(codes[0]) < 2:
        return False
    return all(map(str.isdecimal, codes)) and any(code.startswith("0") for code in codes)


def _useless_numbers(name: str, kind: Kind, values: F64, n: int) -> LeftOut | None:
    low, high = values.min(), values.max()
    if low == high:
        # With gaps, whether there is a value still tells rows apart.
        return LeftOut("it is the same in every row") if len(values) == n else None
    different = kind is Kind.NUMBER and n >= _FEWEST_NUMBERED and len(np.unique(values)) == n
    if not different or (values % 1).any():
        return None
    if low in {0, 1} and high - low == n - 1:
        return LeftOut("it numbers the rows", Kind.NUMBER)
    if _ID_WORDS & {word.casefold() for word in _WORD.findall(name)}:
        return LeftOut("it is an identifier, different in every row", Kind.NUMBER)
    return None


def _useless_texts(cells: Sequence[object]) -> LeftOut | None:
    parsed = texts(cells)
    values = [value for value in parsed.values if value]
    if len(parsed.wrong) > len(values):
        return LeftOut("it holds lists or objects")
    n, different = len(values), len(set(values))
    if n == 0:
        return LeftOut(_EMPTY)
    if different == 1:
        return LeftOut("it is the same in every row") if n == len(cells) else None
    words = sum(len(value.split()) for value in values) / n
    if sum(map(len, values)) > _LONG_CHARS * n or (words >= _TEXT_WORDS and different > _TEXT_DIFFERENT * n):
        return LeftOut("it holds free text, which tables do not learn from", Kind.CATEGORY)
    if different > _ID_DIFFERENT * n:
        return LeftOut("it is an identifier, different in (nearly) every row", Kind.CATEGORY)
    return None
