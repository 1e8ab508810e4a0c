"""Rows as logistic regression learns from them: weighed, measured, with a few that stand in for absent classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from adapters.base import F32, F64, I64, Mask, Parent, Task
from adapters.lbfgs import chunks
from adapters.linalg import one_hot, thin_svd, unit_rows

_STAND_INS = 4
"""Rows that stand in for a class that the parent alone knows."""
_NEARER = 0.7
"""Of the distance at which they are expected: right along the weights they would be easier to tell than real items."""


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """What all parameters share: the rows, with those that stand in for absent classes.

    Attributes:
        z: (n, d) float32.
        y: (n,) int64 or (n, k) bool.
        given: (n,) how many rows each one counts for.
        mean: (d,) of z, so weighted.
        unit: Mean of ‖z‖², so weighted: the penalty's unit s.
        held: (k,) classes that the parent alone knows.
        check: See `Task`.
    """

    z: F32
    y: I64 | Mask
    given: F64
    mean: F64
    unit: float
    held: Mask
    check: Callable[[], None]

    @classmethod
    def of(cls, task: Task) -> Self:
        """Those of a task; a copy only where some stand in."""
        given = np.ones(len(task.z)) if task.weights is None else task.weights
        mean, unit = _moments(task.z, given, task.check)
        y = task.marks if task.multilabel else task.labels
        rows = cls(task.z, y, given, mean, unit, task.absent, task.check)
        if task.multilabel or task.parent is None or not rows.held.any():
            return rows
        z, y = _stand_ins(rows, task.parent, task)
        # As many as a class with rows has on average.
        each = given.sum() / np.count_nonzero(~rows.held) * np.count_nonzero(rows.held) / len(y)
        z, given = np.concatenate([rows.z, z]), np.append(given, np.full(len(y), each))
        mean, unit = _moments(z, given, task.check)
        return replace(rows, z=z, y=np.append(task.labels, y), given=given, mean=mean, unit=unit)

    @property
    def work(self) -> int:
        """Products of one pass over all rows."""
        return self.z.size * len(self.held)


def _moments(z: F32, given: F64, check: Callable[[], None]) -> tuple[F64, float]:
    """Mean and mean squared norm of weighted rows; of norms 1 where all rows are zero."""
    total, squares = np.zeros(z.shape[1]), 0.0
    for some in chunks(len(z), 8 * z.shape[1]):
        check()
        double = z[some].astype(np.float64)
        total += given[some] @ double
        squares += float(given[some] @ np.einsum("nd,nd->n", double, double))
    return total / given.sum(), squares / given.sum() or 1.0


def _stand_ins(rows: WeightedRows, parent: Parent, task: Task) -> tuple[F32, I64]:
    """Rows for the classes that the parent alone knows: their names, or rows about where its weights say they lie.

    A class's weights point from the centre of all classes to the class's mean. The centre is the point next to the mean
    of the given classes' means where the parent's scores are level. Absent classes are taken to lie as far from it, and
    to scatter as much, as the given ones.
    """
    absent = np.flatnonzero(rows.held)
    if task.names is not None:
        return task.names[absent], absent
    present = np.flatnonzero(~rows.held)
    place = np.searchsorted(present, task.labels)
    means = _means(rows, place, len(present))
    centre = _level_point(parent, means.mean(axis=0))
    slopes = parent.weight.astype(np.float64) - parent.weight.mean(axis=0)
    distance = np.sqrt(((means - centre) ** 2).sum(axis=1).mean())
    points = centre + _NEARER * distance * unit_rows(slopes)[absent]
    counted = np.flatnonzero(rows.given)
    drawn = np.random.default_rng(task.seed).choice(counted, (_STAND_INS, len(absent)))
    scatter = rows.z[drawn] - means[place[drawn]]
    z = (points + scatter).reshape(-1, rows.z.shape[1])
    return z.astype(np.float32), np.tile(absent, _STAND_INS)


def _means(rows: WeightedRows, place: I64, k: int) -> F64:
    """(k, d) weighted means of the rows of each place."""
    sums = np.zeros((k, rows.z.shape[1]))
    for some in chunks(len(place), 8 * (k + rows.z.shape[1])):
        sums += one_hot(place[some], k).T @ (rows.given[some, None] * rows.z[some])
    totals = np.bincount(place, rows.given, minlength=k)
    return sums / np.where(totals > 0, totals, 1.0)[:, None]


def _level_point(parent: Parent, near: F64) -> F64:
    """The point next to another where all scores of the parent are about as high; (d,)."""
    slopes = parent.weight.astype(np.float64) - parent.weight.mean(axis=0)
    levels = parent.bias.astype(np.float64) - parent.bias.mean()
    u, squared, v = thin_svd(slopes)
    if not len(squared):
        return near
    root = np.sqrt(squared)
    # Directions that the parent hardly looks along would take it far off.
    step: F64 = v @ (root / (squared + 0.01 * squared.max()) * (u.T @ (-levels - slopes @ near)))
    return near + step
