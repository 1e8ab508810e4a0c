"""What logistic regression minimises, and limited-memory BFGS: a smooth convex function down to a gradient norm.

Source: Nocedal & Wright, Numerical Optimization, 2nd ed., 2006, algorithms 3.1 and 7.4.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapters.base import F64, I64, Mask

Array = npt.NDArray[np.floating]
Objective = Callable[[Array], tuple[float, Array]]
"""Point (p,) to value and gradient (p,)."""

_MEMORY = 10
_SHORTEST_STEP = 1e-6
_ARMIJO = 1e-4
_FEWEST_ITERATIONS = 10
"""Taken even where the time is over: fewer leave a point that is good for nothing."""

CHUNK_BYTES = 2**22
"""Of rows and their scores together, about: what caches hold. Smaller ones leave cores waiting for each other."""


def _goes_on() -> bool:
    """There is time."""
    return False


def minimise(
    objective: Objective,
    start: Array,
    *,
    gradient_norm: float,
    check: Callable[[], None],
    out_of_time: Callable[[], bool] = _goes_on,
    max_iterations: int = 500,
) -> Array:
    """Walk to a point where the gradient is short enough.

    Args:
        objective: Smooth and convex.
        start: (p,) first point; its dtype is the precision of the walk.
        gradient_norm: Stop when the gradient's 2-norm is at or below this.
        check: Called once an iteration; what it raises ends the walk.
        out_of_time: Asked once an iteration, but for the first ten; true ends the walk where it is.
        max_iterations: Stop here at the latest.

    Returns:
        (p,) the last point, which is the lowest seen: short of `gradient_norm` only where the precision allows no
        further descent, or the time was over.
    """
    x = start
    value, gradient = objective(x)
    pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)
    for iteration in range(max_iterations):
        check()
        if float(np.linalg.norm(gradient)) <= gradient_norm or (iteration >= _FEWEST_ITERATIONS and out_of_time()):
            break
        found = _search(objective, x, value, gradient, _direction(gradient, pairs))
        if found is None:
            break
        x_next, value, gradient_next = found
        step, change = x_next - x, gradient_next - gradient
        curvature = float(step @ change)
        if curvature > 0:
            pairs.append((step, change, curvature))
        x, gradient = x_next, gradient_next
    return x


def _direction(gradient: Array, pairs: deque[tuple[Array, Array, float]]) -> Array:
    """The two-loop recursion; before any pair is known, a step of length at most one."""
    if not pairs:
        return -gradient / gradient.dtype.type(max(1.0, float(np.linalg.norm(gradient))))
    direction = -gradient
    weights = []
    for step, change, curvature in reversed(pairs):
        weight = float(step @ direction) / curvature
        direction -= gradient.dtype.type(weight) * change
        weights.append(weight)
    _, change, curvature = pairs[-1]
    direction *= gradient.dtype.type(curvature / float(change @ change))
    for (step, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        direction += gradient.dtype.type(weight - float(change @ direction) / curvature) * step
    return direction


def _search(
    objective: Objective, x: Array, value: float, gradient: Array, direction: Array
) -> tuple[Array, float, Array] | None:
    """Halve the step until the value falls enough; None where it no longer can."""
    slope = float(gradient @ direction)
    length = 1.0
    # Rounding of the value itself must not look like a failure to descend.
    slack = 4 * float(np.finfo(x.dtype).eps) * abs(value)
    while length >= _SHORTEST_STEP:
        candidate = x + x.dtype.type(length) * direction
        value_next, gradient_next = objective(candidate)
        if value_next <= value + _ARMIJO * length * slope + slack:
            return candidate, value_next, gradient_next
        length /= 2
    return None


@dataclass(frozen=True, eq=False)
class Aim:
    """What logistic regression aims at on n given rows, but for how strong its penalty is.

    Minimised is Σ wᵢ·CE + p/2·‖W - W₀‖² + Σ tⱼ/2·(bⱼ - b₀ⱼ)², over what is not held.

    Attributes:
        weights: (n,) w.
        sides: (2, k) what a class counts in rows without its mark, and with it; None where a row has one class.
        weight: (k, d) W₀.
        bias: (k,) b₀: scores of W₀ at the mean of the rows.
        tied: (k,) t, for a penalty p of one.
        held: (k,) bool: classes that stay as they are in W₀ and b₀.
    """

    weights: F64
    sides: F64 | None
    weight: F64
    bias: F64
    tied: F64
    held: Mask


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Weighted cross entropy of the scores x·θ + b, of one class a row or of any number.

    Rows are taken in chunks, so that no array but `x` is as long as there are rows; what chunks give is summed in
    float64.

    Attributes:
        x: (n, r); its dtype is the precision of the scores.
        y: (n,) int64 classes (softmax), or (n, k) bool marks (k sigmoids).
        weights: (n,) of the rows.
        sides: (2, k) what each class counts in rows without its mark, and in rows with it; of marks only.
        check: Called once a chunk; what it raises ends the call.
    """

    x: Array
    y: I64 | Mask
    weights: F64
    sides: F64 | None
    check: Callable[[], None]

    def __call__(self, theta: Array) -> tuple[float, F64]:
        """θ over b, (r + 1, k), to the loss and its gradient (r + 1, k). Cost: 4·n·r·k operations."""
        theta = theta.astype(self.x.dtype, copy=False)
        loss, gradient = 0.0, np.zeros(theta.shape)
        for rows in chunks(len(self.x), (self.x.shape[1] + 2 * theta.shape[1]) * self.x.itemsize):
            self.check()
            x, weights = self.x[rows], self.weights[rows].astype(self.x.dtype)
            scores = x @ theta[:-1]
            scores += theta[-1]
            by_row = self._marked(scores, rows) if self.y.ndim == 2 else self._one_of_them(scores, rows)
            loss += float(by_row @ self.weights[rows])
            scores *= weights[:, None]
            gradient[:-1] += x.T @ scores
            gradient[-1] += np.ones(len(x), x.dtype) @ scores
        return loss, gradient

    def _one_of_them(self, scores: Array, rows: slice) -> Array:
        """(m,) softmax losses; the scores become their derivatives."""
        y, at = self.y[rows], np.arange(len(scores))
        scores -= scores.max(axis=1, keepdims=True)
        own = scores[at, y]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        scores /= total[:, None]
        scores[at, y] -= 1
        losses: Array = np.log(total) - own
        return losses

    def _marked(self, scores: Array, rows: slice) -> Array:
        """(m,) sums of the classes' sigmoid losses; the scores become their derivatives."""
        marks = self.y[rows]
        # log(1 + exp(-s)) of a mark, log(1 + exp(s)) of none, written so that nothing overflows.
        small = np.exp(-np.abs(scores))
        losses = np.log1p(small) + np.maximum(np.where(marks, -scores, scores), 0)
        np.divide(np.where(scores >= 0, 1, small), 1 + small, out=scores)
        scores -= marks
        if self.sides is not None:
            counts = np.where(marks, self.sides[1], self.sides[0]).astype(scores.dtype)
            scores *= counts
            losses *= counts
        total: Array = losses.sum(axis=1)
        return total


def chunks(n: int, row_bytes: int) -> Iterator[slice]:
    """Neighbouring rows, as many at a time as `CHUNK_BYTES` hold, all of n."""
    size = max(1, CHUNK_BYTES // max(1, row_bytes))
    for first in range(0, n, size):
        yield slice(first, first + size)
