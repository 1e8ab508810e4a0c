"""Which backbone suits some data? Quick figures of its embeddings, all on the folds that methods are compared on.

    probe    logistic regression, three penalties, judged on rows that it has not seen: what an adapter will do
    LogME    evidence of a linear model on all rows, without any held out
    kNN      classes of a row's nearest neighbours

The probe decides, for it measures what is wanted. The other two stand beside it: they hardly depend on how many rows
there are to learn from, and a backbone that they contradict deserves a look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.calibrate import nll_by_row
from adapters.errors import TaskUnsupported
from adapters.linalg import one_hot, thin_svd, unit_rows
from adapters.methods.logistic import Logistic
from adapters.select import compare, cross_pick

AS_FAST = 1.25
"""Times as long as the fastest that counts as being as fast: what is measured varies by that much."""

_PROBES = tuple(Logistic(c=c) for c in (1.0, 10.0, 100.0))
_MOST_NEIGHBOURS = 15
_ROWS_AT_ONCE = 1024
_GRID = np.linspace(np.log(1e-8), np.log(1e8), 65)
_GOLDEN = (5**0.5 - 1) / 2
_STEPS = 40
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Ranking:
    """Figures of one backbone on one task.

    Attributes:
        probe_accuracy: Share of held-out rows that the probe gets right; None where none can be held out.
        probe_log_loss: Their mean negative log likelihood, in nats; None as above.
        logme: Mean log evidence of a row; higher is better.
        knn_accuracy: Share of rows whose nearest neighbours are of their class; None where no class has two groups.
        losses: (m,) negative log likelihood of each held-out row, the same rows for every backbone.
    """

    probe_accuracy: float | None
    probe_log_loss: float | None
    logme: float
    knn_accuracy: float | None
    losses: F64 = field(compare=False, repr=False)


@dataclass(frozen=True)
class Candidate:
    """A backbone that was measured.

    Attributes:
        id: Its name.
        ranking: How well it does.
        ms_per_item: Time that it takes to embed an item, in milliseconds.
        width: Numbers of its embedding.
    """

    id: str
    ranking: Ranking
    ms_per_item: float
    width: int

    @property
    def loss(self) -> float:
        """What the table is sorted by: the probe's loss, or without one the evidence, negated."""
        probe = self.ranking.probe_log_loss
        return -self.ranking.logme if probe is None else probe


def rank_task(task: Task) -> Ranking:
    """Measure how well embeddings suit a classification.

    Returns:
        The same figures for the same task, bit by bit.

    Cost: 0.05 s for n = 200, k = 10, one core, whatever d; O(n²·d).
    Raises: TaskUnsupported: regression. DatasetTooSmall: fewer than two classes. FitStopped: `task.check` said so.
    """
    if task.regression:
        raise TaskUnsupported(
            "Backbones are ranked by how well they tell classes apart, and this dataset has numbers to predict; "
            "name the backbone instead."
        )
    for probe in _PROBES:
        probe.admit(task)
    u, squared = _left(task.z)
    task = replace(task, z=(u * np.sqrt(squared)).astype(np.float32), names=None)
    accuracy, losses = _probe(task)
    task.check()
    return Ranking(
        probe_accuracy=accuracy,
        probe_log_loss=float(losses.mean()) if accuracy is not None else None,
        logme=_evidence(u, squared, one_hot(task.labels, len(task.classes))),
        knn_accuracy=knn_accuracy(task.z, task.labels, task.groups),
        losses=losses,
    )


def _left(z: F32) -> tuple[F64, F64]:
    """U (n, r) and squared singular values (r,) of (n, d) rows: U·S has the same products of rows as z.

    Those products are all that the figures depend on, so that a wide embedding is as quick as one of n numbers.
    """
    n, d = z.shape
    wide = z.astype(np.float64)
    if d <= n:
        u, squared, _ = thin_svd(wide)
    else:
        squared, u = np.linalg.eigh(wide @ wide.T)
        kept = squared > max(float(squared[-1]), 0.0) * _ROUNDING * n
        u, squared = u[:, kept], squared[kept]
    return (u, squared) if len(squared) else (np.zeros((n, 1)), np.zeros(1))


def _probe(task: Task) -> tuple[float | None, F64]:
    """Accuracy and (m,) losses of held-out rows, penalty and temperature of each fold chosen on the other folds."""
    comparison = compare(_PROBES, task)
    if not comparison.possible:
        return None, np.empty(0)
    losses = np.full(len(task.y), np.nan)
    right = np.zeros(len(task.y), dtype=np.bool_)
    for choice, inside in cross_pick(comparison, task.y):
        scores, y = comparison.scores[choice.index][inside], task.labels[inside]
        losses[inside] = nll_by_row(scores, y, choice.temperature)
        right[inside] = scores.argmax(axis=1) == y
    held_out = comparison.held_out
    return float(right[held_out].mean()), losses[held_out]


def logme(z: F32, y: I64, k: int) -> float:
    """Logarithm of the maximum evidence: of each class against the rest, a mean over classes and rows.

    Targets t in {0, 1} are taken for Zw plus Gaussian noise of precision β, and w for Gaussian of precision α. Then
    t ~ N(0, (ZZᵀ + rI)/α) with r = α/β, and for a given r the best α is n / tᵀ(ZZᵀ + rI)⁻¹t: the evidence is a function
    of r alone. Its maximum is searched on a grid of r and by the golden section around the best point. (The paper's
    fixed point is the same maximum; its iteration has no end where the rows fit exactly.)

    Args:
        z: (n, d) float32.
        y: (n,) int64 in [0, k).
        k: How many classes.

    Cost: O(n·d·min(n, d)), float64.
    Source: You, Liu, Wang & Long, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021.
    """
    return _evidence(*_left(z), one_hot(y, k))


def _evidence(u: F64, squared: F64, targets: F64) -> float:
    """`logme` of rows U·S: (n, r), (r,) and targets (n, k)."""
    n, k = targets.shape
    u, squared = u[:, squared > 0], squared[squared > 0]
    along = (u.T @ targets) ** 2
    across = np.maximum(targets.sum(axis=0) - along.sum(axis=0), 0.0)
    unit = float(squared.mean()) if len(squared) else 1.0

    def evidence(log_r: F64) -> F64:
        """(k,) evidence a row where each class has an r of its own, given as log(r / unit)."""
        r = unit * np.exp(log_r)
        spread = squared[:, None] + r
        variance = ((along / spread).sum(axis=0) + across / r) / n
        volume = np.log(spread).sum(axis=0) + (n - len(squared)) * np.log(r)
        result: F64 = -(np.log(2 * np.pi * variance) + 1 + volume / n) / 2
        return result

    on_grid = np.stack([evidence(np.full(k, point)) for point in _GRID])
    return float(_climb(evidence, _GRID[on_grid.argmax(axis=0)], _GRID[1] - _GRID[0]).mean())


def _climb(function: Callable[[F64], F64], middle: F64, reach: float) -> F64:
    """Highest values (k,) of k functions of one variable, each within `reach` of its `middle`."""
    low, high = middle - reach, middle + reach
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        falls = function(left) > function(right)
        low, high = np.where(falls, low, left), np.where(falls, right, high)
    return function((low + high) / 2)


def knn_accuracy(z: F32, y: I64, groups: I64) -> float | None:
    """How often the nearest rows of other groups, by cosine, are of a row's own class; leave-one-out.

    Each of √(rows of the middle class) neighbours, 15 at most, votes with 1 + cosine. Rows count whose class has
    another group: the others could not be right.

    Args:
        z: (n, d) float32.
        y: (n,) int64.
        groups: (n,) int64; rows of the same group are copies, which would answer for each other.

    Returns:
        The share; None where no row counts.

    Cost: O(n²·d).
    Source: Cover & Hart, Nearest Neighbor Pattern Classification, IEEE Transactions on Information Theory 13(1), 1967.
    """
    counts = np.bincount(y)
    neighbours = min(_MOST_NEIGHBOURS, max(1, int(np.sqrt(np.median(counts[counts > 0])))))
    judged = np.flatnonzero(_of_several_groups(y, groups))
    if len(judged) == 0:
        return None
    units = unit_rows(z.astype(np.float64))
    right = 0
    for start in range(0, len(judged), _ROWS_AT_ONCE):
        rows = judged[start : start + _ROWS_AT_ONCE]
        votes = 1 + units[rows] @ units.T
        votes[groups[rows][:, None] == groups] = -np.inf
        right += int((_elected(votes, y, neighbours) == y[rows]).sum())
    return right / len(judged)


def _elected(votes: F64, y: I64, neighbours: int) -> I64:
    """(m,) classes with most votes among the nearest (the highest in (m, n))."""
    nearest = np.argsort(-votes, axis=1, kind="stable")[:, :neighbours]
    weight = np.maximum(np.take_along_axis(votes, nearest, axis=1), 0.0)  # fewer rows of other groups than neighbours
    tally = np.zeros((len(votes), int(y.max()) + 1))
    np.add.at(tally, (np.arange(len(votes))[:, None], y[nearest]), weight)
    result: I64 = tally.argmax(axis=1)
    return result


def _of_several_groups(y: I64, groups: I64) -> Mask:
    """(n,) rows whose class has a row of another group."""
    pairs = np.unique(np.stack([y, groups]), axis=1)
    several: Mask = np.bincount(pairs[0], minlength=int(y.max()) + 1)[y] > 1
    return several


def sort_candidates(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first: by the probe's held-out log loss, or by LogME where no row could be held out."""
    return sorted(candidates, key=lambda candidate: (candidate.loss, candidate.id))


def recommend(candidates: Sequence[Candidate]) -> tuple[str, str]:
    """Which backbone to take, and a sentence that says why.

    Of those whose loss is within one standard error (of the paired difference over rows) of the lowest, the fastest;
    among such as are about as fast, the one with the lowest loss.

    Args:
        candidates: Measured on the same task; at least one.

    Returns:
        Its id and the sentence.

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
    """
    best = sort_candidates(candidates)[0]
    if len(candidates) == 1:
        return best.id, f"{best.id} is the only backbone that was compared."
    if best.ranking.probe_log_loss is None:
        return best.id, (
            f"Of {len(candidates)} backbones {best.id} has the highest LogME, {best.ranking.logme:.3f}; there are too "
            "few rows of each class to hold any out, so nothing better could be measured."
        )
    alike = [other for other in candidates if other.loss <= best.loss + _stderr(other, best)]
    limit_ms = AS_FAST * min(other.ms_per_item for other in alike)
    chosen = sort_candidates([other for other in alike if other.ms_per_item <= limit_ms])[0]
    return chosen.id, _why(chosen, best, len(candidates))


def _stderr(other: Candidate, best: Candidate) -> float:
    difference = other.ranking.losses - best.ranking.losses
    return float(difference.std() / np.sqrt(max(1, len(difference) - 1)))


def _why(chosen: Candidate, best: Candidate, of: int) -> str:
    figures = f"{chosen.loss:.3f} (accuracy {chosen.ranking.probe_accuracy or 0:.3f})"
    if chosen.id == best.id:
        return (
            f"Of {of} backbones {chosen.id} has the lowest log loss on held-out rows, {figures}, at "
            f"{chosen.ms_per_item:.2g} ms an item; none that is much faster comes within one standard error of it."
        )
    return (
        f"{chosen.id} has a log loss of {figures} on held-out rows, within one standard error "
        f"({_stderr(chosen, best):.3f}) of the lowest, {best.loss:.3f} of {best.id}, and takes "
        f"{chosen.ms_per_item:.2g} ms an item instead of {best.ms_per_item:.2g}."
    )
