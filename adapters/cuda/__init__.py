"""Logistic regression for many penalties and priors at once, in torch: one batch of L-BFGS walks on a GPU.

rows (n, d) -> centred, on the device once (`batch`)
point (b, d + 1, k) -> one product for all b problems -> losses (b,) and gradients -> one step each (`walk`)
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adapters.base import F32, F64, I64, Mask
from adapters.cuda.batch import Batch
from adapters.cuda.walk import Walk
from adapters.lbfgs import Aim

if TYPE_CHECKING:
    import torch

_FEWEST_ITERATIONS = 10
_MOST_ITERATIONS = 500


def solve(
    z: F32,
    y: I64 | Mask,
    mean: F64,
    problems: Sequence[tuple[Aim, float]],
    *,
    tolerance: float,
    check: Callable[[], None],
    out_of_time: Callable[[], bool],
    device: str = "cuda",
) -> list[tuple[F64, F64]] | None:
    """Minimise every aim with its penalty p, all at once, in float32 without TF32.

    Args:
        z: (n, d) rows.
        y: (n,) int64 classes, or (n, k) bool marks.
        mean: (d,) of the rows: the biases are scores there.
        problems: Aims on these rows, each with its penalty. `Aim.held` is the same in all of them.
        tolerance: Stop when a gradient is this much of what it is at zero.
        check: Called once an evaluation; what it raises ends all.
        out_of_time: Asked once an iteration, but for the first ten; true ends all walks where they are.
        device: Of torch.

    Returns:
        Weights (k, d) and scores at the mean (k,) of every problem, or None where the device has too little memory.

    Cost: 4·b·n·d·k operations an evaluation; memory for z, four times the scores of 2²⁷/(b·k) rows, and 23 points.
    """
    import torch

    try:
        with _without_tf32(torch.backends.cuda.matmul):
            walk = Walk.of(Batch.of(z, y, mean, problems, torch.device(device), check), tolerance)
            for iteration in range(_MOST_ITERATIONS):
                if not walk.active.any() or (iteration >= _FEWEST_ITERATIONS and out_of_time()):
                    break
                walk.step()
            return walk.batch.solutions(walk.point)
    except torch.OutOfMemoryError:
        return None
    finally:
        if torch.cuda.is_available():
            # What the walk held is of no use to anybody else until the cache lets go of it.
            torch.cuda.empty_cache()


@contextmanager
def _without_tf32(settings: "torch.backends.cuda.cuBLASModule") -> Iterator[None]:
    """TF32 keeps 10 bits of each factor: too few for a line search."""
    before = settings.allow_tf32
    settings.allow_tf32 = False
    try:
        yield
    finally:
        settings.allow_tf32 = before
