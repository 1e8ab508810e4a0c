"""What to take from the scores of seen classes, so that unseen ones are found beside them.

Source: Chao, Changpinyo, Gong & Sha, An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object
    Recognition in the Wild, ECCV 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.base import F32, F64
from adapters.zero_shot.splits import Split

_STEPS = 201
_WITHIN = 0.005
"""How far below the highest harmonic mean an offset may lie that counts as good: their middle is taken, which the few
rows at the very top do not move."""


@dataclass(frozen=True, eq=False)
class Curve:
    """How seen and unseen accuracy change with the offset, as means over classes and splits.

    Attributes:
        offsets: (s,) growing, in units of the scores; zero is among them.
        seen: (s,) mean per-class accuracy of the classes that were learned.
        unseen: (s,) of those set apart.
    """

    offsets: F64
    seen: F64
    unseen: F64

    @property
    def harmonic(self) -> F64:
        """(s,) harmonic mean of both."""
        return harmonic_mean(self.seen, self.unseen)


def harmonic_mean(seen: F64, unseen: F64) -> F64:
    """2·seen·unseen / (seen + unseen); 0 where both are."""
    total = seen + unseen
    result: F64 = np.divide(2 * seen * unseen, total, out=np.zeros_like(total), where=total > 0)
    return result


def best_offset(splits: Sequence[Split], scores: Sequence[F32]) -> float:
    """The offset with the highest harmonic mean on some splits, smoothed.

    Args:
        splits: With held-out rows of classes that were learned, or 0 is the answer.
        scores: (m, c) of each split's judged rows.

    Returns:
        In units of the scores; may be negative where seen classes score too low.

    Cost: O(rows·classes + rows·log rows).
    """
    drawn = [_Drawn.of(split, of) for split, of in zip(splits, scores, strict=True)]
    if not any((~split.foreign).any() for split in splits):
        return 0.0
    curve = _curve(drawn)
    harmonic = curve.harmonic
    good = harmonic >= harmonic.max() - _WITHIN
    # The stretch around the top alone: a second hill elsewhere is chance.
    top = int(harmonic.argmax())
    low, high = top, top
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    return float((curve.offsets[low] + curve.offsets[high]) / 2)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Of each judged row what decides between seen and unseen, and whether it is right within each."""

    lead: F64
    right: F64
    foreign: F64
    weights: F64

    @classmethod
    def of(cls, split: Split, scores: F32) -> "_Drawn":
        best = [np.where(mask, scores, -np.inf) for mask in (~split.apart, split.apart)]
        lead = best[0].max(axis=1).astype(np.float64) - best[1].max(axis=1)
        foreign = split.foreign
        within = np.where(foreign, best[1].argmax(axis=1), best[0].argmax(axis=1)) == split.y
        sums = [split.weights[side].sum() for side in (~foreign, foreign)]
        share = split.weights / np.where(foreign, sums[1], sums[0])
        return cls(lead, within.astype(np.float64), foreign.astype(np.float64), share)


def _curve(drawn: Sequence[_Drawn]) -> Curve:
    lead = np.concatenate([of.lead for of in drawn])
    right = np.concatenate([of.right for of in drawn])
    foreign = np.concatenate([of.foreign for of in drawn]) > 0
    weights = np.concatenate([of.weights for of in drawn]) / len(drawn)
    offsets = np.linspace(min(0.0, float(lead.min())), max(0.0, float(lead.max())), _STEPS)
    return Curve(
        offsets,
        _behind(lead[~foreign], (right * weights)[~foreign], offsets, above=True),
        _behind(lead[foreign], (right * weights)[foreign], offsets, above=False),
    )


def _behind(lead: F64, gain: F64, offsets: F64, *, above: bool) -> F64:
    """(s,) sum of what rows gain whose lead is above each offset, or not."""
    order = np.argsort(lead, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(gain[order])])[np.searchsorted(lead[order], offsets, side="right")]
    return gain.sum() - below if above else below
