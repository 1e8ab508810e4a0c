"""The cells of one column as the values of an attribute, or of a group of attributes of which a class has one.

1, 0.5, -3e2, NA            numbers
yes, no, true, false, ?     1 and 0
none, short, long           a group: tail=long, tail=none, tail=short
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan

import numpy as np

from adapters.base import F32
from adapters.cells import number, shown, text
from service.uploads.rows import Cell, Nested

MISSING = frozenset({"", "na", "nan", "null", "?"})
"""Nothing is known, in any case; no other word and no number says so: ``none`` may be the tail of an animal."""

LARGEST = 1e15
"""Larger values leave no digit of the others in a float32 sum."""

MOST_VALUES = 100
"""Most different words of a column that nobody named as a group: a column with more holds descriptions."""

MOST_NAMED_VALUES = 1_000
MOST_CHARS = 200

_TRUTHS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_SPELLINGS = {spelt for word in MISSING for spelt in (word, word.upper(), word.title(), "NaN")}
_NO_VALUE = dict.fromkeys(_SPELLINGS, "nan")


@dataclass(frozen=True, eq=False)
class Typed:
    """One column.

    Attributes:
        names: (m,) of the attributes.
        values: (k, m) float32, NaN where nothing is known.
        grouped: They are the values of one column, of which a class has one.
    """

    names: tuple[str, ...]
    values: F32
    grouped: bool = False


@dataclass(frozen=True)
class Mistyped:
    """A column that cannot be used: which of its cells, and why."""

    cells: Sequence[tuple[int, str]]


def typed(name: str, cells: Sequence[Cell]) -> Typed | Mistyped:
    """A column whose cells say what it is: numbers, yes and no, or words.

    Cost: 0.3 us a cell of numbers, 1 us of anything else.
    """
    values = _plain(cells)
    if values is None:
        kinds = [_kind(cell) for cell in cells]
        there = set(kinds) - {"missing"}
        if there == {"word"}:
            return grouped(name, cells, (), most=MOST_VALUES)
        if wrong := _strays(cells, kinds, there):
            return Mistyped(wrong)
        values = np.array([_value(cell) for cell in cells])
    with np.errstate(invalid="ignore"):
        too_large = np.flatnonzero(np.abs(values) > LARGEST).tolist()
    if too_large:
        what = f"is not within -{LARGEST:g} and {LARGEST:g}; use another unit, or leave the cell empty"
        return Mistyped([(at, f"{shown(cells[at])} {what}") for at in too_large])
    return Typed((name,), values.astype(np.float32)[:, None])


def grouped(name: str, cells: Sequence[Cell], values: Sequence[str], most: int = MOST_NAMED_VALUES) -> Typed | Mistyped:
    """A column as one attribute for each of its values, such as ``legs=4``.

    Args:
        name: Of the column.
        cells: (k,) as they came; numbers that are equal are one value, however they are written.
        values: Those that there are, in order; empty to take those of the cells, numbers before words.
        most: Most different ones.
    """
    told = [value_of(cell) for cell in cells]
    if wrong := [(at, f"{shown(cells[at])} is no value of a group") for at, one in enumerate(told) if one is None]:
        return Mistyped(wrong)
    known = values or sorted({one for one in told if one}, key=_in_order)
    if len(known) > most:
        at = next((at for at, one in enumerate(told) if one), 0)
        what = f"the column has {len(known):,} different values, the limit is {most:,}; leave it out, or send numbers"
        return Mistyped([(at, what)])
    place = {one: column for column, one in enumerate(known)}
    if wrong := [(at, _foreign(one, known)) for at, one in enumerate(told) if one and one not in place]:
        return Mistyped(wrong)
    table = np.zeros((len(cells), len(known)), dtype=np.float32)
    for at, one in enumerate(told):
        if one:
            table[at, place[one]] = 1
        else:
            table[at] = nan
    return Typed(tuple(f"{name}={one}" for one in known), table, grouped=True)


def value_of(cell: Cell) -> str | None:
    """What a cell is called as a value of a group; "" where nothing is known, None for what cannot be one."""
    if _is_missing(cell):
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    value = number(cell)
    if value is not None and not isnan(value):
        return text(value) or None  # an infinite one is none
    told = text(cell)
    return told if told and len(told) <= MOST_CHARS else None


def _plain(cells: Sequence[Cell]) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """A column of nothing but numbers, as they are mostly written; None where a cell needs a closer look."""
    types = set(map(type, cells))
    if types <= {int, float, type(None)}:
        return np.array(cells, dtype=np.float64)
    if types != {str}:
        return None
    strings = [cell for cell in cells if isinstance(cell, str)]
    joined = "".join(strings)
    if not joined.isascii() or "_" in joined:  # Python also takes 1_000 and the digits of other scripts
        return None
    try:
        return np.array([float(cell) for cell in map(_NO_VALUE.get, strings, strings)], dtype=np.float64)
    except ValueError:
        return None


def _is_missing(cell: Cell) -> bool:
    if isinstance(cell, str):
        return cell.strip().casefold() in MISSING
    return cell is None or (isinstance(cell, float) and isnan(cell))


def _kind(cell: Cell) -> str:
    if _is_missing(cell):
        return "missing"
    if isinstance(cell, Nested):
        return "nested"
    if isinstance(cell, bool) or (isinstance(cell, str) and cell.strip().casefold() in _TRUTHS):
        return "truth"
    value = number(cell)
    if value is None or isnan(value):  # what `number` takes for missing and we do not, such as "-"
        return "word"
    return "bit" if value in {0.0, 1.0} else "number"


def _strays(cells: Sequence[Cell], kinds: Sequence[str], there: set[str]) -> list[tuple[int, str]]:
    """The cells that are not what the others are: the commonest kind is taken for what was meant."""
    if there <= {"bit", "number"} or there <= {"bit", "truth"}:
        return []
    numbers = sum(kind in {"bit", "number"} for kind in kinds)
    truths = sum(kind in {"bit", "truth"} for kind in kinds)
    words = kinds.count("word")
    if words > max(numbers, truths):
        meant, good = "words", {"word"}
    else:
        meant, good = ("numbers", {"bit", "number"}) if numbers >= truths else ("yes or no", {"bit", "truth"})
    remedy = 'mend it, leave it empty where nothing is known, or name the column in "groups"'
    return [
        (at, f"{shown(cells[at])} where other cells are {meant}; {remedy}")
        for at, kind in enumerate(kinds)
        if kind not in good | {"missing"}
    ]


def _value(cell: Cell) -> float:
    if _is_missing(cell):
        return nan
    if isinstance(cell, str) and (truth := _TRUTHS.get(cell.strip().casefold())) is not None:
        return truth
    value = number(cell)
    return nan if value is None else value


def _in_order(value: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words by the alphabet: whatever the order of the rows, the same attributes."""
    found = number(value)
    is_number = found is not None and isfinite(found)
    return not is_number, found if is_number and found is not None else 0.0, unicodedata.normalize("NFKD", value)


def _foreign(value: str, known: Sequence[str]) -> str:
    shown_values = ", ".join(map(repr, known[:10])) + (", ..." if len(known) > 10 else "")
    return f"{value[:60]!r} is none of the values that were named: {shown_values}"
