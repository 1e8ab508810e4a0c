"""Choosing among methods and parameters on identical folds.

variants -> compare (out-of-fold scores of each) -> pick (temperature, log loss, one-standard-error rule)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from adapters.base import F32, I64, Head, Method, Task
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.folds import NEVER, stratified_folds
from adapters.linalg import F64


@dataclass(frozen=True)
class Comparison:
    """Candidates' scores on rows that they had not seen, all on the same folds.

    Attributes:
        methods: What was compared, simplest first.
        folds: (n,) int64, `NEVER` for rows that were never held out.
        scores: One (n, k) float32 for each method; zero for rows that were never held out.
    """

    methods: tuple[Method, ...]
    folds: I64
    scores: tuple[F32, ...]

    @property
    def held_out(self) -> npt.NDArray[np.bool_]:
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
        temperatures: One for each candidate.
        nll: (c,) mean log loss of each candidate at its temperature.
        stderr: (c,) standard error over rows of the difference to the lowest log loss; 0 for that one.
    """

    index: int
    temperatures: tuple[float, ...]
    nll: F64
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

    Cost: as many fits as candidates times folds.
    """
    folds = stratified_folds(task)
    shape = (len(task.y), len(task.classes))
    scores = tuple(np.zeros(shape, dtype=np.float32) for _ in methods)
    held_out_folds = range(int(folds.max()) + 1)
    done = 0
    for fold in held_out_folds:
        inside = folds == fold
        training, z = task.rows(~inside), task.z[inside]
        for into, head in zip(scores, _fit_all(methods, training), strict=True):
            into[inside] = head.scores(z)
            done += 1
            on_progress(done / (len(methods) * len(held_out_folds)))
    return Comparison(tuple(methods), folds, scores)


def _fit_all(methods: Sequence[Method], task: Task) -> Iterator[Head]:
    """Neighbours of one type share their work."""
    for _, same in groupby(methods, key=lambda method: method.method):
        together = list(same)
        yield from type(together[0]).fit_each(together, task)


def pick(comparison: Comparison, y: I64, rows: npt.NDArray[np.bool_]) -> Choice:
    """Pick a candidate by its log loss on some held-out rows, each at its own temperature.

    Within a method the lowest log loss wins. Between methods the simplest one wins whose loss is within one standard
    error (of the paired difference over rows) of the lowest.

    Args:
        comparison: Out-of-fold scores.
        y: (n,) int64.
        rows: (n,) which held-out rows to look at.

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
    """
    seen = tuple(scores[rows] for scores in comparison.scores)
    temperatures = tuple(fit_temperature(scores, y[rows]) for scores in seen)
    losses = np.stack([nll_by_row(s, y[rows], t) for s, t in zip(seen, temperatures, strict=True)])
    nll = losses.mean(axis=1)
    best = int(nll.argmin())
    difference = losses - losses[best]
    stderr = difference.std(axis=1) / np.sqrt(max(1, losses.shape[1] - 1))
    return Choice(_simplest(comparison.methods, nll, stderr), temperatures, nll, stderr)


def _simplest(methods: Sequence[Method], nll: F64, stderr: F64) -> int:
    kinds = [(method.complexity, method.method) for method in methods]
    for kind in sorted(set(kinds)):
        index = min((i for i, other in enumerate(kinds) if other == kind), key=lambda i: float(nll[i]))
        if nll[index] <= nll.min() + stderr[index]:
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
    """What every method proposes to try on a task, simplest first."""
    # The registry imports every method, and ``auto`` imports this module: so it is asked for when needed.
    from adapters.methods import METHODS

    kinds = sorted(METHODS.values(), key=lambda kind: getattr(kind, "complexity", 0))
    return tuple(method for kind in kinds for method in kind.proposals(task))
