"""Logistic classifiers of attributes, all at once, calibrated on classes that they have not seen.

MarkedRows (of classes, or of items) -> fit_marks -> Classifiers for each c, with the slopes that held-out rows show
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.folds import NEVER, deal_folds
from adapters.lbfgs import Aim, Array, CrossEntropy
from adapters.linalg import unit_weights
from adapters.problem import Coordinates, Problem
from adapters.stand_ins import WeightedRows
from adapters.zero_shot.sources import of_seen

_TOLERANCE = 1e-2
"""Of the gradient at zero. On AwA (seen classes, set apart) a third of it took 1.8 times the time, for 28.2 % instead
of 28.3 %."""

_FOLDS = 3
_FEWEST_CLASSES = 6
"""With fewer, what is left of the classes when a fold is out says nothing of all."""

_STRENGTH = 50.0
"""Units (classes, or groups of items) whose own slope counts as much as the slope of all attributes."""

_LEAST_SLOPE = 0.05
_NEWTON_STEPS = 20
_PRECISION = 1e-3
_CURVATURE = 0.25
"""Of the logistic loss where it is greatest."""


@dataclass(frozen=True, eq=False)
class MarkedRows:
    """Rows with marks, and what is held out together.

    Attributes:
        z: (n, d) float32.
        marks: (n, a) float32 in 0..1, NaN where nothing is known.
        weights: (n,) float64, summing to the number of units.
        unit: (n,) int64: the class of a row, where rows of a class share their marks, or its group. Units are how much
            the rows know.
        fold: (n,) int64, `NEVER` where a row is not held out; everywhere, where there are no folds.
        check: See `Task`.
        left_s: See `Task`.
    """

    z: F32
    marks: F32
    weights: F64
    unit: I64
    fold: I64
    check: Callable[[], None]
    left_s: Callable[[], float]

    @classmethod
    def of_classes(cls, task: Task, marks: F32) -> Self:
        """Rows that have the marks of their class, each class weighing the same; folds hold out whole classes.

        Args:
            task: A classification.
            marks: (s, a) of the s classes that have rows, in their order.
        """
        seen = of_seen(task)
        s, y = len(seen.classes), seen.labels
        dealt = np.random.default_rng(task.seed).permutation(s) % _FOLDS
        fold = dealt[y] if s >= _FEWEST_CLASSES else np.full(len(y), NEVER)
        weights = np.ones(len(y)) if seen.weights is None else seen.weights
        return cls(seen.z, marks[y], _summing_to(s, weights), y, fold, task.check, task.left_s)

    @classmethod
    def of_items(cls, task: Task, marks: F32) -> Self:
        """Rows that have marks of their own; folds hold out rows, in whole groups.

        Args:
            task: A multilabel task.
            marks: (n, a) of its rows.
        """
        weights = unit_weights(len(task.y), task.weights)
        units = np.unique(task.groups, return_inverse=True)[1].reshape(-1)
        weights = _summing_to(int(units.max()) + 1, weights)
        return cls(task.z, marks, weights, units, deal_folds(task), task.check, task.left_s)

    @property
    def prior(self) -> F64:
        """(a,) log odds of each mark over all rows, as if half a unit more had it and half a unit more had it not."""
        known = ~np.isnan(self.marks)
        had = self.weights @ np.where(known, self.marks, 0) + 0.5
        had_not = self.weights @ np.where(known, 1 - self.marks, 0) + 0.5
        result: F64 = np.log(had) - np.log(had_not)
        return result

    @property
    def varies(self) -> Mask:
        """(a,) marks that are not the same in all rows."""
        there = ~np.isnan(self.marks)
        low = np.where(there, self.marks, np.inf).min(axis=0)
        result: Mask = np.where(there, self.marks, -np.inf).max(axis=0) > low
        return result

    def without(self, fold: int) -> Self:
        """All rows but those of one fold."""
        kept = self.fold != fold
        units = len(np.unique(self.unit[kept]))
        return replace(
            self,
            z=self.z[kept],
            marks=self.marks[kept],
            weights=_summing_to(units, self.weights[kept]),
            unit=self.unit[kept],
            fold=self.fold[kept],
        )


@dataclass(frozen=True, eq=False)
class Classifiers:
    """Log odds of attributes: z · weightᵀ + bias.

    Attributes:
        weight: (a, d) float64.
        bias: (a,) float64.
    """

    weight: F64
    bias: F64

    def log_odds(self, z: F32) -> F64:
        """(n, d) float32 to (n, a) float64."""
        result: F64 = z @ self.weight.T.astype(np.float32) + self.bias
        return result

    def sloped(self, slope: F64, prior: F64) -> "Classifiers":
        """What is above or below the prior (a,) times a slope (a,)."""
        return Classifiers(self.weight * slope[:, None], prior + slope * (self.bias - prior))


def fit_marks(rows: MarkedRows, cs: Sequence[float]) -> Iterator[Classifiers]:
    """Classifiers for each inverse penalty, growing, with slopes from held-out rows; see `slopes`.

    Args:
        rows: Where they hold no folds the classifiers are as they were fitted.
        cs: As `Logistic.c`.

    Cost: fits along the path, on all rows and on those without each fold; see `Dap`.
    """
    folds = [fold for fold in np.unique(rows.fold) if fold != NEVER]
    parts = [(rows.without(fold), rows.fold == fold) for fold in folds]
    paths = zip(_path(rows, cs), *(_path(part, cs) for part, _ in parts), strict=True)
    for whole, *others in paths:
        if not parts:
            yield whole
            continue
        above = np.zeros(rows.marks.shape)
        counted = np.zeros(rows.marks.shape, dtype=np.bool_)
        for (part, out), fitted in zip(parts, others, strict=True):
            # Without the classes that have an attribute the others seem to have it more seldom than all do: that alone
            # would pull held-out log odds the wrong way.
            above[out] = fitted.log_odds(rows.z[out]) - part.prior
            counted[out] = part.varies
        yield whole.sloped(slopes(above, rows, counted), rows.prior)


def slopes(above: F64, rows: MarkedRows, counted: Mask) -> F64:
    """What to multiply each attribute's log odds by, as far as they are above or below its prior.

    Maximises the likelihood of held-out marks over one slope for all attributes, then over each one's own, pulled to
    that one as if `_STRENGTH` units had shown it: few classes say little of a single attribute. No slope is negative.

    Args:
        above: (n, a) log odds that held-out rows were given, less the prior of the rows that were learned from.
        rows: All rows.
        counted: (n, a) where `above` says something.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, Advances in Large Margin Classifiers, 1999.
    """
    counts = rows.weights[:, None] * (counted & ~np.isnan(rows.marks))
    marks, prior = np.where(np.isnan(rows.marks), 0, rows.marks), rows.prior
    spread = float((counts * above**2).sum() / max(float(counts.sum()), 1.0))
    if spread <= 0:
        return np.ones(above.shape[1])

    def bends(slope: F64) -> tuple[F64, F64]:
        p = 0.5 + 0.5 * np.tanh((prior + slope * above) / 2)
        return (counts * (p - marks) * above).sum(axis=0), (counts * p * (1 - p) * above**2).sum(axis=0)

    def all_alike(slope: F64) -> F64:
        gradient, curvature = bends(slope)
        result: F64 = slope - gradient.sum() / max(float(curvature.sum()), 1e-9)
        return result

    shared = np.maximum(_newton(all_alike, np.ones(above.shape[1])), _LEAST_SLOPE)
    pull = _STRENGTH * _CURVATURE * spread

    def each(slope: F64) -> F64:
        gradient, curvature = bends(slope)
        result: F64 = slope - (gradient + pull * (slope - shared)) / (curvature + pull)
        return result

    return np.maximum(_newton(each, shared), 0)


def _newton(step: Callable[[F64], F64], slope: F64) -> F64:
    """Where steps, none of which more than doubles or halves, come to rest."""
    for _ in range(_NEWTON_STEPS):
        size = np.maximum(np.abs(slope), _LEAST_SLOPE)
        following = slope + np.clip(step(slope) - slope, -size / 2, size)
        if np.abs(following - slope).max() <= _PRECISION:
            return following
        slope = following
    return slope


def _summing_to(units: int, weights: F64) -> F64:
    result: F64 = weights * (units / weights.sum())
    return result


class _SoftMarks(CrossEntropy):
    """Cross entropy with marks between 0 and 1, of which some are not known.

    `y` is (n, a) float32, NaN where nothing is known.
    """

    def _marked(self, scores: Array, rows: slice) -> Array:
        """(m,) sums of the attributes' losses; the scores become their derivatives."""
        marks = cast("Array", self.y[rows])
        known = ~np.isnan(marks)
        marks = np.where(known, marks, 0).astype(scores.dtype, copy=False)
        small = np.exp(-np.abs(scores))
        losses = (np.log1p(small) + np.maximum(scores, 0) - marks * scores) * known
        np.divide(np.where(scores >= 0, 1, small), 1 + small, out=scores)
        scores -= marks
        scores *= known
        total: Array = losses.sum(axis=1)
        return total


def _path(rows: MarkedRows, cs: Sequence[float]) -> Iterator[Classifiers]:
    """Each solution the start of the next."""
    problem = _problem(rows)
    theta = problem.start.copy()
    theta[-1] = rows.prior
    for c in cs:
        theta = problem.solve(c, theta, _TOLERANCE, lambda: rows.left_s() <= 0)
        weight = problem.weight(theta)
        yield Classifiers(weight, theta[-1] - weight @ problem.rows.mean)


def _problem(rows: MarkedRows) -> Problem:
    n, a = rows.marks.shape
    # In the unit in which rows are counted elsewhere, so that c means the same.
    plain = Task(
        rows.z,
        np.zeros(n, dtype=np.int64),
        ("",),
        np.arange(n),
        weights=rows.weights * (n / rows.weights.sum()),
        check=rows.check,
    )
    weighed = WeightedRows.of(plain)
    coordinates = Coordinates.of(weighed, np.float32)
    nothing = np.zeros(a)
    aim = Aim(weighed.given, None, np.zeros((a, rows.z.shape[1])), nothing, nothing, np.zeros(a, dtype=np.bool_))
    loss = _SoftMarks(coordinates.x, cast("Mask", rows.marks), weighed.given, None, rows.check)
    start = np.zeros((coordinates.x.shape[1] + 1, a))
    _, slope = loss(start)
    # A logistic function bends by a quarter at most, and by half of that about where it has learned.
    curvature = np.append(coordinates.squared, weighed.given.sum()) / 8
    return Problem(weighed, coordinates, aim, loss, start, curvature, slope)
