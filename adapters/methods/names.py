"""Zero-shot by what classes are called."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from adapters.base import F32, Method, Need, Smallest, Task
from adapters.errors import DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.linalg import blocks
from adapters.signatures import Signatures
from adapters.zero_shot.fronts import CosineFront
from adapters.zero_shot.head import SignatureHead

_OFF_LENGTH = 1e-3
"""Embeddings whose lengths are this near to 1 were brought there; half precision is off by less."""


class Names(Method):
    """The class whose name or description is embedded nearest to the item, by cosine. Nothing is learned.

    Rows are looked at for one thing only: whether the backbone gives embeddings of length 1, so that the head is
    affine. Without rows the names' own length tells.

    Its default temperature is the one of least log loss for names of 2 to 77 intents of Banking77's training rows
    (MiniLM): 0.06 to 0.07 for every number of classes.

    Shapes: z (n, d) float32 → scores (n, k) float32, cosines; not probabilities.
    Cost: O(k·d), and O(n·d) for the look at lengths.
    Raises: DatasetTooSmall: fewer than two classes. RequirementMissing: no names, or of another width than the items.
        TaskUnsupported: more than one class a row, or numbers.
    Source: Larochelle, Erhan & Bengio, Zero-data Learning of New Tasks, AAAI 2008; by embeddings of names:
        Frome et al., DeViSE: A Deep Visual-Semantic Embedding Model, NeurIPS 2013.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMES})
    source: ClassVar[str] = "Larochelle, Erhan & Bengio, Zero-data Learning of New Tasks, AAAI 2008"
    smallest: ClassVar[Smallest] = Smallest(classes=2, rows_per_class=0)
    complexity: ClassVar[int] = -1
    default_temperature: ClassVar[float] = 0.06

    method: Literal["names"] = "names"
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of classes that have rows. None: chosen on classes that are set apart."""

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Itself, where items and names are in one space as far as their width tells."""
        return (cls(),) if task.names is not None and task.names.shape[1] == task.z.shape[1] else ()

    def admit(self, task: Task) -> None:
        """See `Method.admit`; rows are not asked for."""
        if task.kind not in self.tasks:
            raise TaskUnsupported(self._unsupported(task.kind))
        if len(task.classes) < self.smallest.classes:
            raise DatasetTooSmall(
                f"There are {len(task.classes)} class(es); {self.method!r} needs at least {self.smallest.classes}. "
                "Name another one."
            )
        self._names(task)

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        signatures = _signatures(task, self._names(task))
        unit = _of_length_one(task.z if len(task.z) else signatures.values)
        return SignatureHead.of(CosineFront(task.z.shape[1], unit), task, self.stacking, signatures)

    def _names(self, task: Task) -> F32:
        """(k, d) embeddings that items can be compared with."""
        if task.names is None:
            raise RequirementMissing(
                f"{self.method!r} tells classes by their names, and there are none that are embedded as the items are. "
                "Use a text backbone or one that embeds texts and images alike, or a method that learns from rows."
            )
        if task.names.shape[1] != task.z.shape[1]:
            raise RequirementMissing(
                f"The names are embedded {task.names.shape[1]} wide and the items {task.z.shape[1]} wide; "
                f"{self.method!r} compares them. Embed both by the same backbone."
            )
        return task.names


def _signatures(task: Task, names: F32) -> Signatures:
    """Those of the task where they are its names; otherwise its names as a table, of a backbone that is not known."""
    given = task.signatures
    if given is not None and np.array_equal(given.values, names):
        return given
    attributes = tuple(str(column) for column in range(names.shape[1]))
    return Signatures(task.classes, attributes, names.astype(np.float32))


def _of_length_one(z: F32) -> bool:
    lengths = (np.linalg.norm(z[rows], axis=1) for rows in blocks(z))
    return all(bool((np.abs(of - 1) <= _OFF_LENGTH).all()) for of in lengths)
