import numpy as np
import pytest

from adapters.signatures import Signatures
from adapters.zero_shot.fronts import LinearFront

ATTRIBUTES = ("furry", "legs", "stripes")


def described(values, space=""):
    values = np.array(values, np.float32)
    return Signatures(tuple(f"class {c}" for c in range(len(values))), ATTRIBUTES, values, space)


@pytest.fixture
def make_front():
    """A function that makes a front from four numbers to three attributes."""

    def make(**fields):
        weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
        given = {
            "weight": weight,
            "bias": np.array([1, 0, -1], np.float32),
            "fill": np.array([0.5, 2, 0], np.float32),
            "centre": np.array([0.5, 2, 0], np.float32),
        }
        return LinearFront(**(given | fields))

    return make


def test_features_are_the_first_layer(make_front):
    front, z = make_front(), np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(front.features(z), front.weight.T + front.bias)
    assert front.affine


def test_a_signature_is_filled_centred_scaled_and_of_length_one(make_front):
    front = make_front(scale=np.array([2, 1, 0], np.float32))
    table, bias = front.encode(described([[1, 6, 9], [np.nan, 3, np.nan]]))
    row = np.array([2 * 0.5, 4, 0])
    np.testing.assert_allclose(table, [row / np.linalg.norm(row), [0, 1, 0]], rtol=1e-6)
    assert not bias.any()


def test_without_unit_lengths_are_kept(make_front):
    table, _ = make_front(unit=False).encode(described([[1, 6, 9]]))
    np.testing.assert_allclose(table, [[0.5, 4, 9]])


def test_a_class_of_which_nothing_is_known_is_in_the_centre(make_front):
    table, _ = make_front().encode(described([[np.nan] * 3]))
    np.testing.assert_array_equal(table, np.zeros((1, 3)))


def test_a_class_is_encoded_alike_whatever_stands_beside_it(make_front):
    front = make_front()
    alone, _ = front.encode(described([[1, 4, 0]]))
    together, _ = front.encode(described([[1, 4, 0], [0, 8, 1], [100, 0, 1]]))
    np.testing.assert_array_equal(together[:1], alone)


def test_attributes_are_read_in_the_unit_of_signatures(make_front):
    z = np.ones((1, 4), np.float32)
    assert make_front().predicted(z) is None
    g = make_front().features(z)
    diagonal = make_front(readout=np.array([1, 10, 0], np.float32))
    np.testing.assert_allclose(diagonal.predicted(z), [0.5, 2, 0] + g * [1, 10, 0], rtol=1e-6)
    mixing = np.array([[0, 1, 0], [0, 0, 2], [0, 0, 0]], np.float32)
    expected = [[0.5 + g[0, 1], 2 + 2 * g[0, 2], 0]]
    np.testing.assert_allclose(make_front(readout=mixing).predicted(z), expected, rtol=1e-6)


@pytest.mark.parametrize("fields", [{}, {"unit": False}, {"scale": np.ones(3, np.float32)}, {"readout": np.eye(3)}])
def test_it_comes_back_from_its_arrays(make_front, fields):
    front, z = make_front(**fields), np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    again = LinearFront.of_arrays(*front.arrays())
    np.testing.assert_array_equal(again.features(z), front.features(z))
    signatures = described([[1, 6, np.nan]])
    np.testing.assert_array_equal(again.encode(signatures)[0], front.encode(signatures)[0])
    assert (again.predicted(z) is None) == (front.predicted(z) is None)
