"""The report: how good an adapter is, on rows that nothing about it had seen.

__init__          what every report has
classification    figures, baselines and notes of classes
regression        figures, baselines and notes of numbers
metrics           the figures themselves, functions of plain arrays
"""

from typing import Any

import numpy as np

from adapters.base import F32, Method, Task
from adapters.evaluate import classification, regression
from adapters.select import Choice, Comparison

_FEW_ITEMS = 20


def report(
    task: Task,
    method: Method,
    *,
    comparison: Comparison,
    choice: Choice | None,
    nearest_mean: F32 | None,
    temperature: float,
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values (null where a figure does not exist).

    Figures come from cross-fitting: for each fold the candidate, its parameters and its temperature are chosen on the
    other folds' held-out scores, so that choosing does not flatter the figures.

    Args:
        task: All rows.
        method: What was published, all parameters filled in.
        comparison: Out-of-fold scores of every candidate.
        choice: What was picked on all held-out rows, None where there were none.
        nearest_mean: (n, k) out-of-fold scores of the nearest class mean on the same folds; None where there were none,
            and for regression.
        temperature: Of the published adapter; 1 for regression.

    Returns:
        ``format`` 1; ``task`` classification or regression; ``items`` rows given; ``evaluated`` rows held out once;
        ``different`` evaluated items that differ (rows of one group count once); ``folds``; ``method`` with its
        parameters; ``candidates`` list of ``method``, ``parameters``, a loss, ``stderr`` (standard error over rows of
        its difference to the lowest loss), ``chosen`` and what else `classification.measure` or `regression.measure`
        puts there; ``notes`` sentences that a reader should know. With the figures of these two, described there.
    """
    rows = comparison.held_out
    result: dict[str, Any] = {
        "format": 1,
        "task": task.kind.value,
        "items": len(task.y),
        "evaluated": int(rows.sum()),
        "different": len(np.unique(task.groups[rows])),
        "folds": int(comparison.folds.max()) + 1,
        "method": method.model_dump(mode="json"),
    }
    kind = regression if task.regression else classification
    if task.regression:
        result |= regression.measure(task, comparison)
    else:
        result |= classification.measure(task, comparison, choice, nearest_mean, temperature)
    result["candidates"] = [
        _candidate(comparison, index, method, choice) | kind.candidate(task, comparison, index, choice)
        for index in range(len(comparison.methods))
    ]
    return result | {"notes": _notes(result) + kind.notes(result)}


def _candidate(comparison: Comparison, index: int, method: Method, choice: Choice | None) -> dict[str, Any]:
    candidate = comparison.methods[index]
    return {
        "method": candidate.method,
        "parameters": candidate.parameters(),
        "stderr": None if choice is None else float(choice.stderr[index]),
        "chosen": candidate == method if choice is None else index == choice.index,
    }


def _notes(result: dict[str, Any]) -> list[str]:
    """What is worth saying of classes and numbers alike."""
    if not result["evaluated"]:
        return []
    notes = []
    if result["different"] < _FEW_ITEMS:
        notes.append(f"Only {result['different']} different items could be held out: every figure here is rough.")
    if result["different"] < result["evaluated"]:
        notes.append(
            f"{result['evaluated']} rows were evaluated and {result['different']} of them differ; the interval counts "
            "different ones."
        )
    return notes
