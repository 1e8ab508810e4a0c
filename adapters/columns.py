"""Typed columns and rows: the tap of tables. The same code types cells at upload and at predict.

cells -> infer (kinds.py says which kind) -> Schema
cells, Schema -> type_rows (cells.py reads every cell) -> Rows, Doubts
"""

from collections.abc import Mapping, Sequence

import numpy as np

from adapters.cells import F64, shown, texts
from adapters.inference import infer
from adapters.kinds import NOUNS, PARSERS, Kind
from adapters.schema import Column, Doubt, Rows, Schema, Texts

__all__ = ["Column", "Doubt", "Kind", "Rows", "Schema", "infer", "type_rows"]


def type_rows(schema: Schema, cells: Mapping[str, Sequence[object]], n: int) -> tuple[Rows, list[Doubt]]:
    """Type n rows as a schema says; content never raises.

    A column that is not there and a cell that is not of its column's kind count as missing; a category that the schema
    does not know is kept as it is. Each gives a doubt. Columns that the schema does not name are not looked at.

    Args:
        schema: Expected columns.
        cells: (n,) cells by column, in any order.
        n: Number of rows.

    Cost: 1,000 rows of 20 columns 1.5 ms from JSON and 3 ms from CSV; one row of 20 columns 0.06 ms.
    """
    kept_as_text = sum(column.kind is Kind.CATEGORY for column in schema)
    rows = Rows(
        np.full((n, len(schema) - kept_as_text), np.nan),
        np.full((n, kept_as_text), "", dtype=np.object_),
    )
    doubts: list[Doubt] = []
    numbers_left, categories_left = iter(rows.numbers.T), iter(rows.categories.T)
    for column in schema:
        given = cells.get(column.name)
        if column.kind is Kind.CATEGORY:
            doubts += _type_categories(column, given, next(categories_left))
        else:
            doubts += _type_numbers(column, given, next(numbers_left))
    return rows, doubts


def _type_numbers(column: Column, cells: Sequence[object] | None, into: F64) -> list[Doubt]:
    if cells is None:
        return [_not_there(column, len(into))]
    parsed = PARSERS[column.kind](cells)
    into[:] = parsed.values
    doubts = [_mistyped(column, cells, parsed.wrong)] if len(parsed.wrong) else []
    if len(parsed.infinite):
        seen = f"has {len(parsed.infinite)} infinite value(s), which count as missing"
        doubts.append(_doubt(column, parsed.infinite, seen))
    return doubts


def _type_categories(column: Column, cells: Sequence[object] | None, into: Texts) -> list[Doubt]:
    if cells is None:
        return [_not_there(column, len(into))]
    parsed = texts(cells)
    into[:] = parsed.values
    doubts = [_mistyped(column, cells, parsed.wrong)] if len(parsed.wrong) else []
    unknown = set(parsed.values) - column.known
    if unknown:
        rows = [row for row, value in enumerate(parsed.values) if value in unknown]
        first = shown(parsed.values[rows[0]]) + (", ..." if len(unknown) > 1 else "")
        seen = f"has {len(unknown)} value(s) that were not in the training data ({first}), which count as unknown"
        doubts.append(_doubt(column, rows, seen))
    return doubts


def _not_there(column: Column, n: int) -> Doubt:
    return _doubt(column, range(n), "is not there; it counts as missing in every row")


def _mistyped(column: Column, cells: Sequence[object], wrong: Sequence[int]) -> Doubt:
    first = shown(cells[wrong[0]])
    seen = f"has {len(wrong)} value(s) that are not {NOUNS[column.kind]} (the first {first}), which count as missing"
    return _doubt(column, wrong, seen)


def _doubt(column: Column, rows: Sequence[int], seen: str) -> Doubt:
    return Doubt(f"column {column.name!r} {seen}", column.name, tuple(rows[:5]), len(rows))
