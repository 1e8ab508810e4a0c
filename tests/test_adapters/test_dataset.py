import numpy as np
import pytest

from adapters.columns import Rows
from adapters.dataset import (
    encode_label_sets,
    encode_labels,
    groups_of,
    groups_of_rows,
    groups_of_vectors,
    humanise,
    joined_groups,
    row_keys,
    vector_keys,
)


def test_classes_are_sorted_whatever_the_order_of_rows():
    classes, y = encode_labels(["b", "a", "c", "a"])
    assert classes == ("a", "b", "c")
    assert y.tolist() == [1, 0, 2, 0]
    assert encode_labels(["c", "a", "b"])[0] == classes


def test_known_classes_come_first_in_their_order_with_or_without_rows():
    classes, y = encode_labels(["new", "b", "also new"], known=("z", "b"))
    assert classes == ("z", "b", "also new", "new")
    assert y.tolist() == [3, 1, 2]


def test_rows_with_several_labels_are_marked():
    classes, marks = encode_label_sets([("b", "a"), (), ("b",)], known=("z",))
    assert classes == ("z", "a", "b")
    assert marks.tolist() == [[False, True, True], [False, False, False], [False, False, True]]


def test_what_either_grouping_holds_together_stays_together():
    one, other = np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8])
    assert joined_groups(one, other).tolist() == [0, 0, 0, 1, 2]
    assert joined_groups(other, one).tolist() == [0, 0, 0, 1, 2]


def test_a_chain_of_groups_is_one_group():
    n = 2_000
    assert set(joined_groups(np.arange(n) // 2, (np.arange(n) + 1) // 2).tolist()) == {0}


def test_identical_items_are_one_group():
    assert groups_of(["x", "y", "x", "z"]).tolist() == [0, 1, 0, 2]


def test_equal_vectors_are_one_group():
    z = np.array([[1, 2], [1, 3], [1, 2], [0, 0], [-0.0, 0]], np.float32)
    assert groups_of_vectors(z).tolist() == [0, 1, 0, 2, 2]


def fine_table(n=60):
    """So many different values that two rows are alike only where one is a copy of the other."""
    rng = np.random.default_rng(0)
    return Rows(rng.standard_normal((n, 2)), np.array([f"v{i}" for i in rng.integers(0, 5, n)], object)[:, None])


def test_copies_of_rows_are_one_group():
    rows = fine_table()
    copied = rows.take(np.r_[np.arange(60), 3, 3, 59])
    assert groups_of_rows(copied).tolist() == [*range(60), 3, 3, 59]


def test_every_row_three_times_is_still_told():
    assert len(set(groups_of_rows(fine_table().take(np.arange(180) % 60)))) == 60


def test_copies_are_told_by_a_single_fine_column():
    numbers = np.r_[np.arange(60), 3, 59].astype(float)[:, None]
    assert groups_of_rows(Rows(numbers, np.empty((62, 0), object))).tolist() == [*range(60), 3, 59]


@pytest.mark.parametrize("n", [1, 2])
def test_one_row_is_one_group(n):
    assert groups_of_rows(fine_table(n)).tolist() == list(range(n))


def test_a_row_that_differs_in_one_cell_is_no_copy():
    rows = fine_table().take(np.r_[np.arange(60), 3, 4])
    rows.numbers[60, 0] += 1e-9
    rows.categories[61, 0] = "other"
    assert groups_of_rows(rows).tolist() == list(range(62))


def test_missing_numbers_and_both_zeros_are_alike():
    rows = fine_table().take(np.r_[np.arange(60), 3, 4])
    rows.numbers[3, 0], rows.numbers[60, 0] = np.nan, np.frombuffer(np.uint64(0xFFF8000000000001).tobytes())[0]
    rows.numbers[4, 0], rows.numbers[61, 0] = 0.0, -0.0
    assert groups_of_rows(rows).tolist() == [*range(60), 3, 4]


def test_rows_of_a_coarse_table_are_alike_without_being_copies():
    rng = np.random.default_rng(0)
    coarse = Rows(rng.integers(0, 3, (50, 2)).astype(float), rng.choice(["a", "b", ""], (50, 1)).astype(object))
    assert groups_of_rows(coarse).tolist() == list(range(50))
    assert groups_of_rows(Rows(coarse.numbers, np.empty((50, 0), object))).tolist() == list(range(50))
    assert groups_of_rows(Rows(np.empty((50, 0)), coarse.categories)).tolist() == list(range(50))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_arrival", "card arrival"),
        ("lostCard", "lost card"),
        ("LostCard", "lost card"),
        ("ATM_support", "ATM support"),
        ("declined-cash.withdrawal", "declined cash withdrawal"),
        ("Refund_not_showing_up", "refund not showing up"),
        ("HTTPError", "HTTP error"),
        ("verify2FA", "verify2fa"),
        ("größe", "größe"),
        ("___", "___"),
        ("", ""),
    ],
)
def test_a_name_becomes_words(name, words):
    assert humanise(name) == words


def test_equal_rows_have_equal_keys():
    numbers = np.array([[1.0, np.nan], [1.0, -np.nan], [1.0, 0.0], [1.0, -0.0], [1.0, 0.0]])
    words = np.array([["a"], ["a"], ["a"], ["a"], ["b"]], dtype=object)
    one, two, three, four, five = row_keys(Rows(numbers, words))
    assert one == two != three
    assert three == four != five


def test_rows_without_numbers_or_without_words():
    words = np.array([["a", "b"], ["b", "a"], ["a", "b"]], dtype=object)
    first, second, third = row_keys(Rows(np.zeros((3, 0)), words))
    assert first == third != second
    assert len(set(row_keys(Rows(np.eye(3), np.zeros((3, 0), dtype=object))))) == 3


def test_keys_are_of_the_whole_vector_and_change_nothing():
    z = np.asfortranarray(np.array([[1, 2], [1, 3], [1, 2]], np.float32))
    first, second, third = vector_keys(z)
    assert first == third != second
    numbers = np.array([[np.nan, -0.0]])
    row_keys(Rows(numbers, np.zeros((1, 0), dtype=object)))
    assert np.signbit(numbers[0, 1])
