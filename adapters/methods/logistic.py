"""Logistic regression: plain, or pulled toward the class names or toward an earlier version."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters import cuda
from adapters.base import F64, Head, Method, Need, Task, TaskKind
from adapters.heads import AffineHead
from adapters.lbfgs import Aim, chunks
from adapters.linalg import row_weights
from adapters.problem import Coordinates, Problem
from adapters.select import settle
from adapters.stand_ins import WeightedRows

_GRID = (0.3, 3.0, 10.0, 30.0, 100.0, 1000.0)
_COARSE_GRID = (1.0, 10.0, 100.0)
"""Half as many for what is tried beside: on uneven tables the held-out log loss was 0.5 % above the full grid's."""
_UNMEASURED_C = 10.0
_PATH_TOLERANCE = 3e-3
_NEAR_TOLERANCE = 1e-3
_FINAL_TOLERANCE = 1e-7
"""In float64: at c = 30 the scores are then within 6e-6 of the minimum's; 3e-5 would leave 2e-3, for half the time."""
_SINGLE_TOLERANCE = 3e-5
_DEVICE_TOLERANCE = 1e-5
_MOST_IN_DOUBLE = 2**27
"""Products n·d·k up to which the last digits are worth float64: it takes twice the memory and the time."""


class Logistic(Method):
    """Logistic regression with an L2 penalty, by L-BFGS: one softmax, or a sigmoid a class where a row may have many.

    Minimises Σ wᵢ·CE(Wzᵢ + b, yᵢ) + s/(2c)·‖W - W₀‖², s the mean of ‖z‖² over rows; b is not penalised. W₀ is zero, or
    with ``prior: names`` the embeddings of the class names times `names_scale`/√s (L2-SP: the weights start at, and are
    pulled toward, what the names alone say). Without `c`, six values are compared on folds.

    With ``prior: parent`` W₀ and b₀ are the parent's, divided by its temperature: CE asks for log odds, and those are
    its calibrated ones. Its bias is pulled as the weight of a feature of length √s would be. Classes that it does not
    know begin at the mean of its classes, to neither lead nor trail; with names, plus what these say of them. The head
    is multiplied by the temperature again.

    Classes without rows keep their weight and bias to the bit, and stay in the softmax: without their scores, new ones
    have nobody to beat and are hardly ever predicted. With these scores alone nothing tells new classes where to end:
    their biases rise until no old item is recognised. So a few rows stand in for each absent class: its name, or the
    scatter of the given rows around the point where its weights say that it lies. On Banking77 (MiniLM, 60 classes
    grown by 17, rows of the new ones only, c 10 to 100) 79-87 % of the old items are recognised, of which the parent
    alone knew 86-91 %, and 77-95 % of the new ones; rows of all classes give 84-89 % and 72-91 %.

    Shapes: z (n, d) float32 → scores (n, k) float32, log odds up to a constant of each row; of marks log odds.
    Cost: O(n·d·k) an iteration, 20 to 150 of them. With `c` given, one core: 385 rows, 384 wide, 77 classes 0.2 s;
        1,000, 768, 77 0.4 s; 100,000, 384, 100 9.4 s, and 140 MB beside the 146 of the rows.
    Raises: DatasetTooSmall: fewer than two classes, or one without rows that no parent knows. RequirementMissing:
        ``prior: names`` without names, ``prior: parent`` without a parent. TaskUnsupported: regression.
    Source: Li, Grandvalet & Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks,
        ICML 2018.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION, TaskKind.MULTILABEL})
    source: ClassVar[str] = (
        "Li, Grandvalet & Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018"
    )
    complexity: ClassVar[int] = 3
    default_temperature: ClassVar[float] = 0.5

    method: Literal["logistic"] = "logistic"
    c: float | None = Field(None, ge=1e-6, le=1e6)
    """Inverse penalty, as scikit-learn's for embeddings of unit norm; larger fits closer. None: chosen on folds."""
    prior: Literal["none", "names", "parent"] = "none"
    """What the weights are pulled toward: zero, the embeddings of the class ``names``, or the version grown from."""
    names_scale: float = Field(8.0, gt=0, le=1e4)
    """Length of the prior weights, for embeddings of unit norm; larger trusts the names more."""
    balanced: bool | None = None
    """Every class weighs the same, however many examples it has. None: where a row has one class."""

    def requirements(self) -> frozenset[Need]:
        """Names or a parent, where they are the prior."""
        prior = {"none": set[Need](), "names": {Need.NAMES}, "parent": {Need.PARENT}}[self.prior]
        return self.needs | prior

    def variants(self, task: Task) -> tuple[Method, ...]:
        """The grid of `c`, strongest penalty first."""
        grid = _GRID if self.c is None else (self.c,)
        return tuple(self._settled(c, task) for c in grid)

    def fallback(self, task: Task) -> Method:
        """With the `c` that does well where nothing can be measured."""
        return self._settled(_UNMEASURED_C if self.c is None else self.c, task)

    def _settled(self, c: float, task: Task) -> Self:
        balanced = not task.multilabel if self.balanced is None else self.balanced
        return self.model_copy(update={"c": c, "balanced": balanced})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Every prior there is; where classes differ much in size, also as they are instead of balanced.

        Balanced, rare classes are held for likelier than they are, and no single temperature mends that. Classes with
        one row do not count: they are never held out, so nothing would speak against forgetting them. Where a class has
        no rows, only the parent knows it.
        """
        parent = () if task.parent is None else (cls(prior="parent"),)
        names = () if task.names is None else (cls(prior="names"),)
        proposed = parent if task.absent.any() else (cls(), *names, *parent)
        return cls._unbalanced(task, proposed) + proposed

    @classmethod
    def _unbalanced(cls, task: Task, proposed: "tuple[Logistic, ...]") -> "tuple[Logistic, ...]":
        if task.multilabel or not task.uneven:
            return ()
        return tuple(
            method.model_copy(update={"c": c, "balanced": False}) for method in proposed[:1] for c in _COARSE_GRID
        )

    def fit(self, task: Task) -> Head:
        """See `Method.fit`. Where the caller's time is over it ends with its best so far, and says so."""
        self.admit(task)
        if self.c is None:
            return settle(self, task).fit(task)
        rows = WeightedRows.of(task)
        clock = _Clock(task)
        if task.device == "cuda":
            found = _on_device([self], rows, task, _DEVICE_TOLERANCE, clock.over)
            if found is not None:
                return found[0]
        exact = rows.work <= _MOST_IN_DOUBLE
        coordinates = Coordinates.of(rows, np.float64 if exact else np.float32)
        aim = _aim(self, rows, task)
        single = Problem.of(rows, coordinates.single(), aim)
        theta = single.solve(self.c, single.start, _NEAR_TOLERANCE if exact else _SINGLE_TOLERANCE, clock.over)
        if exact:
            theta = Problem.of(rows, coordinates, aim).solve(self.c, theta, _FINAL_TOLERANCE, clock.over)
        return _head(single.weight(theta), theta[-1], rows, self, task)

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """Walk along `c`, each solution the start of the next; float32 and a looser stop, enough to compare.

        On a GPU all of them are one batch instead.
        """
        for method in methods:
            method.admit(task)
        rows = WeightedRows.of(task)
        if task.device == "cuda":
            found = _on_device(methods, rows, task, _NEAR_TOLERANCE)
            if found is not None:
                yield from found
                return
        coordinates = Coordinates.of(rows, np.float32)
        for _, path in groupby(methods, lambda method: method.model_copy(update={"c": None})):
            along = list(path)
            problem = Problem.of(rows, coordinates, _aim(along[0], rows, task))
            theta = problem.start
            for method in along:
                theta = problem.solve(method.c or _UNMEASURED_C, theta, _PATH_TOLERANCE)
                yield _head(problem.weight(theta), theta[-1], rows, method, task)


class _Clock:
    """Whether the caller's time is over; says so once."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._said = False

    def over(self) -> bool:
        """It is."""
        if self._task.left_s() > 0:
            return False
        if not self._said:
            self._task.say(
                "The time was over before logistic regression had converged: its weights are the best so far."
            )
        self._said = True
        return True


def _aim(method: Logistic, rows: WeightedRows, task: Task) -> Aim:
    """The weights of rows and the prior that a set of parameters asks for."""
    k = len(task.classes)
    weights, sides = rows.given, None
    balanced = not task.multilabel if method.balanced is None else method.balanced
    if balanced and task.multilabel:
        sides = _sides(rows)
    elif balanced:
        weights = row_weights(rows.y.astype(np.int64, copy=False), k, balanced=True, given=rows.given)
        # A row that counts twice is two rows: the sum stays what the caller gave.
        weights = weights * (rows.given.sum() / weights.sum())
    weight, bias, tied = _prior(method, rows, task)
    return Aim(weights, sides, weight, bias, tied, rows.held)


def _sides(rows: WeightedRows) -> F64:
    """(2, k) such that the rows without a class and the rows with it count for half of all each."""
    with_it = np.zeros(rows.y.shape[1])
    for some in chunks(len(rows.y), 8 * rows.y.shape[1]):
        with_it += rows.given[some] @ rows.y[some]
    sums = np.stack([rows.given.sum() - with_it, with_it])
    sides: F64 = np.where(sums > 0, rows.given.sum() / (2 * np.where(sums > 0, sums, 1.0)), 0.0)
    return sides


def _prior(method: Logistic, rows: WeightedRows, task: Task) -> tuple[F64, F64, F64]:
    """W₀ (k, d), the scores b₀ (k,) of W₀ at the mean, and how much the biases are pulled, (k,)."""
    k, parent = len(task.classes), task.parent
    weight, bias, tied = np.zeros((k, rows.z.shape[1])), np.zeros(k), np.zeros(k)
    named = None if task.names is None else method.names_scale / np.sqrt(rows.unit) * task.names.astype(np.float64)
    if method.prior == "names" and named is not None:
        weight = named
    elif method.prior == "parent" and parent is not None:
        old = len(parent.classes)
        weight[:old], bias[:old] = parent.weight / parent.temperature, parent.bias / parent.temperature
        weight[old:], bias[old:] = weight[:old].mean(axis=0), bias[:old].mean()
        bias += weight @ rows.mean
        tied[:old] = 1 / rows.unit
        if named is not None:
            # What all names have in common would lift the new classes over the old ones.
            weight[old:] += named[old:] - named.mean(axis=0)
    return weight, bias, tied


def _head(weight: F64, at_mean: F64, rows: WeightedRows, method: Logistic, task: Task) -> AffineHead:
    """(k, d) weights and (k,) scores at the mean to a head, in units of the parent's scores if that was the prior."""
    bias = at_mean - weight @ rows.mean
    if method.prior == "parent" and task.parent is not None:
        weight, bias = weight * task.parent.temperature, bias * task.parent.temperature
        held = np.flatnonzero(rows.held)
        # To the bit, where rounding might say otherwise.
        weight[held], bias[held] = task.parent.weight[held], task.parent.bias[held]
    return AffineHead(weight.astype(np.float32), bias.astype(np.float32), task.classes, task.multilabel)


def _on_device(
    methods: Sequence[Logistic],
    rows: WeightedRows,
    task: Task,
    tolerance: float,
    over: Callable[[], bool] = lambda: False,
) -> list[Head] | None:
    """All of them as one batch on a GPU; None where it has too little memory, which the report is told."""
    aims = {method.model_copy(update={"c": None}): None for method in methods}
    made = {key: _aim(key, rows, task) for key in aims}
    problems = [
        (made[method.model_copy(update={"c": None})], rows.unit / (method.c or _UNMEASURED_C)) for method in methods
    ]
    found = cuda.solve(rows.z, rows.y, rows.mean, problems, tolerance=tolerance, check=task.check, out_of_time=over)
    if found is None:
        task.say("The GPU had too little memory for logistic regression: it was fitted on the CPU.")
        return None
    return [_head(*solution, rows, method, task) for solution, method in zip(found, methods, strict=True)]
