"""Shares of a blend: a convex average of scores that makes what is true likeliest, held toward the best member."""

from collections.abc import Callable

import numpy as np

from adapters.base import F32, F64, I64
from adapters.calibrate import fit_temperature
from adapters.linalg import log_softmax

_STEPS = 200
_TOLERANCE = 1e-7
_SMALLEST = 0.05
"""A share below it is none: the member would be served for nothing."""

_STRENGTH = 0.02
"""Of the pull toward the best member alone, in nats where all of it has gone to others."""


def convex_shares(scores: F32, y: I64, weights: F64) -> F64:
    """Shares with the lowest weighted log loss of softmax(b·Σ shareᵢ·scoresᵢ), b ≥ 0 found along.

    The loss is convex in w = b·shares ≥ 0; what lies beside the best member costs a little.

    Args:
        scores: (q, m, c) of q members, in units in which they are alike.
        y: (m,) true classes.
        weights: (m,) how much each row counts.

    Returns:
        (q,) not negative, summing to 1.

    Cost: O(200·q·m·c) at most.
    """
    q = len(scores)
    if q == 1 or scores.shape[2] < 2:
        return _only(q, 0)
    share = weights / weights.sum()
    s = (scores - scores.mean(axis=2, keepdims=True)).astype(np.float64)
    alone = [_alone(of, y, share) for of in scores]
    best = int(np.argmin([loss for loss, _ in alone]))
    start = np.zeros(q)
    start[best] = alone[best][1]
    unit = max(start[best], 1e-6)

    def objective(w: F64) -> tuple[float, F64]:
        log_p = log_softmax(np.tensordot(w, s, axes=1))
        p = np.exp(log_p)
        loss = -float(share @ log_p[np.arange(len(y)), y])
        wrong = p
        wrong[np.arange(len(y)), y] -= 1
        gradient = np.einsum("qmc,mc->q", s, wrong * share[:, None])
        pull = _STRENGTH * (np.arange(q) != best) / unit
        return loss + float(pull @ w), gradient + pull

    w = _descend(objective, start)
    w = np.where(w >= _SMALLEST * w.sum(), w, 0.0)
    return w / w.sum() if w.sum() > 0 else _only(q, best)


def _only(q: int, index: int) -> F64:
    found = np.zeros(q)
    found[index] = 1.0
    return found


def _alone(scores: F32, y: I64, share: F64) -> tuple[float, float]:
    """Log loss of one member at its own temperature, and the inverse of that."""
    temperature = fit_temperature(scores, y, share)
    log_p = log_softmax(scores / temperature)
    return -float(share @ log_p[np.arange(len(y)), y]), 1 / temperature


def _descend(objective: Callable[[F64], tuple[float, F64]], w: F64) -> F64:
    """Projected gradient steps with backtracking."""
    value, gradient = objective(w)
    step = 1.0
    for _ in range(_STEPS):
        while True:
            following = np.maximum(0.0, w - step * gradient)
            new, new_gradient = objective(following)
            moved = following - w
            if new <= value + float(gradient @ moved) / 2 or step < 1e-9:
                break
            step /= 2
        done = value - new <= _TOLERANCE * max(1.0, abs(value))
        w, value, gradient, step = following, new, new_gradient, step * 2
        if done:
            break
    return w
