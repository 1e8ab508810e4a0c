"""Scores of held-out rows that choosing does not flatter."""

from dataclasses import dataclass

import numpy as np

from adapters.base import F32, F64, I64, Mask
from adapters.comparison import Comparison, cross_pick


@dataclass(frozen=True)
class Crossed:
    """What held-out rows score, each by the candidate and at the temperature that the other folds chose.

    Attributes:
        rows: (m,) index of each row in the task.
        folds: (m,) fold of each.
        scores: (m, k) float32, divided by the temperature; for regression (m, 1) values.
        weights: (m,) how much each row counts; None = all alike.
    """

    rows: I64
    folds: I64
    scores: F32
    weights: F64 | None


def cross(comparison: Comparison, y: I64 | F64 | Mask) -> Crossed:
    """Score every held-out row by what the other folds chose.

    Args:
        comparison: In which at least two folds have rows.
        y: (n,) or (n, k) of all rows.
    """
    rows, scores = [], []
    for choice, inside in cross_pick(comparison, y):
        rows.append(np.flatnonzero(inside))
        scores.append(comparison.scores[choice.index][inside] / np.float32(choice.temperature))
    index = np.concatenate(rows)
    weights = None if comparison.weights is None else comparison.weights[index]
    return Crossed(index, comparison.folds[index], np.concatenate(scores), weights)
