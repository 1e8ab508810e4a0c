from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, isnan, nan

import numpy as np
import pytest

from adapters.cells import dates, days, is_absent, iso, number, numbers, shown, text, texts, truth, truths

MISSING = [None, nan, "", "  ", "NA", "n/a", "NaN", "null", "None", "?", " - "]
NESTED = [[1], {"a": 1}, b"1", object()]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (3, 3.0),
        (True, 1.0),
        (False, 0.0),
        (Decimal("1.5"), 1.5),
        ("1e3", 1000.0),
        (" 3 ", 3.0),
        ("\N{NO-BREAK SPACE}3", 3.0),
        ("-.5", -0.5),
        ("Infinity", inf),
        ("-inf", -inf),
        ("1e999", inf),
        (10**400, inf),
    ],
)
def test_numbers_are_read(cell, value):
    assert number(cell) == value


@pytest.mark.parametrize("cell", ["1,234", "0x10", "1_000", "abc", "1 2", "٣", date(2020, 1, 1), *NESTED])
def test_what_is_no_number_is_refused(cell):
    assert number(cell) is None


@pytest.mark.parametrize("one", [number, truth, days])
@pytest.mark.parametrize("cell", MISSING)
def test_missing_values_are_missing_for_every_kind(one, cell):
    assert isnan(one(cell))


@pytest.mark.parametrize(
    ("cell", "value"), [(True, 1), ("TRUE", 1), (" false ", 0), (1, 1), (0.0, 0), ("1", 1), ("yes", None), (2, None)]
)
def test_truth_values_are_true_false_1_and_0(cell, value):
    assert truth(cell) == value


@pytest.mark.parametrize("cell", [inf, -inf, "inf", Decimal("Infinity")])
def test_an_infinite_truth_value_is_missing(cell):
    assert isnan(truth(cell))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1970-01-02", 1.0),
        ("1970-01-01T12:00", 0.5),
        ("1970-01-01 06:00:00", 0.25),
        ("1970-01-02T00:00:00Z", 1.0),
        ("1970-01-01T00:00+06:00", -0.25),
        (date(1969, 12, 31), -1.0),
        (datetime(1970, 1, 1, 12), 0.5),  # noqa: DTZ001
        (datetime(1970, 1, 1, 12, tzinfo=timezone(timedelta(hours=12))), 0.0),
        ("01/02/1970", None),
        ("1970-13-01", None),
        (19700101, None),
        (True, None),
        ([], None),
    ],
)
def test_dates_are_days_in_utc(cell, value):
    assert days(cell) == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (" a ", "a"),
        ("e\N{COMBINING ACUTE ACCENT}", "é"),
        (3.0, "3"),
        (3, "3"),
        (2.5, "2.5"),
        (1e300, "1e+300"),
        (Decimal("3.0"), "3"),
        (True, "true"),
        (date(2020, 1, 2), "2020-01-02"),
        ("NA", "NA"),
        (None, ""),
        (nan, ""),
        (inf, ""),
        (Decimal("sNaN"), ""),
        ("a\0b", None),
        ("\ud800", None),
        *((cell, None) for cell in NESTED),
    ],
)
def test_category_texts(cell, value):
    assert text(cell) == value


def test_a_whole_number_of_thousands_of_digits_is_no_category():
    assert text(10**5000) is None


@pytest.mark.parametrize("value_days", [0.0, -1.0, 18000.25, 18000.123456])
def test_iso_texts_are_read_back(value_days):
    assert days(iso(value_days)) == pytest.approx(value_days, abs=1e-10)


def test_iso_has_a_time_only_where_there_is_one():
    assert iso(1.0) == "1970-01-02"
    assert iso(1.5) == "1970-01-02T12:00:00+00:00"


@pytest.mark.parametrize("cell", ["0001-01-01T00:00+23:00", "9999-12-31T23:59:59.999999-23:00"])
def test_iso_stays_within_the_calendar(cell):
    assert iso(days(cell)) in {"0001-01-01", "9999-12-31"}


def test_messages_show_little_of_a_cell():
    assert shown("abc") == "'abc'"
    assert len(shown("x" * 1000)) <= 42
    assert len(shown(10**60)) <= 40
    assert [shown(cell) for cell in ([1], {}, 10**5000, None)] == ["a list", *["a nested value"] * 3]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (numbers, [1, 2.5, None, True]),
        (numbers, ["1", "2.5", "", "NA"]),
        (numbers, ["1", " 2.5 ", "n/A", None]),
        (numbers, ["1", "1_0"]),
        (numbers, ["1", "1_0", "1", "x"]),
        (numbers, [1.5, inf, 2]),
        (numbers, ["1.5", "-inf"]),
        (numbers, [1, 10**400, [], -inf]),
        (numbers, ["1", "inf", "٣", "1"]),
        (truths, [True, "false", None, ""]),
        (truths, [True, " TRUE", "no", []]),
        (dates, ["2020-01-01", None, "x", date(2020, 1, 1)]),
    ],
)
def test_a_column_is_what_its_cells_are_one_by_one(column, cells):
    whole = column(cells)
    singles = [column([cell]) for cell in cells]
    np.testing.assert_array_equal(whole.values, [single.values[0] for single in singles])
    assert list(whole.wrong) == [row for row, single in enumerate(singles) if single.wrong]
    assert list(whole.infinite) == [row for row, single in enumerate(singles) if single.infinite]
    assert not np.isinf(whole.values).any()


@pytest.mark.parametrize("cells", [["a ", "a", None, ""], ["1", 1, True, 1.0, [1], "\0"]])
def test_a_column_of_texts_is_what_its_cells_are_one_by_one(cells):
    whole = texts(cells)
    assert whole.values == [text(cell) or "" for cell in cells]
    assert list(whole.wrong) == [row for row, cell in enumerate(cells) if text(cell) is None]


def test_present_counts_rows_with_a_value():
    assert numbers(["1", "x", "", "inf"]).present == 1
    assert texts(["a", [], None]).present == 1


def test_absent_is_what_holds_nothing_for_any_kind():
    assert [is_absent(cell) for cell in (None, nan, inf, " ", "NA", 0, False)] == [True] * 4 + [False] * 3


def test_zones_do_not_matter_to_the_moment():
    moment = datetime(2021, 5, 6, 7, 8, tzinfo=UTC)
    assert days(moment) == days(moment.astimezone(timezone(timedelta(hours=-9))))
