"""An affine head on random Fourier features: a kernel machine with a radial kernel."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field

from adapters.base import Head, Method, Task, TaskKind
from adapters.heads import AffineHead, MappedHead
from adapters.maps import FourierMap, typical_gamma
from adapters.select import settle

_GAMMAS = (1 / 16, 1 / 4, 1.0)
"""To compare, in units of the one at which typical rows are told apart: noisy rows ask for smoother kernels."""
_UNMEASURED_GAMMA = 1 / 4
_CS = (1.0, 10.0, 100.0)
_L2S = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
"""To compare where typical rows are told apart; where the kernel is smoother, c is larger and l2 smaller by as much."""
_UNMEASURED_C = 10.0
_UNMEASURED_L2 = 1.0
_LARGEST = 1e6
_FEWEST_ROWS = 20
"""From which `auto` tries it on tables, which are seldom linear."""
_FEWEST_OF_CLASS = 5
"""Rows of the smallest class from which `auto` tries it on embeddings."""
_CAPACITY = 2
"""Rows for one number of an embedding, below which straight cuts tell nearly any two classes apart (Cover, Geometrical
and Statistical Properties of Systems of Linear Inequalities, 1965): there a bent one has nothing to add."""
_MOST_VALUES = 60_000_000
"""Rows times features that `auto` takes: 240 MB."""


class Kernel(Method):
    """Random Fourier features, and on them logistic regression, or ridge regression where numbers are asked for.

    scores = W·φ(z) + b, φ(a)·φ(b) ≈ exp(-gamma·‖a - b‖²) with ‖φ‖ = 1; W, b as ``logistic`` with `c` or ``ridge`` with
    `l2` finds them. The map φ depends on the width of z, on `features` and on `gamma` alone, so that adapters on one
    backbone share it; of a table it acts on the encoded row. Without `gamma` three powers of two are compared on folds,
    up to the one at which typical rows are told apart; without `c` or `l2` three or eight of these with each.

    Shapes: z (n, d) float32 → scores (n, k) float32, log odds up to a constant of each row. Regression: (n, 1), the
        values in units of the target.
    Cost: O(n·d·features) for the map, then that of ``logistic`` or ``ridge`` on n rows of `features` numbers.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Rahimi & Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = "Rahimi & Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007"
    complexity: ClassVar[int] = 4
    default_temperature: ClassVar[float] = 0.5

    method: Literal["kernel"] = "kernel"
    gamma: float | None = Field(None, ge=1e-24, le=1e24)
    """Of the kernel exp(-gamma·‖a - b‖²); larger bends more. None: chosen on folds."""
    features: int = Field(512, ge=2, le=8192, multiple_of=2)
    """Length of φ; more come nearer to the kernel."""
    c: float | None = Field(None, ge=1e-6, le=1e6)
    """Inverse penalty of classes, as of ``logistic``; larger fits closer. None: chosen on folds."""
    l2: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty of numbers, as of ``ridge``; larger is smoother. None: chosen on folds."""
    balanced: bool = True
    """Every class weighs the same, however many examples it has."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """Every bandwidth with every penalty, smoothest first."""
        typical = _typical(task)
        gammas = (self.gamma,) if self.gamma is not None else tuple(share * typical for share in _GAMMAS)
        return tuple(variant for gamma in gammas for variant in self._penalised(gamma, typical, task))

    def _penalised(self, gamma: float, typical: float, task: Task) -> "tuple[Self, ...]":
        """With a bandwidth, and every penalty that may suit it."""
        name, grid = ("l2", _L2S) if task.regression else ("c", _CS)
        if getattr(self, name) is not None:
            return (self.model_copy(update={"gamma": gamma}),)
        return tuple(self.model_copy(update={"gamma": gamma, name: _suited(name, v, gamma / typical)}) for v in grid)

    def fallback(self, task: Task) -> Method:
        """With the bandwidth and the penalty that do well where nothing can be measured."""
        return self._closed(task)

    def _closed(self, task: Task) -> Self:
        """With nothing left open."""
        typical = _typical(task)
        gamma = _UNMEASURED_GAMMA * typical if self.gamma is None else self.gamma
        unmeasured = {"c": _UNMEASURED_C, "l2": _UNMEASURED_L2}
        left_open = {name: value for name, value in unmeasured.items() if getattr(self, name) is None}
        closed = {name: _suited(name, value, gamma / typical) for name, value in left_open.items()}
        return self.model_copy(update={"gamma": gamma} | closed)

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """All of it for tables; of embeddings one bandwidth, where a straight cut may not do.

        Classes as they are where they differ much in size: balanced, rare ones are held for likelier than they are.
        """
        counts = task.counts[task.counts > 1] if task.classes else np.array([len(task.y)])
        if not counts.size or not cls._worthwhile(task, int(counts.min())):
            return ()
        one = cls(balanced=not task.uneven)
        if task.table is not None:
            return (one,)
        typical = _typical(task)
        return one._penalised(_UNMEASURED_GAMMA * typical, typical, task)

    @classmethod
    def _worthwhile(cls, task: Task, fewest: int) -> bool:
        """Whether there are rows enough, `fewest` of the smallest class, and not too many."""
        n, d = len(task.y), task.z.shape[1]
        if n * cls.model_fields["features"].default > _MOST_VALUES:
            return False
        if task.table is not None:
            return n >= _FEWEST_ROWS
        return n >= _CAPACITY * d and fewest >= _FEWEST_OF_CLASS

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        if self.gamma is None or (self.l2 if task.regression else self.c) is None:
            return settle(self, task).fit(task)
        map_ = self._map(task)
        return MappedHead(map_, cast("AffineHead", self._affine(task).fit(_mapped(task, map_))))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """One map for neighbours that differ in the penalty alone; these share their work as they do without a map."""
        methods[0].admit(task)
        closed = [method._closed(task) for method in methods]
        for _, same in groupby(closed, key=lambda method: (method.gamma, method.features)):
            together = list(same)
            task.check()
            map_ = together[0]._map(task)
            affine = [method._affine(task) for method in together]
            for head in type(affine[0]).fit_each(affine, _mapped(task, map_)):
                yield MappedHead(map_, cast("AffineHead", head))

    def _map(self, task: Task) -> FourierMap:
        return FourierMap.draw(task.z.shape[1], self.features, self.gamma or 1.0)

    def _affine(self, task: Task) -> Method:
        """The method on the map."""
        # The registry imports every method, this one too: so it is asked for when needed.
        from adapters.methods import METHODS

        if task.regression:
            return METHODS["ridge"].model_validate({"l2": self.l2})
        return METHODS["logistic"].model_validate({"c": self.c, "balanced": self.balanced})


def _mapped(task: Task, map_: FourierMap) -> Task:
    """The task as the method on the map sees it: nothing there is of the kind of names and parents."""
    return replace(
        task,
        z=map_.apply(task.z, task.check),
        names=None,
        parent=None,
        schema=(),
        table=None,
        encoding=None,
        parts=(),
    )


def _suited(name: str, value: float, sharpness: float) -> float:
    """A penalty for a kernel that is so many times as sharp as the one that tells typical rows apart."""
    suited = value * sharpness if name == "l2" else value / sharpness
    return min(max(suited, 1 / _LARGEST), _LARGEST)


def _typical(task: Task) -> float:
    """See `maps.typical_gamma`; of the rows that count."""
    weights = task.weights
    return typical_gamma(task.z if weights is None or not weights.any() else np.ascontiguousarray(task.z[weights > 0]))
