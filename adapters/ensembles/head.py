"""The average as a head."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from adapters.base import F32, F64, Head, Task, TaskKind
from adapters.ensembles.graph import Joined, ensemble_graph
from adapters.ensembles.members import Member, known, placements
from adapters.ensembles.pool import Of, pool_of, portions_of
from adapters.ensembles.running import Running


@dataclass(frozen=True, eq=False)
class EnsembleHead(Head):
    """scores = outer(Σ share · inner(answer of a member)); see `pool`.

    Softmax of the scores is the average itself: their temperature of 1 changes nothing.

    Attributes:
        members: Those that count.
        shares: (m,) positive, one for each.
        of: What is averaged.
        classes: k names, in the order of the scores; () for a regression, whose one score is the value itself.
        width: Of the embedding: those of several backbones stand side by side.
        multilabel: Whether a row may have any number of classes.
    """

    members: tuple[Member, ...]
    shares: tuple[float, ...]
    of: Of
    classes: tuple[str, ...]
    width: int
    multilabel: bool = False

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        answers = np.stack([r.answer(z) @ place for r, place in zip(self._running, self._placed, strict=True)])
        return pool_of(self._kind, self.of).scores(answers, np.asarray(self.shares), known(self._placed))

    def onnx(self, temperature: float) -> bytes:
        """See `Head.onnx`; every member's graph is compiled in. The file's metadata holds `classes` as JSON.

        Raises:
            RequirementMissing: A member takes something else than its columns; see `Running.check`.
        """
        portions = portions_of(np.asarray(self.shares), known(self._placed)).astype(np.float32)
        for running in self._running:
            running.check()
        joined = [Joined(*each) for each in zip(self.members, self._placed, portions, strict=True)]
        return ensemble_graph(joined, self._kind, self.of, self.classes, self.width, temperature)

    @property
    def _kind(self) -> TaskKind:
        if not self.classes:
            return TaskKind.REGRESSION
        return TaskKind.MULTILABEL if self.multilabel else TaskKind.CLASSIFICATION

    @cached_property
    def _running(self) -> tuple[Running, ...]:
        return tuple(Running(member) for member in self.members)

    @cached_property
    def _placed(self) -> tuple[F32, ...]:
        return placements(self.members, self.classes)


def head_of(task: Task, shares: F64, of: Of) -> EnsembleHead:
    """The average of a task's members, of those alone whose share is above zero."""
    counted = [(member, float(share)) for member, share in zip(task.members, shares, strict=True) if share > 0]
    members, kept = zip(*counted, strict=True)
    return EnsembleHead(members, kept, of, task.classes, task.z.shape[1], task.multilabel)
