"""Given or learned shares, judged on held-out rows; a learned average drops who hurts it.

held-out answers -> shares from the other folds, each way of averaging -> the better way -> who hurts? -> shares
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from adapters.base import F32, F64, Mask, Task
from adapters.calibrate import nll_by_row
from adapters.comparison import Choice, Comparison, pick
from adapters.ensembles.answers import HeldOut
from adapters.ensembles.members import known, placements
from adapters.ensembles.pool import Of, pool_of
from adapters.ensembles.weights import Seen, learn_shares
from adapters.evaluate import classification

if TYPE_CHECKING:
    from adapters.methods.ensemble import Ensemble

_RESAMPLES = 1000
_SURE = (2.5, 97.5)
_FEWEST_DIFFERENT = 20
"""Held-out items below which nobody is dropped: a bootstrap of a handful is surer than it may be."""

_DIGITS = 6
"""Of a share, so that it is the same when it is written and read."""

WAYS: tuple[Of, ...] = ("probabilities", "log_probabilities")


@dataclass(frozen=True, eq=False)
class Learned:
    """How the members are averaged.

    Attributes:
        shares: (m,) of all members, zero of those that were dropped; sum 1.
        of: What is averaged.
        dropped: (m,) members that were left out because they hurt.
        comparison: Both ways of averaging, or the one that was asked for, on held-out rows: those of each fold by
            shares from the others.
        choice: Among them; None where nothing was held out.
    """

    shares: F64
    of: Of
    dropped: Mask
    comparison: Comparison
    choice: Choice | None

    @property
    def scores(self) -> F32:
        """(n, k) of held-out rows, by shares from the other folds."""
        return self.comparison.scores[0 if self.choice is None else self.choice.index]


def learn(method: "Ensemble", held: HeldOut) -> Learned:
    """Shares and the way of averaging.

    Raises:
        FitStopped: `task.check` said so.
    """
    m = len(held.task.members)
    given = None if method.weights is None else _normal(np.array(method.weights))
    counted = np.ones(m, dtype=np.bool_) if given is None else given > 0
    ways = WAYS[:1] if held.task.regression else WAYS if method.of is None else (method.of,)
    if held.why:
        shares = np.full(m, 1 / m) if given is None else given
        return Learned(shares, ways[0], np.zeros(m, np.bool_), _nothing(method, held, ways[0]), None)
    found = _judged(method, held, counted, given, ways)
    while given is None and method.drop and (worst := _who_hurts(method, held, counted, found)) is not None:
        counted = counted & (np.arange(m) != worst)
        found = _judged(method, held, counted, given, ways)
    comparison, choice = found
    of = ways[choice.index]
    shares = given if given is not None else _shares(held, counted, of, held.rows)
    return Learned(shares, of, ~counted & (given is None), comparison, choice)


def droppable(held: HeldOut, counted: Mask) -> list[int]:
    """Members without whom each class is still known to one that counts."""
    knows = known(placements(held.task.members, held.task.classes))
    return [
        int(member)
        for member in np.flatnonzero(counted)
        if knows[counted & (np.arange(len(counted)) != member)].any(axis=0).all()
    ]


def losses(scores: F32, task: Task, comparison: Comparison) -> F64:
    """(n,) loss of each held-out row, at the temperature that the other folds call for; NaN of the other rows."""
    found, rows = np.full(len(task.y), np.nan), comparison.held_out
    if task.regression:
        found[rows] = np.square(scores[rows, 0] - task.targets[rows])
        return found
    y = task.marks if task.multilabel else task.labels
    found[rows] = nll_by_row(classification.at_temperature(scores, task, comparison)[rows], y[rows], 1.0)
    return found


def paired_interval(gain: F64, task: Task) -> tuple[float, float, float]:
    """The mean of (n,) differences of rows, and its 95% interval by a paired bootstrap of whole groups.

    Args:
        gain: Of each row; NaN where there is none.
        task: Whose rows, groups and weights.

    Cost: O(1000·groups).
    Source: Efron, Annals of Statistics 7(1), 1979; paired as in Koehn, Statistical Significance Tests for Machine
        Translation Evaluation, EMNLP 2004.
    """
    there = ~np.isnan(gain)
    weights = np.ones(int(there.sum())) if task.weights is None else task.weights[there]
    group = np.unique(task.groups[there], return_inverse=True)[1].reshape(-1)
    sums, masses = np.bincount(group, weights * gain[there]), np.bincount(group, weights)
    rng, count, means = np.random.default_rng(task.seed), len(sums), np.empty(_RESAMPLES)
    for sample in range(_RESAMPLES):
        drawn = rng.integers(0, count, count)
        means[sample] = sums[drawn].sum() / masses[drawn].sum()
    low, high = np.percentile(means, _SURE)
    return float(sums.sum() / masses.sum()), float(low), float(high)


def _judged(
    method: "Ensemble", held: HeldOut, counted: Mask, given: F64 | None, ways: Sequence[Of]
) -> tuple[Comparison, Choice]:
    """Every way of averaging, each fold by shares from the others."""
    task = held.task
    methods = tuple(method.model_copy(update={"of": of}) for of in ways)
    scores = [np.zeros((len(task.y), max(1, len(task.classes))), dtype=np.float32) for _ in ways]
    for fold in range(int(held.folds.max()) + 1):
        inside, others = held.folds == fold, held.without(fold)
        answers = held.probabilities(others)[counted]
        for of, found in zip(ways, scores, strict=True):
            task.check()
            shares = _fitted(answers, held, counted, of, others) if given is None else given[counted]
            found[inside] = pool_of(task.kind, of).scores(answers[:, inside], shares, held.knows(counted))
    comparison = Comparison(
        methods, held.folds, tuple(scores), task.regression, task.weights, task.groups, check=task.check
    )
    return comparison, pick(comparison, task.y, comparison.held_out)


def _who_hurts(method: "Ensemble", held: HeldOut, counted: Mask, found: tuple[Comparison, Choice]) -> int | None:
    """The member without whom the average gains most, and surely gains."""
    comparison, choice = found
    if len(np.unique(held.task.groups[held.rows])) < _FEWEST_DIFFERENT:
        return None
    base = losses(comparison.scores[choice.index], held.task, comparison)
    of = cast("Ensemble", comparison.methods[choice.index]).of or WAYS[0]
    worst, most = None, 0.0
    for member in droppable(held, counted):
        others = counted & (np.arange(len(counted)) != member)
        alone, _ = _judged(method, held, others, None, (of,))
        gain, low, _ = paired_interval(base - losses(alone.scores[0], held.task, alone), held.task)
        if low > 0 and gain > most:
            worst, most = member, gain
    return worst


def _shares(held: HeldOut, counted: Mask, of: Of, rows: Mask) -> F64:
    """Of all members, zero where one does not count."""
    shares = np.zeros(len(counted))
    shares[counted] = _fitted(held.probabilities(rows)[counted], held, counted, of, rows)
    return _normal(np.round(shares, _DIGITS))


def _fitted(answers: F32, held: HeldOut, counted: Mask, of: Of, rows: Mask) -> F64:
    task = held.task
    weights = None if task.weights is None else task.weights[rows]
    return learn_shares(Seen(answers[:, rows], held.knows(counted), task.y[rows], weights), of)


def _nothing(method: "Ensemble", held: HeldOut, of: Of) -> Comparison:
    """Without rows that are held out."""
    task = held.task
    scores = np.zeros((len(task.y), max(1, len(task.classes))), dtype=np.float32)
    methods = (method.model_copy(update={"of": of}),)
    empty = Comparison(methods, held.folds, (scores,), task.regression, task.weights, task.groups, scored=(0,))
    return replace(empty, early=held.early)


def _normal(weights: F64) -> F64:
    result: F64 = weights / weights.sum()
    return result
