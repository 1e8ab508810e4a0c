"""One temperature for a head's scores, with a prior that keeps it finite."""

from collections.abc import Callable

import numpy as np

from adapters.base import F32, F64, I64, Mask

_STEPS = 60
_PRECISION = 1e-4

_SHARPEST = 1e-3
"""Least temperature, in units of the largest score: below it, probabilities would show the rounding of float32."""

Moments = Callable[[float], tuple[float, float]]
"""Of an inverse temperature: the mean score that it expects, and how fast that grows with it."""


def nll_by_row(scores: F32, y: I64 | Mask, temperature: float) -> F64:
    """Negative log likelihood of what is true of each row.

    Args:
        scores: (n, k) float32.
        y: (n,) int64, of the true class; or (n, k) bool, the mean over all classes of that of each mark.
        temperature: Positive.

    Returns:
        (n,) float64.
    """
    scaled = scores / np.float32(temperature)
    if y.ndim == 2:
        signed = np.where(y, scaled, -scaled)
        # softplus(-s) without overflow.
        of_marks = np.log1p(np.exp(-np.abs(signed))) - np.minimum(signed, 0)
        mean: F64 = of_marks.mean(axis=1, dtype=np.float64)
        return mean
    scaled -= scaled.max(axis=1, keepdims=True)
    own = scaled[np.arange(len(y)), y]
    result: F64 = np.log(np.exp(scaled).sum(axis=1, dtype=np.float64)) - own
    return result


def fit_temperature(scores: F32, y: I64 | Mask, weights: F64 | None = None) -> float:
    """The temperature that makes softmax(scores / temperature) likeliest on rows that the head has not seen.

    Where a row may have any number of classes it is sigmoid(scores / temperature), one temperature for all of them.
    Targets are smoothed by 1/(n + 2), Laplace's estimate of the error rate where no error was seen: scores that
    separate the rows perfectly would otherwise ask for a temperature of zero. The loss is convex in 1/temperature.

    Args:
        scores: (n, k) float32, out of fold.
        y: (n,) int64, or (n, k) bool.
        weights: (n,) how much each row counts; None = all alike. n is then the number of even rows that say as much.

    Returns:
        A positive number; 1.0 where the scores say nothing (no rows, or all equal), and never so small that rounding
        of the scores would show.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017; the prior as in Platt 1999; even rows:
        Kish, Survey Sampling, 1965.
    """
    n = len(y)
    spread = _spread(scores, marks=y.ndim == 2) if n else 0.0
    if spread <= 0:
        return 1.0
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    smoothing = 1 / (1 / float(share @ share) + 2)
    scaled = scores / np.float32(spread)
    moments, target = _of_marks(scaled, y, share, smoothing) if y.ndim == 2 else _of_one(scaled, y, share, smoothing)
    return max(spread / _inverse_temperature(moments, target), _SHARPEST * float(np.abs(scores).max()))


def _spread(scores: F32, *, marks: bool) -> float:
    """The unit of the scores: what of them the probabilities depend on."""
    if marks:
        return float(np.sqrt(np.mean(np.square(scores, dtype=np.float64))))
    return float(scores.std(axis=1).mean())


def _of_one(scores: F32, y: I64 | Mask, share: F64, smoothing: float) -> tuple[Moments, float]:
    """Of softmax: moments of the centred scores, and the mean score of the smoothed target."""
    s = scores - scores.mean(axis=1, keepdims=True)
    own = s[np.arange(len(y)), y].astype(np.float64)
    below = s - s.max(axis=1, keepdims=True)

    def moments(b: float) -> tuple[float, float]:
        p = np.exp(np.float32(b) * below)
        total = p.sum(axis=1, dtype=np.float64)
        p *= s
        mean = p.sum(axis=1, dtype=np.float64) / total
        return float(share @ mean), float(share @ (np.einsum("nk,nk->n", p, s) / total - mean**2))

    # The wrong classes' scores sum to minus the true one's, being centred.
    return moments, float(share @ own) * (1 - smoothing - smoothing / (s.shape[1] - 1))


def _of_marks(s: F32, y: I64 | Mask, share: F64, smoothing: float) -> tuple[Moments, float]:
    """Of sigmoids: the same. As many marks are taken for wrong as missing ones, so that the share of marks stays."""
    k = s.shape[1]
    marked = float(share @ y.mean(axis=1))
    missed = smoothing * marked / (1 - marked) if 0 < marked < 1 else smoothing
    target = np.where(y, 1 - smoothing, min(missed, 0.5))

    def moments(b: float) -> tuple[float, float]:
        p = 0.5 * (1 + np.tanh(np.float32(b / 2) * s))
        growth = np.einsum("nk,nk,nk->n", p, 1 - p, s * s)
        return float(share @ np.einsum("nk,nk->n", p, s)) / k, float(share @ growth) / k

    return moments, float(share @ np.einsum("nk,nk->n", target, s)) / k


def _inverse_temperature(moments: Moments, target: float) -> float:
    """Newton's method inside a bracket on mean score - target, which grows with b = 1/temperature."""
    low, high, b = 1e-3, 1e3, 1.0
    for _ in range(_STEPS):
        mean, curvature = moments(b)
        slope = mean - target
        low, high = (low, b) if slope > 0 else (b, high)
        newton = b - slope / curvature if curvature > 0 else high
        following = newton if low < newton < high else float(np.sqrt(low * high))
        if abs(following - b) <= _PRECISION * b:
            return following
        b = following
    return b
