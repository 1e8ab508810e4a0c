"""From which probability on a row has a class, where it may have any number of them."""

import numpy as np

from adapters.base import F64, Mask

UNMEASURED = 0.5
"""Of every class where no row could be held out."""

_PRIOR_MARKS = 10.0
"""Marked rows that the threshold of all classes together counts for: a class with few of its own stays close to it."""

_STEPS = 200
_EDGE = 0.01


def fit_thresholds(p: F64, marks: Mask, weights: F64 | None = None) -> F64:
    """The threshold of each class with the best F1, drawn toward the one that is best for all of them together.

    A class with m marked rows takes (m·own + 10·common)/(m + 10), in log odds: on a handful of rows the best threshold
    of one class is mostly chance.

    Args:
        p: (m, k) probabilities of rows that were held out.
        marks: (m, k) the truth.
        weights: (m,) how much each row counts; None = all alike.

    Returns:
        (k,) float64 within [0.01, 0.99].

    Cost: O(k·m·log m).
    Source: Lipton, Elkan & Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, ECML PKDD 2014.
    """
    k = marks.shape[1]
    if not len(marks):
        return np.full(k, UNMEASURED)
    counted = np.ones(len(marks)) if weights is None else weights * (len(marks) / weights.sum())
    common = _log_odds(_common(p, marks, counted))
    found = np.empty(k)
    for c in range(k):
        marked = float(counted @ marks[:, c])
        own = _log_odds(_best(p[:, c], marks[:, c], counted)) if marked > 0 else common
        found[c] = (marked * own + _PRIOR_MARKS * common) / (marked + _PRIOR_MARKS)
    return np.clip(1 / (1 + np.exp(-found)), _EDGE, 1 - _EDGE)


def _common(p: F64, marks: Mask, weights: F64) -> float:
    """The one threshold for all classes with the best F1 over all marks, on a grid: there may be millions of them."""
    step = np.minimum((p * _STEPS).astype(np.int64), _STEPS - 1)
    of_cell = np.broadcast_to(weights[:, None], p.shape)
    said = np.bincount(step.ravel(), of_cell.ravel(), minlength=_STEPS)
    right = np.bincount(step.ravel(), (of_cell * marks).ravel(), minlength=_STEPS)
    # From each step on upward.
    said, right = said[::-1].cumsum()[::-1], right[::-1].cumsum()[::-1]
    f1 = 2 * right / np.maximum(said + right[0], 1e-12)
    return float(np.flatnonzero(f1 >= f1.max() - 1e-12).mean() / _STEPS)


def _best(p: F64, marked: Mask, weights: F64) -> float:
    """The threshold of one class with the best F1: half way between the last that has it and the first that has not."""
    order = np.argsort(-p, kind="stable")
    sorted_p, w = p[order], weights[order]
    right, said = np.cumsum(w * marked[order]), np.cumsum(w)
    f1 = 2 * right / (said + right[-1])
    # Equal probabilities are taken together.
    f1[:-1][sorted_p[:-1] == sorted_p[1:]] = -1
    last = int(f1.argmax())
    behind = sorted_p[last + 1] if last + 1 < len(p) else 0.0
    return float((sorted_p[last] + behind) / 2)


def _log_odds(t: float) -> float:
    inside = min(max(t, _EDGE), 1 - _EDGE)
    return float(np.log(inside / (1 - inside)))
