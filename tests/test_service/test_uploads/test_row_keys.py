import numpy as np

from adapters.columns import Rows
from service.uploads.row_keys import row_keys, vector_keys


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
