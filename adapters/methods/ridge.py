"""Regularised least squares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F64, Head, Method, Task, TaskKind
from adapters.gram import Centred, Spectrum, solve_each
from adapters.heads import AffineHead
from adapters.leave_one_out import Choose, lowest_loss, rows_to_leave_out
from adapters.linalg import class_masses, class_sums, mean_squared_norm, one_hot, row_weights, standardise, unit_weights
from adapters.select import settle

_GRID = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
_GRID_OF_REGRESSION = (1000.0, 300.0, *_GRID, 0.03, 0.01, 0.003, 0.001)
_UNMEASURED_L2 = 3.0


class Ridge(Method):
    """Least squares with an L2 penalty, solved in closed form: on one-vs-rest targets, or on numbers.

    Minimises Σ wᵢ‖Wzᵢ + b - tᵢ‖² + l2·s·‖W‖², s the mean of ‖z‖² over rows; b is not penalised. For classes t is in
    {-1, +1}; with one class a row wᵢ gives every class the same weight. For regression t is the standardised target.
    Where rows are weighted, all of this is. Without `l2`, seven values (regression: thirteen, over a wider range) are
    compared, all from one factorisation: on folds (one a fold), as other methods are, or by exact leave-one-out.

    Leave-one-out takes a row away and holds everything else as it is: w, the penalty l2·s, and the unit of t. Of few
    examples a class it takes the class out of balance and so prefers penalties that are too small; and the report's
    folds have then seen the penalty that is chosen.

    Shapes: z (n, d) float32 → scores (n, k) float32, unbounded; not probabilities. Regression: (n, 1), the values in
        units of the target.
    Cost: O(n·d·min(n, d) + min(n, d)³) once, float64, on the GPU where there is one; memory min(n, d)² numbers.
        Leave-one-out: O(n·d·min(n, d)) more for each value of `l2`, on the CPU.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Hoerl & Kennard, Ridge Regression, Technometrics 12(1), 1970. Leave-one-out: Allen, The Relationship
        Between Variable Selection and Data Augmentation and a Method for Prediction, Technometrics 16(1), 1974.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = "Hoerl & Kennard, Ridge Regression, Technometrics 12(1), 1970"
    complexity: ClassVar[int] = 1
    default_temperature: ClassVar[float] = 0.03

    method: Literal["ridge"] = "ridge"
    l2: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty, in units of the mean squared norm of the embeddings; larger is smoother. None: chosen, see `choose`."""
    choose: Choose = "folds"
    """How `l2` is chosen. ``leave-one-out``: each row judged by the fit without it; not where rows have groups."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """The grid of `l2`, strongest first; or what leave-one-out chose of it."""
        if self.l2 is not None:
            return (self,)
        grid: Sequence[float] = _GRID_OF_REGRESSION if task.regression else _GRID
        left_out = rows_to_leave_out(task)
        if self.choose == "leave-one-out" and left_out.any():
            grid = [grid[lowest_loss(task, left_out, leave_one_out(task, grid))]]
        return tuple(self.model_copy(update={"l2": l2}) for l2 in grid)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With an `l2` that does well where nothing can be measured."""
        return self if self.l2 is not None else self.model_copy(update={"l2": _UNMEASURED_L2})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:  # noqa: ARG003  # as `Method` has it
        """Itself."""
        return (cls(),)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        if self.l2 is None:
            return settle(self, task).fit(task)
        return next(_System.of(task).heads([self.l2]))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """One factorisation for all penalties."""
        methods[0].admit(task)
        task.check()
        yield from _System.of(task).heads([_UNMEASURED_L2 if method.l2 is None else method.l2 for method in methods])


def leave_one_out(task: Task, penalties: Sequence[float]) -> Iterator[F64]:
    """What each penalty's fit without a row says of that row; see `Ridge` for what is held as it is.

    The residual of row i without it is its residual with it over 1 - hᵢ, hᵢ = wᵢ·(1/Σw + xᵢᵀ(XᵀX + λI)⁻¹xᵢ) the row's
    own say in its answer, x the centred row.

    Args:
        task: All rows.
        penalties: Values of `Ridge.l2`.

    Yields:
        (n, k) float64 for each penalty, in units of the target. Rows that weigh nothing are scored as they are.

    Cost: one factorisation, and O(n·d·min(n, d)) for each penalty.
    """
    system = _System.of(task)
    spectrum = Spectrum.of(system.rows)
    projected = spectrum.v.T @ system.right
    for l2 in penalties:
        yield system.left_out(spectrum, projected, l2 * system.unit)


@dataclass(frozen=True, eq=False)
class _System:
    """The weighted, centred least-squares problem: W = (XᵀX + l2·s·I)⁻¹ XᵀT.

    Attributes:
        task: All rows.
        rows: X, the rows √wᵢ·(zᵢ - μ).
        right: (d, k) XᵀT.
        t_mean: (k,) weighted mean of the targets.
        unit: The penalty's unit s.
        origin: Target at t = 0.
        scale: Target units for one unit of t.
    """

    task: Task
    rows: Centred
    right: F64
    t_mean: F64
    unit: float
    origin: float
    scale: float

    @classmethod
    def of(cls, task: Task) -> Self:
        """Weigh, centre, and gather what the rows say about the targets; once for all penalties."""
        k, n = max(1, len(task.classes)), len(task.y)
        one_class = not task.regression and not task.multilabel
        given = unit_weights(n, task.weights)
        weights = row_weights(task.labels, k, balanced=True, given=task.weights) if one_class else given
        sums = class_sums(task.z, np.zeros(n, dtype=np.int64), 1, weights)
        mean = sums / weights.sum()
        rows = Centred(task.z, weights, mean, np.zeros(n, dtype=np.int64), task.check)
        _, origin, scale = standardise(task.targets, given) if task.regression else (None, 0.0, 1.0)
        unit = mean_squared_norm(task.z, given)
        if one_class:
            mass = class_masses(task.labels, k, weights)
            # Of t in {-1, +1} the -1 falls away, because the rows of X sum to zero.
            right = 2 * (class_sums(task.z, task.labels, k, weights) - mass[:, None] * mean).T
            return cls(task, rows, right, 2 * mass / mass.sum() - 1, unit, origin, scale)
        right, total = np.zeros((task.z.shape[1], k)), np.zeros(k)
        empty = cls(task, rows, right, total, unit, origin, scale)
        for some, x in rows.blocks():
            weighted = weights[some, None] * empty.targets(some)
            right += x.T @ weighted
            total += weighted.sum(axis=0)
        return cls(task, rows, right, total / weights.sum(), unit, origin, scale)

    def targets(self, rows: slice) -> F64:
        """(m, k) t of some rows."""
        if self.task.regression:
            return np.asarray((self.task.targets[rows, None] - self.origin) / self.scale)
        if self.task.multilabel:
            return 2 * self.task.marks[rows].astype(np.float64) - 1
        return 2 * one_hot(self.task.labels[rows], len(self.task.classes)) - 1

    def heads(self, penalties: Sequence[float]) -> Iterator[AffineHead]:
        """The solution for each penalty."""
        for solution in solve_each(self.task, self.rows, self.right, [l2 * self.unit for l2 in penalties]):
            weight = solution.T
            bias = self.t_mean - weight @ self.rows.centres[0]
            # Rounded once, in units of the target: a far origin costs the digits that float32 has at that distance.
            weight, bias = self.scale * weight, self.origin + self.scale * bias
            yield AffineHead(
                weight.astype(np.float32), bias.astype(np.float32), self.task.classes, multilabel=self.task.multilabel
            )

    def left_out(self, spectrum: Spectrum, projected: F64, shift: float) -> F64:
        """(n, k) scores of each row by the fit without it; see `leave_one_out`."""
        shrink = 1 / (spectrum.e + shift)
        weights = self.rows.weights
        result = np.empty((len(weights), len(self.t_mean)))
        for some, differences in self.rows.blocks():
            x = differences @ spectrum.v
            say = weights[some] * (1 / weights.sum() + x**2 @ shrink)
            t = self.targets(some)
            residual = t - self.t_mean - x @ (shrink[:, None] * projected)
            result[some] = t - residual / np.maximum(1 - say, np.finfo(np.float64).eps)[:, None]
        return self.origin + self.scale * result
