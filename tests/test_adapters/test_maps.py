import numpy as np
import pytest
from safetensors.numpy import save

from adapters.errors import Cancelled
from adapters.maps import FourierMap, typical_gamma
from models.errors import WeightsCorrupt

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((40, 6)).astype(np.float32)


def test_products_of_features_are_the_kernel():
    features = FourierMap.draw(6, 8192, 0.1).apply(Z).astype(np.float64)
    squared = ((Z[:, None] - Z) ** 2).sum(axis=2)
    np.testing.assert_allclose(features @ features.T, np.exp(-0.1 * squared), atol=0.06)


def test_every_row_has_length_one_and_the_promised_width():
    map_ = FourierMap.draw(6, 64, 0.5)
    features = map_.apply(Z)
    assert features.shape == (40, map_.features) == (40, 64)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)


def test_a_map_is_told_by_width_features_and_bandwidth():
    first = FourierMap.draw(6, 64, 0.5).to_bytes()
    assert first == FourierMap.draw(6, 64, 0.5).to_bytes()
    others = [FourierMap.draw(*given).to_bytes() for given in ((5, 64, 0.5), (6, 62, 0.5), (6, 64, 0.25))]
    assert len({first, *others}) == 4


def test_maps_of_unlike_bandwidth_turn_alike():
    sharp, smooth = FourierMap.draw(6, 64, 2.0), FourierMap.draw(6, 64, 0.5)
    np.testing.assert_array_equal(sharp.frequencies, 2 * smooth.frequencies)


def test_more_rows_than_are_taken_at_once_are_mapped_alike():
    map_ = FourierMap.draw(3, 8, 1.0)
    many = RNG.standard_normal((9000, 3)).astype(np.float32)
    features = map_.apply(many)
    for row in (0, 4095, 4096, 8999):
        np.testing.assert_allclose(features[row], map_.apply(many[row : row + 1])[0], atol=1e-6)
    assert map_.apply(many[:0]).shape == (0, 8)


def test_a_map_comes_back():
    map_ = FourierMap.draw(6, 64, 0.5)
    np.testing.assert_array_equal(FourierMap.from_bytes(map_.to_bytes()).frequencies, map_.frequencies)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no",
        b"\xff" * 64,
        FourierMap.draw(6, 64, 0.5).to_bytes()[:-1],
        save({"other": np.ones((2, 3), np.float32)}),
        save({"frequencies": np.ones((2, 3), np.float32), "other": np.ones(1, np.float32)}),
        save({"frequencies": np.ones(3, np.float32)}),
        save({"frequencies": np.ones((0, 3), np.float32)}),
        save({"frequencies": np.ones((2, 3), np.float64)}),
        save({"frequencies": np.array([[1, np.nan]], np.float32)}),
        save({"frequencies": np.array([[1, np.inf]], np.float32)}),
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(WeightsCorrupt, match="map"):
        FourierMap.from_bytes(data)


WIDE = RNG.standard_normal((40, 8)).astype(np.float32)
"""The median squared distance of two rows is about 15."""


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 2**-4), (2.0, 2**-6), (2.0**20, 2**-44), (2.0**-20, 2**36)])
def test_the_typical_bandwidth_is_a_power_of_two_in_the_unit_of_the_rows(scale, expected):
    assert typical_gamma((scale * WIDE).astype(np.float32)) == expected


def test_the_typical_bandwidth_does_not_hang_on_a_few_rows_or_on_duplicates():
    assert typical_gamma(np.repeat(WIDE, 3, axis=0)) == typical_gamma(WIDE)
    assert typical_gamma(np.vstack([WIDE, 1e3 * WIDE[:2]])) == typical_gamma(WIDE)


@pytest.mark.parametrize("value", [0.0, 3.5, -1e6])
def test_rows_that_are_all_equal_have_some_bandwidth(value):
    assert typical_gamma(np.full((5, 4), value, np.float32)) == 1.0
    assert typical_gamma(np.full((1, 4), value, np.float32)) == 1.0


def test_it_can_be_stopped_while_it_is_applied_to_many_rows():
    asked = []

    def check():
        asked.append(1)
        if len(asked) == 2:
            raise Cancelled("over")

    with pytest.raises(Cancelled):
        FourierMap.draw(2, 4, 1.0).apply(np.zeros((10_000, 2), np.float32), check)
