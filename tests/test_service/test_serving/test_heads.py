"""Heads of all sizes in one table that is only added to."""

import numpy as np
import pytest

from service.serving.heads import HeadTable

WIDTH = 4
ROW_BYTES = 4 * (WIDTH + 1)


def _head(value, k=3):
    return np.full((k, WIDTH), value, np.float32), np.full(k, value, np.float32)


def _put(table, name, value, k=3):
    return table.put(name, *_head(value, k), 1.0)


def _holds(slot, value, k=3):
    weight, bias = _head(value, k)
    np.testing.assert_array_equal(slot.weight, weight)
    np.testing.assert_array_equal(slot.bias, bias)


def test_probabilities_are_the_softmax_of_scores_over_temperature():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(5, WIDTH)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    slot = HeadTable(WIDTH, 2**20).put("a", weight, bias, 2.0)
    z = rng.normal(size=(7, WIDTH)).astype(np.float32)
    scores = (z.astype(np.float64) @ weight.T.astype(np.float64) + bias) / 2
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(slot.probabilities(z), expected, atol=1e-6)
    assert slot.probabilities(z).dtype == np.float32
    for i in range(7):
        np.testing.assert_allclose(slot.probabilities(z[i : i + 1])[0], expected[i], atol=1e-6)


def test_large_scores_stay_finite():
    weight, bias = np.array([[1e30] * WIDTH, [-1e30] * WIDTH], np.float32), np.zeros(2, np.float32)
    slot = HeadTable(WIDTH, 2**20).put("a", weight, bias, 1.0)
    np.testing.assert_array_equal(slot.probabilities(np.ones((1, WIDTH), np.float32)), [[1, 0]])


def test_heads_of_many_sizes_stand_side_by_side():
    table = HeadTable(WIDTH, 2**20)
    for i, k in enumerate((12, 2, 77, 1)):
        _put(table, str(i), i, k)
    for i, k in enumerate((12, 2, 77, 1)):
        _holds(table.get(str(i)), i, k)
    assert (len(table), table.rows) == (4, 92)
    assert table.get("nobody") is None


def test_the_same_key_again_stays_where_it_is():
    table = HeadTable(WIDTH, 2**20)
    first = _put(table, "a", 1)
    again = _put(table, "a", 1)
    assert np.shares_memory(first.weight, again.weight)
    assert table.rows == 3


def test_reading_copies_nothing_and_a_head_is_copied_in():
    table = HeadTable(WIDTH, 2**20)
    weight, bias = _head(1)
    slot = table.put("a", weight, bias, 1.0)
    weight[:] = 9
    _holds(slot, 1)
    assert np.shares_memory(slot.weight, table.get("a").weight)


def test_slots_in_flight_keep_what_they_hold_through_growth_and_eviction():
    table = HeadTable(WIDTH, 200 * ROW_BYTES)
    first = _put(table, "first", 1, 10)
    slots = {}
    for i in range(300):
        slots[i] = _put(table, str(i), i + 2, 10)
    _holds(first, 1, 10)
    assert table.get("first") is None
    for i, slot in slots.items():
        _holds(slot, i + 2, 10)
    held = [i for i in range(300) if table.get(str(i)) is not None]
    assert held == list(range(290, 300))
    for i in held:
        _holds(table.get(str(i)), i + 2, 10)


def test_the_least_recently_used_leave_first():
    table = HeadTable(WIDTH, 2 * 9 * ROW_BYTES)
    for name in "abc":
        _put(table, name, 1)
    table.get("a")
    _put(table, "d", 1)
    assert [name for name in "abcd" if table.get(name) is not None] == ["a", "c", "d"]


@pytest.mark.parametrize("rows", [40, 1_000, 5_000])
def test_the_table_never_takes_more_than_its_limit(rows):
    table = HeadTable(WIDTH, rows * ROW_BYTES)
    for i in range(3 * rows // 7):
        _put(table, str(i), i, 7)
        assert table._weight.nbytes + table._bias.nbytes <= rows * ROW_BYTES
    assert table.rows > rows // 2 - 14


def test_a_head_larger_than_the_limit_is_still_served():
    table = HeadTable(WIDTH, 10 * ROW_BYTES)
    _put(table, "small", 1, 2)
    _holds(_put(table, "large", 2, 50), 2, 50)
    _holds(table.get("large"), 2, 50)
    assert table.get("small") is None
    _holds(_put(table, "small", 1, 2), 1, 2)


def test_moving_is_rare():
    table = HeadTable(WIDTH, 2_000 * ROW_BYTES)
    arrays = []  # kept, so that no two share an address
    for i in range(2_000):
        _put(table, str(i), i, 5)
        if not arrays or arrays[-1] is not table._weight:
            arrays.append(table._weight)
    assert len(arrays) <= 2 + 2_000 * 5 // 1_000


def test_a_head_of_another_width_is_refused():
    with pytest.raises(ValueError, match="width"):
        HeadTable(WIDTH, 2**20).put("a", np.ones((2, WIDTH + 1), np.float32), np.ones(2, np.float32), 1.0)
