"""Which blocks of a backbone to learn from: their pooled activations, picked or joined by held-out loss.

    parts -> a kernel matrix each, on a sample -> ridge on sums of them, on folds -> held-out loss -> chosen columns

Every candidate is a ridge regression in its dual form: a join's kernel matrix is the sum of its parts', so that no
candidate's columns are touched again, and its cost does not depend on how many there are.

Source: Evci, Dumoulin, Larochelle & Mozer, Head2Toe: Utilizing Intermediate Representations for Better Transfer
Learning, ICML 2022; the choice: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np

from adapters.base import F32, F64, I64, Head, Mask, Part, Task
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.comparison import paired_difference
from adapters.folds import NEVER, deal_folds
from adapters.heads import AffineHead, MappedHead, NetworkHead
from adapters.linalg import mean_squared_norm, one_hot, row_weights, standardise, unit_weights

REFERENCE = "pooled"
"""The part that is kept unless others are better by more than chance; the last one where there is no such part."""

MOST_PARTS = 3

MOST_ROWS = 600
"""Rows that candidates are judged on, at most."""

_ROWS_OF_A_CLASS = 10
"""Taken of one class after the other, in turns, so that a class that is judged can be learned."""

_PENALTIES = (30.0, 3.0, 0.3, 0.03)
_SHARE_OF_BUDGET = 0.5


@dataclass(frozen=True, eq=False)
class Chosen:
    """Columns to learn from.

    Attributes:
        task: `z` (and `names`) hold the columns of `parts`, those of several parts scaled to about the same length, so
            that a penalty treats them alike. To be fitted to.
        served: The same with the columns as they come from the backbone. To be verified with.
        parts: In the order of their columns.
        scales: (d,) float32 `task.z` over `served.z`; powers of two, so that nothing is rounded.
        table: Every candidate that was judged, as it is reported: ``parts`` (names), ``loss`` (held out: log loss at
            the best temperature, or squared error), ``stderr`` (of its difference to the lowest loss), ``chosen``.
    """

    task: Task
    served: Task
    parts: tuple[Part, ...]
    scales: F32
    table: list[dict[str, Any]]

    @property
    def usual(self) -> bool:
        """Whether the held-out rows had no say, or chose what is taken without them."""
        kept = [entry["chosen"] for entry in self.table]
        return not kept or kept[0]

    def unscaled(self, head: Head) -> Head:
        """A head that was fitted to `task`, for the columns as they come: the same scores, bit for bit."""
        if isinstance(head, AffineHead | NetworkHead):
            return replace(head, weight=head.weight * self.scales)
        if isinstance(head, MappedHead):
            return replace(head, map=replace(head.map, frequencies=head.map.frequencies * self.scales))
        return head


def _silent(_fraction: float) -> None:
    """Nobody wants to know how far it is."""


def choose_features(task: Task, on_progress: Callable[[float], None] = _silent) -> Chosen:
    """Pick or join the parts of a task.

    Judged are every part alone, then joins with the best one, then (if a join is better) joins of three. The loss is
    held out on the folds of `deal_folds`, of at most 600 rows; the penalty is the best of four. Kept is `REFERENCE`
    alone if its loss is within one standard error of the lowest; else the best of what is, with the fewest parts.

    Args:
        task: With `parts`, which `z` holds one after the other.
        on_progress: Called with a fraction 0..1 after every candidate.

    Returns:
        The choice; `REFERENCE` and an empty table where no row can be held out. The same seed gives the same, unless
        half of the budget of `Task.left_s` is over: then the best of what was judged until then.

    Raises:
        FitStopped: `task.check` said so; asked several times a candidate.

    Cost: O(p·n²·d + c·m³): n = min(rows, 600), p parts, c < 3p candidates on 5 folds with m = 0.8·n rows each. 600
        rows and 7 parts of 384: 1.5 s, one core; 385 rows: 0.7 s.
    """
    names = [part.name for part in task.parts]
    reference = names.index(REFERENCE) if REFERENCE in names else len(names) - 1
    judge = _Judge.of(task) if len(names) > 1 else None
    if judge is None:
        return _chosen(task, (reference,), [])
    judged = dict(_judged(task, judge, reference, on_progress))
    return _by_one_standard_error(task, judged, judge.groups, reference)


def _judged(
    task: Task, judge: "_Judge", reference: int, on_progress: Callable[[float], None]
) -> Iterator[tuple[tuple[int, ...], F64]]:
    """Candidates, as indices of parts, with their held-out loss of each row; ends early with the budget."""
    p = len(task.parts)
    most = sum(p - size for size in range(min(MOST_PARTS, p)))
    enough = _SHARE_OF_BUDGET * task.left_s()
    best: tuple[int, ...] = ()
    lowest, done = np.inf, 0
    for size in range(1, MOST_PARTS + 1):
        kept, before = best, lowest
        others = sorted(set(range(p)) - set(kept), key=lambda part: (part != reference, part))
        for part in others:
            if done and task.left_s() < enough:
                task.say(
                    f"Half of the time was over after {done} of {most} choices of blocks: the best of them is taken."
                )
                return
            loss = judge.loss((*kept, part))
            yield (*kept, part), loss
            done += 1
            on_progress(done / most)
            if loss.mean() < lowest:
                best, lowest = (*kept, part), float(loss.mean())
        if size > 1 and lowest >= before:
            return


def _by_one_standard_error(task: Task, judged: dict[tuple[int, ...], F64], groups: I64, reference: int) -> Chosen:
    """The reference if it is as good as any; else the fewest parts that are."""
    best = min(judged.values(), key=lambda loss: float(loss.mean()))
    stderr = {c: paired_difference(loss, best, np.ones(len(best)), groups)[1] for c, loss in judged.items()}
    good = [c for c, loss in judged.items() if loss.mean() <= best.mean() + stderr[c]]
    chosen = min(good, key=lambda c: (c != (reference,), len(c), float(judged[c].mean())))
    table = [
        {
            "parts": [task.parts[part].name for part in sorted(candidate)],
            "loss": float(loss.mean()),
            "stderr": stderr[candidate],
            "chosen": candidate == chosen,
        }
        for candidate, loss in judged.items()
    ]
    return _chosen(task, chosen, table)


def _chosen(task: Task, candidate: Sequence[int], table: list[dict[str, Any]]) -> Chosen:
    parts = tuple(task.parts[part] for part in sorted(candidate))
    columns = np.concatenate([np.arange(part.first, part.behind) for part in parts])
    names = None if task.names is None else task.names[:, columns]
    served = replace(task, z=task.z[:, columns], names=names, parts=())
    if len(parts) == 1:
        return Chosen(served, served, parts, np.ones(len(columns), dtype=np.float32), table)
    scales = np.concatenate([np.full(part.behind - part.first, _scale(task, part)) for part in parts])
    scales = scales.astype(np.float32)
    fitted = replace(served, z=served.z * scales, names=None if names is None else names * scales)
    return Chosen(fitted, served, parts, scales, table)


def _scale(task: Task, part: Part) -> float:
    """The power of two that brings the rows of a part closest to length 1."""
    length = np.sqrt(mean_squared_norm(task.z[:, part.first : part.behind], task.weights))
    return float(2.0 ** -np.round(np.log2(length)))


@dataclass(frozen=True, eq=False)
class _Judge:
    """Ridge regression on sums of kernel matrices, on folds.

    Attributes:
        task: Of the rows that are judged by.
        folds: (n,) fold of each of them.
        kernels: (n, n) products of the scaled rows of each part.
        targets: (n, k) in {-1, +1}, or (n, 1) standardised numbers.
        unit: Target units for one unit of `targets`.
        weights: (n,) of the rows in the fit.
    """

    task: Task
    folds: I64
    kernels: tuple[F64, ...]
    targets: F64
    unit: float
    weights: F64

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """None where no row can be held out."""
        folds = deal_folds(task)
        rows = _sample(task)
        if not (folds[rows] != NEVER).any():
            return None
        some = replace(
            task,
            z=task.z[rows],
            y=task.y[rows],
            groups=task.groups[rows],
            weights=None if task.weights is None else task.weights[rows],
        )
        kernels = []
        for part in task.parts:
            task.check()
            x = _scale(task, part) * some.z[:, part.first : part.behind].astype(np.float64)
            kernels.append(x @ x.T)
        return cls(some, folds[rows], tuple(kernels), *_targets(some))

    @property
    def groups(self) -> I64:
        """(m,) of the rows that are held out."""
        held_out: I64 = self.task.groups[self.folds != NEVER]
        return held_out

    def loss(self, candidate: Sequence[int]) -> F64:
        """Held-out loss of each row that is held out, weighted to mean what the rows mean; at the best penalty."""
        kernel = np.sum([self.kernels[part] for part in candidate], axis=0)
        scores = np.zeros((len(_PENALTIES), *self.targets.shape))
        for fold in range(int(self.folds.max()) + 1):
            inside = self.folds == fold
            if inside.any():
                scores[:, inside] = self._scores(kernel, inside)
        held_out = self.folds != NEVER
        weights = unit_weights(int(held_out.sum()), None if self.task.weights is None else self.task.weights[held_out])
        losses = [self._loss_by_row(of_penalty, held_out) * weights for of_penalty in scores]
        return min(losses, key=lambda loss: float(loss.mean()))

    def _scores(self, kernel: F64, inside: Mask) -> F64:
        """(penalties, m, k) scores of the rows inside by the fit to those outside.

        With K the kernel matrix of rows less their weighted mean and D = diag(√w): scores = K' D (DKD + λI)⁻¹ D T.
        """
        weights, targets = self.weights[~inside], self.targets[~inside]
        share = weights / weights.sum()
        root = np.sqrt(weights)
        train, test = kernel[np.ix_(~inside, ~inside)], kernel[np.ix_(inside, ~inside)]
        to_mean = train @ share
        of_mean = share @ to_mean
        train = train - to_mean[:, None] - to_mean + of_mean
        test = test - (test @ share)[:, None] - to_mean + of_mean
        middle = share @ targets
        right = root[:, None] * (targets - middle)
        unit = float(np.average(np.diag(kernel)[~inside], weights=weights)) or 1.0
        scores = []
        for penalty in _PENALTIES:
            self.task.check()
            system = root[:, None] * train * root
            system[np.diag_indices_from(system)] += penalty * unit
            scores.append(test @ (root[:, None] * np.linalg.solve(system, right)) + middle)
        return np.stack(scores)

    def _loss_by_row(self, scores: F64, rows: Mask) -> F64:
        if self.task.regression:
            errors: F64 = self.unit**2 * (scores[rows, 0] - self.targets[rows, 0]) ** 2
            return errors
        single = scores[rows].astype(np.float32)
        y = self.task.marks[rows] if self.task.multilabel else self.targets[rows].argmax(axis=1)
        weights = None if self.task.weights is None else self.task.weights[rows]
        return nll_by_row(single, y, fit_temperature(single, y, weights))


def _targets(task: Task) -> tuple[F64, float, F64]:
    """Targets of the classes that are there, their unit, and the weights of rows."""
    given = unit_weights(len(task.y), task.weights)
    if task.regression:
        standard, _, unit = standardise(task.targets, given)
        return standard[:, None], unit, given
    if task.multilabel:
        return 2 * task.marks.astype(np.float64) - 1, 1.0, given
    present, labels = np.unique(task.labels, return_inverse=True)
    labels = cast("I64", labels.reshape(-1))
    weights = row_weights(labels, len(present), balanced=True, given=task.weights)
    return 2 * one_hot(labels, len(present)) - 1, 1.0, weights


def _sample(task: Task) -> I64:
    """At most `MOST_ROWS` rows that weigh something, ten of every class in turn; growing indices."""
    rows = np.arange(len(task.y)) if task.weights is None else np.flatnonzero(task.weights > 0)
    if len(rows) <= MOST_ROWS:
        return rows
    rng = np.random.default_rng(task.seed)
    rows = rng.permutation(rows)
    if not task.regression and not task.multilabel:
        place = rng.permutation(len(task.classes))[task.labels[rows]]
        order = np.argsort(place, kind="stable")
        # Of each row, how many of its class come before it.
        first = np.searchsorted(place[order], place[order])
        turn = np.empty(len(rows), dtype=np.int64)
        turn[order] = (np.arange(len(rows)) - first) // _ROWS_OF_A_CLASS
        rows = rows[np.lexsort((place, turn))]
    return np.sort(rows[:MOST_ROWS])
