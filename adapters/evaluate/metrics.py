"""Figures of plain arrays, rows weighed where weights are given. scikit-learn is the oracle in the tests."""

import numpy as np

from adapters.base import F64, I64, Mask

_ECE_BINS = 15
_Z95 = 1.959963984540054
_RESAMPLES = 1000


def wilson_interval(right: float, total: int) -> tuple[float, float]:
    """95% interval of a share.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.
    """
    share, z2 = min(1.0, right / total), _Z95**2  # weighted sums may be beyond by rounding
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def weights_of(rows: int, given: F64 | None) -> F64:
    """(rows,) weights with a mean of one; all one where none are given."""
    return np.ones(rows) if given is None else given * (rows / given.sum())


def expected_calibration_error(p: F64, y: I64, weights: F64 | None = None, bins: int = _ECE_BINS) -> float:
    """Mean gap between the top probability and being right, over bins of equal width, weighted by rows.

    Args:
        p: (n, k) probabilities.
        y: (n,) true classes.
        weights: (n,) how much each row counts; None = all alike.
        bins: How many.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015.
    """
    return calibration_gap(p.max(axis=1), p.argmax(axis=1) == y, weights_of(len(y), weights), bins)


def calibration_gap(p: F64, happened: Mask, weights: F64, bins: int = _ECE_BINS) -> float:
    """Mean gap between what was said, (n,) probabilities, and the share that happened, over bins of equal width."""
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=weights * (p - happened), minlength=bins)
    return float(np.abs(gap).sum() / weights.sum())


def precision_recall_f1(y: I64, predicted: I64, k: int, weights: F64 | None = None) -> tuple[F64, F64, F64]:
    """Of each class: each (k,); zero where the denominator is."""
    w = np.ones(len(y)) if weights is None else weights
    right, said, true = np.zeros(k), np.zeros(k), np.zeros(k)
    np.add.at(right, y[y == predicted], w[y == predicted])
    np.add.at(said, predicted, w)
    np.add.at(true, y, w)
    return ratios(right, said, true)


def ratios(right: F64, said: F64, true: F64) -> tuple[F64, F64, F64]:
    """Precision, recall and F1 from weights of rows, each (k,): rightly said, said, true."""

    def over(a: F64, b: F64) -> F64:
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    return over(right, said), over(right, true), over(2 * right, said + true)


def roc_auc(score: F64, positive: Mask, weights: F64 | None = None) -> float:
    """Chance that a positive row scores above a negative one, a tie counting half; both kinds must be there.

    Args:
        score: (n,) larger is more positive.
        positive: (n,) the truth.
        weights: (n,) how much each row counts; None = all alike.

    Source: Mann & Whitney, Annals of Mathematical Statistics 18(1), 1947.
    """
    w = weights_of(len(score), weights)
    tied = np.unique(score, return_inverse=True)[1].reshape(-1)
    found, others = np.bincount(tied, w * positive), np.bincount(tied, w * ~positive)
    below = np.cumsum(others) - others / 2
    return float(found @ below / (found.sum() * others.sum()))


def average_precision(score: F64, positive: Mask, weights: F64 | None = None) -> float:
    """Precision at every threshold, weighted by the recall that it adds; tied rows share one threshold.

    Args:
        score: (n,) larger is more positive.
        positive: (n,) the truth; at least one row is.
        weights: (n,) how much each row counts, all of them positive; None = all alike.
    """
    w = weights_of(len(score), weights)
    tied = np.unique(-score, return_inverse=True)[1].reshape(-1)
    found = np.bincount(tied, w * positive)
    precision = np.cumsum(found) / np.cumsum(np.bincount(tied, w))
    return float((precision * found).sum() / found.sum())


def weighted_median(y: F64, weights: F64 | None = None) -> float:
    """The middle of (n,) numbers, each as often as its weight says; half way between two where both are."""
    if weights is None:
        return float(np.median(y))
    order = np.argsort(y, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    # Sums of weights that are one half but for rounding are one half.
    low, high = np.searchsorted(reached, [0.5 - 1e-12, 0.5 + 1e-12])
    return float((y[order[low]] + y[order[high]]) / 2)


def r2(y: F64, predicted: F64, weights: F64 | None = None) -> float | None:
    """1 - residual over total sum of squares, (n,) each; None where all of `y` is equal.

    Source: Draper & Smith, Applied Regression Analysis, 3rd ed., 1998.
    """
    return _r2(*_sums(y, predicted, weights).sum(axis=0)) if np.ptp(y) > 0 else None


def r2_interval(
    y: F64, predicted: F64, groups: I64, seed: int, weights: F64 | None = None
) -> tuple[float, float] | None:
    """95% interval of `r2`: the percentiles of 1,000 bootstrap samples of whole groups.

    None where all of `y` is equal or one group holds all. Samples whose targets are all equal have no r2 and are left
    out.

    Cost: O(1000·groups); about 2 s for 100,000.
    Source: Efron, Annals of Statistics 7(1), 1979; whole clusters as in Davison & Hinkley, Bootstrap Methods and their
        Application, 1997, section 3.8.
    """
    _, index = np.unique(groups, return_inverse=True)
    g = int(index.max()) + 1
    if g < 2 or np.ptp(y) == 0:
        return None
    columns = _sums(y, predicted, weights).T
    by_group = np.stack([np.bincount(index.reshape(-1), weights=column) for column in columns], axis=1)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, g, g), minlength=g)
        value = _r2(*(times @ by_group))
        if value is not None:
            values.append(value)
    if not values:
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _sums(y: F64, predicted: F64, weights: F64 | None) -> F64:
    """(n, 4) of each row: weight, y, y² and squared error, in units in which y has mean 0 and deviation about 1."""
    # Of numbers whose squares are too small to be told from zero no spread is seen.
    mean, spread = y.mean(), y.std() or 1.0
    t = (y - mean) / spread
    sums: F64 = np.stack([np.ones(len(y)), t, t**2, ((y - predicted) / spread) ** 2], axis=1)
    return sums * weights_of(len(y), weights)[:, None]


def _r2(count: float, total: float, squares: float, residual: float) -> float | None:
    spread = squares - total**2 / count
    # Below that the squares cancel: all targets are equal.
    return float(1 - residual / spread) if spread > 1e-12 * squares else None
