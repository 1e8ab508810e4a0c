"""Nearest class mean."""

from typing import ClassVar, Literal

import numpy as np

from adapters.base import F64, Method, Need, Task, TaskKind
from adapters.heads import AffineHead
from adapters.linalg import blocks, class_masses, class_means, unit_rows, unit_weights


class Prototype(Method):
    """Nearest class mean by cosine: the score of class c is z · m_c/‖m_c‖.

    With ``prior: names`` the embedding of the class's name counts as one more example: m_c = (n_c·mean + name)/(n_c+1).
    Where rows are weighted, means are; the name weighs what the mean row does.

    Where a row may have any number of classes, the score of c is u · (z - (m_c + r_c)/2), r_c the mean of the rows
    without c and u the unit vector along m_c - r_c: how far beyond the middle between the two means the item lies. A
    class that all rows have is told of every item, one that none has of no item.

    Shapes: z (n, d) float32 → scores (n, k) float32; not probabilities.
    Cost: O(n·d) once; O(n·d·k) with any number of classes a row.
    Raises: DatasetTooSmall: fewer than two classes. RequirementMissing: ``prior: names`` without names.
        TaskUnsupported: regression.
    Source: Snell, Swersky & Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION, TaskKind.MULTILABEL})
    source: ClassVar[str] = "Snell, Swersky & Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017"
    complexity: ClassVar[int] = 0
    default_temperature: ClassVar[float] = 0.06

    method: Literal["prototype"] = "prototype"
    prior: Literal["none", "names"] = "none"
    """``names``: the embedding of the class's name counts as one more example."""

    def requirements(self) -> frozenset[Need]:
        """Names, where they are the prior."""
        return self.needs | ({Need.NAMES} if self.prior == "names" else set())

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Without names and with them."""
        return (cls(),) if task.names is None else (cls(), cls(prior="names"))

    def fit(self, task: Task) -> AffineHead:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        weights = unit_weights(len(task.y), task.weights)
        if task.multilabel:
            return self._between(task, weights)
        k = len(task.classes)
        means = class_means(task.z, task.labels, k, weights)
        means = self._with_names(means, class_masses(task.labels, k, weights), task)
        return AffineHead(unit_rows(means).astype(np.float32), np.zeros(k, dtype=np.float32), task.classes)

    def _with_names(self, means: F64, masses: F64, task: Task) -> F64:
        """The (k, d) means with what `prior` adds to their (k,) rows."""
        if self.prior == "none" or task.names is None:
            return means
        result: F64 = (masses[:, None] * means + task.names) / (masses[:, None] + 1)
        return result

    def _between(self, task: Task, weights: F64) -> AffineHead:
        """Each class's mean against the mean of all other rows."""
        with_class = np.zeros((len(task.classes), task.z.shape[1]))
        total = np.zeros(task.z.shape[1])
        for rows in blocks(task.z):
            task.check()
            weighted = weights[rows, None] * task.z[rows]
            with_class += task.marks[rows].T.astype(np.float64) @ weighted
            total += weighted.sum(axis=0)
        having = weights @ task.marks
        lacking = weights.sum() - having
        means = self._with_names(_per(with_class, having), having, task)
        others = _per(total - with_class, lacking)
        both = ((having > 0) & (lacking > 0))[:, None]
        direction = unit_rows(np.where(both, means - others, 0.0))
        bias = np.where(both[:, 0], -np.einsum("kd,kd->k", direction, means + others) / 2, np.where(having > 0, 1, -1))
        return AffineHead(direction.astype(np.float32), bias.astype(np.float32), task.classes, multilabel=True)


def _per(sums: F64, masses: F64) -> F64:
    """(k, d) sums over (k,) masses; zero where there is no mass."""
    result: F64 = sums / np.where(masses > 0, masses, 1.0)[:, None]
    return result
