"""Small algebra that several methods share. Everything here is exact in float64 unless it says otherwise."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, I64

_BLOCK_VALUES = 1 << 19
"""Numbers that are in float64 at a time: 4 MiB."""


def blocks(z: F32) -> Iterator[slice]:
    """Slices of neighbouring rows, few enough that a float64 copy of them is small beside many rows."""
    step = max(1, _BLOCK_VALUES // max(1, z.shape[1]))
    return (slice(first, first + step) for first in range(0, len(z), step))


def one_hot(y: I64, k: int) -> F64:
    """(n,) class indices to an (n, k) indicator."""
    return np.eye(k)[y]


def class_sums(z: F32, y: I64, k: int, weights: F64 | None = None) -> F64:
    """(n, d) rows to the (k, d) weighted sum of each class, zero for a class without rows; some rows at a time."""
    sums = np.zeros((k, z.shape[1]))
    for rows in blocks(z):
        labels = y[rows]
        order = np.argsort(labels, kind="stable")
        values = z[rows][order].astype(np.float64)
        if weights is not None:
            values *= weights[rows][order, None]
        present, first = np.unique(labels[order], return_index=True)
        sums[present] += np.add.reduceat(values, first, axis=0)
    return sums


def class_masses(y: I64, k: int, weights: F64 | None = None) -> F64:
    """(k,) sum of the weights of each class's rows; how many there are without weights."""
    return np.bincount(y, weights, minlength=k).astype(np.float64)


def class_means(z: F32, y: I64, k: int, weights: F64 | None = None) -> F64:
    """(n, d) rows to the (k, d) weighted mean of each class; the mean of all for a class whose rows weigh nothing."""
    sums = class_sums(z, y, k, weights)
    masses = class_masses(y, k, weights)[:, None]
    overall = sums.sum(axis=0) / masses.sum()
    return np.where(masses > 0, sums / np.where(masses > 0, masses, 1.0), overall)


def row_weights(y: I64, k: int, *, balanced: bool, given: F64 | None = None) -> F64:
    """Weights of rows.

    Args:
        y: (n,) class indices.
        k: Classes.
        balanced: Give every class that has rows the same sum.
        given: (n,) what the caller says that each row counts; None = all alike.

    Returns:
        (n,) weights as `unit_weights` scales them: rows that weigh nothing change nothing.
    """
    weights = unit_weights(len(y), given)
    if balanced:
        sums = class_masses(y, k, weights)
        weights = weights * (weights.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1.0)))[y]
    return weights


def unit_weights(n: int, given: F64 | None) -> F64:
    """(n,) weights in the unit in which those above zero have mean 1; ones where none is given, or none is above."""
    if given is None or not given.any():
        return np.ones(n)
    result: F64 = given * (np.count_nonzero(given) / given.sum())
    return result


def standardise(values: F64, weights: F64 | None = None) -> tuple[F64, float, float]:
    """(n,) values to mean 0 and standard deviation 1, with that mean and deviation; deviation 1 where all are equal.

    With (n,) weights it is the weighted mean and deviation.
    """
    mean = float(np.average(values, weights=weights))
    centred = values - mean
    spread = float(np.sqrt(np.average(centred**2, weights=weights)))
    # What the mean of equal values is off by is rounding, not spread.
    scale = spread if spread > abs(mean) * np.finfo(np.float64).eps * len(values) else 1.0
    return centred / scale, mean, scale


def mean_squared_norm(z: F32, weights: F64 | None = None) -> float:
    """Weighted mean of ‖z‖² over rows: the unit of every penalty. 1 where all rows are zero."""
    value = float(np.average(np.einsum("nd,nd->n", z, z, dtype=np.float64), weights=weights))
    return value if value > 0 else 1.0


def unit_rows(a: F64) -> F64:
    """Rows scaled to length 1; a zero row stays zero."""
    norms = np.linalg.norm(a, axis=1, keepdims=True)
    result: F64 = a / np.where(norms > 0, norms, 1.0)
    return result


def log_softmax(scores: npt.NDArray[np.floating]) -> F64:
    """(n, k) scores to float64 log probabilities, as precise as the scores are."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)
    result: F64 = shifted - np.log(total)
    return result


def thin_svd(x: F64) -> tuple[F64, F64, F64]:
    """U (n, r), squared singular values (r,), V (d, r) of x (n, d), from the eigenvectors of the smaller Gram matrix.

    Directions that carry nothing are left out: r is the rank, 0 where all of x is zero.
    """
    tall = x.shape[0] >= x.shape[1]
    values, vectors = np.linalg.eigh(x.T @ x if tall else x @ x.T)
    # The Gram matrix squares the condition number: what lies below its rounding is noise.
    kept = values > max(float(values[-1]), 0.0) * 1e-13 * len(values)
    values, vectors = values[kept], vectors[:, kept]
    others = (x @ vectors if tall else x.T @ vectors) / np.sqrt(values)
    return (others, values, vectors) if tall else (vectors, values, others)
