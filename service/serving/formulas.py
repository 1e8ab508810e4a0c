"""Cells of CSV and TSV that a spreadsheet would take for formulas."""

import re

_STARTS = frozenset("=+-@\t\r")
_NUMBER = re.compile(r"[+-]?[.,]*[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")
"""A plain number, with a point or a comma for the decimals."""


def defuse(cell: str) -> str:
    """The cell, with a leading ``'`` where a spreadsheet would run it; a plain number stays as it is."""
    return f"'{cell}" if cell[:1] in _STARTS and _NUMBER.fullmatch(cell) is None else cell
