"""Regularised least squares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F64, Head, Method, Task, TaskKind
from adapters.heads import AffineHead
from adapters.linalg import mean_squared_norm, one_hot, row_weights, standardise, thin_svd
from adapters.select import settle

_GRID = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
_GRID_OF_REGRESSION = (1000.0, 300.0, *_GRID, 0.03, 0.01, 0.003, 0.001)
_UNMEASURED_L2 = 3.0


class Ridge(Method):
    """Least squares with an L2 penalty, solved in closed form: on one-vs-rest targets, or on numbers.

    Minimises Σ wᵢ‖Wzᵢ + b - tᵢ‖² + l2·s·‖W‖², s the mean of ‖z‖² over rows; b is not penalised. For classes t is in
    {-1, +1} and wᵢ gives every class the same weight; for regression t is the standardised target and every row weighs
    the same. Without `l2`, seven values (regression: thirteen, over a wider range) are compared on folds, all from one
    factorisation a fold. (Leave-one-out would be as cheap, but it takes the row's class out of balance and so prefers
    penalties that are much too small for a few examples a class.)

    Shapes: z (n, d) float32 → scores (n, k) float32, unbounded; not probabilities. Regression: (n, 1), the values in
        units of the target.
    Cost: O(n·d·min(n, d) + min(n, d)³) once, float64.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Hoerl & Kennard, Ridge Regression, Technometrics 12(1), 1970.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = "Hoerl & Kennard, Ridge Regression, Technometrics 12(1), 1970"
    complexity: ClassVar[int] = 1
    default_temperature: ClassVar[float] = 0.03

    method: Literal["ridge"] = "ridge"
    l2: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty, in units of the mean squared norm of the embeddings; larger is smoother. None: chosen on folds."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """The grid of `l2`, strongest first."""
        if self.l2 is not None:
            return (self,)
        grid = _GRID_OF_REGRESSION if task.regression else _GRID
        return tuple(self.model_copy(update={"l2": l2}) for l2 in grid)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002
        """With an `l2` that does well where nothing can be measured."""
        return self if self.l2 is not None else self.model_copy(update={"l2": _UNMEASURED_L2})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:  # noqa: ARG003
        """Itself."""
        return (cls(),)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        if self.l2 is None:
            return settle(self, task).fit(task)
        return _System.of(task).head(self.l2, task.classes)

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """One factorisation for all penalties."""
        methods[0].admit(task)
        system = _System.of(task)
        for method in methods:
            task.check()
            yield system.head(_UNMEASURED_L2 if method.l2 is None else method.l2, task.classes)


@dataclass(frozen=True)
class _System:
    """The weighted, centred least-squares problem in the eigenbasis of its Gram matrix.

    With X = diag(√w)(Z - μ) = U diag(√e) Vᵀ and T centred and weighted alike, the solution for a penalty λ is
    W = V diag(√e/(e + λ)) UᵀT.

    Attributes:
        v: (d, r) right singular vectors.
        e: (r,) squared singular values, all positive.
        projected: (r, k) UᵀT.
        z_mean: (d,) weighted mean of z.
        t_mean: (k,) weighted mean of the targets.
        unit: The penalty's unit s.
        origin: Target at t = 0.
        scale: Target units for one unit of t.
    """

    v: F64
    e: F64
    projected: F64
    z_mean: F64
    t_mean: F64
    unit: float
    origin: float
    scale: float

    @classmethod
    def of(cls, task: Task) -> Self:
        """Centre, weigh and factorise once for all penalties."""
        if task.regression:
            weights = np.ones(len(task.y))
            standard, origin, scale = standardise(task.targets)
            targets = standard[:, None]
        else:
            k = len(task.classes)
            weights = row_weights(task.labels, k, balanced=True)
            targets, origin, scale = 2 * one_hot(task.labels, k) - 1, 0.0, 1.0
        root = np.sqrt(weights)[:, None]
        z_mean, t_mean = weights @ task.z / weights.sum(), weights @ targets / weights.sum()
        u, e, v = thin_svd(root * (task.z - z_mean))
        projected = u.T @ (root * (targets - t_mean))
        return cls(v, e, projected, z_mean, t_mean, mean_squared_norm(task.z), origin, scale)

    def head(self, l2: float, classes: tuple[str, ...]) -> AffineHead:
        """The solution for one penalty."""
        shrunk = (np.sqrt(self.e) / (self.e + l2 * self.unit))[:, None] * self.projected
        weight = (self.v @ shrunk).T
        bias = self.t_mean - weight @ self.z_mean
        # Rounded once, in units of the target: a far origin costs the digits that float32 has at that distance.
        weight, bias = self.scale * weight, self.origin + self.scale * bias
        return AffineHead(weight.astype(np.float32), bias.astype(np.float32), classes)
