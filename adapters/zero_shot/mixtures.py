"""What an item that is told by known classes is made of, and whether it lies between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.base import F32, F64, Mask

LEAST_SHARE = 0.05
"""Of a part that is worth naming."""

MOST_PARTS = 5

NEAR_COPY = 0.8
"""Cosine of two standardised signatures from which on the classes are one mode.

Of the 40 seen classes of Animals with Attributes no two are that alike: the nearest, elephant and rhinoceros, have 0.74
by binary and 0.77 by continuous attributes, tiger and lion 0.33 and 0.63, and the median of any two is -0.07. Above it
are rows that the attributes hardly tell apart.
"""

_BOTH_HIGH = 0.5
"""Weight of a second mode, of the first one's, from which on the item has two."""

_TOGETHER = 0.7
"""Weight of both from which on the rest does not count."""


@dataclass(frozen=True)
class Mixture:
    """What one item is made of.

    Attributes:
        parts: The likeliest classes with their shares, descending: at least 0.05 each, at most 5; the likeliest alone
            where none has as much.
        entropy: Of all shares, in nats: 0 for one class, log s for s classes alike.
        second: The class of the second mode with its share; None where there is one mode, or none.
    """

    parts: tuple[tuple[str, float], ...]
    entropy: float
    second: tuple[str, float] | None


def mixture_of(names: Sequence[str], shares: F32, similarity: F64) -> list[Mixture]:
    """Parts, entropy and second mode of items.

    A mode is a class with its near-copies, weighed by the sum of their shares. The second one is that of the likeliest
    class that is no near-copy of the first. It is told where it weighs at least half of the first and both together
    0.7 or more, which tells three kinds of items apart:

    - one class, or one of several that are alike: low entropy, or its mass on near-copies; no second mode.
    - half one, half the other (a liger): two modes that leave little for others; the entropy is near log 2.
    - merely hard (a tiger in the dark): mass over many neighbours; the entropy is high, and no second mode, because no
      other weighs half of the first, or because two are not most of it.

    Args:
        names: s classes.
        shares: (n, s) of the classes in each item, rows summing to one; see `Front.shares`.
        similarity: (s, s) cosines of their standardised signatures; see `ConvexFront.similarity`.

    Returns:
        n of them.

    Cost: O(n·s·log s); 1,000 items of 1,000 classes 0.2 s.
    """
    # Products of float32 rows are a little off: rows at the threshold count as alike on every machine.
    alike = (similarity >= NEAR_COPY - 1e-6) | np.eye(len(names), dtype=np.bool_)
    return [_mixture(names, row, alike) for row in np.asarray(shares, dtype=np.float64)]


def _mixture(names: Sequence[str], shares: F64, alike: Mask) -> Mixture:
    order = np.argsort(-shares, kind="stable")
    kept = [at for at in order[:MOST_PARTS] if shares[at] >= LEAST_SHARE] or list(order[:1])
    present = shares[shares > 0]
    entropy = max(0.0, -float(present @ np.log(present)))
    first = alike[order[0]]
    others = [at for at in order if not first[at]]
    second = None
    if others:
        mass = float(shares[first].sum())
        other = float(shares[alike[others[0]] & ~first].sum())
        if other >= _BOTH_HIGH * mass and mass + other >= _TOGETHER:
            second = (names[others[0]], float(shares[others[0]]))
    return Mixture(tuple((names[at], float(shares[at])) for at in kept), entropy, second)
