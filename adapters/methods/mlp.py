"""A network with one hidden layer."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import Head, Method, Task, TaskKind
from adapters.graphs import Activation
from adapters.network import SAMPLE_ROWS, Shape, fit_network
from adapters.select import settle

_NARROWEST, _WIDEST = 32, 128
_GRID = (30.0, 10.0, 3.0)
_UNMEASURED_L2 = 3.0
_FEWEST_ROWS = 300
"""Rows from which penalties are compared, and from which `auto` tries it on tables, which are seldom linear."""
_FEWEST_EMBEDDINGS, _FEWEST_OF_CLASS = 1000, 50
"""Rows, all and of the smallest class, from which `auto` tries it on embeddings, which are nearly linear."""
_DEAREST = 100_000_000
"""Rows times width of a row times hidden units that `auto` takes."""


class Mlp(Method):
    """One hidden layer, fitted by L-BFGS from several starts, whose networks are averaged into one.

    Minimises Σ wᵢ·loss(W₂·a(W₁xᵢ + b₁) + b₂, yᵢ) + l2/2·(‖W₁‖² + ‖W₂‖²) from each start, x being z in the unit in
    which its typical feature has standard deviation 1; see ``network.py``. From 300 rows on three penalties are
    compared on folds where none is given. The hidden layer can become a backbone: what it learned of
    many rows helps where there are few.

    Shapes: z (n, d) float32 → scores (n, k) float32, log odds up to a constant of each row. Regression: (n, 1), the
        values in units of the target.
    Cost: O(n·d·width·starts) an iteration; beyond 20,000 rows most are taken on a sample.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Rumelhart, Hinton & Williams, Learning Representations by Back-Propagating Errors, Nature 323, 1986.
        Averaged: Hansen & Salamon, Neural Network Ensembles, IEEE PAMI 12(10), 1990.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Rumelhart, Hinton & Williams, Learning Representations by Back-Propagating Errors, Nature 323, 1986"
    )
    complexity: ClassVar[int] = 5

    method: Literal["mlp"] = "mlp"
    width: int | None = Field(None, ge=1, le=2048)
    """Hidden units of one start. None: twice as many as classes, from 32 to 128."""
    l2: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty of all weights, in units of one row's loss; larger is smoother. None: chosen on folds."""
    activation: Activation = "relu"
    """What a hidden unit makes of its input."""
    starts: int = Field(2, ge=1, le=32)
    """Networks that are fitted, each from a start of its own, and averaged; more are smoother."""
    balanced: bool = True
    """Every class weighs the same, however many examples it has."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """Every penalty, smoothest first; of a few rows none: what they tell of a network is noise."""
        closed = self._closed(task)
        if self.l2 is not None or len(task.y) < _FEWEST_ROWS:
            return (closed,)
        return tuple(closed.model_copy(update={"l2": l2}) for l2 in _GRID)

    def fallback(self, task: Task) -> Method:
        """With the penalty that does well where nothing can be measured."""
        return self._closed(task)

    def _closed(self, task: Task) -> Self:
        """With nothing left open."""
        width = min(max(2 * len(task.classes), _NARROWEST), _WIDEST) if self.width is None else self.width
        return self.model_copy(update={"width": width, "l2": _UNMEASURED_L2 if self.l2 is None else self.l2})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Where rows are many enough for it to have a chance, and not too many to find out."""
        one = cls()._closed(task)
        units = one.starts * (one.width or _NARROWEST)
        if min(len(task.y), SAMPLE_ROWS) * task.z.shape[1] * units > _DEAREST:
            return ()
        counts = task.counts[task.counts > 1] if task.classes else np.array([len(task.y)])
        if not counts.size or not _enough(task, int(counts.min())):
            return ()
        return tuple(one.model_copy(update={"l2": l2, "balanced": not task.uneven}) for l2 in _GRID)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        if self.width is None or self.l2 is None:
            return settle(self, task).fit(task)
        return fit_network(task, Shape(self.width, self.activation, self.l2, self.starts, self.balanced))


def _enough(task: Task, fewest: int) -> bool:
    """Whether a network has a chance on so many rows, `fewest` of the smallest class."""
    if task.table is not None:
        return len(task.y) >= _FEWEST_ROWS
    return len(task.y) >= _FEWEST_EMBEDDINGS and fewest >= _FEWEST_OF_CLASS
