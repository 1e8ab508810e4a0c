"""Comparing candidates: fit each to the rows outside a fold, score the rows inside, within the time that there is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from adapters.base import F64, I64, Method, Task
from adapters.budget import OVERHEAD_S, OutOfTime, last_fit_s, limited
from adapters.comparison import Comparison, LeftOut, losses, pick, room_left, tunes
from adapters.errors import FitStopped
from adapters.folds import NEVER, deal_folds
from models.errors import InputError

TUNING_ROWS = 500
"""Rows that who trains the backbone is held out on, in whole folds: one fit of it takes longer than all others."""

_HOPELESS_ERRORS = 3.0
_HOPELESS_SHARE = 1.05
_TELLING_ROWS = 30
"""Whose loss on the first fold is five percent and three standard errors above the best so far ends there; nobody where
the fold has fewer different rows."""

_NO_TIME = "the time was over before it was compared to its end"
_NO_ROOM = "the others leave no more than two percent to gain"

_SHARE_OF_A_FOLD = 0.7
_SHARE_OF_TUNING = 0.45
"""Of the time that is left, what a fold may take; where the backbone is trained, the last fit takes longer than one."""

_SHARE_OF_RIVALS = 0.6
"""Of candidates, about, that what was chosen is judged among; see `Comparison.judged`."""


def _silent(_fraction: float) -> None:
    """Nobody wants to know how far it is."""


def compare(
    methods: Sequence[Method],
    task: Task,
    on_progress: Callable[[float], None] = _silent,
    *,
    rows: int = 0,
    folds: Sequence[int] | None = None,
) -> Comparison:
    """Fit every candidate to the rows outside each fold and score the rows inside.

    Methods are compared one after the other, those that train the backbone last and only where the others leave room.
    When `task.left_s` says that no more is left than the last fit will take, the one under way is dropped; where it
    is the first one, the folds that it has are kept. All of it depends on the task and the methods alone, unless the
    time ends it.

    Args:
        methods: Candidates, simplest first; those of one type stand together and may share work.
        task: All rows.
        on_progress: Called with a fraction 0..1 after every fit.
        rows: That the chosen one will be fitted to in the end; 0 = as many as `task` has.
        folds: How many of the first folds each candidate is scored on at most; None = all, and for those that train the
            backbone as many as hold `TUNING_ROWS`.

    Returns:
        Scores of every candidate; see `Comparison.possible` for datasets too small to hold anything out.

    Raises:
        FitStopped: `task.check` said so.

    Cost: as many fits as candidates times folds.
    """
    race = _Race(tuple(methods), task, on_progress, max(rows, len(task.y)), folds)
    if race.folds == 0:
        return race.comparison()
    frozen = [i for i, method in enumerate(methods) if not tunes(method)]
    for _, together in groupby(frozen, key=lambda i: methods[i].method):
        race.run(list(together))
    for index in sorted(set(range(len(methods))) - set(frozen)):
        race.challenge(index)
    return race.comparison()


class _Race:
    """What has been compared so far."""

    def __init__(
        self,
        methods: tuple[Method, ...],
        task: Task,
        on_progress: Callable[[float], None],
        rows: int,
        folds: Sequence[int] | None,
    ) -> None:
        self.methods = methods
        self.fold_of = deal_folds(task)
        self.folds = int(self.fold_of.max(initial=NEVER)) + 1
        self.early = False
        shape = (len(task.y), max(1, len(task.classes)))
        self._scores = tuple(np.zeros(shape, dtype=np.float32) for _ in methods)
        self._task = task
        self._on_progress = on_progress
        self._rows = rows
        self._scored = [0] * len(methods)
        self._most = self._most_folds() if folds is None else [min(most, self.folds) for most in folds]
        self._left_out: dict[int, str] = {}
        self._best: F64 | None = None
        self._last_fit_s = 0.0
        self._judging_s = 0.0
        self._done = 0
        self._splits: dict[int, tuple[Task, Task]] = {}

    def run(self, indices: list[int], share: float = _SHARE_OF_A_FOLD) -> None:
        """Score candidates of one type on their folds, as long as there is time.

        Args:
            indices: Of the candidates.
            share: Of the time that is left when a fold begins, what it may take.
        """
        if self.early:
            self._left_out |= dict.fromkeys(indices, _NO_TIME)
            return
        running = indices
        try:
            for fold in range(self.folds):
                running = [index for index in running if fold < self._most[index]]
                running = self._run_fold(running, fold, share) if running else []
        except OutOfTime:
            self.early = True
            self._left_out |= dict.fromkeys(indices, _NO_TIME)
        except FitStopped:
            raise
        except InputError as error:
            # One that cannot do it is no reason to end the others; alone, it is the answer.
            if len({method.method for method in self.methods}) == 1:
                raise
            self._left_out |= dict.fromkeys(indices, str(error))

    def challenge(self, index: int) -> None:
        """Score one that trains the backbone, where time and the others leave room."""
        if all(tunes(method) for method in self.methods):
            self.run([index], _SHARE_OF_TUNING)
            return
        if self.early:
            self._left_out[index] = _NO_TIME
        elif not self._leaves_room():
            self._left_out[index] = _NO_ROOM
        else:
            self.run([index], _SHARE_OF_TUNING)

    def comparison(self) -> Comparison:
        """Those that were compared to their end; where none was, those that came farthest.

        One that trains the backbone counts from its first fold on.
        """
        most = max(self._scored, default=0)
        ended = [i for i, folds in enumerate(self._scored) if folds and (i not in self._left_out or self._tunes(i))]
        kept = ended or [i for i, folds in enumerate(self._scored) if folds == most > 0]
        if self.folds == 0:
            kept = list(range(len(self.methods)))
        return Comparison(
            tuple(self.methods[i] for i in kept),
            self.fold_of,
            tuple(self._scores[i] for i in kept),
            self._task.regression,
            self._task.weights,
            self._task.groups,
            tuple(self._scored[i] for i in kept),
            tuple(LeftOut(self.methods[i], why) for i, why in self._left_out.items() if i not in kept),
            self.early,
            self._task.check,
        )

    def _most_folds(self) -> list[int]:
        """On how many folds each candidate is scored: who trains the backbone on as many as hold `TUNING_ROWS`."""
        behind = np.cumsum(np.bincount(self.fold_of[self.fold_of != NEVER], minlength=self.folds))
        tuned = min(self.folds, int(np.searchsorted(behind, TUNING_ROWS)) + 1)
        return [tuned if tunes(method) else self.folds for method in self.methods]

    def _run_fold(self, indices: list[int], fold: int, share: float) -> list[int]:
        """Score candidates on one fold; those to go on with."""
        inside, start_s = self.fold_of == fold, self._task.left_s()
        kept_s = (1 - share) * start_s if np.isfinite(start_s) else 0.0
        task = limited(self._task, lambda: max(kept_s, OVERHEAD_S + self._judging_s + self._last_fit_s))
        task.check()
        training, held_out = self._split(task, fold)
        methods = [self.methods[i] for i in indices]
        found = []
        for head in type(methods[0]).fit_each(methods, training):
            found.append(head.scores_of(held_out))
            self._progress(1)
        # All or none, so that candidates of one type always have the same folds.
        for index, scores in zip(indices, found, strict=True):
            self._scores[index][inside] = scores
            self._scored[index] = fold + 1
        self._note_time(start_s - self._task.left_s(), len(indices), len(training.y))
        return self._hopeful(indices) if fold == 0 else indices

    def _split(self, task: Task, fold: int) -> tuple[Task, Task]:
        """The rows outside and inside; kept of a table, whose encoding takes longer than copying rows."""
        if task.table is None:
            return task.split(self.fold_of == fold)
        if fold not in self._splits:
            self._splits[fold] = task.split(self.fold_of == fold)
        training, held_out = self._splits[fold]
        return replace(training, check=task.check, left_s=task.left_s), held_out

    def _hopeful(self, indices: list[int]) -> list[int]:
        """Those that may still be the best, going by the first fold."""
        rows = self.fold_of == 0
        group = np.unique(self._task.groups[rows], return_inverse=True)[1].reshape(-1)
        if group.max() + 1 < _TELLING_ROWS:
            return indices
        y, weights = self._task.y[rows], None if self._task.weights is None else self._task.weights[rows]
        start_s = self._task.left_s()
        found = [_by_group(losses(self._scores[i][rows], y, weights)[0], group, weights) for i in indices]
        self._note_judging(start_s - self._task.left_s())
        self._best = min([*found, *([] if self._best is None else [self._best])], key=lambda loss: float(loss.mean()))
        hopeful = [i for i, loss in zip(indices, found, strict=True) if not _hopeless(loss, self._best)]
        self._progress((self.folds - 1) * (len(indices) - len(hopeful)))
        return hopeful

    def _leaves_room(self) -> bool:
        comparison = self.comparison()
        if not comparison.possible:
            return False
        choice = pick(comparison, self._task.y, comparison.held_out)
        return room_left(comparison, choice, self._task.y)

    def _note_time(self, seconds: float, variants: int, learned: int) -> None:
        if np.isfinite(seconds):
            self._last_fit_s = max(self._last_fit_s, last_fit_s(seconds, variants, learned, self._rows))

    def _note_judging(self, seconds: float) -> None:
        """All rows of all candidates are looked at once to choose, and again for every fold but one to judge that."""
        if np.isfinite(seconds):
            self._judging_s += _SHARE_OF_RIVALS * self.folds**2 * seconds

    def _progress(self, fits: int) -> None:
        if fits:
            self._done += fits
            self._on_progress(min(1.0, self._done / (len(self.methods) * self.folds)))

    def _tunes(self, index: int) -> bool:
        return tunes(self.methods[index])


def _by_group(loss: F64, group: I64, weights: F64 | None) -> F64:
    """Mean loss of each group: rows of one group say the same."""
    w = np.ones(len(loss)) if weights is None else weights
    result: F64 = np.bincount(group, w * loss) / np.bincount(group, w)
    return result


def _hopeless(loss: F64, best: F64) -> bool:
    """Far above the best, and surely so: (g,) losses of the same groups."""
    difference = loss - best
    stderr = float(difference.std()) / np.sqrt(len(loss) - 1)
    return bool(difference.mean() > max(_HOPELESS_ERRORS * stderr, (_HOPELESS_SHARE - 1) * best.mean()))
