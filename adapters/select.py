"""Choosing among methods and parameters on identical folds.

variants -> compare (out-of-fold scores of each) -> pick (temperature, loss, one-standard-error rule)

The loss is the log loss of classes and the squared error of numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from adapters.base import F32, F64, I64, Head, Mask, Method, Task
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.folds import NEVER, deal_folds


@dataclass(frozen=True)
class Comparison:
    """Candidates' scores on rows that they had not seen, all on the same folds.

    Attributes:
        methods: What was compared, simplest first.
        folds: (n,) int64, `NEVER` for rows that were never held out.
        scores: One (n, k) float32 for each method; zero for rows that were never held out.
        regression: Whether the scores are (n, 1) values instead of scores of classes.
    """

    methods: tuple[Method, ...]
    folds: I64
    scores: tuple[F32, ...]
    regression: bool = False

    @property
    def held_out(self) -> Mask:
        """(n,) rows that have been held out once."""
        return np.not_equal(self.folds, NEVER)

    @property
    def possible(self) -> bool:
        """Whether any row could be held out."""
        return bool(self.held_out.any())


@dataclass(frozen=True)
class Choice:
    """What was picked on some held-out rows.

    Attributes:
        index: Of the chosen candidate.
        temperatures: One for each candidate; 1 for regression.
        loss: (c,) mean loss of each candidate: log loss at its temperature, or squared error in squared target units.
        stderr: (c,) standard error over rows of the difference to the lowest loss; 0 for that one.
    """

    index: int
    temperatures: tuple[float, ...]
    loss: F64
    stderr: F64

    @property
    def temperature(self) -> float:
        """Of the chosen candidate."""
        return self.temperatures[self.index]


def _silent(_fraction: float) -> None:
    """Nobody wants to know how far it is."""


def compare(methods: Sequence[Method], task: Task, on_progress: Callable[[float], None] = _silent) -> Comparison:
    """Fit every candidate to the rows outside each fold and score the rows inside.

    Args:
        methods: Candidates, simplest first; those of one type stand together and may share work.
        task: All rows.
        on_progress: Called with a fraction 0..1 after every fit.

    Returns:
        Scores of every candidate; see `Comparison.possible` for datasets too small to hold anything out.

    Cost: as many fits as candidates times folds. Of a table the encoding is learned once a fold.
    """
    folds = deal_folds(task)
    shape = (len(task.y), max(1, len(task.classes)))
    scores = tuple(np.zeros(shape, dtype=np.float32) for _ in methods)
    held_out_folds = range(int(folds.max()) + 1)
    done = 0
    for fold in held_out_folds:
        inside = folds == fold
        training, held_out = task.split(inside)
        for into, head in zip(scores, _fit_all(methods, training), strict=True):
            into[inside] = head.scores_of(held_out)
            done += 1
            on_progress(done / (len(methods) * len(held_out_folds)))
    return Comparison(tuple(methods), folds, scores, task.regression)


def _fit_all(methods: Sequence[Method], task: Task) -> Iterator[Head]:
    """Neighbours of one type share their work."""
    for _, same in groupby(methods, key=lambda method: method.method):
        together = list(same)
        yield from type(together[0]).fit_each(together, task)


def pick(comparison: Comparison, y: I64 | F64, rows: Mask) -> Choice:
    """Pick a candidate by its loss on some held-out rows, scores of classes each at their own temperature.

    Within a method the lowest loss wins. Between methods the simplest one wins whose loss is within one standard
    error (of the paired difference over rows) of the lowest.

    Args:
        comparison: Out-of-fold scores.
        y: (n,) int64 classes, or float64 targets.
        rows: (n,) which held-out rows to look at.

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
    """
    seen = tuple(scores[rows] for scores in comparison.scores)
    if comparison.regression:
        temperatures: tuple[float, ...] = (1.0,) * len(seen)
        losses = np.stack([(scores[:, 0] - y[rows]) ** 2 for scores in seen])
    else:
        labels = y[rows].astype(np.int64, copy=False)
        temperatures = tuple(fit_temperature(scores, labels) for scores in seen)
        losses = np.stack([nll_by_row(s, labels, t) for s, t in zip(seen, temperatures, strict=True)])
    loss = losses.mean(axis=1)
    difference = losses - losses[int(loss.argmin())]
    stderr = difference.std(axis=1) / np.sqrt(max(1, losses.shape[1] - 1))
    return Choice(_simplest(comparison.methods, loss, stderr), temperatures, loss, stderr)


def cross_pick(comparison: Comparison, y: I64 | F64) -> Iterator[tuple[Choice, Mask]]:
    """For each fold what the other folds' held-out rows choose, and (n,) the rows of that fold.

    Judged by it, a row's label has had no say in what it is judged by: choosing does not flatter the figures.
    """
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        yield pick(comparison, y, comparison.held_out & ~inside), inside


def _simplest(methods: Sequence[Method], loss: F64, stderr: F64) -> int:
    kinds = [(method.complexity, method.method) for method in methods]
    for kind in sorted(set(kinds)):
        index = min((i for i, other in enumerate(kinds) if other == kind), key=lambda i: float(loss[i]))
        if loss[index] <= loss.min() + stderr[index]:
            return index
    raise AssertionError("the candidate with the lowest loss is within its own standard error")


def settle(method: Method, task: Task) -> Method:
    """The method with every open parameter chosen on folds of this task."""
    variants = method.variants(task)
    if len(variants) == 1:
        return variants[0]
    comparison = compare(variants, task)
    if not comparison.possible:
        return method.fallback(task)
    return variants[pick(comparison, task.y, comparison.held_out).index]


def proposals(task: Task) -> tuple[Method, ...]:
    """What every method that can do a task proposes to try on it, simplest first."""
    # The registry imports every method, and ``auto`` imports this module: so it is asked for when needed.
    from adapters.methods import METHODS

    kinds = sorted(METHODS.values(), key=lambda kind: getattr(kind, "complexity", 0))
    able = (kind for kind in kinds if task.kind in kind.tasks)
    return tuple(method for kind in able for method in kind.proposals(task))
