"""Items whose labels are attributes themselves: which parameters predict these best on held-out rows, and how well.

No row tells a class of the signatures then, so how well classes are told cannot be measured; how well attributes are
can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.base import F64, Method, Task
from adapters.errors import RequirementMissing
from adapters.evaluate.metrics import average_precision
from adapters.folds import NEVER, deal_folds
from adapters.zero_shot.head import SignatureHead

_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class MarkedTrials:
    """Candidates on folds.

    Attributes:
        methods: What was compared.
        losses: (c,) mean log loss of all marks of held-out rows.
        precisions: For each candidate (a,) average precision of each label of the task; NaN where all or no held-out
            rows have it.
        evaluated: Rows that were held out.
    """

    methods: tuple[Method, ...]
    losses: F64
    precisions: tuple[F64, ...]
    evaluated: int

    @property
    def best(self) -> int | None:
        """Of the candidates; None where nothing was held out."""
        return int(self.losses.argmin()) if self.evaluated else None

    def report(self, task: Task) -> dict[str, Any]:
        """``attribute_average_precision`` a label, ``macro_average_precision`` their mean, and ``candidates``."""
        if self.best is None:
            return {"attribute_average_precision": [], "macro_average_precision": None, "candidates": []}
        values = self.precisions[self.best]
        known = values[~np.isnan(values)]
        shares = task.marks.mean(axis=0)
        return {
            "attribute_average_precision": [
                {"attribute": name, "average_precision": None if np.isnan(v) else float(v), "share": float(share)}
                for name, v, share in zip(task.classes, values, shares, strict=True)
            ],
            "macro_average_precision": float(known.mean()) if len(known) else None,
            "candidates": [self._candidate(index) for index in range(len(self.methods))],
        }

    def _candidate(self, index: int) -> dict[str, Any]:
        """An entry as `report.report_unseen` has it; how well classes are told is not known."""
        return {
            "method": self.methods[index].method,
            "parameters": self.methods[index].parameters(),
            "evaluated": self.evaluated,
            "nll": float(self.losses[index]),
            "accuracy": None,
            "stderr": None,
            "chosen": index == self.best,
        }


def try_marks(methods: Sequence[Method], task: Task, on_progress: Callable[[float], None]) -> MarkedTrials:
    """Predict the labels of held-out rows by each candidate; all of one type.

    Raises:
        FitStopped: `task.check` said so.

    Cost: as many fits as candidates times folds.
    """
    folds = deal_folds(task)
    rows = np.flatnonzero(folds != NEVER)
    found = [np.zeros(task.marks.shape) for _ in methods]
    for fold in range(int(folds.max(initial=NEVER)) + 1):
        task.check()
        training, held_out = task.split(folds == fold)
        heads = type(methods[0]).fit_each(methods, training)
        for of, head in zip(found, heads, strict=True):
            of[folds == fold] = _predicted(head, held_out)
        on_progress((fold + 1) / (int(folds.max()) + 1))
    if not len(rows):
        return MarkedTrials(tuple(methods), np.zeros(len(methods)), (), 0)
    marks = task.marks[rows]
    p = [np.clip(of[rows], _LEAST, 1 - _LEAST) for of in found]
    losses = np.array([-np.where(marks, np.log(of), np.log1p(-of)).mean() for of in p])
    return MarkedTrials(tuple(methods), losses, tuple(_precisions(of, marks) for of in p), len(rows))


def _predicted(head: object, task: Task) -> F64:
    """(n, a) probabilities of the labels of a task; its labels that are no attributes stay at their even odds."""
    values = head.predicted(task.z) if isinstance(head, SignatureHead) else None
    if values is None or not isinstance(head, SignatureHead):
        raise RequirementMissing("Only methods that predict attributes learn from rows labelled with these: use 'dap'.")
    place = {name: column for column, name in enumerate(head.signatures.attributes)}
    found = np.full((len(task.z), len(task.classes)), 0.5)
    for column, name in enumerate(task.classes):
        if name in place:
            found[:, column] = values[:, place[name]]
    return found


def _precisions(p: F64, marks: "np.ndarray[Any, np.dtype[np.bool_]]") -> F64:
    return np.array(
        [
            average_precision(of, mark) if 0 < mark.sum() < len(mark) else np.nan
            for of, mark in zip(p.T, marks.T, strict=True)
        ]
    )
