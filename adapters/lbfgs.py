"""Limited-memory BFGS on plain arrays: a smooth convex function down to a gradient norm.

Source: Nocedal & Wright, Numerical Optimization, 2nd ed., 2006, algorithms 3.1 and 7.4.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Objective = Callable[[Array], tuple[float, Array]]
"""Point (p,) to value and gradient (p,)."""

_MEMORY = 10
_SHORTEST_STEP = 1e-6
_ARMIJO = 1e-4


def minimise(
    objective: Objective, start: Array, *, gradient_norm: float, check: Callable[[], None], max_iterations: int = 500
) -> Array:
    """Walk to a point where the gradient is short enough.

    Args:
        objective: Smooth and convex.
        start: (p,) first point; its dtype is the precision of the walk.
        gradient_norm: Stop when the gradient's 2-norm is at or below this.
        check: Called once an iteration; what it raises ends the walk.
        max_iterations: Stop here at the latest.

    Returns:
        (p,) the last point: short of `gradient_norm` only where the precision allows no further descent.
    """
    x = start
    value, gradient = objective(x)
    pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)
    for _ in range(max_iterations):
        check()
        if float(np.linalg.norm(gradient)) <= gradient_norm:
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
        direction = direction - gradient.dtype.type(weight) * change
        weights.append(weight)
    _, change, curvature = pairs[-1]
    direction = direction * gradient.dtype.type(curvature / float(change @ change))
    for (step, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + gradient.dtype.type(weight - float(change @ direction) / curvature) * step
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
