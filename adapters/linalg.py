"""Small algebra that several methods share. Everything here is exact in float64 unless it says otherwise."""

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, I64


def one_hot(y: I64, k: int) -> F64:
    """(n,) class indices to an (n, k) indicator."""
    return np.eye(k)[y]


def class_means(z: F32 | F64, y: I64, k: int) -> F64:
    """(n, d) rows to the (k, d) mean of each class; every class has a row."""
    counts = np.bincount(y, minlength=k)
    sums: F64 = one_hot(y, k).T @ z.astype(np.float64)
    return sums / counts[:, None]


def row_weights(y: I64, k: int, *, balanced: bool, given: F64 | None = None) -> F64:
    """Weights of rows.

    Args:
        y: (n,) class indices.
        k: Classes.
        balanced: Give every class that has rows the same sum.
        given: (n,) what the caller says that each row counts; None = all alike.

    Returns:
        (n,) weights that sum to n.
    """
    weights = np.ones(len(y)) if given is None else given * (len(y) / given.sum())
    if balanced:
        sums = np.bincount(y, weights, minlength=k)
        weights = weights * (len(y) / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1.0)))[y]
    return weights


def standardise(values: F64) -> tuple[F64, float, float]:
    """(n,) values to mean 0 and standard deviation 1, with that mean and deviation; deviation 1 where all are equal."""
    mean = float(values.mean())
    centred = values - mean
    spread = float(centred.std())
    # What the mean of equal values is off by is rounding, not spread.
    scale = spread if spread > abs(mean) * np.finfo(np.float64).eps * len(values) else 1.0
    return centred / scale, mean, scale


def mean_squared_norm(z: F32) -> float:
    """Mean of ‖z‖² over rows: the unit of every penalty. 1 where all rows are zero."""
    value = float(np.mean(np.einsum("nd,nd->n", z, z, dtype=np.float64)))
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
