"""An image backbone that is served: Pillow in front, one ONNX Runtime session behind. Never loads torch.

Graph contract: input ``pixels``, (n, h, w, 3) uint8 RGB; output ``item_embedding``, (n, d) float32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.base import BatchLimits, Card, Embedding, Encoded, Item
from models.errors import SourceRefused, WeightsCorrupt, WrongInput
from models.feeds import PIXELS, feed
from models.images.pixels import DEFAULT_LIMITS, ImageLimits, PixelRecipe, read_pixels
from models.session import POOLED, open_pooled

if TYPE_CHECKING:
    import onnxruntime as ort

INPUT: Final = PIXELS
OUTPUT: Final = "item_embedding"

IMAGE_LIMITS = BatchLimits(size=1024, items=8)
"""On a CPU: 8 images of 128 px, 4 of 224. Beyond what fits the cache, batches of images cost more an item, not less.

One thread, ms an image in batches of 1, 2, 4, 8, 16, 32: MobileNetV2 at 128 px 2.51, 2.35, 2.37, 2.42, 2.47, 2.54; at
224 px 7.3, 7.2, 7.3, 7.6, 8.1, 8.3; ``scatter-2d`` 0.46, 0.38, 0.37, 0.36, 0.36, 0.37.
"""
CUDA_IMAGE_LIMITS = BatchLimits(size=64 * 256, items=64)
"""On a GPU. Not measured."""


class ImageBackbone:
    """The bytes of an image file in, an embedding out.

    Thread-safe: decoding keeps nothing, and a session may be run from several threads. Pillow and ONNX Runtime let
    other Python threads run while they work, so callers decode in as many threads as they have cores.
    """

    def __init__(
        self,
        card: Card,
        recipe: PixelRecipe,
        session: "ort.InferenceSession",
        provider: str,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        self._card = card
        self._recipe = recipe
        self._session = session
        self._provider = provider
        self._limits = limits

    @classmethod
    def open(
        cls,
        card: Card,
        folder: Path,
        *,
        threads: int,
        gpu_memory_bytes: int = 0,
        tap: str = POOLED,
        image_limits: ImageLimits = DEFAULT_LIMITS,
    ) -> "ImageBackbone":
        """Load the graph from a hosted folder whose files were already checked.

        Args:
            card: Of the backbone; ``recipe["pixels"]`` says how images are prepared.
            folder: Where its files lie.
            threads: CPU threads within one operation.
            gpu_memory_bytes: See `models.session.open_session`.
            tap: ``pooled`` or ``blocks``; the card's shape for ``pooled`` is that of the embedding.
            image_limits: What is too large to decode.

        Raises:
            WeightsCorrupt: The card does not say how images are prepared, or the graph takes another size than it says.
        """
        try:
            recipe = PixelRecipe.from_dict(card.recipe["pixels"])
        except (KeyError, TypeError, AttributeError, SourceRefused) as error:
            raise _corrupt(card, f"its card says how no image is prepared ({error})") from error
        session, provider = open_pooled(card, folder, threads=threads, gpu_memory_bytes=gpu_memory_bytes, tap=tap)
        taken = session.get_inputs()[0].shape[1:]
        if taken != [*recipe.size, 3]:
            raise _corrupt(card, f"its graph takes {taken} pixels, but its card says {[*recipe.size, 3]}")
        return cls(card, recipe, session, provider, image_limits)

    @property
    def card(self) -> Card:
        """What was recorded when it was exported."""
        return self._card

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be."""
        return CUDA_IMAGE_LIMITS if self._provider.startswith("cuda") else IMAGE_LIMITS

    @property
    def provider(self) -> str:
        """What runs it."""
        return self._provider

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """Decode, resize and crop in the calling thread: a pool is the caller's.

        Cost: 0.6 ms for a JPEG of 224 px, 5 ms for 1,000 x 750, to 128 px.

        Raises:
            WrongInput: An item is not bytes, or not an image that can be decoded.
        """
        return [self._prepare(index, item) for index, item in enumerate(items)]

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch.

        Returns:
            (n, d) float32, in the order given; (0, d) for an empty batch.
        """
        if not batch:
            return np.empty((0, *self._card.taps["pooled"]), dtype=np.float32)
        embedding: Embedding = self._session.run([OUTPUT], feed(self._card, batch))[0]
        return embedding

    def _prepare(self, index: int, item: Item) -> Encoded:
        if not isinstance(item, bytes):
            raise WrongInput(
                f"Item {index} is a {type(item).__name__}; this backbone takes images. Send the bytes of an image file."
            )
        try:
            return Encoded(read_pixels(item, self._recipe, self._limits))
        except WrongInput as error:
            raise WrongInput(f"Item {index}: {error.message}") from error


def _corrupt(card: Card, why: str) -> WeightsCorrupt:
    return WeightsCorrupt(
        f"The backbone {card.id!r} cannot be opened: {why}. Delete its folder and host the backbone again."
    )
