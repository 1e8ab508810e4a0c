import json

import numpy as np
import pytest

from adapters.errors import ManifestInvalid
from adapters.schema import Column, Kind, Rows

COLUMNS = [
    Column("age", Kind.NUMBER, 0.5, 99.0, missing=3, examples=(1, 2.5)),
    Column("größe", Kind.CATEGORY, categories=("a", "b"), examples=("a", "b")),
    Column("day", Kind.DATE, "2020-01-01", "2020-02-01", examples=("2020-01-01",)),
    Column("ok", Kind.BOOLEAN, examples=(True, False)),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_columns_survive_json(column):
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize("changes", [{"kind": "text"}, {"more": 1}, {"categories": None}, {"examples": 3}], ids=str)
def test_other_descriptions_are_refused(changes):
    with pytest.raises(ManifestInvalid):
        Column.from_dict(COLUMNS[0].to_dict() | changes)


def test_a_description_without_a_name_is_refused():
    data = COLUMNS[0].to_dict()
    del data["name"]
    with pytest.raises(ManifestInvalid):
        Column.from_dict(data)


def test_missing_is_known():
    assert COLUMNS[1].known == {"a", "b", ""}


@pytest.mark.parametrize("index", [np.array([2, 0]), np.array([True, False, True])])
def test_rows_are_taken_by_position_or_mask(index):
    rows = Rows(np.arange(6.0).reshape(3, 2), np.array([["a"], ["b"], ["c"]], dtype=object))
    taken = rows.take(index)
    assert len(rows) == 3
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.numbers, rows.numbers[index])
    np.testing.assert_array_equal(taken.categories, rows.categories[index])
