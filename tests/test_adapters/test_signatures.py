"""Signatures: rows and columns by name, and mixtures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import ParameterInvalid, RequirementMissing
from adapters.signatures import Signatures, mixed, read_described
from models.errors import WeightsCorrupt

NAN = float("nan")


def made(rows, attributes=None, **more):
    """Signatures of these rows, by class."""
    values = np.array(list(rows.values()), dtype=np.float32)
    attributes = tuple(attributes or (f"a{i}" for i in range(values.shape[1])))
    return Signatures(tuple(rows), attributes, values, **more)


ANIMALS = made(
    {"tiger": [1, 0, 1], "lion": [1, 0, 1], "crow": [0, 1, 0]},
    ("furry", "legs=2", "legs=4"),
    groups=(("legs", (1, 2)),),
)


def test_bytes_are_read_back_and_are_the_same_each_time():
    data = ANIMALS.to_bytes()
    found = Signatures.from_bytes(data)
    assert (found.classes, found.attributes, found.groups, found.space) == (
        ANIMALS.classes,
        ANIMALS.attributes,
        ANIMALS.groups,
        "",
    )
    np.testing.assert_array_equal(found.values, ANIMALS.values)
    assert found.to_bytes() == data


@pytest.mark.parametrize("data", [b"", b"x" * 100, ANIMALS.to_bytes()[:-1]])
def test_other_bytes_are_no_signatures(data):
    with pytest.raises(WeightsCorrupt):
        read_described(data)


def test_rows_by_name():
    assert ANIMALS.of(["crow", "tiger"]).values.tolist() == [[0, 1, 0], [1, 0, 1]]
    with pytest.raises(RequirementMissing, match=r"no row for 2 class\(es\): 'bat', 'cat'"):
        ANIMALS.of(["crow", "bat", "cat"])


def test_columns_are_brought_into_another_order_with_their_groups():
    other = ANIMALS.reordered(["legs=4", "furry", "legs=2"])
    assert other.attributes == ("legs=4", "furry", "legs=2")
    assert other.values.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert other.groups == (("legs", (0, 2)),)
    back = other.reordered(ANIMALS.attributes)
    assert (back.groups, back.values.tolist()) == (ANIMALS.groups, ANIMALS.values.tolist())
    assert ANIMALS.reordered(ANIMALS.attributes) is ANIMALS


@pytest.mark.parametrize(
    "attributes", [["furry", "legs=2"], ["furry", "legs=2", "legs=8"], ["furry", "furry", "legs=2"], []]
)
def test_columns_that_are_not_the_same_names_are_refused(attributes):
    with pytest.raises(RequirementMissing, match="Describe the classes by the same attributes"):
        ANIMALS.reordered(attributes)


def test_kinds():
    table = made({"a": [1, 0.5, NAN], "b": [NAN, 1, NAN]})
    assert table.kinds == ("binary", "continuous", "binary")
    assert made({"a": [1.0], "b": [0.0]}, space="d").kinds == ("embedding",)


def test_a_mixture_is_the_weighted_mean_whatever_the_weights_add_up_to():
    table = made({"tiger": [1, 0, NAN], "lion": [0, 4, 1]})
    for scale in (1, 7, 5e307):
        found = mixed(table, {"liger": [("tiger", 3 * scale), ("lion", scale)]})
        assert found.classes == ("tiger", "lion", "liger")
        np.testing.assert_array_equal(found.values[2], [0.75, 1, NAN])


def test_a_mixture_may_be_made_of_one_that_comes_later():
    table = made({"tiger": [4.0], "lion": [0.0]})
    found = mixed(table, {"liliger": [("lion", 1), ("liger", 1)], "liger": [("tiger", 1), ("lion", 1)]})
    assert dict(zip(found.classes, found.values[:, 0].tolist(), strict=True)) == {
        "tiger": 4,
        "lion": 0,
        "liliger": 1,
        "liger": 2,
    }


def test_a_mixture_of_embeddings_of_length_one_has_length_one():
    unit = made({"a": [1, 0], "b": [0, 1]}, space="d")
    np.testing.assert_allclose(mixed(unit, {"c": [("a", 1), ("b", 1)]}).values[2], [0.5**0.5] * 2, rtol=1e-6)
    longer = made({"a": [2, 0], "b": [0, 1]}, space="d")
    assert mixed(longer, {"c": [("a", 1), ("b", 1)]}).values[2].tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("mixtures", "error", "sentence", "pointer"),
    [
        ({"x": [("bat", 1)]}, RequirementMissing, "names 'bat', which is not there", "/x"),
        ({"x": []}, ParameterInvalid, "names no class", "/x"),
        ({"tiger": [("lion", 1)]}, ParameterInvalid, "a row of its own", "/tiger"),
        ({"x": [("tiger", 1), ("tiger", 2)]}, ParameterInvalid, "names 'tiger' twice", "/x"),
        ({"a/b~": [("tiger", 0)]}, ParameterInvalid, "the weight 0;", "/a~1b~0"),
        ({"x": [("tiger", 1), ("lion", -0.5)]}, ParameterInvalid, "'lion' the weight -0.5", "/x"),
        ({"x": [("tiger", NAN)]}, ParameterInvalid, "the weight nan", "/x"),
        ({"x": [("tiger", float("inf"))]}, ParameterInvalid, "the weight inf", "/x"),
        ({"x": [("x", 1)]}, ParameterInvalid, "made of itself", "/x"),
        ({"ok": [("lion", 1)], "x": [("y", 1)], "y": [("x", 1)]}, ParameterInvalid, "made of itself", "/x"),
    ],
)
def test_mixtures_that_mean_nothing(mixtures, error, sentence, pointer):
    with pytest.raises(error, match=sentence) as caught:
        mixed(ANIMALS, mixtures)
    assert caught.value.problems[0].pointer == pointer


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_mixture_lies_between_what_it_is_made_of(weights, seed):
    values = np.random.default_rng(seed).normal(size=(len(weights), 3)).astype(np.float32)
    table = Signatures(tuple(map(str, range(len(weights)))), ("a", "b", "c"), values)
    row = mixed(table, {"x": list(zip(table.classes, weights, strict=True))}).values[-1]
    assert (row >= values.min(axis=0) - 1e-5).all()
    assert (row <= values.max(axis=0) + 1e-5).all()
