"""One temperature for a head's scores, with a prior that keeps it finite."""

import numpy as np

from adapters.base import F32, F64, I64

_STEPS = 60
_PRECISION = 1e-4

_SHARPEST = 1e-3
"""Least temperature, in units of the largest score: below it, probabilities would show the rounding of float32."""


def nll_by_row(scores: F32, y: I64, temperature: float) -> F64:
    """Negative log likelihood of the true class, for each row: (n, k), (n,) to (n,) float64."""
    scaled = scores / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    own = scaled[np.arange(len(y)), y]
    result: F64 = np.log(np.exp(scaled).sum(axis=1, dtype=np.float64)) - own
    return result


def fit_temperature(scores: F32, y: I64) -> float:
    """The temperature that makes softmax(scores / temperature) likeliest on rows that the head has not seen.

    Targets are smoothed by 1/(n + 2), Laplace's estimate of the error rate where no error was seen: scores that
    separate the rows perfectly would otherwise ask for a temperature of zero. The loss is convex in 1/temperature.

    Args:
        scores: (n, k) float32, out of fold.
        y: (n,) int64.

    Returns:
        A positive number; 1.0 where the scores say nothing (no rows, or all equal), and never so small that rounding
        of the scores would show.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017; the prior as in Platt 1999.
    """
    n = len(y)
    spread = float(scores.std(axis=1).mean()) if n else 0.0
    if spread <= 0:
        return 1.0
    k = scores.shape[1]
    centred = (scores - scores.mean(axis=1, keepdims=True)) / np.float32(spread)
    smoothing = 1 / (n + 2)
    # Mean score of the smoothed target; the wrong classes' scores sum to minus the true one's, being centred.
    target = float(np.mean(centred[np.arange(n), y], dtype=np.float64)) * (1 - smoothing - smoothing / (k - 1))
    return max(spread / _inverse_temperature(centred, target), _SHARPEST * float(np.abs(scores).max()))


def _inverse_temperature(s: F32, target: float) -> float:
    """Newton's method inside a bracket on the slope mean E_p[s] - target, which grows with b = 1/temperature."""
    low, high, b = 1e-3, 1e3, 1.0
    below = s - s.max(axis=1, keepdims=True)
    for _ in range(_STEPS):
        p = np.exp(np.float32(b) * below)
        total = p.sum(axis=1, dtype=np.float64)
        p *= s
        mean = p.sum(axis=1, dtype=np.float64) / total
        slope = float(mean.mean()) - target
        curvature = float((np.einsum("nk,nk->n", p, s) / total - mean**2).mean())
        low, high = (low, b) if slope > 0 else (b, high)
        newton = b - slope / curvature if curvature > 0 else high
        following = newton if low < newton < high else float(np.sqrt(low * high))
        if abs(following - b) <= _PRECISION * b:
            return following
        b = following
    return b
