from datetime import date

import pytest

from adapters.kinds import Kind, LeftOut, guess


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "", "NA", "1"], Kind.NUMBER),
        ([1, None, 3, 3], Kind.NUMBER),
        (["0", "1", "1", "0"], Kind.NUMBER),
        ([True, 2, 3, 3], Kind.NUMBER),
        (["10", "012", "3", "3"], Kind.NUMBER),
        (["10", "12", "31"], Kind.NUMBER),
        (["0", "1", "0", "3"], Kind.NUMBER),
        ([True, False, None], Kind.BOOLEAN),
        (["true", "FALSE", "na"], Kind.BOOLEAN),
        ([True, 0, 1], Kind.BOOLEAN),
        (["2020-01-01", "2020-01-02T10:00Z", ""], Kind.DATE),
        ([date(2020, 1, 1), date(2021, 1, 1)], Kind.DATE),
        (["yes", "no", "yes"], Kind.CATEGORY),
        (["00123", "00124", "00123", "90210", "90210"], Kind.CATEGORY),
        (["NA", "none", "NA"], Kind.CATEGORY),
        ([1, "a", "a", 1], Kind.CATEGORY),
        (["a", "b", "c", "d"] * 2, Kind.CATEGORY),
        (["x", None, None], Kind.CATEGORY),
        ([5, None, 5], Kind.NUMBER),
        (["no checking account", "at most 200 marks"] * 3, Kind.CATEGORY),
    ],
)
def test_kinds_are_found(cells, kind):
    assert guess("c", cells) == kind


@pytest.mark.parametrize(
    ("name", "cells", "words", "keep_as"),
    [
        ("c", [None, "", " "], "no values", None),
        ("c", ["a", "a"], "same in every row", None),
        ("c", [2.5] * 4, "same in every row", None),
        ("c", [True] * 4, "same in every row", None),
        ("c", [[1], {}, "a"], "lists or objects", None),
        ("c", list("abcdef"), "identifier", Kind.CATEGORY),
        ("c", [f"M{i}" for i in range(50)], "identifier", Kind.CATEGORY),
        ("c", [f"this is text number {i // 2}" for i in range(3)] + ["and one more"], "free text", Kind.CATEGORY),
        ("c", ["x" * 500, "y" * 500] * 5, "free text", Kind.CATEGORY),
        ("c", ["3", "1", "2", "5", "4"], "numbers the rows", Kind.NUMBER),
        ("c", list(range(20)), "numbers the rows", Kind.NUMBER),
        ("customerId", [5, 17, 3, 80, 2], "identifier", Kind.NUMBER),
        ("User ID", [5, 17, 3, 80, 2], "identifier", Kind.NUMBER),
    ],
)
def test_useless_columns_are_left_out(name, cells, words, keep_as):
    why = guess(name, cells)
    assert isinstance(why, LeftOut)
    assert words in why.reason
    assert why.keep_as == keep_as


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("c", [1, 2, 3, 4]),  # too few to tell
        ("c", [1, 2, 3, 4, 6]),
        ("c", [1, 2, 3, 4, None]),
        ("year", list(range(1990, 2020))),
        ("id", [1, 1, 2, 5, 7]),
        ("humidity", [5, 17, 3, 80, 2]),
        ("customer_id", [0.5, 17, 3, 80, 2]),
    ],
)
def test_numbers_that_only_look_like_identifiers_stay(name, cells):
    assert guess(name, cells) == Kind.NUMBER


@pytest.mark.parametrize(("wrong", "kind"), [(1, Kind.NUMBER), (2, Kind.CATEGORY)])
def test_one_in_a_hundred_numbers_may_be_something_else(wrong, kind):
    assert guess("c", ["unknown"] * wrong + ["1.5", "2.5", "3.5"] * 33) == kind
