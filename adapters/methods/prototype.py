"""Nearest class mean."""

from typing import ClassVar, Literal

import numpy as np

from adapters.base import Method, Need, Task
from adapters.heads import AffineHead
from adapters.linalg import class_means, unit_rows


class Prototype(Method):
    """Nearest class mean by cosine: the score of class c is z · m_c/‖m_c‖.

    With ``prior: names`` the embedding of the class's name counts as one more example: m_c = (n_c·mean + name)/(n_c+1).

    Shapes: z (n, d) float32 → scores (n, k) float32; not probabilities.
    Cost: O(n·d) once.
    Raises: DatasetTooSmall: fewer than two classes. RequirementMissing: ``prior: names`` without names.
        TaskUnsupported: regression.
    Source: Snell, Swersky & Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017.
    """

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
        k = len(task.classes)
        means = class_means(task.z, task.labels, k)
        if self.prior == "names" and task.names is not None:
            counts = np.bincount(task.labels, minlength=k)[:, None]
            means = (counts * means + task.names) / (counts + 1)
        return AffineHead(unit_rows(means).astype(np.float32), np.zeros(k, dtype=np.float32), task.classes)
