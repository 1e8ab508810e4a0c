"""What candidates scored on rows that they had not seen, and which of them to keep.

Comparison (out-of-fold scores of each) -> pick (temperature, loss, one-standard-error rule) -> Choice

The loss is the log loss of classes, its mean over all classes where a row may have several, and the squared error of
numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from adapters.base import F32, F64, I64, Mask, Method, Need, never_stops
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.folds import NEVER

STANDARD_ERRORS = 0.5
"""How far above the lowest loss a simpler method may lie. A whole standard error, as in the source, gave away half a
point of accuracy at three examples a class (Banking77, training rows alone), where the error is widest."""

_CLEARLY = 1.0
"""Standard errors by which who trains the backbone must be better."""

_OUT_OF_REACH = 3.0

_FEWEST_SHARED = 10

_PERFECT_SHARE = 0.02

Target = I64 | F64 | Mask


@dataclass(frozen=True)
class LeftOut:
    """A candidate that was not compared, or not to its end.

    Attributes:
        method: Which.
        why: Words for the report.
    """

    method: Method
    why: str


@dataclass(frozen=True)
class Comparison:
    """Candidates' scores on rows that they had not seen, all on the same folds.

    Attributes:
        methods: What was compared, simplest first.
        folds: (n,) int64, `NEVER` for rows that were never held out.
        scores: One (n, k) float32 for each method; zero for rows that it was never scored on.
        regression: Whether the scores are (n, 1) values instead of scores of classes.
        weights: (n,) how much each row counts; None = all alike.
        groups: (n,) rows of one group say the same, so that standard errors count groups; None = each row its own.
        scored: Folds on which each method was scored, the first ones; () = all of them on all. Those that were found
            hopeless have fewer than the others, and those that train the backbone may have.
        left_out: What was not compared to its end for another reason.
        early: Whether the time ended it.
        check: Called before each candidate is looked at; what it raises ends the work.
    """

    methods: tuple[Method, ...]
    folds: I64
    scores: tuple[F32, ...]
    regression: bool = False
    weights: F64 | None = None
    groups: I64 | None = None
    scored: tuple[int, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    early: bool = False
    check: Callable[[], None] = field(default=never_stops, compare=False)

    @property
    def held_out(self) -> Mask:
        """(n,) rows that have been held out once."""
        return np.not_equal(self.folds, NEVER)

    @property
    def possible(self) -> bool:
        """Whether any row could be held out, and any candidate was scored."""
        return bool(self.methods) and bool(self.held_out.any())

    def seen(self, index: int) -> Mask:
        """(n,) rows that a candidate was scored on."""
        return self.held_out & (self.folds < self._scored(index))

    def plain(self) -> list[int]:
        """Candidates that can be chosen by their loss alone: scored on all rows, with the backbone as it is.

        All that were scored as often as any, where all train the backbone.
        """
        most = max(self._scored(index) for index in range(len(self.methods)))
        frozen = [index for index, method in enumerate(self.methods) if not tunes(method)]
        able = frozen or range(len(self.methods))
        most = max((self._scored(index) for index in able), default=most)
        return [index for index in able if self._scored(index) == most]

    def challengers(self) -> list[int]:
        """Candidates that train the backbone, where others do not: they have to be clearly better."""
        plain = set(self.plain())
        return [i for i, method in enumerate(self.methods) if tunes(method) and i not in plain]

    def judged(self, choice: "Choice", groups: I64) -> "Comparison":
        """The same on the rows of the chosen one and with those that it was chosen among, in two parts at least.

        Args:
            choice: On all held-out rows. Who is three standard errors above the lowest loss there is no rival: four
                fifths of the rows would not choose it either.
            groups: (n,) rows of one group stay in one part, where one fold has to be parted.
        """
        index, plain = choice.index, self.plain()
        lowest = min(float(choice.loss[i]) for i in plain)
        near = [i for i in plain if choice.loss[i] <= lowest + _OUT_OF_REACH * choice.stderr[i]]
        rivals = {index, *near, *(self.challengers() if index in self.challengers() else ())}
        rows = self.seen(index)
        kept = [i for i in sorted(rivals) if not (rows & ~self.seen(i)).any()]
        folds = np.where(rows, self.folds, NEVER)
        if len(np.unique(folds[rows])) == 1:
            number = np.unique(groups[rows], return_inverse=True)[1].reshape(-1)
            folds[rows] = number % 2
        return replace(
            self,
            methods=tuple(self.methods[i] for i in kept),
            folds=folds,
            scores=tuple(self.scores[i] for i in kept),
            scored=(),
        )

    def only(self, index: int) -> "Comparison":
        """The same with one candidate."""
        scored = (self._scored(index),)
        return replace(self, methods=(self.methods[index],), scores=(self.scores[index],), scored=scored)

    def _scored(self, index: int) -> int:
        return self.scored[index] if self.scored else int(self.folds.max()) + 1


@dataclass(frozen=True)
class Choice:
    """What was picked on some held-out rows.

    Attributes:
        index: Of the chosen candidate.
        temperatures: One for each candidate; 1 for regression.
        loss: (c,) mean loss of each candidate on its own rows: log loss at its temperature, or squared error in squared
            target units; infinite where it has none of these rows.
        stderr: (c,) standard error over groups of the difference to the lowest loss of those scored on all rows; 0 for
            that one.
    """

    index: int
    temperatures: tuple[float, ...]
    loss: F64
    stderr: F64

    @property
    def temperature(self) -> float:
        """Of the chosen candidate."""
        return self.temperatures[self.index]


def tunes(method: Method) -> bool:
    """Whether a method trains the backbone."""
    return Need.TUNING in method.requirements()


def pick(comparison: Comparison, y: Target, rows: Mask) -> Choice:
    """Pick a candidate by its loss on some held-out rows, scores of classes each at their own temperature.

    Within a method the lowest loss wins. Between methods the simplest one wins whose loss is within half a standard
    error (of the paired difference over groups) of the lowest. One that trains the backbone must beat what wins among
    the others by a whole one, on the rows that both have.

    Args:
        comparison: Out-of-fold scores.
        y: (n,) int64 classes, (n, k) bool marks, or float64 targets.
        rows: (n,) which held-out rows to look at.

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
    """
    count = len(comparison.methods)
    by_row, temperatures = np.full((count, len(y)), np.nan), []
    for index, scores in enumerate(comparison.scores):
        comparison.check()
        seen = rows & comparison.seen(index)
        weights = None if comparison.weights is None else comparison.weights[seen]
        by_row[index, seen], temperature = losses(scores[seen], y[seen], weights)
        temperatures.append(temperature)
    shares = np.where(rows, 1.0 if comparison.weights is None else comparison.weights, 0.0)
    loss = np.array([_mean(of, shares) for of in by_row])
    plain = comparison.plain()
    best = plain[int(np.argmin(loss[plain]))]
    stderr = np.array([paired_difference(of, by_row[best], shares, comparison.groups)[1] for of in by_row])
    chosen = _simplest([comparison.methods[i] for i in plain], loss[plain], stderr[plain])
    index = _challenged(plain[chosen], comparison.challengers(), by_row, shares, comparison.groups)
    return Choice(index, tuple(temperatures), loss, stderr)


def losses(scores: F32, y: Target, weights: F64 | None) -> tuple[F64, float]:
    """(m,) loss of each row, and the temperature that it is at: (m, k) scores of rows that were held out."""
    if y.dtype == np.float64:
        return np.square(scores[:, 0] - y, dtype=np.float64), 1.0
    labels = cast("I64 | Mask", y)
    temperature = fit_temperature(scores, labels, weights)
    return nll_by_row(scores, labels, temperature), temperature


def cross_pick(comparison: Comparison, y: Target) -> Iterator[tuple[Choice, Mask]]:
    """For each fold what the other folds' held-out rows choose, and (n,) the rows of that fold.

    Judged by it, a row's label has had no say in what it is judged by: choosing does not flatter the figures.
    """
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        yield pick(comparison, y, comparison.held_out & ~inside), inside


def room_left(comparison: Comparison, choice: Choice, y: Target) -> bool:
    """Whether more than two percent of the held-out rows are answered wrongly, or of numbers of their variance."""
    rows = comparison.seen(choice.index)
    scores, truth = comparison.scores[choice.index][rows], y[rows]
    if comparison.regression:
        return bool(choice.loss[choice.index] > _PERFECT_SHARE * np.var(truth))
    wrong = ((scores > 0) != truth).any(axis=1) if y.ndim == 2 else scores.argmax(axis=1) != truth
    return bool(wrong.mean() > _PERFECT_SHARE)


def _simplest(methods: Sequence[Method], loss: F64, stderr: F64) -> int:
    kinds = [(method.complexity, method.method) for method in methods]
    for kind in sorted(set(kinds)):
        index = min((i for i, other in enumerate(kinds) if other == kind), key=lambda i: float(loss[i]))
        if loss[index] <= loss.min() + STANDARD_ERRORS * stderr[index]:
            return index
    raise AssertionError("the candidate with the lowest loss is within its own standard error")


def _challenged(holder: int, challengers: Sequence[int], by_row: F64, shares: F64, groups: I64 | None) -> int:
    """Who is clearly better than the holder on the rows that both have, and by most; or the holder."""
    best, lead = holder, 0.0
    for index in challengers:
        mean, stderr = paired_difference(by_row[index], by_row[holder], shares, groups)
        shared = np.count_nonzero(~np.isnan(by_row[index] + by_row[holder]))
        if shared >= _FEWEST_SHARED and mean < min(lead, -_CLEARLY * stderr):
            best, lead = index, mean
    return best


def _mean(by_row: F64, shares: F64) -> float:
    there = ~np.isnan(by_row)
    total = float(shares[there].sum())
    return float(shares[there] @ by_row[there]) / total if total > 0 else np.inf


def paired_difference(one: F64, other: F64, shares: F64, groups: I64 | None) -> tuple[float, float]:
    """How much one loss is above another on the same rows.

    Args:
        one: (n,) of each row, NaN where there is none.
        other: (n,) as `one`.
        shares: (n,) how much each row counts.
        groups: (n,) rows of one group say the same; None = each row its own.

    Returns:
        The mean over rows that both have, and its standard error over groups.
    """
    both = ~np.isnan(one + other)
    share = shares[both] / max(float(shares[both].sum()), np.finfo(np.float64).tiny)
    difference = one[both] - other[both]
    mean = float(share @ difference)
    if groups is not None and len(np.unique(groups)) < len(groups):
        share, difference = _by_group(share, difference, groups[both])
    even = 1 / max(float(share @ share), np.finfo(np.float64).tiny)
    return mean, float(np.sqrt(share @ (difference - mean) ** 2 / max(1.0, even - 1)))


def _by_group(share: F64, difference: F64, groups: I64) -> tuple[F64, F64]:
    """Shares of whole groups, and the mean difference in each."""
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    total: F64 = np.bincount(number, share).astype(np.float64, copy=False)
    return total, np.bincount(number, share * difference) / np.where(total > 0, total, 1.0)
