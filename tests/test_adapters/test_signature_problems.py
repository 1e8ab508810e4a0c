"""What is odd about a table of signatures."""

import numpy as np
import pytest

from adapters.signature_problems import problems
from adapters.signatures import Signatures

NAN = float("nan")


def made(rows, **more):
    """Signatures of these rows, by class."""
    values = np.array(list(rows.values()), dtype=np.float32)
    return Signatures(tuple(rows), tuple(f"a{i}" for i in range(values.shape[1])), values, **more)


def test_a_table_in_order_has_no_problems():
    assert problems(made({"a": [1, 0.5, 0], "b": [0, 0.2, 1], "c": [0, 1, 0]})) == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"a": [1, 0], "b": [1, -0.0], "c": [0, 1]}, "The classes 'a', 'b' have the same row"),
        ({"a": [1, NAN], "b": [0, 1], "c": [1, NAN], "d": [0, 2]}, "The classes 'a', 'c' have the same row"),
        ({"a": [1, 3], "b": [0, 3], "c": [0.5, NAN]}, "Attribute the same for every class that has a value"),
        ({"a": [1, NAN], "b": [0, NAN], "c": [2, NAN]}, "Attribute missing for every class: 'a1'"),
        ({"a": [1, NAN], "b": [0, 5], "c": [2, NAN]}, "Attribute known of one class alone: 'a1'"),
        ({"a": [1, 1], "b": [0, 0], "c": [NAN, NAN]}, "The attributes 'a0', 'a1' say the same of every class"),
        ({"a": [1, 5000], "b": [0, 10], "c": [1, 70]}, "The values of 'a1' spread over 4990 and those of 'a0' over 1"),
    ],
)
def test_what_is_odd_is_said_once(rows, sentence):
    found = problems(made(rows))
    assert [sentence in said for said in found] == [True], found


def test_of_embeddings_only_equal_rows_are_odd():
    table = made({"a": [1, 0, 0], "b": [1, 0, 0], "c": [1, 0, 0], "d": [1, 0, 5000]}, space="d")
    assert problems(table) == ["The classes 'a', 'b', 'c' have the same row; nothing tells them apart."]


def test_many_equal_rows_do_not_make_a_long_list():
    rows = {f"c{i}": [i // 2, (i // 2) % 3 - 1] for i in range(40)}
    found = problems(made(rows))
    assert len(found) == 6
    assert found[-1] == "15 further sets of classes have the same row."
