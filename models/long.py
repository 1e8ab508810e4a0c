"""Items that are longer than a backbone takes at once: their end left out, or all of their pieces pooled.

    truncate   the first piece stands for the item
    chunk      the mean of all pieces' embeddings, each weighed by its tokens, brought back to the length of one piece's

Backbones that pool by the mean over tokens compute nearly that mean by themselves where an item fits; so weighing by
tokens keeps long items comparable with short ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from models.base import Card, Embedding, Encoded

Long = Literal["truncate", "chunk"]


@dataclass(frozen=True)
class Pieces:
    """The pieces of some items, one after the other.

    Attributes:
        encoded: (p,) pieces.
        starts: (n + 1,) item i has the pieces from starts[i] to starts[i + 1].
        cut: (n,) bool: something of the item is left out.
    """

    encoded: list[Encoded]
    starts: npt.NDArray[np.int64]
    cut: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, items: Sequence[Encoded], long: Long) -> Self:
        """Pieces of items: one each where they are truncated."""
        if long == "truncate" or not any(item.cut for item in items):
            return cls(list(items), np.arange(len(items) + 1), np.array([item.cut for item in items], dtype=np.bool_))
        counts = [1 + len(item.rest) for item in items]
        encoded = [Encoded(values) for item in items for values in (item.values, *item.rest)]
        return cls(encoded, np.concatenate([[0], np.cumsum(counts)]), np.zeros(len(items), dtype=np.bool_))

    def pool(self, z: Embedding, card: Card) -> Embedding:
        """Embeddings of the items from those of their pieces.

        Args:
            z: (p, d) float32.
            card: Of the backbone; one whose recipe ends in L2 normalisation gets pooled rows of unit length too.

        Returns:
            (n, d) float32; an item of one piece keeps its row bit by bit.
        """
        if len(self.starts) - 1 == len(z):
            return z
        tokens = np.array([piece.size for piece in self.encoded], dtype=np.float32)[:, None]
        pooled = np.add.reduceat(z * tokens, self.starts[:-1]) / np.add.reduceat(tokens, self.starts[:-1])
        if card.recipe.get("normalisation") == "L2":
            pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), np.float32(1e-12))
        single = np.diff(self.starts) == 1
        pooled[single] = z[self.starts[:-1][single]]
        return np.asarray(pooled, dtype=np.float32)
