import numpy as np

from adapters.signatures import Signatures
from adapters.zero_shot.fronts.scale import Scale


def table(rows, space=""):
    values = np.array(rows, dtype=np.float32)
    names = tuple(f"class {row}" for row in range(len(rows)))
    return Signatures(names, tuple(f"attribute {column}" for column in range(values.shape[1])), values, space)


ROWS = [[0, 10, 5, np.nan, 1], [1, 30, 5, 2, np.nan], [1, 20, 5, 4, 1], [0, 99, 7, 3, 0]]
SEEN = np.array([True, True, True, False])


def test_seen_classes_reach_from_nought_to_one_and_others_have_no_say():
    scale = Scale.of(table(ROWS), SEEN)
    np.testing.assert_array_equal(scale.low, [0, 10, 5, 2, 1])
    np.testing.assert_array_equal(scale.span, [1, 20, 1, 2, 1])
    np.testing.assert_array_equal(scale.varies, [True, True, False, True, False])
    np.testing.assert_allclose(scale.marks(table(ROWS))[3], [0, 1, 1, 0.5, 0])


def test_what_is_missing_stays_missing():
    assert np.isnan(Scale.of(table(ROWS), SEEN).marks(table(ROWS))[0, 3])


def test_back_is_the_way_back():
    scale = Scale.of(table(ROWS), SEEN)
    np.testing.assert_allclose(scale.back(scale.apply(table(ROWS))), table(ROWS).values, rtol=1e-6)


def test_nothing_known_is_nothing_that_varies():
    scale = Scale.of(table([[np.nan, 0], [np.nan, 1]]), np.array([True, True]))
    np.testing.assert_array_equal(scale.varies, [False, True])
    assert np.isfinite(scale.low).all()


def test_standard_is_of_mean_nought_and_deviation_one():
    signatures = table([[0, 100, 3], [1, 300, 3], [1, 200, 3]])
    scale = Scale.standard(signatures)
    applied = scale.apply(signatures)
    np.testing.assert_allclose(applied.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(applied.std(axis=0), [1, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(scale.varies, [True, True, False])


def test_embeddings_keep_their_unit():
    signatures = table([[0.1, 0.3], [0.2, 0.9]], space="digest")
    np.testing.assert_array_equal(Scale.standard(signatures).span, 1)


def test_it_names_what_is_left_out():
    scale = Scale.of(table(ROWS), SEEN)
    assert "2 attribute(s)" in scale.left_out(table(ROWS))
    assert "'attribute 2', 'attribute 4'" in scale.left_out(table(ROWS))
    assert Scale.of(table([[0], [1]]), np.array([True, True])).left_out(table([[0], [1]])) is None


def test_arrays_give_it_back():
    scale = Scale.of(table(ROWS), SEEN)
    again = Scale.of_arrays(scale.arrays())
    for name, array in scale.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
