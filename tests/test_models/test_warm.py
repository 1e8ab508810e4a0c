import dataclasses
import io
import wave

import numpy as np
import pytest
from PIL import Image

from models.errors import ExportMismatch
from models.warm import sample_items, warm


class Odd:
    """A backbone that gives what it was made with."""

    def __init__(self, card, z):
        self.card, self._z = card, np.array(z, dtype=np.float32)

    def prepare(self, items):
        return items

    def run(self, _batch):
        return self._z


def test_a_backbone_that_does_what_its_card_says_is_warmed(fake):
    warm(fake)


@pytest.mark.parametrize("z", [[[1.0]], [[1.0, np.nan]], [[1.0, np.inf]], [1.0, 2.0], [[1.0, 2.0]] * 2])
def test_another_shape_and_numbers_that_are_not_finite_are_found(fake_card, z):
    with pytest.raises(ExportMismatch, match=r"'fake' gives one plain item .* \(2,\)"):
        warm(Odd(dataclasses.replace(fake_card, taps={"pooled": (2,)}), z))


def test_sample_items_are_real_files():
    picture = Image.open(io.BytesIO(sample_items("image")[0]))
    assert (picture.size, picture.mode) == ((64, 64), "RGB")
    with wave.open(io.BytesIO(sample_items("audio")[0])) as sound:
        assert (sound.getframerate(), sound.getnframes(), sound.getnchannels()) == (16000, 8000, 1)
    assert sample_items("text")[0]
