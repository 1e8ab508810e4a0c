"""Rows of a task as minibatches of a network: items of about one length together, and never too much at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import F32, I64, Task, TaskKind

if TYPE_CHECKING:
    import torch

_SORTED_TOGETHER = 50
"""Batches among whose items those of one length are brought together: enough for little padding, few enough to mix."""
_AT_ONCE = {"cpu": 4096, "cuda": 1 << 20}
"""Most that goes through the network at once, in `Examples.sizes` after padding: between, it can be stopped."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows of a task as a network takes them.

    Attributes:
        task: With `Task.tuning` and `Task.at`; numbers to learn are standardised already.
        k: Blocks that are trained; see `models.tuning.Tuning`.
        sizes: (n,) what each row costs in a batch.
    """

    task: Task
    k: int | None
    sizes: I64

    @classmethod
    def of(cls, task: Task, k: int | None) -> "Examples":
        """All rows of a task."""
        tuning, at = _items(task)
        return cls(task, k, tuning.sizes()[at])

    def __len__(self) -> int:
        """Rows."""
        return len(self.sizes)

    def inputs(self, rows: I64, device: str) -> "list[torch.Tensor]":
        """What the network takes for some rows."""
        import torch

        tuning, at = _items(self.task)
        arrays = tuning.batch(self.k, at[rows].tolist()).values()
        return [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]

    def targets(self, rows: I64, device: str) -> "torch.Tensor":
        """(n,) int64 classes, (n, c) float32 marks or (n,) float32 numbers."""
        import torch

        dtype = np.int64 if self.task.kind == TaskKind.CLASSIFICATION else np.float32
        return torch.from_numpy(self.task.y[rows].astype(dtype)).to(device)

    def weights(self) -> F32:
        """(n,) with mean 1."""
        given = self.task.weights
        return np.ones(len(self), np.float32) if given is None else (given / given.mean()).astype(np.float32)

    def by_length(self, batch: int) -> list[I64]:
        """All rows in batches, longest first: the first one needs the most memory."""
        order = np.argsort(-self.sizes, kind="stable")
        return [order[first : first + batch] for first in range(0, len(order), batch)]

    def pieces(self, rows: I64, device: str, fewest: int = 1) -> list[I64]:
        """Some rows in as many parts as it takes for each to be done soon, and at least `fewest` where there are."""
        padded = len(rows) * int(self.sizes[rows].max())
        count = max(fewest, -(-padded // _AT_ONCE[device]))
        return np.array_split(rows, min(count, len(rows)))

    def shuffled(self, batch: int, rng: np.random.Generator) -> list[I64]:
        """All rows once, in batches of about one length, in any order."""
        order, together = rng.permutation(len(self)), batch * _SORTED_TOGETHER
        batches = []
        for first in range(0, len(order), together):
            some = order[first : first + together]
            some = some[np.argsort(self.sizes[some], kind="stable")]
            batches += [some[start : start + batch] for start in range(0, len(some), batch)]
        return [batches[place] for place in rng.permutation(len(batches))]


def _items(task: Task) -> tuple[Any, I64]:
    if task.tuning is None or task.at is None:
        raise ValueError("The task has no items of a backbone whose weights are at hand.")
    return task.tuning, task.at
