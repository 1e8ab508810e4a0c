"""What a method and a head are. The contract tests in ``tests/contract/test_methods.py`` are their definition.

    Task (embeddings, labels) -> Method.fit -> Head -> scores(z) and onnx(), the same function twice

There is no unfitted state: a `Method` is a frozen set of chosen parameters, a `Head` is what fitting returned. A method
sees embeddings only: the rows of a table have become embeddings before.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from adapters.columns import Rows, Schema
from adapters.encoding import Encoding
from adapters.errors import DatasetTooSmall, RequirementMissing, TargetOutOfRange, TaskUnsupported

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_LARGEST_TARGET = 1e30
"""Heads are float32, which ends at 3e38; what a head says outside the range of its targets must fit too."""


class Need(StrEnum):
    """What a method needs beyond embeddings."""

    LABELS = "labels"
    NAMES = "names"


class TaskKind(StrEnum):
    """What is asked of an item."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


def _never_stops() -> None:
    """A budget without a limit."""


@dataclass(frozen=True)
class Task:
    """What a method learns from.

    Attributes:
        z: (n, d) float32 embeddings at the backbone's tap, or the rows of `table` as `encoding` encodes them.
        y: (n,) int64 in [0, k): index into `classes`, every class with at least one row; or float64 targets, any unit,
            where there are no classes.
        classes: k names, in the order that every answer keeps; none for regression.
        groups: (n,) int64; rows of one group (duplicates, one patient, one session) are never split across folds.
        names: (k, d) float32 embeddings of the class names by the same backbone, or None where there are none.
        seed: Source of all randomness.
        check: Called between iterations; raises `Cancelled` or `DeadlineExceeded`. It must not be swallowed.
        schema: Columns of `table`; none where there is none.
        table: n typed rows, or None where items are embedded by a backbone.
        encoding: Learned on exactly the rows of `table`; None where there is none. See `of_rows`.
    """

    z: F32
    y: I64 | F64
    classes: tuple[str, ...]
    groups: I64
    names: F32 | None = None
    seed: int = 0
    check: Callable[[], None] = field(default=_never_stops, compare=False)
    schema: Schema = ()
    table: Rows | None = None
    encoding: Encoding | None = None

    @classmethod
    def of_rows(
        cls,
        schema: Schema,
        table: Rows,
        y: I64 | F64,
        classes: tuple[str, ...],
        groups: I64,
        *,
        seed: int = 0,
        check: Callable[[], None] = _never_stops,
    ) -> Self:
        """A task on the rows of a table, with the encoding learned on exactly these rows."""
        encoding = Encoding.fit(schema, table)
        z = encoding.encode(table)
        return cls(z, y, classes, groups, None, seed, check, schema=schema, table=table, encoding=encoding)

    @property
    def regression(self) -> bool:
        """Whether a number is asked for instead of a class."""
        return not self.classes

    @property
    def kind(self) -> TaskKind:
        """What is asked of an item."""
        return TaskKind.REGRESSION if self.regression else TaskKind.CLASSIFICATION

    @property
    def labels(self) -> I64:
        """`y` of a classification."""
        return cast("I64", self.y)

    @property
    def targets(self) -> F64:
        """`y` of a regression."""
        return cast("F64", self.y)

    def rows(self, index: I64 | Mask) -> "Task":
        """The same task with some of its rows; they must still show every class.

        Of a table the encoding is learned again, so that nothing of the other rows is left in it.
        """
        y, groups = self.y[index], self.groups[index]
        if self.table is None:
            return replace(self, z=self.z[index], y=y, groups=groups)
        table = self.table.take(index)
        return self.of_rows(self.schema, table, y, self.classes, groups, seed=self.seed, check=self.check)

    def split(self, inside: Mask) -> "tuple[Task, F32]":
        """Hold rows out: the task of all others, and the embeddings of these as that task sees them.

        Args:
            inside: (n,) the rows to hold out, m of them.

        Returns:
            The training task and (m, d') float32; d' is its width, which a table's encoding learns with the rest.
        """
        training = self.rows(~inside)
        if self.table is None or training.encoding is None:
            return training, self.z[inside]
        return training, training.encoding.encode(self.table.take(inside))


@dataclass(frozen=True)
class Smallest:
    """The smallest dataset that a method can learn from.

    Attributes:
        classes: Fewest classes.
        rows_per_class: Fewest rows in every class.
        rows: Fewest rows where there are no classes.
    """

    classes: int = 2
    rows_per_class: int = 1
    rows: int = 2


class Head(ABC):
    """A fitted function from one tap to scores. Immutable."""

    @abstractmethod
    def scores(self, z: F32) -> F32:
        """Score items: the reference.

        Args:
            z: (n, d) float32.

        Returns:
            (n, k) float32 log-odds-like scores, unbounded and not yet calibrated; for regression (n, 1), the values
            themselves in units of the target.
        """

    @abstractmethod
    def onnx(self, temperature: float) -> bytes:
        """The same function as an ONNX file.

        Input ``embedding`` (n, d); outputs ``scores`` (n, k) and ``probabilities`` (n, k), which is
        softmax(scores / temperature); for regression one output ``value`` (n, 1).
        """


class Method(BaseModel, ABC):
    """A method with its parameters chosen. One subclass a file in ``adapters/methods``, named as the file is.

    A parameter that is None is chosen by comparing `variants` on folds of the task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS})
    """What it cannot do without, whatever its parameters."""

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION})
    """What it can be asked to do."""

    source: ClassVar[str]
    """The paper."""

    smallest: ClassVar[Smallest] = Smallest()
    """The smallest dataset that it can learn from."""

    complexity: ClassVar[int]
    """Order of simplicity: of two methods that do equally well the one with the lower number is kept."""

    default_temperature: ClassVar[float] = 1.0
    """Temperature of its scores where no row could be held out to measure it; the result is then uncalibrated."""

    method: str
    """Public name; every subclass narrows it to a literal."""

    @abstractmethod
    def fit(self, task: Task) -> Head:
        """Fit to all rows of a task.

        Raises:
            TaskUnsupported, DatasetTooSmall, TargetOutOfRange, RequirementMissing: See `admit`.
            FitStopped: `task.check` said so.
        """

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """Fit several sets of parameters of this method to the same rows; override where work can be shared."""
        for method in methods:
            yield method.fit(task)

    def requirements(self) -> frozenset[Need]:
        """What it cannot do without, with these parameters."""
        return self.needs

    def variants(self, task: Task) -> "tuple[Method, ...]":  # noqa: ARG002
        """The parameters to compare on folds, simplest first; one where there is nothing to choose."""
        return (self,)

    def fallback(self, task: Task) -> "Method":  # noqa: ARG002
        """What to fit where no row can be held out, so that nothing can be compared."""
        return self

    @classmethod
    def proposals(cls, task: Task) -> "tuple[Method, ...]":  # noqa: ARG003
        """What ``auto`` should try of this method, with `variants` of each; empty where it should not be tried."""
        return ()

    def parameters(self) -> dict[str, object]:
        """Every parameter but the name, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"method"})

    def admit(self, task: Task) -> None:
        """Refuse a task that this method cannot learn from.

        Raises:
            TaskUnsupported: See `tasks`.
            DatasetTooSmall: See `smallest`.
            TargetOutOfRange: A target is not finite or too large for a head.
            RequirementMissing: See `requirements`.
        """
        if task.kind not in self.tasks:
            raise TaskUnsupported(self._unsupported(task.kind))
        if task.regression:
            self._admit_targets(task.targets)
        else:
            self._admit_classes(task)
        if Need.NAMES in self.requirements() and task.names is None:
            raise RequirementMissing(
                f"{self.method!r} with these parameters learns from the names of the classes, and there are none that "
                'are embedded as the items are. Use "prior": "none".'
            )

    def _unsupported(self, kind: TaskKind) -> str:
        # The registry imports every method, and methods import this module: so it is asked for when needed.
        from adapters.methods import METHODS

        able = ", ".join(sorted(name for name, method in METHODS.items() if kind in method.tasks))
        target = "numbers as its target" if kind == TaskKind.REGRESSION else "classes as its labels"
        return f"The dataset has {target} and {self.method!r} does no {kind}; methods that do: {able}."

    def _admit_targets(self, targets: F64) -> None:
        if len(targets) < self.smallest.rows:
            raise DatasetTooSmall(
                f"The dataset has {len(targets)} row(s); {self.method!r} needs at least {self.smallest.rows}. Add rows."
            )
        largest = float(np.abs(targets).max())
        # Written so that NaN is refused too.
        if not largest <= _LARGEST_TARGET:
            raise TargetOutOfRange(
                f"The largest target is {largest:g}; at most {_LARGEST_TARGET:g} can be learned. Use another unit."
            )

    def _admit_classes(self, task: Task) -> None:
        if len(task.classes) < self.smallest.classes:
            raise DatasetTooSmall(
                f"The dataset has {len(task.classes)} class(es); {self.method!r} needs at least "
                f"{self.smallest.classes}. Add labelled examples of another class."
            )
        counts = np.bincount(task.labels, minlength=len(task.classes))
        if counts.min() < self.smallest.rows_per_class:
            raise DatasetTooSmall(
                f"Class {task.classes[int(counts.argmin())]!r} has {counts.min()} example(s); {self.method!r} needs at "
                f"least {self.smallest.rows_per_class}. Add examples of it or leave the class out."
            )
