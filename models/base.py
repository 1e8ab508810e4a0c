"""What a backbone is.

A backbone turns items into an embedding at a named tap, in three stages so that they can overlap:

    prepare (CPU)  items -> Encoded          tokenising, decoding
    run (device)   one batch of Encoded -> embeddings
    (post)         nothing: the graph ends in the embedding

`Card` is everything that is known of a hosted backbone without loading it; it is what `GET /v1/backbones` shows and
what an adapter's manifest points to by digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Embedding = npt.NDArray[np.float32]
"""(n, d) float32: one row an item."""


@dataclass(frozen=True)
class Card:
    """A hosted backbone, as recorded when it was exported.

    Attributes:
        id: Name in the catalogue, such as ``minilm-l6``.
        modality: ``text`` (images, audio and tables have their own).
        digest: sha256 (hex) over the digests of all its files: two backbones with one digest give the same embeddings.
        taps: Shape of one item's embedding at each tap: ``{"pooled": (384,)}``.
        licence: SPDX id of the weights.
        source: Where the weights come from, one line.
        max_tokens: Longest input in tokens; a longer one is truncated and said so. ``None`` where it has no meaning.
        files: sha256 of each file in its folder, by name.
        recipe: What was done to an item before the graph (tokenizer, pooling, normalisation, opset), for the reader.
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


@dataclass(frozen=True)
class Encoded:
    """One item, ready for the graph.

    Attributes:
        ids: (t,) int64 token ids, special tokens included: all of the item, or as much as the backbone takes at once.
        rest: What lies beyond, in order, in pieces like `ids` (see ``models/long.py``).
    """

    ids: npt.NDArray[np.int64]
    rest: tuple[npt.NDArray[np.int64], ...] = ()

    @property
    def size(self) -> int:
        """Cost of the item in a batch: the tokens of `ids`."""
        return len(self.ids)

    @property
    def cut(self) -> bool:
        """The item is longer than the backbone's `max_tokens`."""
        return bool(self.rest)


class Backbone(Protocol):
    """A loaded backbone. Thread-safe: `prepare` and `run` may be called from several threads."""

    @property
    def card(self) -> Card:
        """What was recorded when it was exported."""
        ...

    def prepare(self, items: Sequence[str]) -> list[Encoded]:
        """Encode items.

        Raises:
            WrongInput: An item is not of the backbone's modality.
        """
        ...

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch (padded to its longest item).

        Returns:
            (n, d) float32, in the order given; a row does not depend on its neighbours beyond 1e-6.
        """
        ...
