"""What a method and a head are. The contract tests in ``tests/contract/test_methods.py`` are their definition.

    Task (embeddings, labels) -> Method.fit -> Head -> scores(z) and onnx(), the same function twice

There is no unfitted state: a `Method` is a frozen set of chosen parameters, a `Head` is what fitting returned. A method
sees embeddings only: the rows of a table have become embeddings before.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from adapters.columns import Rows, Schema
from adapters.encoding import Encoding
from adapters.errors import DatasetTooSmall, RequirementMissing, TargetOutOfRange, TaskUnsupported

if TYPE_CHECKING:
    from adapters.ensembles.members import Member
    from adapters.signatures import Signatures
    from models.tuning import Tuning

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_UNEVEN = 2.0

_LARGEST_TARGET = 1e30
"""Heads are float32, which ends at 3e38; what a head says outside the range of its targets must fit too."""


class Need(StrEnum):
    """What a method needs beyond embeddings."""

    LABELS = "labels"
    NAMES = "names"
    PARENT = "parent"
    TUNING = "tuning"
    SIGNATURES = "signatures"
    MEMBERS = "members"


class TaskKind(StrEnum):
    """What is asked of an item."""

    CLASSIFICATION = "classification"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"


_TARGETS = {
    TaskKind.CLASSIFICATION: "one class as each row's label",
    TaskKind.MULTILABEL: "any number of classes as each row's labels",
    TaskKind.REGRESSION: "numbers as its target",
}


def never_stops() -> None:
    """Nobody stops it."""


def _for_ever() -> float:
    """A budget without a limit."""
    return math.inf


def _unheard(_sentence: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Part:
    """Neighbouring columns of `Task.z` that belong together: the pooled activations of one block.

    Attributes:
        name: Such as ``block4`` or ``pooled``.
        first: Its first column.
        behind: The column behind its last.
    """

    name: str
    first: int
    behind: int


@dataclass(frozen=True, eq=False)
class Parent:
    """A published affine head that a new one grows from.

    Attributes:
        name: Its reference, such as ``intents:3``.
        weight: (k', d) float32.
        bias: (k',) float32.
        temperature: Positive; of its probabilities.
        classes: k' names; the task's `classes` begin with them, in this order.
    """

    name: str
    weight: F32
    bias: F32
    temperature: float
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What a method learns from.

    Attributes:
        z: (n, d) float32 embeddings at the backbone's tap, or the rows of `table` as `encoding` encodes them.
        y: (n,) int64 in [0, k): index into `classes`, every class with at least one row (but for those that `parent`
            or `signatures` bring along, see `absent`); or (n, k) bool, any number of classes a row; or (n,) float64
            targets, any unit, where there are no classes.
        classes: k names, in the order that every answer keeps; none for regression.
        groups: (n,) int64; rows of one group (duplicates, one patient, one session) are never split across folds.
        names: (k, d) float32 embeddings of the class names by the same backbone, or None where there are none.
        seed: Source of all randomness.
        check: Called between iterations; raises `Cancelled` or `DeadlineExceeded`. It must not be swallowed.
        schema: Columns of `table`; none where there is none.
        table: n typed rows, or None where items are embedded by a backbone.
        encoding: Learned on exactly the rows of `table`; None where there is none. See `of_rows`.
        weights: (n,) float64, none negative: how much each row counts, as if it stood there so many times; None = all
            alike.
        parent: The head that this one grows from, or None.
        tuning: A way into the backbone itself and the items of the fit, or None where there is none.
        at: (n,) int64 place of each row among the items of `tuning`; None where there is no `tuning`.
        peft: Files of a LoRA adapter in PEFT's format, by name, that a fit starts from; None where there are none.
        parts: What `z` is made of, one after the other, where it holds more than one embedding; to choose from.
        signatures: Of the classes, row by row as `classes` has them; None where there are none. Of embeddings of the
            task's own backbone `names` are the same rows.
        members: Published versions to average, see `adapters.ensembles`; none but for that.
        device: What heavy algebra runs on: ``cpu`` or ``cuda``.
        left_s: Seconds that are left of the caller's budget; who loops for long ends early with its best so far.
        say: Called with a sentence that the report is to hold, such as that the device had too little memory.
    """

    z: F32
    y: I64 | F64 | Mask
    classes: tuple[str, ...]
    groups: I64
    names: F32 | None = None
    seed: int = 0
    check: Callable[[], None] = field(default=never_stops, compare=False)
    schema: Schema = ()
    table: Rows | None = None
    encoding: Encoding | None = None
    weights: F64 | None = None
    parent: Parent | None = None
    tuning: "Tuning | None" = None
    at: I64 | None = None
    peft: Mapping[str, bytes] | None = None
    parts: tuple[Part, ...] = ()
    signatures: "Signatures | None" = None
    members: "tuple[Member, ...]" = ()
    device: str = "cpu"
    left_s: Callable[[], float] = field(default=_for_ever, compare=False)
    say: Callable[[str], None] = field(default=_unheard, compare=False)

    @classmethod
    def of_rows(
        cls,
        schema: Schema,
        table: Rows,
        y: I64 | F64 | Mask,
        classes: tuple[str, ...],
        groups: I64,
        **fields: Any,
    ) -> Self:
        """A task on the rows of a table, with the encoding learned on exactly these rows.

        Args:
            schema: Columns of the table.
            table: n typed rows.
            y: As in `Task`.
            classes: As in `Task`.
            groups: As in `Task`.
            fields: Any others of `Task`.
        """
        encoding = Encoding.fit(schema, table)
        z = encoding.encode(table)
        return cls(z, y, classes, groups, schema=schema, table=table, encoding=encoding, **fields)

    @property
    def regression(self) -> bool:
        """Whether a number is asked for instead of a class."""
        return not self.classes

    @property
    def multilabel(self) -> bool:
        """Whether a row may have any number of classes."""
        return self.y.ndim == 2

    @property
    def kind(self) -> TaskKind:
        """What is asked of an item."""
        if self.regression:
            return TaskKind.REGRESSION
        return TaskKind.MULTILABEL if self.multilabel else TaskKind.CLASSIFICATION

    @property
    def labels(self) -> I64:
        """`y` of a classification with one class a row."""
        return cast("I64", self.y)

    @property
    def marks(self) -> Mask:
        """`y` of a classification with any number of classes a row."""
        return cast("Mask", self.y)

    @property
    def counts(self) -> I64:
        """(k,) rows of each class."""
        if self.multilabel:
            return np.asarray(self.marks.sum(axis=0), dtype=np.int64)
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def absent(self) -> Mask:
        """(k,) classes without a row: `parent` or `signatures` know them, and these rows do not show them."""
        return np.equal(self.counts, 0)

    @property
    def uneven(self) -> bool:
        """Whether the largest class has more than twice the rows of the smallest one that has more than one.

        There balancing may cost more than it gives: rare classes are then held for likelier than they are.
        """
        counted = np.zeros(0, dtype=np.int64) if self.regression else self.counts[self.counts > 1]
        return bool(counted.size and counted.max() > _UNEVEN * counted.min())

    @property
    def targets(self) -> F64:
        """`y` of a regression."""
        return cast("F64", self.y)

    def rows(self, index: I64 | Mask) -> "Task":
        """The same task with some of its rows; they must still show every class.

        Of a table the encoding is learned again, so that nothing of the other rows is left in it.
        """
        some = self._taken(index)
        if some.table is None:
            return some
        encoding = Encoding.fit(self.schema, some.table)
        return replace(some, z=encoding.encode(some.table), encoding=encoding)

    def split(self, inside: Mask) -> "tuple[Task, Task]":
        """Hold rows out.

        Args:
            inside: (n,) the rows to hold out.

        Returns:
            The task of all others, and these rows as that task sees them: to be scored, not to be learned from. Of a
            table `z` is what the first one's encoding makes of them.
        """
        training, held_out = self.rows(~inside), self._taken(inside)
        if held_out.table is None or training.encoding is None:
            return training, held_out
        return training, replace(held_out, z=training.encoding.encode(held_out.table), encoding=training.encoding)

    def _taken(self, index: I64 | Mask) -> "Task":
        """Some of the rows, with the encoding as it is."""
        return replace(
            self,
            z=self.z[index],
            y=self.y[index],
            groups=self.groups[index],
            table=None if self.table is None else self.table.take(index),
            weights=None if self.weights is None else self.weights[index],
            at=None if self.at is None else self.at[index],
        )


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

    def scores_of(self, task: Task) -> F32:
        """Score the rows of a task, as `scores` does; override where a head takes something else than `Task.z`."""
        return self.scores(task.z)

    def feed(self, task: Task) -> "dict[str, npt.NDArray[Any]]":
        """What the ONNX file takes for the rows of a task: an array for each input, by name."""
        return {"embedding": task.z}

    @abstractmethod
    def onnx(self, temperature: float) -> bytes:
        """The same function as an ONNX file.

        Input ``embedding`` (n, d), or what `feed` gives; outputs ``scores`` (n, k) and ``probabilities`` (n, k), which
        is softmax(scores / temperature), or sigmoid(scores / temperature) where a row may have any number of classes;
        for regression one output ``value`` (n, 1).
        """

    def files(self) -> dict[str, bytes]:
        """Further files of a version, by name: what serves it faster, or what it can be carried on with."""
        return {}


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

    def view(self, task: Task) -> Task:
        """The task without what these parameters say not to look at."""
        return task

    def variants(self, task: Task) -> "tuple[Method, ...]":  # noqa: ARG002  # methods that choose look at it
        """The parameters to compare on folds, simplest first; one where there is nothing to choose."""
        return (self,)

    def fallback(self, task: Task) -> "Method":  # noqa: ARG002  # methods that choose look at it
        """What to fit where no row can be held out, so that nothing can be compared."""
        return self

    @classmethod
    def proposals(cls, task: Task) -> "tuple[Method, ...]":  # noqa: ARG003  # as above
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
        if Need.TUNING in self.requirements() and task.tuning is None:
            raise RequirementMissing(
                f"{self.method!r} trains the backbone itself, and there is none whose weights are at hand: rows of a "
                "table, vectors, fixed transforms, and backbones hosted from an ONNX file, from word vectors or from "
                "an adapter have none. Use another method or backbone."
            )
        if Need.PARENT in self.requirements() and task.parent is None:
            raise RequirementMissing(
                f"{self.method!r} with these parameters grows from a published version, and none was named. Name it "
                'in "parents", or use "prior": "none".'
            )
        if Need.SIGNATURES in self.requirements() and task.signatures is None:
            raise RequirementMissing(
                f"{self.method!r} tells classes by their attributes, and no signatures were named. POST /v1/signatures "
                'takes a table of classes and attributes; name what it answers in "signatures".'
            )
        if Need.NAMES in self.requirements() and task.names is None:
            raise RequirementMissing(
                f"{self.method!r} with these parameters learns from the names of the classes, and there are none that "
                'are embedded as the items are. Use "prior": "none".'
            )

    def _unsupported(self, kind: TaskKind) -> str:
        # The registry imports every method, and methods import this module: so it is asked for when needed.
        from adapters.methods import METHODS

        able = ", ".join(sorted(name for name, method in METHODS.items() if kind in method.tasks))
        target = _TARGETS[kind]
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
        counts = task.counts
        if Need.PARENT in self.requirements() and task.parent is not None:
            # What the parent knows needs no rows; what is new does.
            counts = np.where(np.arange(len(counts)) < len(task.parent.classes), np.maximum(counts, 1), counts)
        if task.signatures is not None and {Need.SIGNATURES, Need.NAMES} & self.needs:
            # Classes without rows are what such a method is for; those with rows are counted.
            counts = self._admit_seen(counts)
        if counts.min() < self.smallest.rows_per_class:
            raise DatasetTooSmall(
                f"Class {task.classes[int(counts.argmin())]!r} has {counts.min()} example(s); {self.method!r} needs at "
                f"least {self.smallest.rows_per_class}. Add examples of it or leave the class out."
            )

    def _admit_seen(self, counts: I64) -> I64:
        seen = counts[counts > 0]
        if len(seen) < self.smallest.classes:
            raise DatasetTooSmall(
                f"{len(seen)} of the {len(counts)} classes of the signatures have examples; {self.method!r} learns "
                f"from at least {self.smallest.classes}. Add labelled examples of other classes."
            )
        return seen
