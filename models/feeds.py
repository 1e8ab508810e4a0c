"""The inputs of a backbone's graphs, for one batch of prepared items: padded where they differ in length.

text    input_ids, attention_mask   (n, t) int64, zero after an item's end; the mask hides the zeros
image   pixels                      (n, h, w, 3) uint8
audio   samples                     (n, t) float32, the recipe's padding after a sound's end
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never, cast

import numpy as np
import numpy.typing as npt

from models.audio.spectrogram import SoundRecipe
from models.base import Card, Encoded, Modality

IDS: Final = "input_ids"
MASK: Final = "attention_mask"
PIXELS: Final = "pixels"
SAMPLES: Final = "samples"

Feed = dict[str, npt.NDArray[Any]]
"""One batch of a graph's inputs, by name, in the graph's order."""


def feed(card: Card, batch: Sequence[Encoded]) -> Feed:
    """What every graph of a backbone takes for one batch.

    Args:
        card: Of the backbone; the recipe says what sounds are padded with, and to what length.
        batch: One item or more, as `Backbone.prepare` gave them; of a long one the first piece counts.
    """
    modality = cast("Modality", card.modality)
    match modality:
        case "text":
            return pad_tokens(batch)
        case "image":
            return {PIXELS: np.stack([item.values for item in batch])}
        case "audio":
            return pad_samples(batch, SoundRecipe.from_dict(card.recipe))
        case _:
            assert_never(modality)


def pad_tokens(batch: Sequence[Encoded]) -> Feed:
    """(n, t) ids, zero after an item's end, and the mask that hides the zeros; t is the longest item's.

    The mask alone says what is padding: a graph whose network wants another id there (SigLIP) puts it in itself.
    """
    mask = mask_of(np.array([item.size for item in batch], dtype=np.int64))
    ids = np.zeros_like(mask)
    for row, item in zip(ids, batch, strict=True):
        row[: item.size] = item.values
    return {IDS: ids, MASK: mask}


def mask_of(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n, t): 1 where an item is, 0 behind its end."""
    return (np.arange(sizes.max()) < sizes[:, None]).astype(np.int64)


def pad_samples(batch: Sequence[Encoded], recipe: SoundRecipe) -> Feed:
    """(n, t) samples, the recipe's padding after a sound's end; t is the recipe's, or the longest item's."""
    length = recipe.fixed_samples or max(item.size for item in batch)
    samples = np.full((len(batch), length), recipe.padding, np.float32)
    for row, item in zip(samples, batch, strict=True):
        row[: item.size] = item.values
    return {SAMPLES: samples}
