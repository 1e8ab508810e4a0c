"""Maps are held once, as many as there is room for; heads on them score what the map makes of an embedding."""

import numpy as np
import pytest

from adapters.maps import FourierMap
from models.errors import WeightsCorrupt
from service.serving.heads import Slot
from service.serving.maps import MappedSlot, Maps

MAP = FourierMap.draw(5, 8, 1.0)
DATA = MAP.to_bytes()
Z = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def test_what_is_held_is_read_once():
    maps = Maps()
    assert maps.get("a") is None
    held = maps.put("a", DATA)
    assert maps.put("a", b"is not looked at") is held
    assert maps.get("a") is held
    np.testing.assert_array_equal(held.apply(Z), MAP.apply(Z))


def test_the_least_recently_used_leaves():
    maps = Maps(2 * len(DATA))
    for key in "abc":
        maps.put(key, DATA)
    assert [key for key in "abc" if maps.get(key)] == ["b", "c"]
    assert len(maps) == 2


def test_what_is_no_map_is_refused_and_not_held():
    maps = Maps()
    with pytest.raises(WeightsCorrupt):
        maps.put("a", b"no map")
    assert maps.get("a") is None
    assert maps.put("a", DATA)


@pytest.mark.parametrize("answer", ["scores", "probabilities", "marks"])
def test_a_head_on_a_map_answers_as_the_head_does_on_its_features(answer):
    rng = np.random.default_rng(1)
    slot = Slot(rng.normal(size=(2, 8)).astype(np.float32), rng.normal(size=2).astype(np.float32), 0.5)
    expected = getattr(slot, answer)(MAP.apply(Z))
    np.testing.assert_array_equal(getattr(MappedSlot(MAP, slot), answer)(Z), expected)
