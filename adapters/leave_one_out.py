"""Choosing a penalty by what a closed form says of every row when it is fitted without that row."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from adapters.base import F64, Mask, Task
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.linalg import class_masses

Choose = Literal["folds", "leave-one-out"]
"""How an open parameter is chosen; see `lowest_loss` for the second."""


def rows_to_leave_out(task: Task) -> Mask:
    """(n,) rows that can be judged so; none where rows come in groups, as rows of one group tell each other's answers.

    Not the only row of a class: without it, there is no such class. Not a row that weighs nothing.
    """
    n = len(task.y)
    present: Mask = np.ones(n, dtype=bool) if task.weights is None else task.weights > 0
    if len(np.unique(task.groups)) < n:
        return np.zeros(n, dtype=bool)
    if task.regression:
        return present
    if task.multilabel:
        marks = task.marks & present[:, None]
        lone: Mask = (marks & (marks.sum(axis=0) == 1)).any(axis=1)
        return present & ~lone
    shown = class_masses(task.labels[present], len(task.classes))
    several: Mask = shown[task.labels] > 1
    return present & several


def lowest_loss(task: Task, rows: Mask, candidates: Iterable[F64]) -> int:
    """Which candidate's left-out scores have the lowest loss: squared error, or log loss at the best temperature.

    Args:
        task: Says what is true, and how much each row counts.
        rows: (n,) what to judge by; at least one.
        candidates: Of each (n, k) scores of every row by the fit without it; for regression (n, 1) values.
    """
    weights = None if task.weights is None else task.weights[rows]
    losses = []
    for candidate in candidates:
        task.check()
        losses.append(float(np.average(_loss_by_row(task, rows, candidate[rows], weights), weights=weights)))
    return int(np.argmin(losses))


def _loss_by_row(task: Task, rows: Mask, scores: F64, weights: F64 | None) -> F64:
    if task.regression:
        result: F64 = (scores[:, 0] - task.targets[rows]) ** 2
        return result
    if not task.multilabel:
        # They may share a large summand, which says nothing and would cost the digits of float32.
        scores = scores - scores.mean(axis=1, keepdims=True)
    single, y = scores.astype(np.float32), task.marks[rows] if task.multilabel else task.labels[rows]
    return nll_by_row(single, y, fit_temperature(single, y, weights))
