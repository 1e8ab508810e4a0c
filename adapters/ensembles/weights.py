"""Shares that make the average likeliest on rows that the members had not seen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from adapters.base import F32, F64, I64, Mask, TaskKind
from adapters.calibrate import fit_temperature
from adapters.ensembles.pool import Of, Pool, pool_of, portions_of

PRIOR_ROWS = 5.0
"""Rows that the prior counts for, for each member: it draws the shares toward equal ones."""

_STEPS = 50
_ROUNDS = 5
_PRECISE = 1e-6
"""Of a nat that a step promises, over all rows: shares are then within some 1e-4 of the best."""

_SHRINK = 0.5
_SHORTEST = 1e-6
_ENOUGH = 1e-4
"""Of what a step promises, how much it must keep (Armijo's rule)."""

_INSIDE = 0.9
"""Of the way to where a share would be zero, how far a step goes at most."""

_SAME_TEMPERATURE = 0.01
_BLOCK_VALUES = 1 << 17
_MOST_VALUES = 1 << 21
"""Answers that shares are fitted to: thousands of rows tell a handful of numbers as well as all do."""

_FEWEST_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Seen:
    """What the shares are fitted to.

    Attributes:
        answers: (m, n, k) float32 probabilities or values of the members, in the task's classes.
        knows: (m, k) who knows which class.
        y: (n,) int64, (n, k) bool or (n,) float64: the truth.
        weights: (n,) how much each row counts; None = all alike.
    """

    answers: F32
    knows: Mask
    y: I64 | Mask | F64
    weights: F64 | None = None

    @property
    def kind(self) -> TaskKind:
        """What is averaged."""
        if self.y.ndim == 2:
            return TaskKind.MULTILABEL
        return TaskKind.REGRESSION if self.y.dtype == np.float64 else TaskKind.CLASSIFICATION


def learn_shares(seen: Seen, of: Of) -> F64:
    """Shares with the lowest loss, drawn toward equal ones.

    Minimises Σ loss(average(shares)/T, truth) - 5·Σ ln share over shares that are positive and sum to one, in turns
    with the temperature T of the average: with each member counted for 5 more rows, a few rows hardly move the shares
    from equal ones, and hundreds say what they are. The loss is log loss, its mean over classes where a row may have
    several, or the squared error in units of the equal average's.

    Args:
        seen: Held-out rows, n at least 1.
        of: What is averaged.

    Returns:
        (m,) float64, positive, sum 1.

    Cost: O(n·k·m²) a step, 10 to 30 of them.
    Source: convex shares from held-out answers: Breiman, Stacked Regressions, Machine Learning 24, 1996; the prior is
        a Dirichlet distribution's.
    """
    pool, m = pool_of(seen.kind, of), len(seen.answers)
    shares = np.full(m, 1 / m)
    if m == 1:
        return shares
    seen = _thinned(seen)
    unit = _unit(seen, pool, shares)
    for _ in range(_ROUNDS):
        shares = _minimised(seen, pool, unit, shares)
        if seen.kind is TaskKind.REGRESSION:
            break
        before, unit = unit, _unit(seen, pool, shares)
        if abs(unit / before - 1) < _SAME_TEMPERATURE:
            break
    return shares


def _thinned(seen: Seen) -> Seen:
    """Every so many rows of very many."""
    m, n, k = seen.answers.shape
    most = max(_FEWEST_ROWS, _MOST_VALUES // (m * k))
    if n <= most:
        return seen
    rows = np.linspace(0, n - 1, most).astype(np.int64)
    weights = None if seen.weights is None else seen.weights[rows]
    return replace(seen, answers=seen.answers[:, rows], y=seen.y[rows], weights=weights)


def _unit(seen: Seen, pool: Pool, shares: F64) -> float:
    """The temperature of the average; of values the root of its mean squared error."""
    scores = pool.scores(seen.answers, shares, seen.knows)
    if seen.y.dtype == np.float64:
        squared = np.average((scores[:, 0] - seen.y) ** 2, weights=seen.weights)
        return float(np.sqrt(squared)) or 1.0
    return fit_temperature(scores, cast("I64 | Mask", seen.y), seen.weights)


def _minimised(seen: Seen, pool: Pool, unit: float, shares: F64) -> F64:
    """Newton's method on the simplex: the prior keeps it inside."""
    m = len(shares)
    value, slope, curvature = _loss(seen, pool, unit, shares)
    for _ in range(_STEPS):
        system = np.ones((m + 1, m + 1))
        system[:m, :m], system[m, m] = curvature, 0.0
        step = np.linalg.solve(system, np.append(-slope, 0.0))[:m]
        promised = float(-slope @ step)
        if promised <= _PRECISE:
            break
        shrinking = step < 0
        length = min(1.0, _INSIDE * float(np.min(-shares[shrinking] / step[shrinking], initial=np.inf)))
        while True:
            following = shares + length * step
            following /= following.sum()
            found = _loss(seen, pool, unit, following)
            if found[0] <= value - _ENOUGH * length * promised or length < _SHORTEST:
                break
            length *= _SHRINK
        if found[0] >= value:
            break
        shares, (value, slope, curvature) = following, found
    return shares


def _loss(seen: Seen, pool: Pool, unit: float, shares: F64) -> tuple[float, F64, F64]:
    """The loss with its prior, its slope (m,) and its curvature (m, m), as the model itself expects it."""
    value = -PRIOR_ROWS * float(np.log(shares).sum())
    slope, curvature = -PRIOR_ROWS / shares, np.diag(PRIOR_ROWS / shares**2)
    for rows in _blocks(seen):
        scores, moved = _moved(seen, pool, shares, rows)
        y = seen.y[rows]
        counts = np.ones(len(y)) if seen.weights is None else seen.weights[rows] * _per_row(seen.weights)
        if seen.kind is TaskKind.CLASSIFICATION:
            some = _of_one(scores / unit, moved / unit, cast("I64", y), counts)
        elif seen.kind is TaskKind.MULTILABEL:
            some = _of_marks(scores / unit, moved / unit, cast("Mask", y), counts)
        else:
            some = _of_values((scores[:, 0] - y) / unit, moved[:, :, 0] / unit, counts)
        value, slope, curvature = value + some[0], slope + some[1], curvature + some[2]
    return value, slope, curvature


def _moved(seen: Seen, pool: Pool, shares: F64, rows: slice) -> tuple[F64, F64]:
    """Scores (n, k) of some rows, and how each share moves them, (m, n, k)."""
    portions = portions_of(shares, seen.knows)
    inner = pool.inner(seen.answers[:, rows]).astype(np.float64)
    mean = np.einsum("mk,mnk->nk", portions, inner)
    moved = (portions / shares[:, None])[:, None, :] * (inner - mean)
    return np.asarray(pool.outer(mean), np.float64), moved * pool.slope(mean)


def _of_one(scores: F64, moved: F64, y: I64, counts: F64) -> tuple[float, F64, F64]:
    top = scores.max(axis=1, keepdims=True)
    p = np.exp(scores - top)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    index = np.arange(len(y))
    value = float(counts @ (np.log(total) + top)[:, 0] - counts @ scores[index, y])
    mean = np.einsum("nk,mnk->mn", p, moved)
    slope = (mean - moved[:, index, y]) @ counts
    return value, slope, _squares(moved, p * counts[:, None]) - (mean * counts) @ mean.T


def _of_marks(scores: F64, moved: F64, y: Mask, counts: F64) -> tuple[float, F64, F64]:
    k = scores.shape[1]
    p = 0.5 + 0.5 * np.tanh(scores / 2)
    signed = np.where(y, scores, -scores)
    value = float(counts @ (np.log1p(np.exp(-np.abs(signed))) - np.minimum(signed, 0)).mean(axis=1))
    slope = np.einsum("nk,mnk->m", (p - y) * counts[:, None], moved) / k
    return value, slope, _squares(moved, p * (1 - p) * counts[:, None]) / k


def _squares(moved: F64, weighed: F64) -> F64:
    """(m, m) products of what the shares move, weighed by (n, k)."""
    rows = (moved * np.sqrt(weighed)).reshape(len(moved), -1)
    return rows @ rows.T


def _of_values(off: F64, moved: F64, counts: F64) -> tuple[float, F64, F64]:
    weighed = moved * counts
    return float(counts @ off**2) / 2, weighed @ off, weighed @ moved.T


def _per_row(weights: F64) -> float:
    """What brings weights to as many rows as even ones that say as much (Kish, Survey Sampling, 1965)."""
    return float(weights.sum() / (weights @ weights))


def _blocks(seen: Seen) -> Iterator[slice]:
    m, n, k = seen.answers.shape
    step = max(1, _BLOCK_VALUES // (m * k))
    return (slice(first, first + step) for first in range(0, n, step))
