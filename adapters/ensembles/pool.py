"""The average itself: outer(Σ share · inner(answer)), of each class over the members that know it.

A member that does not know a class says nothing of it: the class gets the average of those that do, and all classes
together are brought to a sum of one. Where all members know all classes these are the usual pools.

Source: of probabilities (linear) and of log probabilities (logarithmic): Jacobs, Methods for Combining Experts'
Probability Assessments, Neural Computation 7(5), 1995.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, Mask, TaskKind

Of = Literal["probabilities", "log_probabilities"]
"""What is averaged."""

FLOOR = 1e-12
"""Least probability of a class: the log of less says no more."""

LEAST, MOST = 1e-7, 1 - 1e-3
"""Within what a probability is taken where a row may have any number of classes: near one, float32 tells no more."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Pool:
    """How answers become scores.

    Attributes:
        inner: Of each member's answer, before it is averaged.
        outer: Of the average: the scores.
        slope: Derivative of `outer`.
    """

    inner: Callable[[Floats], Floats]
    outer: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]

    def average(self, answers: F32, shares: F64, knows: Mask) -> F64:
        """Σ share · inner over the members that know each class.

        Args:
            answers: (m, n, k) of the members, in the task's classes.
            shares: (m,) positive where a member counts.
            knows: (m, k) who knows which class; each class is known to one that counts.

        Returns:
            (n, k).
        """
        portions = portions_of(shares, knows)
        result = np.zeros(answers.shape[1:])
        for answer, portion in zip(answers, portions, strict=True):
            result += portion * self.inner(answer)
        return result

    def scores(self, answers: F32, shares: F64, knows: Mask) -> F32:
        """(n, k) float32 scores; see `average` and `Head.scores`."""
        return self.outer(self.average(answers, shares, knows)).astype(np.float32)


def portions_of(shares: F64, knows: Mask) -> F64:
    """(m, k) share of each member in each class: of (m,) shares, among those that know it, by (m, k)."""
    counted = shares[:, None] * knows
    result: F64 = counted / counted.sum(axis=0)
    return result


def pool_of(kind: TaskKind, of: Of) -> Pool:
    """How answers of that kind are averaged; values have one way only."""
    if kind is TaskKind.REGRESSION:
        return Pool(_same, _same, np.ones_like)
    outer, slope = (_log, _per_log) if kind is TaskKind.CLASSIFICATION else (_odds, _per_odds)
    return Pool(_same, outer, slope) if of == "probabilities" else Pool(outer, _same, np.ones_like)


def _same(values: Floats) -> Floats:
    return values


def _log(p: Floats) -> Floats:
    found: Floats = np.log(np.maximum(p, p.dtype.type(FLOOR)))
    return found


def _per_log(p: Floats) -> Floats:
    found: Floats = 1 / np.maximum(p, p.dtype.type(FLOOR))
    return found


def _odds(p: Floats) -> Floats:
    inside = np.clip(p, p.dtype.type(LEAST), p.dtype.type(MOST))
    found: Floats = np.log(inside / (1 - inside))
    return found


def _per_odds(p: Floats) -> Floats:
    inside = np.clip(p, p.dtype.type(LEAST), p.dtype.type(MOST))
    found: Floats = 1 / (inside * (1 - inside))
    return found
