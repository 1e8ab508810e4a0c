"""Logistic regression as a convex problem in coordinates that make it easy.

WeightedRows -> Coordinates (for all parameters) -> Problem (one aim, for all penalties) -> θ -> weights
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from adapters.base import F64
from adapters.lbfgs import Aim, Array, CrossEntropy, chunks, minimise
from adapters.linalg import thin_svd
from adapters.stand_ins import WeightedRows

_WIDEST_ROTATED = 1024
"""Coordinates up to which the eigenvectors of the Gram matrix cost less than they save."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The centred rows in the eigenbasis of their weighted Gram matrix, for all parameters.

    Attributes:
        x: (n, r); its dtype is the precision of all that follows.
        basis: (d, r), or None where x are the centred rows themselves.
        squared: (r,) weighted sums of squares along each coordinate.
    """

    x: Array
    basis: F64 | None
    squared: F64

    @classmethod
    def of(cls, rows: WeightedRows, dtype: type[np.floating]) -> Self:
        """Centre and rotate; of more than 1,024 coordinates only centre."""
        n, d = rows.z.shape
        if n < d and n <= _WIDEST_ROTATED:
            centred = rows.z - rows.mean
            _, squared, basis = thin_svd(np.sqrt(rows.given)[:, None] * centred)
            return cls((centred @ basis).astype(dtype, copy=False), basis, squared)
        if d <= _WIDEST_ROTATED:
            squared, rotation = np.linalg.eigh(_gram(rows, dtype))
            return cls(_rotated(rows, rotation, dtype), rotation, np.maximum(squared, 0))
        x = _rotated(rows, None, dtype)
        return cls(x, None, np.einsum("n,nd,nd->d", rows.given, x, x))

    def single(self) -> Self:
        """The same in float32: twice as fast, and exact enough to compare and to come near."""
        return replace(self, x=self.x.astype(np.float32, copy=False))

    def along(self, w: F64) -> F64:
        """(k, d) weights to (r, k)."""
        return w.T if self.basis is None else self.basis.T @ w.T

    def back(self, theta: F64) -> F64:
        """(r, k) to (k, d) weights."""
        return theta.T if self.basis is None else theta.T @ self.basis.T


def _gram(rows: WeightedRows, dtype: type[np.floating]) -> F64:
    """(d, d) weighted Gram matrix of the centred rows."""
    total = np.zeros((len(rows.mean), len(rows.mean)))
    for some in chunks(len(rows.z), 8 * len(rows.mean)):
        rows.check()
        centred = (np.sqrt(rows.given[some])[:, None] * (rows.z[some] - rows.mean)).astype(dtype, copy=False)
        total += centred.T @ centred
    return total


def _rotated(rows: WeightedRows, basis: F64 | None, dtype: type[np.floating]) -> Array:
    """(n, r) centred rows along the columns of a square basis."""
    x = np.empty(rows.z.shape, dtype)
    rotation = None if basis is None else basis.astype(dtype, copy=False)
    for some in chunks(len(x), 8 * x.shape[1]):
        rows.check()
        centred = (rows.z[some] - rows.mean).astype(dtype, copy=False)
        x[some] = centred if rotation is None else centred @ rotation
    return x


@dataclass(frozen=True, eq=False)
class Problem:
    """One aim for all c. The point is θ (r + 1, k): coordinates of W over the scores at the mean.

    Attributes:
        rows: See `WeightedRows`.
        coordinates: See `Coordinates`.
        aim: See `Aim`.
        loss: Without the penalty.
        start: (r + 1, k) the prior itself.
        curvature: (r + 1,) about how strongly the loss bends along each coordinate.
        slope: (r + 1, k) gradient at zero: what other gradients are measured by.
    """

    rows: WeightedRows
    coordinates: Coordinates
    aim: Aim
    loss: CrossEntropy
    start: F64
    curvature: F64
    slope: F64

    @classmethod
    def of(cls, rows: WeightedRows, coordinates: Coordinates, aim: Aim) -> Self:
        """The prior and the gradient at zero in these coordinates."""
        loss = CrossEntropy(coordinates.x, rows.y, aim.weights, aim.sides, rows.check)
        start = np.vstack([coordinates.along(aim.weight), aim.bias])
        _, slope = loss(np.zeros(start.shape))
        slope[:, aim.held] = 0
        # A softmax bends by p(1 - p): 1/k at most where all classes are as likely, and less once it has learned.
        curvature = np.append(coordinates.squared, rows.given.sum()) / (2 * len(aim.bias))
        return cls(rows, coordinates, aim, loss, start, curvature, slope)

    def solve(self, c: float, start: F64, tolerance: float, over: Callable[[], bool] = lambda: False) -> F64:
        """Minimise from a start until the gradient is `tolerance` of what it is at zero.

        Coordinates are scaled so that the loss bends about alike along all of them, which halves the iterations.
        """
        penalty = np.full(self.start.shape, self.rows.unit / c)
        penalty[-1] = self.aim.tied * self.rows.unit / c
        single = self.coordinates.x.dtype
        scale = np.sqrt(self.curvature + np.append(np.full(len(self.curvature) - 1, self.rows.unit / c), 0))[:, None]
        pull = penalty / scale**2

        def objective(point: Array) -> tuple[float, Array]:
            moved = point.reshape(self.start.shape)
            loss, gradient = self.loss(self.start + moved / scale)
            pulled = pull * moved
            gradient = gradient / scale + pulled
            gradient[:, self.aim.held] = 0
            return loss + float(np.vdot(pulled, moved)) / 2, gradient.ravel().astype(single, copy=False)

        # Where the rows say nothing, that gradient is rounding and no measure of anything.
        rounding = float(np.finfo(single).eps) * len(self.rows.z)
        stop = max(tolerance * float(np.linalg.norm(self.slope / scale)), rounding)
        first = ((start - self.start) * scale).ravel().astype(single, copy=False)
        point = minimise(objective, first, gradient_norm=stop, check=self.rows.check, out_of_time=over)
        theta: F64 = self.start + point.reshape(self.start.shape) / scale
        return theta

    def weight(self, theta: F64) -> F64:
        """(k, d) weights, for embeddings as they come; the scores at the mean are the last row of θ."""
        return self.aim.weight + self.coordinates.back(theta[:-1] - self.start[:-1])
