"""How good a head is on classes that it never saw: alone, and beside those that it did."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sides:
    """Mean per-class accuracies among all classes, and their harmonic mean."""

    seen: float
    unseen: float

    @property
    def harmonic(self) -> float:
        """0 where both are."""
        total = self.seen + self.unseen
        return 2 * self.seen * self.unseen / total if total else 0.0


def mean_per_class(y: I64, predicted: I64) -> float:
    """Mean over classes of the share of their rows that are right: (n,) each."""
    return float(np.mean([(predicted[y == one] == one).mean() for one in np.unique(y)]))


def among_unseen(scores: F32, y: I64, unseen: Mask) -> float:
    """Mean per-class accuracy of unseen classes, told from each other alone.

    Args:
        scores: (n, k).
        y: (n,) true classes.
        unseen: (k,) which classes are.
    """
    rows, columns = unseen[y], np.flatnonzero(unseen)
    return mean_per_class(y[rows], columns[scores[rows][:, columns].argmax(axis=1)])


def both_sides(scores: F32, y: I64, unseen: Mask) -> Sides:
    """Seen and unseen classes, each told from all; arguments as in `among_unseen`."""
    predicted, rows = scores.argmax(axis=1), unseen[y]
    return Sides(mean_per_class(y[~rows], predicted[~rows]), mean_per_class(y[rows], predicted[rows]))
