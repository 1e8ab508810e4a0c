"""Multinomial logistic regression, plain or pulled toward the class names."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F64, I64, Head, Method, Need, Task
from adapters.heads import AffineHead
from adapters.lbfgs import Array, minimise
from adapters.linalg import mean_squared_norm, row_weights, thin_svd
from adapters.select import settle

_GRID = (0.3, 3.0, 10.0, 30.0, 100.0, 1000.0)
_COARSE_GRID = (1.0, 10.0, 100.0)
"""Half as many for what is tried beside: on uneven tables the held-out log loss was 0.5 % above the full grid's."""
_UNMEASURED_C = 10.0
_PATH_TOLERANCE = 3e-3
_NEAR_TOLERANCE = 1e-3
_FINAL_TOLERANCE = 3e-5
_IMBALANCE = 2.0
"""Rows of the largest class for one of the smallest, above which balancing may cost more than it gives."""


class Logistic(Method):
    """Multinomial logistic regression with an L2 penalty, by L-BFGS.

    Minimises Σ wᵢ·CE(Wzᵢ + b, yᵢ) + s/(2c)·‖W - W₀‖², s the mean of ‖z‖² over rows; b is not penalised. W₀ is zero, or
    with ``prior: names`` the embeddings of the class names times `names_scale`/√s (L2-SP: the weights start at, and are
    pulled toward, what the names alone say). Without `c`, six values are compared on folds.

    Shapes: z (n, d) float32 → scores (n, k) float32, log odds up to a constant of each row.
    Cost: O(n·d·k) an iteration.
    Raises: DatasetTooSmall: fewer than two classes. RequirementMissing: ``prior: names`` without names.
        TaskUnsupported: regression.
    Source: Li, Grandvalet & Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks,
        ICML 2018.
    """

    source: ClassVar[str] = (
        "Li, Grandvalet & Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018"
    )
    complexity: ClassVar[int] = 2
    default_temperature: ClassVar[float] = 0.5

    method: Literal["logistic"] = "logistic"
    c: float | None = Field(None, ge=1e-6, le=1e6)
    """Inverse penalty, as scikit-learn's for embeddings of unit norm; larger fits closer. None: chosen on folds."""
    prior: Literal["none", "names"] = "none"
    """``names``: the weights are pulled toward the embeddings of the class names instead of zero."""
    names_scale: float = Field(8.0, gt=0, le=1e4)
    """Length of the prior weights, for embeddings of unit norm; larger trusts the names more."""
    balanced: bool = True
    """Every class weighs the same, however many examples it has."""

    def requirements(self) -> frozenset[Need]:
        """Names, where they are the prior."""
        return self.needs | ({Need.NAMES} if self.prior == "names" else set())

    def prior_weight(self, task: Task) -> F64:
        """W₀ (k, d)."""
        if self.prior == "none" or task.names is None:
            return np.zeros((len(task.classes), task.z.shape[1]))
        prior: F64 = self.names_scale / np.sqrt(mean_squared_norm(task.z)) * task.names.astype(np.float64)
        return prior

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002
        """The grid of `c`, strongest penalty first."""
        if self.c is not None:
            return (self,)
        return tuple(self.model_copy(update={"c": c}) for c in _GRID)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002
        """With the `c` that does well where nothing can be measured."""
        return self if self.c is not None else self.model_copy(update={"c": _UNMEASURED_C})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Without names and with them; where classes differ much in size, also as they are instead of balanced.

        Balanced, rare classes are held for likelier than they are, and no single temperature mends that. Classes with
        one row do not count: they are never held out, so nothing would speak against forgetting them.
        """
        counts = np.bincount(task.labels, minlength=len(task.classes))
        counted = counts[counts > 1]
        uneven = counted.size > 0 and counted.max() > _IMBALANCE * counted.min()
        unbalanced = tuple(cls(c=c, balanced=False) for c in _COARSE_GRID) if uneven else ()
        balanced = (cls(),) if task.names is None else (cls(), cls(prior="names"))
        return unbalanced + balanced

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        if self.c is None:
            return settle(self, task).fit(task)
        problem = _Problem.of(self, task)
        near = problem.single().solve(self.c, problem.start, _NEAR_TOLERANCE)
        return problem.head(problem.solve(self.c, near, _FINAL_TOLERANCE), task.classes)

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """Walk along `c`, each solution the start of the next; float32 and a looser stop, enough to compare."""
        for _, path in groupby(methods, lambda method: method.model_copy(update={"c": None})):
            along = list(path)
            along[0].admit(task)
            problem = _Problem.of(along[0], task).single()
            theta = problem.start
            for method in along:
                c = _UNMEASURED_C if method.c is None else method.c
                theta = problem.solve(c, theta, _PATH_TOLERANCE)
                yield problem.head(theta, task.classes)


@dataclass(frozen=True)
class _Problem:
    """The loss for all c, in the eigenbasis V (d, r) of the weighted Gram matrix of centred embeddings.

    The point is θ (r + 1, k): the coordinates of W - W₀ (all that the rows can tell about it) over the bias.

    Attributes:
        x: (n, r + 1) coordinates of the rows and a column of ones.
        curvature: (r + 1,) about how strongly the loss bends along each coordinate.
        basis: (d, r) V.
        offset: (n, k) scores of the prior alone, or None.
        y: (n,) int64.
        weights: (n,) of the rows.
        mean: (d,) of the embeddings.
        prior: (k, d) W₀; zeros where there is none.
        unit: The penalty's unit s.
        check: See `Task`.
    """

    x: Array
    curvature: F64
    basis: F64
    offset: Array | None
    y: I64
    weights: Array
    mean: F64
    prior: F64
    unit: float
    check: Callable[[], None]

    @classmethod
    def of(cls, method: Logistic, task: Task) -> Self:
        """Centre, weigh, rotate and score the prior, once for all c; in float64."""
        k, unit = len(task.classes), mean_squared_norm(task.z)
        weights = row_weights(task.labels, k, balanced=method.balanced)
        mean = weights @ task.z / weights.sum()
        centred = task.z - mean
        _, squared, basis = thin_svd(np.sqrt(weights)[:, None] * centred)
        prior = method.prior_weight(task)
        return cls(
            x=np.concatenate([centred @ basis, np.ones((len(centred), 1))], axis=1),
            # A softmax bends by p(1 - p): 1/k at most where all classes are as likely, and less once it has learned.
            curvature=np.append(squared, weights.sum()) / (2 * k),
            basis=basis,
            offset=centred @ prior.T if prior.any() else None,
            y=task.labels,
            weights=weights,
            mean=mean,
            prior=prior,
            unit=unit,
            check=task.check,
        )

    def single(self) -> Self:
        """The same in float32: twice as fast, and exact enough to compare and to come near."""
        offset = None if self.offset is None else self.offset.astype(np.float32)
        return replace(self, x=self.x.astype(np.float32), offset=offset, weights=self.weights.astype(np.float32))

    @property
    def start(self) -> Array:
        """The prior itself."""
        return np.zeros((self.x.shape[1], len(self.prior)), dtype=self.x.dtype)

    def solve(self, c: float, start: Array, tolerance: float) -> Array:
        """Minimise from a start until the gradient is `tolerance` of what it is at the prior.

        Coordinates are scaled so that the loss bends about alike along all of them, which halves the iterations.
        """
        penalty = np.full(len(self.curvature), self.unit / c)
        penalty[-1] = 0
        scale = np.sqrt(self.curvature + penalty).astype(self.x.dtype)[:, None]
        x = self.x / scale.T
        pull = (penalty[:, None] / scale**2).astype(self.x.dtype)

        def objective(point: Array) -> tuple[float, Array]:
            theta = point.reshape(start.shape)
            loss, gradient = self._loss(x, theta)
            pulled = pull * theta
            return loss + float(np.vdot(pulled, theta)) / 2, (gradient + pulled).ravel()

        _, at_prior = objective(self.start.ravel())
        # Where the rows say nothing, that gradient is rounding and no measure of anything.
        rounding = float(np.finfo(self.x.dtype).eps) * len(self.y)
        stop = max(tolerance * float(np.linalg.norm(at_prior)), rounding)
        first = (start.astype(self.x.dtype) * scale).ravel()
        point = minimise(objective, first, gradient_norm=stop, check=self.check)
        theta: Array = point.reshape(start.shape) / scale
        return theta

    def _loss(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Weighted cross entropy of scores x·θ + offset, and its gradient in θ."""
        scores = x @ theta
        if self.offset is not None:
            scores += self.offset
        scores -= scores.max(axis=1, keepdims=True)
        rows = np.arange(len(self.y))
        own = scores[rows, self.y]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        loss = float((np.log(total) - own) @ self.weights)
        # In place from here on: probabilities, then their difference to the targets.
        scores /= total[:, None]
        scores[rows, self.y] -= 1
        scores *= self.weights[:, None]
        return loss, x.T @ scores

    def head(self, theta: Array, classes: tuple[str, ...]) -> AffineHead:
        """Back to embeddings as they come."""
        weight = (self.basis @ theta[:-1]).T + self.prior
        bias = theta[-1] - weight @ self.mean
        return AffineHead(weight.astype(np.float32), bias.astype(np.float32), classes)
