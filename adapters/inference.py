"""What the columns of an upload hold: their kinds, ranges and categories."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from adapters.cells import Parsed, ParsedTexts, iso, shown, texts
from adapters.errors import ParameterInvalid
from adapters.kinds import NOUNS, PARSERS, Kind, LeftOut, guess
from adapters.schema import Column, Schema
from models.errors import InputError, Problem

_MOST_FEATURES = 5000
_MOST_CATEGORIES, _FEWEST_CATEGORIES = 200, 10
_LONGEST_CATEGORY = 200
_EXAMPLES = 3
_EXAMINED = 1000
_LISTED = 10
_WRONG_SHARE = 0.1
_IGNORE = "ignore"
_CHOICES = (*Kind, _IGNORE)


def infer(
    cells: Mapping[str, Sequence[object]],
    *,
    kinds: Mapping[str, str] = MappingProxyType({}),
    numbers: Sequence[int] | None = None,
) -> tuple[Schema, list[str]]:
    """Find out what the columns of a table hold.

    Args:
        cells: Cells of every column, n each, as CSV (strings), JSON or Parquet give them.
        kinds: The caller's choices by column: a `Kind`, or "ignore" to leave it out without a note.
        numbers: (n,) what the caller calls each row; counted from 1 where left out.

    Returns:
        The columns that can be learned from, in order, and a sentence for everything that the caller should know:
        columns that are left out and how to keep them, cells that count as missing.

    Raises:
        ParameterInvalid: `kinds` names a column that is not there, a kind that there is not, or one that the column
            cannot be of: more than a tenth of its values are something else.
        InputError: Nothing is left to learn from.

    Cost: about 1 us a cell.
    """
    _admit(kinds, cells)
    chosen = {name: _chosen(kinds.get(name), name, values) for name, values in cells.items()}
    most = _most_categories(sum(kind is Kind.CATEGORY for kind in chosen.values()))
    number_of = (lambda at: at + 1) if numbers is None else numbers.__getitem__
    schema: list[Column] = []
    notes: list[str] = []
    unused: list[str] = []
    for name, kind in chosen.items():
        if isinstance(kind, LeftOut):
            unused.append(f"{name!r}: {kind.reason}")
            notes += [] if kinds.get(name) == _IGNORE else [_left_out(name, kind)]
        else:
            column, remarks = _describe(name, kind, cells[name], wished=name in kinds, most=most, number_of=number_of)
            schema.append(column)
            notes += remarks
    if not schema:
        reasons = f" ({_listed(unused)})" if unused else ""
        raise InputError(
            f"The table has no column that can be learned from{reasons}. Add one, or keep one of these by giving its "
            f"kind in `columns`: {', '.join(Kind)}."
        )
    return tuple(schema), notes


def _admit(kinds: Mapping[str, str], cells: Mapping[str, Sequence[object]]) -> None:
    for name, kind in kinds.items():
        if name not in cells:
            there = _listed([repr(column) for column in cells])
            raise ParameterInvalid(
                f"`columns` names {name!r}; the table has no such column to learn from, but {there}."
            )
        if kind not in _CHOICES:
            raise ParameterInvalid(
                f"`columns` says that {name!r} is {shown(kind)}; the kinds are {', '.join(_CHOICES)}."
            )


def _listed(words: Sequence[str]) -> str:
    more = f"; and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return "; ".join(words[:_LISTED]) + more


def _chosen(wish: str | None, name: str, cells: Sequence[object]) -> Kind | LeftOut:
    if wish == _IGNORE:
        return LeftOut("it is ignored, as asked")
    return guess(name, cells) if wish is None else Kind(wish)


def _most_categories(columns: int) -> int:
    """Of how many values each of some category columns may tell apart: every one becomes a feature."""
    return min(_MOST_CATEGORIES, max(_FEWEST_CATEGORIES, _MOST_FEATURES // max(columns, 1)))


def _left_out(name: str, why: LeftOut) -> str:
    note = f"Column {name!r} is left out: {why.reason}."
    if why.keep_as is None:
        return note
    return f'{note} To keep it: `columns: {{{json.dumps(name, ensure_ascii=False)}: "{why.keep_as}"}}`.'


def _describe(
    name: str,
    kind: Kind,
    cells: Sequence[object],
    *,
    wished: bool,
    most: int,
    number_of: Callable[[int], int],
) -> tuple[Column, list[str]]:
    """A column as it was seen, and notes on cells that count as missing or unknown."""
    if kind is Kind.CATEGORY:
        found = texts(cells)
        notes = _mistyped(name, kind, cells, found, wished=wished, number_of=number_of)
        counts = Counter(filter(None, found.values))
        column = _category_column(name, counts, missing=found.values.count(""), most=most)
        return column, notes + _rare(name, counts, column)
    parsed = PARSERS[kind](cells)
    notes = _mistyped(name, kind, cells, parsed, wished=wished, number_of=number_of)
    if len(parsed.infinite):
        notes.append(f"Column {name!r} has {len(parsed.infinite)} infinite value(s), which count as missing.")
    return _number_column(name, kind, parsed), notes


def _mistyped(
    name: str,
    kind: Kind,
    cells: Sequence[object],
    found: Parsed | ParsedTexts,
    *,
    wished: bool,
    number_of: Callable[[int], int],
) -> list[str]:
    """What to say of cells that are not of the kind; refuses a wish that too many cells go against."""
    if not len(found.wrong):
        return []
    first = int(found.wrong[0])
    row = number_of(first)
    present = found.present + len(found.wrong)
    seen = f"{len(found.wrong)} of {present} values are not {NOUNS[kind]}, the first {shown(cells[first])}"
    if wished and len(found.wrong) > _WRONG_SHARE * present:
        raise ParameterInvalid(
            f"Column {name!r} cannot be read as {kind.value}: {seen} in row {row}; at most a tenth may be. "
            "Choose another kind in `columns`, or leave it to be found.",
            problems=[Problem(f"{name!r} is {shown(cells[first])}", row=row)],
        )
    return [f"Column {name!r}: {seen} in row {row}; they count as missing."]


def _category_column(name: str, counts: Counter[str], *, missing: int, most: int) -> Column:
    # Sorted, so that shuffling a file does not change what is learned.
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    kept = tuple(value for value in ranked if len(value) <= _LONGEST_CATEGORY)[:most]
    return Column(name, Kind.CATEGORY, categories=kept, missing=missing, examples=kept[:_EXAMPLES])


def _rare(name: str, counts: Counter[str], column: Column) -> list[str]:
    if len(counts) == len(column.categories):
        return []
    rows = counts.total() - sum(counts[value] for value in column.categories)
    return [
        f"Column {name!r} has {len(counts)} different values; the {len(column.categories)} commonest of at most "
        f"{_LONGEST_CATEGORY} characters are told apart, the others ({rows} row(s)) count as unknown."
    ]


def _number_column(name: str, kind: Kind, parsed: Parsed) -> Column:
    there = parsed.values[~np.isnan(parsed.values)]
    examples = tuple(_json(value, kind) for value in dict.fromkeys(there[:_EXAMINED].tolist()))[:_EXAMPLES]
    missing = len(parsed.values) - len(there)
    if kind is Kind.BOOLEAN or not len(there):
        return Column(name, kind, missing=missing, examples=examples)
    low, high = float(there.min()), float(there.max())
    if kind is Kind.DATE:
        return Column(name, kind, iso(low), iso(high), missing=missing, examples=examples)
    return Column(name, kind, low, high, missing=missing, examples=examples)


def _json(value: float, kind: Kind) -> str | int | float | bool:
    """A number of days, a truth value or a number as a caller would send it."""
    if kind is Kind.DATE:
        return iso(value)
    if kind is Kind.BOOLEAN:
        return bool(value)
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
