"""One column as numbers or as a group."""

import numpy as np
import pytest

from service.uploads.rows import Listed, Nested
from service.uploads.signatures.typed import Mistyped, Typed, grouped, typed, value_of

NAN = float("nan")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "0", "NaN", "na", "Null", "?", "", "  "], [1, 0, *[NAN] * 6]),
        ([1, 2.5, None, True], None),
        ([True, False, None, 1, 0.0], [1, 0, NAN, 1, 0]),
        (["yes", " NO ", "true", "False", "1", 0], [1, 0, 1, 0, 1, 0]),
        (["1e3", "-.5", " 7 ", "+2"], [1000, -0.5, 7, 2]),
        ([None, ""], [NAN, NAN]),
        (["nan", "NAN"], [NAN, NAN]),
    ],
)
def test_numbers(cells, values):
    made = typed("a", cells)
    if values is None:
        assert isinstance(made, Mistyped)
        return
    assert (made.names, made.grouped, made.values.dtype) == (("a",), False, np.float32)
    np.testing.assert_array_equal(made.values[:, 0], np.array(values, np.float32))


def test_words_are_a_group_in_an_order_of_their_own():
    made = typed("a", ["b", "a", "?", "b"])
    assert (made.names, made.grouped) == (("a=a", "a=b"), True)
    np.testing.assert_array_equal(made.values, [[0, 1], [1, 0], [NAN, NAN], [0, 1]])
    assert typed("a", ["a", "b", "?", "b"]).names == made.names


def test_equal_numbers_are_one_value_however_they_are_written():
    made = grouped("legs", ["10", "4.0", "4", 2, "x", None], ())
    assert made.names == ("legs=2", "legs=4", "legs=10", "legs=x")
    assert made.values[:, 1].tolist()[:5] == [0, 1, 1, 0, 0]


def test_values_that_were_named_are_all_there_is():
    made = grouped("legs", ["4", "", "2"], ("2", "4", "8"))
    assert made.names == ("legs=2", "legs=4", "legs=8")
    assert np.isnan(made.values[1]).all()
    assert made.values[[0, 2]].tolist() == [[0, 1, 0], [1, 0, 0]]
    other = grouped("legs", ["4", "6"], ("2", "4"))
    assert other.cells == [(1, "'6' is none of the values that were named: '2', '4'")]


@pytest.mark.parametrize("cell", [Nested("an object"), Listed("a list", (1,)), "x" * 201, float("inf")])
def test_what_is_no_value(cell):
    assert value_of(cell) is None
    assert isinstance(grouped("a", ["b", cell], ()), Mistyped)
    assert isinstance(typed("a", [1, cell, 2]), Mistyped)


def test_a_group_has_at_most_so_many_values():
    words = [f"w{i}" for i in range(101)]
    assert isinstance(typed("a", words[:100]), Typed)
    assert "101 different values, the limit is 100" in typed("a", words).cells[0][1]
    assert isinstance(grouped("a", words, ()), Typed)
    assert "limit is 1,000" in grouped("a", [None], [str(i) for i in range(1001)]).cells[0][1]


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        (["1", "x", "2"], [1]),
        (["x", "1", "y", "z"], [1]),
        (["yes", "x", "no"], [1]),
        (["2", "yes", "3"], [1]),
        (["yes", "no", "3"], [2]),
    ],
)
def test_what_is_unlike_the_others_is_named(cells, wrong):
    made = typed("a", cells)
    assert [at for at, _ in made.cells] == wrong
