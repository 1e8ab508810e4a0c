"""A classifier of the classes that are known: fitted to the rows there are, or a version that is published already."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task, TaskKind
from adapters.errors import RequirementMissing
from adapters.lbfgs import Aim
from adapters.linalg import row_weights
from adapters.problem import Coordinates, Problem
from adapters.signatures import Signatures
from adapters.stand_ins import WeightedRows
from adapters.zero_shot.fronts.scale import Scale

_TOLERANCE = 3e-3
"""Of the gradient at zero: what is told of unseen classes is coarser than another digit."""


@dataclass(frozen=True, eq=False)
class Known:
    """The classes that are known, and how they are described.

    Attributes:
        among: (k,) which of the task's classes they are.
        signatures: Of these s classes, in the order of `Sources`; what is missing is the mean of the others.
        scale: Of the attributes, from 0 to 1 as these classes show them.
    """

    among: Mask
    signatures: Signatures
    scale: Scale

    @classmethod
    def of(cls, task: Task) -> "Known":
        """The classes of the task's parent, where it has one, else those that have rows.

        Raises:
            RequirementMissing: The task has no signatures, one of these classes has none, or they are alike in all
                attributes.
        """
        if task.signatures is None:
            raise RequirementMissing("Classes are told by signatures here. Give the task signatures.")
        names = _known_names(task)
        there = set(names)
        among = np.array([name in there for name in task.classes])
        rows = task.signatures.of(names)
        every = np.ones(len(rows.classes), dtype=np.bool_)
        rows = replace(rows, values=rows.filled(every))
        scale = Scale.of(rows, every)
        if not scale.varies.any():
            raise RequirementMissing(
                f"The {len(rows.classes)} classes that are known are alike in all {len(rows.attributes)} attribute(s) "
                "of the signatures, so nothing tells others from them. Add attributes in which they differ."
            )
        return cls(among, rows, scale)

    def say(self, task: Task) -> None:
        """Say which attributes are left out."""
        if (sentence := self.scale.left_out(self.signatures)) is not None:
            task.say(sentence)


def _known_names(task: Task) -> list[str]:
    if task.parent is not None:
        return list(task.parent.classes)
    return [name for name, absent in zip(task.classes, task.absent, strict=True) if not absent]


@dataclass(frozen=True, eq=False)
class Sources:
    """Log odds of the known classes, up to a constant of each row: z · weightᵀ + bias.

    Attributes:
        weight: (s, d) float32.
        bias: (s,) float32.
    """

    weight: F32
    bias: F32

    def sharper(self, factor: float) -> "Sources":
        """The log odds times a factor."""
        return Sources(self.weight * np.float32(factor), self.bias * np.float32(factor))


def sources_of(task: Task, cs: Sequence[float]) -> dict[float, Sources]:
    """For each inverse penalty: softmax regression on the seen classes, each weighing the same; or the task's parent.

    Args:
        task: A classification.
        cs: See `Logistic.c`; without effect where there is a parent.

    Cost: as `Logistic` along its path; 1,800 rows, 4,252 wide, of 30 classes: 0.4 s a c on one core.
    """
    if task.parent is not None:
        log_odds = Sources(task.parent.weight, task.parent.bias).sharper(1 / task.parent.temperature)
        return dict.fromkeys(cs, log_odds)
    return dict(_fitted(task, sorted(set(cs))))


def _fitted(task: Task, cs: Sequence[float]) -> Iterator[tuple[float, Sources]]:
    """Walk along `cs`, each solution the start of the next."""
    seen = of_seen(task)
    rows, k = WeightedRows.of(seen), len(seen.classes)
    nothing = np.zeros(k)
    aim = Aim(rows.given, None, np.zeros((k, rows.z.shape[1])), nothing, nothing, np.zeros(k, dtype=np.bool_))
    problem = Problem.of(rows, Coordinates.of(rows, np.float32), aim)
    theta = problem.start
    for c in cs:
        theta = problem.solve(c, theta, _TOLERANCE, lambda: task.left_s() <= 0)
        weight = problem.weight(theta)
        bias = theta[-1] - weight @ rows.mean
        yield c, Sources(weight.astype(np.float32), bias.astype(np.float32))


def of_seen(task: Task) -> Task:
    """The task of the classes with rows alone, in their order, each class weighing the same."""
    seen = np.flatnonzero(~task.absent)
    place = np.zeros(len(task.classes), dtype=np.int64)
    place[seen] = np.arange(len(seen))
    y: I64 = place[task.labels]
    weights: F64 = row_weights(y, len(seen), balanced=True, given=task.weights)
    classes = tuple(task.classes[c] for c in seen)
    return replace(task, y=y, classes=classes, weights=weights, names=None, parent=None, signatures=None)


def admitted(task: Task) -> Task:
    """By what to admit a task whose parent stands for its rows: as if each class of the parent had one."""
    if task.parent is None or task.kind is not TaskKind.CLASSIFICATION:
        return task
    return replace(task, y=np.arange(len(task.parent.classes)))
