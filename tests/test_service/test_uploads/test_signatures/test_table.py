"""Columns as one table, under limits."""

import pytest

from service.errors import UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.signatures import table
from service.uploads.signatures.given import Given, InRows
from service.uploads.signatures.table import build


def test_groups_count_as_wide_as_they_are(monkeypatch):
    names = tuple(f"c{i}" for i in range(10))
    given = Given(names, {column: list(names) for column in "abc"}, InRows(range(1, 11)))
    assert build(given, {}).signatures.values.shape == (10, 30)
    monkeypatch.setattr(table, "LIMITS", Limits(cells=299))
    with pytest.raises(UploadTooLarge, match="300 cells"):
        build(given, {})


def test_groups_stand_in_the_order_of_their_columns_whatever_the_order_they_are_named_in():
    given = Given(("x", "y"), {"b": ["1", "2"], "a=0": [1, 0], "a=1": [0, 1], "c": ["u", "v"]}, InRows([1, 2]))
    expected = (("b", (0, 1)), ("a", (2, 3)), ("c", (4, 5)))
    for named in ({"a": (), "b": ()}, {"b": (), "a": ()}):
        assert build(given, named).signatures.groups == expected
