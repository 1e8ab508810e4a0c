"""Classes set apart as if nobody had an example of them, and rows of the others held out beside.

Task -> pseudo_unseen -> Split (learn from some classes, judge others) ... what is chosen on them is chosen without the
classes that are truly unseen.
"""

from dataclasses import dataclass

import numpy as np

from adapters.base import F64, I64, Mask, Task
from adapters.folds import NEVER, deal_folds

SPLITS = 5

_SHARE = 0.2
"""Of the classes that are set apart where none is unseen yet."""

_LEAST_SHARE, _MOST_SHARE = 0.1, 0.5

_MOST_SCORES = 800_000
"""Of one candidate on one split: rows times classes. Of more, some rows are not judged."""


@dataclass(frozen=True, eq=False)
class Split:
    """Some of the classes that have rows are set apart.

    Attributes:
        columns: (c,) int64 classes that have rows: those that an answer is sought among. Classes that are truly unseen
            take no part.
        apart: (c,) which of them are set apart.
        learned: (n,) rows to learn from: none of the classes set apart.
        judged: (m,) int64 rows that are judged: all of the classes set apart, and held-out ones of the others.
        y: (m,) int64 place of their class in `columns`.
        weights: (m,) float64 such that every class weighs the same.
    """

    columns: I64
    apart: Mask
    learned: Mask
    judged: I64
    y: I64
    weights: F64

    @property
    def foreign(self) -> Mask:
        """(m,) judged rows whose class is set apart."""
        result: Mask = self.apart[self.y]
        return result

    def training(self, task: Task) -> Task:
        """The rows to learn from; all classes stay, those set apart without a row."""
        return task.rows(self.learned)


def pseudo_unseen(task: Task) -> tuple[Split, ...]:
    """Splits of the classes that have rows.

    As large a share of them is set apart as of all classes is unseen, within [0.1, 0.5], and one at least; a fifth
    where all are seen. Each split takes other classes as far as there are enough, and holds out another fold of
    the rest.

    Args:
        task: A classification; rows of one group stay together.

    Returns:
        Five; fewer where there are fewer classes; none with fewer than two of them. Where no row can be held out, only
        classes set apart are judged. The same seed gives the same.
    """
    seen = np.flatnonzero(~task.absent)
    if len(seen) < 2:
        return ()
    size = apart_size(len(seen), len(task.classes))
    rng = np.random.default_rng(task.seed)
    order = rng.permutation(len(seen))
    fold_of = deal_folds(task)
    folds = int(fold_of.max(initial=NEVER)) + 1
    found = []
    for number in range(min(SPLITS, len(seen))):
        apart = np.zeros(len(seen), dtype=np.bool_)
        apart[np.take(order, np.arange(number * size, (number + 1) * size), mode="wrap")] = True
        held_out = np.equal(fold_of, number % folds) if folds else np.zeros(len(task.y), dtype=np.bool_)
        found.append(_split(task, seen, apart, held_out, rng))
    return tuple(found)


def apart_size(seen: int, classes: int) -> int:
    """How many of the seen classes are set apart."""
    unseen = classes - seen
    share = min(_MOST_SHARE, max(_LEAST_SHARE, unseen / classes)) if unseen else _SHARE
    # Methods learn from two classes at least.
    return min(max(1, seen - 2), max(1, round(share * seen)))


def _split(task: Task, seen: I64, apart: Mask, held_out: Mask, rng: np.random.Generator) -> Split:
    place = np.full(len(task.classes), -1, dtype=np.int64)
    place[seen] = np.arange(len(seen))
    y = place[task.labels]
    foreign = apart[y]
    # A group of several classes would be on both sides.
    torn = np.isin(task.groups, task.groups[foreign])
    judged = _thinned(np.flatnonzero(foreign), np.flatnonzero(held_out & ~foreign), _MOST_SCORES // len(seen), rng)
    labels = y[judged]
    given = np.ones(len(judged)) if task.weights is None else task.weights[judged]
    return Split(seen, apart, ~(torn | held_out), judged, labels, given / np.bincount(labels, given)[labels])


def _thinned(foreign: I64, others: I64, most: int, rng: np.random.Generator) -> I64:
    """About as many rows as there may be, growing: of each side as many as it has, and half of all at the least."""
    half = max(1, most // 2)
    sides = ((foreign, max(half, most - len(others))), (others, max(half, most - len(foreign))))
    return np.sort(np.concatenate([_some(rows, count, rng) for rows, count in sides]))


def _some(rows: I64, most: int, rng: np.random.Generator) -> I64:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)
