"""What candidates score on classes set apart: each fitted once a split, within the time that there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from adapters.base import F32, F64, Head, Method, Task
from adapters.budget import OVERHEAD_S, OutOfTime, last_fit_s, limited
from adapters.comparison import LeftOut
from adapters.errors import FitStopped
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.splits import Split, pseudo_unseen
from models.errors import InputError

_NO_TIME = "the time was over before it was compared to its end"
_NO_SPLITS = "no classes could be set apart to compare it on"


@dataclass(frozen=True, eq=False)
class Trial:
    """One candidate on one split.

    Attributes:
        scores: (m, c) float32 of the judged rows for the split's columns; nothing is taken from seen classes' scores.
        predicted: (c, a) float64 mean over the judged rows of each column's class of what it took their attributes to
            be, NaN without such rows; None where it predicts none.
    """

    scores: F32
    predicted: F64 | None = None


@dataclass(frozen=True, eq=False)
class Trials:
    """Candidates on all splits.

    Attributes:
        methods: Those that were compared to their end, simplest first.
        splits: The same for all.
        found: For each method a trial for each split.
        left_out: What was not compared to its end.
        early: Whether the time ended it.
    """

    methods: tuple[Method, ...]
    splits: tuple[Split, ...]
    found: tuple[tuple[Trial, ...], ...]
    left_out: tuple[LeftOut, ...] = ()
    early: bool = False

    @property
    def possible(self) -> bool:
        """Whether anything can be chosen."""
        return bool(self.methods) and len(self.splits) > 1


def run_trials(methods: Sequence[Method], task: Task, on_progress: Callable[[float], None]) -> Trials:
    """Fit every candidate on the classes that are left of each split, and score the rows that are judged.

    Args:
        methods: Candidates, simplest first; those of one type stand together and may share work.
        task: All rows.
        on_progress: Called with a fraction 0..1.

    Raises:
        FitStopped: `task.check` said so.

    Cost: as many fits as candidates times splits.
    """
    splits = pseudo_unseen(task)
    if len(splits) < 2:
        return Trials((), splits, (), tuple(LeftOut(method, _NO_SPLITS) for method in methods))
    runner = _Runner(task, splits, len(methods), on_progress)
    for _, together in groupby(methods, key=lambda method: method.method):
        runner.run(list(together))
    return runner.trials()


class _Runner:
    """What has been compared so far."""

    def __init__(
        self, task: Task, splits: tuple[Split, ...], candidates: int, on_progress: Callable[[float], None]
    ) -> None:
        self._task = task
        self._splits = splits
        self._fits = candidates * len(splits)
        self._on_progress = on_progress
        self._done = 0
        self._last_fit_s = 0.0
        self._found: list[tuple[Method, tuple[Trial, ...]]] = []
        self._left_out: list[LeftOut] = []
        self._early = False

    def run(self, methods: list[Method]) -> None:
        """Those of one type: all to their end, or none."""
        if self._early:
            self._left_out += [LeftOut(method, _NO_TIME) for method in methods]
            return
        try:
            by_split = [self._on_split(methods, split) for split in self._splits]
        except OutOfTime:
            self._early = True
            self._left_out += [LeftOut(method, _NO_TIME) for method in methods]
        except FitStopped:
            raise
        except InputError as error:
            # One that cannot do it is no reason to end the others.
            self._left_out += [LeftOut(method, str(error)) for method in methods]
        else:
            self._found += zip(methods, zip(*by_split, strict=True), strict=True)

    def trials(self) -> Trials:
        """All of it."""
        methods = tuple(method for method, _ in self._found)
        return Trials(methods, self._splits, tuple(f for _, f in self._found), tuple(self._left_out), self._early)

    def _on_split(self, methods: list[Method], split: Split) -> list[Trial]:
        start_s = self._task.left_s()
        task = limited(self._task, lambda: OVERHEAD_S + self._last_fit_s)
        task.check()
        training = split.training(task)
        raw = [as_it_is(method) for method in methods]
        trials = []
        for head in type(raw[0]).fit_each(raw, training):
            trials.append(_trial(head, task, split))
            self._done += 1
            self._on_progress(min(1.0, self._done / self._fits))
        seconds = start_s - self._task.left_s()
        if np.isfinite(seconds):
            last_s = last_fit_s(seconds, len(methods), len(training.y), len(task.y))
            self._last_fit_s = max(self._last_fit_s, last_s)
        return trials


def as_it_is(method: Method) -> Method:
    """The method with nothing taken from the scores of seen classes."""
    return with_stacking(method, 0.0)


def with_stacking(method: Method, stacking: float) -> Method:
    """The method with what it takes from the scores of seen classes, where it has such a parameter."""
    able = "stacking" in type(method).model_fields
    return method.model_copy(update={"stacking": stacking}) if able else method


def _trial(head: Head, task: Task, split: Split) -> Trial:
    z = task.z[split.judged]
    scores = np.ascontiguousarray(head.scores(z)[:, split.columns])
    return Trial(scores, _predicted(head, z, split))


def _predicted(head: Head, z: F32, split: Split) -> F64 | None:
    """What the head takes each class's attributes to be."""
    if not isinstance(head, SignatureHead) or head.signatures.space:
        return None
    values = next((found for front in head.fronts if (found := front.predicted(z)) is not None), None)
    if values is None:
        return None
    rows = split.foreign
    counts = np.bincount(split.y[rows], minlength=len(split.columns))
    sums = np.zeros((len(split.columns), values.shape[1]))
    np.add.at(sums, split.y[rows], values[rows].astype(np.float64))
    return np.where(counts[:, None] > 0, sums / np.maximum(1, counts)[:, None], np.nan)
