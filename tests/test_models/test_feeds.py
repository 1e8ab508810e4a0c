from dataclasses import replace

import numpy as np

from models.base import Encoded
from models.feeds import feed, mask_of


def encoded(*shape, dtype=np.float32, value=1):
    return Encoded(np.full(shape, value, dtype=dtype))


def test_texts_are_padded_to_the_longest_and_masked(fake_card):
    short, long = (encoded(size, dtype=np.int64, value=7) for size in (1, 3))
    fed = feed(fake_card, [short, long])
    assert list(fed) == ["input_ids", "attention_mask"]
    assert fed["input_ids"].tolist() == [[7, 0, 0], [7, 7, 7]]
    assert fed["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert {array.dtype for array in fed.values()} == {np.dtype(np.int64)}


def test_images_are_stacked(fake_card):
    card = replace(fake_card, modality="image")
    fed = feed(card, [encoded(4, 5, 3, dtype=np.uint8, value=value) for value in (1, 2)])
    assert {name: (array.shape, array.dtype) for name, array in fed.items()} == {"pixels": ((2, 4, 5, 3), np.uint8)}
    assert fed["pixels"][:, 0, 0, 0].tolist() == [1, 2]


def test_sounds_are_padded_as_the_recipe_says(fake_card):
    recipe = {"rate": 16000, "max_samples": 5, "padding": 2.0}
    sounds = [encoded(2), encoded(3)]
    card = replace(fake_card, modality="audio", recipe=recipe)
    assert feed(card, sounds)["samples"].tolist() == [[1, 1, 2], [1, 1, 1]]
    fixed = feed(replace(card, recipe={**recipe, "fixed_samples": 5}), sounds)["samples"]
    assert fixed.tolist() == [[1, 1, 2, 2, 2], [1, 1, 1, 2, 2]]
    assert fixed.dtype == np.float32


def test_a_mask_of_no_tokens_hides_all():
    assert mask_of(np.array([0, 2])).tolist() == [[0, 0], [1, 1]]
