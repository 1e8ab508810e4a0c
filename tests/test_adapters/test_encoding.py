import numpy as np
import pytest

from adapters.columns import Column, Kind, Rows, infer, type_rows
from adapters.encoding import Encoding


def typed(cells, **kinds):
    schema, _ = infer(cells, kinds=kinds)
    return schema, type_rows(schema, cells, len(next(iter(cells.values()))))[0]


def fitted(cells, **kinds):
    schema, rows = typed(cells, **kinds)
    encoding = Encoding.fit(schema, rows)
    z = encoding.encode(rows)
    assert z.shape == (len(rows), encoding.width)
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    return schema, encoding, z


def test_numbers_have_mean_0_and_deviation_1_and_gaps_are_told():
    _, _, z = fitted({"x": [1, 2, None, 6]})
    assert z[2].tolist() == [0, 1]
    assert z[:, 1].tolist() == [0, 0, 1, 0]
    there = z[[0, 1, 3], 0]
    assert there.mean() == pytest.approx(0, abs=1e-6)
    assert there.std() == pytest.approx(1, abs=1e-6)


def test_a_column_without_gaps_has_no_indicator():
    _, encoding, z = fitted({"x": [1.5, 2.5], "b": [True, False]})
    assert encoding.width == z.shape[1] == 2
    assert z.tolist() == [[-1, 1], [1, -1]]


def test_gaps_that_training_had_not_become_the_mean():
    schema, encoding, _ = fitted({"x": [1.5, 2.5]})
    assert encoding.encode(type_rows(schema, {}, 1)[0]).tolist() == [[0]]


def test_far_numbers_are_clipped():
    schema, encoding, _ = fitted({"x": [1.5, 2.5]})
    rows, _ = type_rows(schema, {"x": [1e300, -1e308, 1e-300]}, 3)
    assert encoding.encode(rows)[:, 0].tolist() == [10, -10, -4]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e308, 5e-324])
def test_constant_numbers_are_zeros_whatever_comes_later(value):
    schema, encoding, z = fitted({"x": [value] * 3, "c": ["a", "b", "a"]}, x="number")
    rows, _ = type_rows(schema, {"x": [7.0]}, 1)
    assert not z[:, 0].any()
    assert encoding.encode(rows)[0, 0] == 0


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1, 1e150, 1.5e308])
def test_the_unit_of_a_number_does_not_matter(scale):
    _, _, z = fitted({"x": [value * scale for value in (-1.0, -0.5, 0.25, 1.0)]})
    _, _, expected = fitted({"x": [-1.0, -0.5, 0.25, 1.0]})
    np.testing.assert_allclose(z, expected, atol=1e-6)


def test_rounding_is_not_spread():
    _, _, z = fitted({"x": [0.1 + 0.2, 0.3, 0.3], "c": ["a", "b", "a"]})
    assert not z[:, 0].any()


def test_amounts_over_orders_of_magnitude_add_their_logarithm():
    amounts = [1.0, 2.0, 4.0, 8.0, 1000.0, 0.0]
    schema, encoding, z = fitted({"x": amounts})
    assert encoding.amounts == (0,)
    logs = np.log1p(np.array(amounts) / 4)
    np.testing.assert_allclose(z[:, 1], (logs - logs.mean()) / logs.std(), atol=1e-6)
    rows, _ = type_rows(schema, {"x": [-5, None, 1e308]}, 3)
    assert encoding.encode(rows)[:, 1].tolist() == pytest.approx([z[5, 1], 0, 10])


@pytest.mark.parametrize("values", [[1, 2, 3, 4], [-1, 1, 2, 1000], [0, 0, 0, 1000], [-1000, -1, -2, -3]])
def test_other_numbers_add_none(values):
    assert fitted({"x": values}, x="number")[1].amounts == ()


def test_dates_are_no_amounts():
    assert fitted({"d": ["1970-01-02", "1970-01-03", "2020-01-01"]})[1].amounts == ()


def test_categories_are_told_apart_and_unknown_ones_are_zeros():
    schema, encoding, z = fitted({"c": ["a", "b", "a", None]})
    assert encoding.vocabulary == (("a", "b", ""),)
    assert z.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    rows, _ = type_rows(schema, {"c": ["mauve"]}, 1)
    assert encoding.encode(rows).tolist() == [[0, 0, 0]]


def test_dates_go_round():
    year = 365.2425
    schema, encoding, z = fitted({"d": ["2021-03-01", "2021-06-15", "2022-03-01", None]})
    assert encoding.cycles == ((0, year), (0, 7.0))
    days = type_rows(schema, {"d": ["2021-03-01"]}, 1)[0].numbers[0, 0]
    expected = [*np.sin(2 * np.pi * days / np.array([year, 7])), *np.cos(2 * np.pi * days / np.array([year, 7]))]
    np.testing.assert_allclose(z[0, 2:], expected, atol=1e-5)
    assert z[3].tolist() == [0, 1, 0, 0, 0, 0]


def test_times_of_day_go_round_where_there_are_any():
    _, encoding, z = fitted({"d": ["2021-03-01T06:00", "2021-03-02T18:00"]})
    assert [period for _, period in encoding.cycles] == [365.2425, 7, 1]
    np.testing.assert_allclose(z[:, 3], [1, -1], atol=1e-6)


def test_it_learns_of_the_given_rows_only():
    schema, rows = typed({"x": [1, 2, 3, 900], "c": ["a", "a", "b", "z"]}, c="category")
    some = Encoding.fit(schema, rows.take(np.arange(3)))
    assert some.vocabulary == (("a", "b"),)
    assert some.mean.tolist() == [2]
    assert some.encode(rows)[3].tolist() == [10, 0, 0]


@pytest.mark.parametrize(
    ("schema", "rows"),
    [
        ((Column("x", Kind.NUMBER),), Rows(np.full((2, 1), np.nan), np.empty((2, 0), object))),
        ((Column("x", Kind.NUMBER),), Rows(np.ones((1, 1)), np.empty((1, 0), object))),
        ((Column("c", Kind.CATEGORY),), Rows(np.empty((2, 0)), np.full((2, 1), "rare", object))),
        ((Column("c", Kind.CATEGORY),), Rows(np.empty((2, 0)), np.full((2, 1), "", object))),
        ((Column("d", Kind.DATE),), Rows(np.full((2, 1), np.nan), np.empty((2, 0), object))),
    ],
)
def test_there_is_always_a_feature(schema, rows):
    encoding = Encoding.fit(schema, rows)
    z = encoding.encode(rows)
    assert encoding.width >= 1
    assert z.shape == (len(rows), encoding.width)
    assert np.isfinite(z).all()


def test_numbers_and_categories_keep_the_order_of_the_schema():
    _, encoding, z = fitted({"c": ["a", "b", "a"], "x": [1.5, 2.5, None], "e": ["u", "u", "v"], "y": [1, 5, 3]})
    assert encoding.dense_width == 3
    assert z[:, 2].tolist() == [0, 0, 1]
    assert z[:, 3:].tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
