"""What a backbone is.

A backbone turns items into an embedding at a named tap, in two stages so that they can overlap:

    prepare (CPU)  items -> Encoded          tokenising; decoding, resizing, resampling
    run (device)   one batch of Encoded -> embeddings

The graph ends in the embedding; there is no third stage. What it takes, by modality:

    text    input_ids, attention_mask   (n, t) int64              -> sentence_embedding (n, d) float32
    image   pixels                      (n, h, w, 3) uint8, RGB   -> item_embedding (n, d) float32
    audio   samples                     (n, t) float32 in [-1, 1] -> item_embedding (n, d) float32

Scaling of pixels and spectra of samples are part of the graph, so that they are verified with it and travel with it.

`Card` is everything that is known of a hosted backbone without loading it; it is what `GET /v1/backbones` shows and
what an adapter's manifest points to by digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Embedding = npt.NDArray[np.float32]
"""(n, d) float32: one row an item."""

Modality = Literal["text", "image", "audio"]
"""What an item is."""

Item = str | bytes
"""One item: a text, or the bytes of an image's or a sound's file (JPEG, WAV, ...)."""

AS_LONG = -1
"""In a tap's shape: as long as the item."""


@dataclass(frozen=True)
class Card:
    """A hosted backbone, as recorded when it was exported.

    Attributes:
        id: Name, such as ``minilm-l6``.
        modality: What an item is.
        digest: sha256 (hex) over the digests of all its files: two backbones with one digest give the same embeddings.
        taps: Shape of one item's embedding at each tap: ``{"pooled": (384,), "block5": (AS_LONG, 384)}``.
        licence: SPDX id of the weights.
        source: Where the weights come from, one line.
        max_tokens: Longest text in tokens; a longer one is truncated and said so. ``None`` where it has no meaning.
        files: sha256 of each file in its folder, by name; the digest covers them.
        recipe: What is done to an item before the graph and what the graph does (tokenizer, prefix, pixels, sample
            rate, pooling, normalisation, opset): `prepare` follows it, and a reader can.
        trained: Whether anything was learned from data; a backbone of fixed transforms says False.
        extras: sha256 of further files made from the same weights, by name (another precision, taps that were added
            later); not in the digest.
        parts: Of the tap ``blocks``, what stands behind one another in its embedding: name and width, in order.
    """

    id: str
    modality: str
    digest: str
    taps: dict[str, tuple[int, ...]]
    licence: str
    source: str
    max_tokens: int | None
    files: dict[str, str]
    recipe: dict[str, Any]
    trained: bool = True
    extras: dict[str, str] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """One item, ready for the graph.

    Attributes:
        values: (t,) int64 token ids, special tokens included; (h, w, 3) uint8 pixels; or (t,) float32 samples: all of
            the item, or as much as the backbone takes at once.
        rest: What lies beyond, in order, in pieces like `values` (see ``models/long.py``).
    """

    values: npt.NDArray[Any]
    rest: tuple[npt.NDArray[Any], ...] = ()

    @property
    def size(self) -> int:
        """Cost of the item in a batch: its tokens, rows of pixels, or samples."""
        return len(self.values)

    @property
    def cut(self) -> bool:
        """The item is longer than the backbone takes at once."""
        return bool(self.rest)


@dataclass(frozen=True)
class BatchLimits:
    """How large a batch of a backbone may be on the device that it runs on.

    Attributes:
        size: Most of `Encoded.size`, added over the items after padding.
        items: Most items; 1 where items of unlike length would change each other's embedding.
    """

    size: int
    items: int


class Backbone(Protocol):
    """A loaded backbone. Thread-safe: `prepare` and `run` may be called from several threads."""

    @property
    def card(self) -> Card:
        """What was recorded when it was exported."""
        ...

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be."""
        ...

    @property
    def provider(self) -> str:
        """What runs it: ``cpu`` or ``cuda``, with the precision where it is not float32: ``cuda float16``."""
        ...

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """Encode items.

        Raises:
            WrongInput: An item is not of the backbone's modality, or cannot be decoded.
        """
        ...

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch (texts are padded to the longest).

        Returns:
            (n, d) float32, in the order given; a row does not depend on its neighbours beyond 1e-6.
        """
        ...
