"""How good predicted probabilities are; independent of what the service says of itself."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SMALLEST = 1e-12
"""Floor of a probability in the log loss; a probability of zero would make it infinite."""
BINS = 15


@dataclass(frozen=True)
class Scores:
    """Figures of one set of predictions.

    Attributes:
        accuracy: Share of rows whose likeliest class is right.
        log_loss: Mean of -ln p(true class), in nats.
        ece: Expected calibration error, see `calibration_error`.
    """

    accuracy: float
    log_loss: float
    ece: float


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over splits; no deviation of a single split."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.std is None else f" ± {self.std:.3f}")


def measure(p: F64, y: I64) -> Scores:
    """Score probabilities p (n, k) against classes y (n,)."""
    return Scores(float((p.argmax(axis=1) == y).mean()), log_loss(p, y), calibration_error(p, y))


def log_loss(p: F64, y: I64) -> float:
    """Mean of -ln p(true class) in nats; p (n, k) is clipped at `SMALLEST`."""
    return float(-np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1.0)).mean())


def calibration_error(p: F64, y: I64, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over bins of equal width, weighted by their rows.

    Args:
        p: (n, k) probabilities; the confidence is the largest of a row.
        y: (n,) true classes.
        bins: A confidence on an edge falls into the lower bin.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(y))


def spread(values: Sequence[float]) -> Spread:
    """Mean and deviation of one figure over splits."""
    return Spread(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)
