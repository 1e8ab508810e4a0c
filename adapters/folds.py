"""Folds that keep groups together and every class in training."""

import numpy as np

from adapters.base import I64, Task

NEVER = -1
"""Fold of a row that is never held out."""

MOST_FOLDS = 5

_FEWEST_ROWS = 4
_FEWEST_TRAINING_ROWS = 2


def deal_folds(task: Task) -> I64:
    """The folds of a task: `stratified_folds` of classes, `random_folds` of numbers."""
    return random_folds(task) if task.regression else stratified_folds(task)


def random_folds(task: Task) -> I64:
    """Split rows at random so that no group is torn apart: K = min(5, groups).

    Returns:
        (n,) int64 fold of each row. All `NEVER` with fewer than four rows or two groups, or where a fold would leave
        fewer than two rows to learn from: then nothing can be compared. The same seed gives the same folds.
    """
    _, group_of_row = np.unique(task.groups, return_inverse=True)
    groups = int(group_of_row.max()) + 1
    everything = np.zeros(groups, dtype=np.int64)
    folds = _deal(everything, min(MOST_FOLDS, groups), np.random.default_rng(task.seed))[group_of_row.reshape(-1)]
    largest = int(np.bincount(folds).max())
    if groups < 2 or len(folds) < _FEWEST_ROWS or len(folds) - largest < _FEWEST_TRAINING_ROWS:
        return np.full(len(folds), NEVER, dtype=np.int64)
    return folds


def stratified_folds(task: Task) -> I64:
    """Split rows so that each class is spread over the folds and no group is torn apart.

    K = min(5, groups of the largest class). A class with m groups is held out in min(m, K) folds. A class with a single
    group (often a single example) is never held out, so that it stays a class like the others in every fold; so are
    rows whose removal would take a class out of training.

    Returns:
        (n,) int64 fold of each row, `NEVER` where it is always in training. All `NEVER` where fewer than two classes
        or two folds are left: then nothing can be compared. The same seed gives the same folds.
    """
    _, first_row, group_of_row = np.unique(task.groups, return_index=True, return_inverse=True)
    classes = len(task.classes)
    class_of_group = task.labels[first_row]
    k = min(MOST_FOLDS, int(np.bincount(class_of_group, minlength=classes).max()))
    folds = _deal(class_of_group, k, np.random.default_rng(task.seed))[group_of_row.reshape(-1)]
    folds = _keep_every_class(folds, group_of_row.reshape(-1), task.labels)
    held_out = folds != NEVER
    if len(np.unique(task.labels[held_out])) < 2 or len(np.unique(folds[held_out])) < 2:
        return np.full(len(task.y), NEVER, dtype=np.int64)
    # A fold may have lost all of its rows: the others close up.
    folds[held_out] = np.unique(folds[held_out], return_inverse=True)[1]
    return folds


def _deal(class_of_group: I64, k: int, rng: np.random.Generator) -> I64:
    """Deal each class's groups, shuffled, to the folds in turn; classes follow each other so that folds are even."""
    shuffled = rng.permutation(len(class_of_group))
    order = shuffled[np.argsort(class_of_group[shuffled], kind="stable")]
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % k
    return folds


def _keep_every_class(folds: I64, group_of_row: I64, y: I64) -> I64:
    """Take a class's rows out of the folds where they all fell into one, with the whole of their groups."""
    kept = folds.copy()
    for label in range(int(y.max()) + 1):
        rows = y == label
        if len(np.unique(kept[rows])) == 1 and kept[rows][0] != NEVER:
            kept[np.isin(group_of_row, group_of_row[rows])] = NEVER
    return kept
