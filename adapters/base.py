"""What a method and a head are. The contract tests in ``tests/contract/test_methods.py`` are their definition.

    Task (embeddings, labels) -> Method.fit -> Head -> scores(z) and onnx(), the same function twice

There is no unfitted state: a `Method` is a frozen set of chosen parameters, a `Head` is what fitting returned.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from adapters.errors import DatasetTooSmall, RequirementMissing

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


class Need(StrEnum):
    """What a method needs beyond embeddings."""

    LABELS = "labels"
    NAMES = "names"


def _never_stops() -> None:
    """A budget without a limit."""


@dataclass(frozen=True)
class Task:
    """What a method learns from.

    Attributes:
        z: (n, d) float32 embeddings at the backbone's tap.
        y: (n,) int64 in [0, k): index into `classes`. Every class has at least one row.
        classes: k names, in the order that every answer keeps.
        groups: (n,) int64; rows of one group (duplicates, one patient, one session) are never split across folds.
        names: (k, d) float32 embeddings of the class names by the same backbone, or None where there are none.
        seed: Source of all randomness.
        check: Called between iterations; raises `Cancelled` or `DeadlineExceeded`. It must not be swallowed.
    """

    z: F32
    y: I64
    classes: tuple[str, ...]
    groups: I64
    names: F32 | None = None
    seed: int = 0
    check: Callable[[], None] = field(default=_never_stops, compare=False)

    def rows(self, index: I64 | npt.NDArray[np.bool_]) -> "Task":
        """The same task with some of its rows; they must still show every class."""
        return replace(self, z=self.z[index], y=self.y[index], groups=self.groups[index])


@dataclass(frozen=True)
class Smallest:
    """The smallest dataset that a method can learn from.

    Attributes:
        classes: Fewest classes.
        rows_per_class: Fewest rows in every class.
    """

    classes: int = 2
    rows_per_class: int = 1


class Head(ABC):
    """A fitted function from one tap to scores. Immutable."""

    @abstractmethod
    def scores(self, z: F32) -> F32:
        """Score items: the reference.

        Args:
            z: (n, d) float32.

        Returns:
            (n, k) float32 log-odds-like scores, unbounded and not yet calibrated.
        """

    @abstractmethod
    def onnx(self, temperature: float) -> bytes:
        """The same function as an ONNX file.

        Input ``embedding`` (n, d); outputs ``scores`` (n, k) and ``probabilities`` (n, k), which is
        softmax(scores / temperature).
        """


class Method(BaseModel, ABC):
    """A method with its parameters chosen. One subclass a file in ``adapters/methods``, named as the file is.

    A parameter that is None is chosen by comparing `variants` on folds of the task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS})
    """What it cannot do without, whatever its parameters."""

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
            DatasetTooSmall: Fewer rows or classes than the method can learn from; says how many it needs.
            RequirementMissing: `requirements` names something that the task lacks.
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
            DatasetTooSmall: See `smallest`.
            RequirementMissing: See `requirements`.
        """
        if len(task.classes) < self.smallest.classes:
            raise DatasetTooSmall(
                f"The dataset has {len(task.classes)} class(es); {self.method!r} needs at least "
                f"{self.smallest.classes}. Add labelled examples of another class."
            )
        counts = np.bincount(task.y, minlength=len(task.classes))
        if counts.min() < self.smallest.rows_per_class:
            raise DatasetTooSmall(
                f"Class {task.classes[int(counts.argmin())]!r} has {counts.min()} example(s); {self.method!r} needs at "
                f"least {self.smallest.rows_per_class}. Add examples of it or leave the class out."
            )
        if Need.NAMES in self.requirements() and task.names is None:
            raise RequirementMissing(
                f"{self.method!r} with these parameters learns from the names of the classes, and this backbone cannot "
                'embed them. Use "prior": "none".'
            )
