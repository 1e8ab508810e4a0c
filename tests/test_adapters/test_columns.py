from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.columns import Column, Kind, infer, type_rows
from models.errors import InputError

SCHEMA = (
    Column("colour", Kind.CATEGORY, categories=("red", "grün")),
    Column("age", Kind.NUMBER, 1.0, 99.0),
    Column("member", Kind.BOOLEAN),
    Column("size", Kind.CATEGORY, categories=("1", "2")),
    Column("day", Kind.DATE, "2020-01-01", "2021-01-01"),
)
CELLS = {
    "age": ["31", "", 45.5],
    "day": ["1970-01-02", None, datetime(1970, 1, 1, 12, tzinfo=UTC)],
    "size": [1, 2.0, "1"],
    "member": [True, "false", 1],
    "colour": ["red", " gru\N{COMBINING DIAERESIS}n ", None],
}


def test_rows_are_typed_in_the_order_of_the_schema():
    rows, doubts = type_rows(SCHEMA, CELLS, 3)
    np.testing.assert_array_equal(rows.numbers, [[31, 1, 1], [np.nan, 0, np.nan], [45.5, 1, 0.5]])
    assert rows.categories.tolist() == [["red", "1"], ["grün", "2"], ["", "1"]]
    assert doubts == []


def test_other_columns_are_not_looked_at():
    rows, doubts = type_rows(SCHEMA, CELLS | {"more": object()}, 3)
    assert len(rows) == 3
    assert doubts == []


def test_missing_columns_are_missing_values():
    rows, doubts = type_rows(SCHEMA, {}, 7)
    assert np.isnan(rows.numbers).all()
    assert set(rows.categories.ravel()) == {""}
    assert [doubt.column for doubt in doubts] == ["colour", "age", "member", "size", "day"]
    assert doubts[0].rows == (0, 1, 2, 3, 4)
    assert doubts[0].count == 7
    assert "not there" in doubts[0].detail


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("age", "old", "not numbers (the first 'old')"),
        ("age", [1], "not numbers (the first a list)"),
        ("age", 1e999, "infinite"),
        ("member", "yes", "not true or false (the first 'yes')"),
        ("day", "tomorrow", "not ISO 8601 dates (the first 'tomorrow')"),
        ("colour", {"r": 1}, "not texts or numbers (the first a nested value)"),
    ],
)
def test_mistyped_cells_are_missing_values(column, cell, words):
    rows, (doubt,) = type_rows(SCHEMA, CELLS | {column: [*CELLS[column][:2], cell]}, 3)
    assert doubt.column == column
    assert doubt.rows == (2,)
    assert doubt.count == 1
    assert words in doubt.detail
    assert "count as missing" in doubt.detail
    assert [*rows.numbers[2], *rows.categories[2]].count("") + np.isnan(rows.numbers[2]).sum() == 1 + (
        column != "colour"
    )


def test_unknown_categories_are_kept_and_doubted():
    cells = ["mauve", "red", "x" * 100, "mauve", "red", "red", "y", "z", "mauve"]
    rows, (doubt,) = type_rows(SCHEMA[:1], {"colour": cells}, 9)
    assert rows.categories[:, 0].tolist() == cells
    assert doubt.rows == (0, 2, 3, 6, 7)
    assert doubt.count == 6
    assert doubt.detail == (
        "column 'colour' has 4 value(s) that were not in the training data ('mauve', ...), which count as unknown"
    )


def test_no_rows_and_no_columns_are_fine():
    assert len(type_rows(SCHEMA, {name: [] for name in CELLS}, 0)[0]) == 0
    rows, doubts = type_rows((), CELLS, 3)
    assert rows.numbers.shape == rows.categories.shape == (3, 0)
    assert doubts == []


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.decimals(allow_nan=True)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.text(st.characters(exclude_categories=()), max_size=6)
    | st.sampled_from(["NA", "inf", "1_0", " 7 ", "00123", "true", "2020-01-01", "0x1", "\ud800", "٣", "1e999"])
)
JUNK = SCALARS | st.lists(st.integers(), max_size=1) | st.dictionaries(st.text(max_size=1), st.none()) | st.binary()
PLAIN = st.sampled_from([0, 1, 2.5, -3]) | st.none()
TABLES = st.integers(1, 8).flatmap(
    lambda n: st.fixed_dictionaries(
        {name: st.lists(JUNK, min_size=n, max_size=n) for name in "ab"}
        | {"c": st.lists(st.sampled_from(["x", "y", " x", "1", 1, True]), min_size=n, max_size=n)}
        | {"d": st.lists(PLAIN, min_size=n, max_size=n)}
    )
)
CHOSEN = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([*Kind, "ignore"]))


@settings(max_examples=80, deadline=None)
@given(TABLES, CHOSEN)
def test_whatever_is_uploaded_is_typed_or_refused(cells, kinds):
    n = len(cells["a"])
    try:
        schema, _ = infer(cells, kinds=kinds)
    except InputError:
        return
    rows, _ = type_rows(schema, cells, n)
    assert not np.isinf(rows.numbers).any()
    numeric = [column for column in schema if column.kind is not Kind.CATEGORY]
    texts = [column for column in schema if column.kind is Kind.CATEGORY]
    assert np.isnan(rows.numbers).sum(axis=0).tolist() == [column.missing for column in numeric]
    assert (rows.categories == "").sum(axis=0).tolist() == [column.missing for column in texts]
    for column, values in zip(texts, rows.categories.T, strict=True):
        assert set(values) - {""} == set(column.categories)
    assert all(Column.from_dict(column.to_dict()) == column for column in schema)


@settings(max_examples=80, deadline=None)
@given(TABLES, st.permutations(list(Kind)))
def test_a_row_alone_is_typed_as_among_others(cells, kinds):
    n = len(cells["a"])
    schema = tuple(Column(name, kind, categories=("x", "1")) for name, kind in zip("abcd", kinds, strict=True))
    rows, doubts = type_rows(schema, cells, n)
    assert not np.isinf(rows.numbers).any()
    alone = [type_rows(schema, {name: [values[i]] for name, values in cells.items()}, 1) for i in range(n)]
    np.testing.assert_array_equal(rows.numbers, np.concatenate([row.numbers for row, _ in alone]))
    np.testing.assert_array_equal(rows.categories, np.concatenate([row.categories for row, _ in alone]))
    assert sum(doubt.count for doubt in doubts) == sum(doubt.count for _, found in alone for doubt in found)


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_examples_are_taken_without_a_doubt(cells):
    try:
        schema, _ = infer(cells)
    except InputError:
        return
    for column in schema:
        assert type_rows((column,), {column.name: column.examples}, len(column.examples))[1] == []


def test_a_file_of_strings_is_typed_as_the_values_that_it_spells():
    typed = {"x": [1, 2.5, None], "b": [True, False, True], "d": [date(2020, 1, 1)] * 2 + [None], "c": ["u", "v", "u"]}
    spelled = {"x": ["1", "2.5", ""], "b": ["True", "False", "true"], "d": ["2020-01-01"] * 2 + [""], "c": typed["c"]}
    kinds = {"d": "date"}
    schema, _ = infer(typed, kinds=kinds)
    assert infer(spelled, kinds=kinds)[0] == schema
    first, second = type_rows(schema, typed, 3)[0], type_rows(schema, spelled, 3)[0]
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.categories, second.categories)


def test_decimals_are_numbers():
    schema, _ = infer({"x": [Decimal("1.5"), Decimal(2), None]})
    rows, doubts = type_rows(schema, {"x": [Decimal("2.5")]}, 1)
    assert rows.numbers.tolist() == [[2.5]]
    assert doubts == []
