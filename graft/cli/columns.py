"""A table's columns, as a person reads them."""

import json
from collections.abc import Sequence

from rich.table import Table

from graft._types import Column
from graft.cli.screen import table

MOST_CATEGORIES = 8
"""Categories that are shown of a column."""


def column_table(columns: Sequence[Column]) -> Table:
    """What rows are expected to have, a column a line."""
    rows = ((c.name, c.kind, values(c), c.missing, example(c)) for c in columns)
    return table(("column", "kind", "values", "missing", "example"), rows)


def values(column: Column) -> str:
    """The range of a column, or its categories, the commonest first."""
    if column.categories:
        shown = ", ".join(column.categories[:MOST_CATEGORIES])
        more = len(column.categories) - MOST_CATEGORIES
        return f"{shown} and {more:,} more" if more > 0 else shown
    if column.low is None or column.high is None:
        return ""
    return f"{_plain(column.low)} to {_plain(column.high)}"


def example(column: Column) -> str:
    """A value as JSON has it."""
    return json.dumps(column.examples[0], ensure_ascii=False) if column.examples else ""


def row_of(columns: Sequence[Column]) -> str:
    """An object with an example for each column, as JSON."""
    return json.dumps({c.name: c.examples[0] for c in columns if c.examples}, ensure_ascii=False)


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
