"""Formats by name, lines, and cells that a spreadsheet would run."""

import json
from pathlib import Path

import pytest

from graft.cli.rows import RowsUnusable, defuse, format_of

CASES = json.loads((Path(__file__).parents[2] / "formulas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("cell", "harmless"), CASES)
def test_the_service_has_the_same_rule(cell, harmless):
    assert defuse(cell) == harmless


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.CSV", "csv"),
        ("a.tab", "tsv"),
        ("a.ndjson", "jsonl"),
        ("a.json", "json"),
        ("a.pq", "parquet"),
        ("a.npz", "npz"),
    ],
)
def test_a_name_says_the_format(name, format_):
    assert format_of(Path(name)) == format_


@pytest.mark.parametrize("name", ["a.xlsx", "a", ".csv"])
def test_a_name_that_says_none_is_refused(name):
    with pytest.raises(RowsUnusable, match=r"\.csv, \.tsv, \.jsonl, \.json, \.parquet"):
        format_of(Path(name))
