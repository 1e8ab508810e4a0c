"""Folds that keep groups together and every class in training, and samples that do the same."""

import numpy as np

from adapters.base import F64, I64, Mask, Task

NEVER = -1
"""Fold of a row that is never held out."""

MOST_FOLDS = 5

MOST_ROWS = 12_000
"""Most rows that methods are compared on; of more, `sample_rows` takes about `SAMPLED_ROWS`."""

SAMPLED_ROWS = 10_000

_MANY_ROWS = 5_000
_FOLDS_OF_MANY = 3
"""Of many rows: two thirds of them teach about what four fifths do, in three fifths of the time."""

_MOST_SCORES = 4_000_000
"""Of one candidate: rows that are held out times classes. Of more, some rows are never held out."""

_SAMPLED_GROUPS = 5
"""Groups of every class that a sample takes at least."""

_FEWEST_ROWS = 4
_FEWEST_TRAINING_ROWS = 2

Target = I64 | F64 | Mask


def deal_folds(task: Task) -> I64:
    """Deal the rows of a task to folds so that no group is torn apart and every class stays in training.

    See `stratified_folds` for one class a row, `marked_folds` for any number of them, `random_folds` for numbers.
    Rows that weigh nothing are never held out, as if they were not there.

    Returns:
        (n,) int64 fold of each row, `NEVER` where it is always in training; all `NEVER` where nothing can be compared.
        The same seed gives the same folds.
    """
    present = np.arange(len(task.y)) if task.weights is None else np.flatnonzero(task.weights > 0)
    folds = np.full(len(task.y), NEVER, dtype=np.int64)
    dealt = _deal_folds(task.y[present], task.groups[present], task.seed)
    folds[present] = _thinned(dealt, task.groups[present], _MOST_SCORES // max(1, len(task.classes)), task.seed)
    return folds


def _deal_folds(y: Target, groups: I64, seed: int) -> I64:
    if len(y) == 0:
        return np.empty(0, dtype=np.int64)
    if y.ndim == 2:
        return marked_folds(y.astype(np.bool_, copy=False), groups, seed)
    return random_folds(groups, seed) if y.dtype == np.float64 else stratified_folds(y.astype(np.int64), groups, seed)


def _thinned(folds: I64, groups: I64, most: int, seed: int) -> I64:
    """About as many rows held out as there may be, in whole groups."""
    held_out = np.count_nonzero(folds != NEVER)
    if held_out <= most:
        return folds
    group_of_row, count = _numbered(groups)
    kept = np.random.default_rng(seed).random(count) < most / held_out
    return _closed_up(np.where(kept[group_of_row], folds, NEVER))


def random_folds(groups: I64, seed: int) -> I64:
    """Folds at random: K = min(5, groups), 3 above 5,000 rows.

    Args:
        groups: (n,) rows of one group stay together.
        seed: Of the dealing.

    Returns:
        See `deal_folds`. All `NEVER` with fewer than four rows or two groups, or where a fold would leave fewer than
        two rows to learn from.
    """
    group_of_row, count = _numbered(groups)
    everything = np.zeros(count, dtype=np.int64)
    k = min(_most_folds(len(groups)), count)
    folds = _deal(everything, k, np.random.default_rng(seed))[group_of_row]
    largest = int(np.bincount(folds).max())
    if count < 2 or len(folds) < _FEWEST_ROWS or len(folds) - largest < _FEWEST_TRAINING_ROWS:
        return np.full(len(folds), NEVER, dtype=np.int64)
    return folds


def stratified_folds(y: I64, groups: I64, seed: int) -> I64:
    """Folds over each of which every class is spread.

    K = min(5, groups of the largest class), 3 above 5,000 rows. A class with m groups is held out in min(m, K) folds.
    A class with a single group (often a single example) is never held out, so that it stays a class like the others in
    every fold; so are rows whose removal would take a class out of training. Where groups hold rows of several
    classes, they are dealt as in `marked_folds`.

    Args:
        y: (n,) class indices; some may have no row.
        groups: (n,) rows of one group stay together.
        seed: Of the dealing.

    Returns:
        See `deal_folds`. All `NEVER` where fewer than two classes or two folds are left.
    """
    group_of_row, count = _numbered(groups)
    classes, rng = int(y.max()) + 1, np.random.default_rng(seed)
    class_of_group = np.zeros(count, dtype=np.int64)
    class_of_group[group_of_row] = y
    pure = bool((class_of_group[group_of_row] == y).all())
    if pure:
        k = min(_most_folds(len(y)), int(np.bincount(class_of_group).max()))
        folds = _deal(class_of_group, k, rng)[group_of_row]
    else:
        held, cells = _cells(y, group_of_row)
        k = min(_most_folds(len(y)), int(np.bincount(cells[:, 1]).max()))
        folds = _deal_rarest_first(cells, held, count, classes, k, rng)[group_of_row]
    folds = _keep(folds, group_of_row, _lone(folds, y, classes))
    if len(np.unique(y[folds != NEVER])) < 2:
        return np.full(len(y), NEVER, dtype=np.int64)
    return _closed_up(folds)


def marked_folds(marks: Mask, groups: I64, seed: int) -> I64:
    """Folds over each of which every class is spread, where a row may have any number of classes.

    K = min(5, groups), 3 above 5,000 rows. The rarest class that is left is dealt first, each of its groups to the
    fold that lacks most of that class. Rows whose removal would take a class out of training are never held out.

    Args:
        marks: (n, k) bool; some classes may have no row.
        groups: (n,) rows of one group stay together.
        seed: Of the dealing.

    Returns:
        See `deal_folds`. All `NEVER` with fewer than four rows or where fewer than two folds are left.

    Source: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-label Data, ECML PKDD 2011.
    """
    group_of_row, count = _numbered(groups)
    k = min(_most_folds(len(marks)), count)
    rows, labels = np.nonzero(marks)
    held, cells = _cells(labels, group_of_row[rows])
    rng = np.random.default_rng(seed)
    folds = _deal_rarest_first(cells, held, count, marks.shape[1], k, rng)[group_of_row]
    if len(marks) < _FEWEST_ROWS:
        return np.full(len(marks), NEVER, dtype=np.int64)
    lone = _lone(folds[rows], labels, marks.shape[1])
    kept = np.zeros(len(marks), dtype=np.bool_)
    kept[rows[lone]] = True
    return _closed_up(_keep(folds, group_of_row, kept))


def sample_rows(task: Task) -> I64:
    """About 10,000 rows to compare on, whole groups, every class in proportion and with five groups at least.

    Returns:
        Growing indices of rows; all that weigh something where they are 12,000 or fewer. The same seed gives the same.
    """
    present = np.arange(len(task.y)) if task.weights is None else np.flatnonzero(task.weights > 0)
    if len(present) <= MOST_ROWS:
        return present
    y, (group_of_row, count) = task.y[present], _numbered(task.groups[present])
    order = np.random.default_rng(task.seed).permutation(count)
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    taken = place < max(1, round(count * SAMPLED_ROWS / len(present)))
    if y.ndim == 2:
        rows, labels = np.nonzero(y)
        _, cells = _cells(labels, group_of_row[rows])
    elif y.dtype == np.float64:
        cells = np.empty((0, 2), dtype=np.int64)
    else:
        _, cells = _cells(y.astype(np.int64), group_of_row)
    for _, groups in _by_label(cells):
        taken[groups[np.argsort(place[groups])][:_SAMPLED_GROUPS]] = True
    return present[taken[group_of_row]]


def _most_folds(rows: int) -> int:
    return MOST_FOLDS if rows <= _MANY_ROWS else _FOLDS_OF_MANY


def _numbered(groups: I64) -> tuple[I64, int]:
    """(n,) groups numbered from 0, and how many there are."""
    number: I64 = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return number, int(number.max()) + 1


def _cells(labels: I64, group_of_row: I64) -> tuple[I64, I64]:
    """Which groups hold which labels: (c,) rows of each pair, and (c, 2) pairs of group and label."""
    pairs, rows = np.unique(np.stack([group_of_row, labels], axis=1), axis=0, return_counts=True)
    return rows, pairs


def _by_label(cells: I64) -> list[tuple[int, I64]]:
    """Every label with its groups."""
    order = np.argsort(cells[:, 1], kind="stable")
    labels, first = np.unique(cells[order, 1], return_index=True)
    pieces = np.split(cells[order, 0], first[1:])
    return [(int(label), groups) for label, groups in zip(labels, pieces, strict=False)]


def _deal(class_of_group: I64, k: int, rng: np.random.Generator) -> I64:
    """Deal each class's groups, shuffled, to the folds in turn; classes follow each other so that folds are even."""
    shuffled = rng.permutation(len(class_of_group))
    order = shuffled[np.argsort(class_of_group[shuffled], kind="stable")]
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % k
    return folds


def _deal_rarest_first(cells: I64, rows: I64, groups: int, k: int, folds: int, rng: np.random.Generator) -> I64:
    """Iterative stratification of groups.

    Args:
        cells: (c, 2) pairs of group and label.
        rows: (c,) rows of each pair.
        groups: How many.
        k: Labels.
        folds: How many.
        rng: Of the order within a label, and so of ties.

    Returns:
        (groups,) fold of each.
    """
    totals = np.bincount(cells[:, 1], rows, minlength=k)
    wanted = np.tile(totals / folds, (folds, 1))
    room = np.full(folds, groups / folds)
    start = np.searchsorted(cells[:, 0], np.arange(groups + 1))
    dealt = np.full(groups, NEVER, dtype=np.int64)
    place = rng.permutation(groups)

    def give(group: int, label: int | None) -> None:
        lacking = room if label is None else wanted[:, label] + 1e-6 * room
        fold = int(lacking.argmax())
        of = slice(start[group], start[group + 1])
        wanted[fold, cells[of, 1]] -= rows[of]
        room[fold] -= 1
        dealt[group] = fold

    for label, members in sorted(_by_label(cells), key=lambda entry: (totals[entry[0]], entry[0])):
        for group in members[np.argsort(place[members])]:
            if dealt[group] == NEVER:
                give(int(group), label)
    for group in np.argsort(place):
        if dealt[group] == NEVER:
            give(int(group), None)
    return dealt


def _lone(folds: I64, labels: I64, k: int) -> Mask:
    """Which of some marks belong to a label all of whose marks lie in one fold."""
    first, last = np.full(k, np.iinfo(np.int64).max), np.full(k, NEVER)
    np.minimum.at(first, labels, folds)
    np.maximum.at(last, labels, folds)
    lone: Mask = (first == last)[labels] & (folds != NEVER)
    return lone


def _keep(folds: I64, group_of_row: I64, rows: Mask) -> I64:
    """Take some rows out of all folds, with the whole of their groups. No class loses its last row elsewhere by it."""
    kept_groups = np.zeros(int(group_of_row.max()) + 1, dtype=np.bool_)
    kept_groups[group_of_row[rows]] = True
    return np.where(kept_groups[group_of_row], NEVER, folds)


def _closed_up(folds: I64) -> I64:
    """A fold may have lost all of its rows: the others close up; one alone is none."""
    held_out = folds != NEVER
    numbers, renumbered = np.unique(folds[held_out], return_inverse=True)
    if len(numbers) < 2:
        return np.full(len(folds), NEVER, dtype=np.int64)
    folds[held_out] = renumbered.reshape(-1)
    return folds
