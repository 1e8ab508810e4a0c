"""The report: how good an adapter is, on rows that nothing about it had seen.

__init__          what every report has
classification    figures, baselines and notes of classes
multilabel        the same where a row may have any number of classes
regression        the same of numbers
crossed           scores of held-out rows that choosing does not flatter
metrics           the figures themselves, functions of plain arrays
"""

from typing import Any

import numpy as np

from adapters.base import F32, Method, Task, TaskKind
from adapters.comparison import Choice, Comparison
from adapters.evaluate import classification, multilabel, regression
from adapters.evaluate.crossed import Crossed

_FEW_ITEMS = 20

_KINDS = {
    TaskKind.CLASSIFICATION: classification,
    TaskKind.MULTILABEL: multilabel,
    TaskKind.REGRESSION: regression,
}


def report(
    task: Task,
    method: Method,
    *,
    whole: Task,
    comparison: Comparison,
    choice: Choice | None,
    judged: Comparison,
    crossed: Crossed | None,
    nearest_mean: F32 | None,
    temperature: float,
    thresholds: tuple[float, ...] = (),
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values (null where a figure does not exist).

    Figures come from cross-fitting: for each fold the candidate, its parameters and its temperature are chosen on the
    other folds' held-out scores, so that choosing does not flatter the figures.

    Args:
        task: The rows that were compared on.
        method: What was published, all parameters filled in.
        whole: All rows.
        comparison: Out-of-fold scores of every candidate.
        choice: What was picked on all held-out rows, None where there were none.
        judged: The candidates that were chosen among, on the rows that are judged.
        crossed: Their scores, as `cross` gives them; None where there were none.
        nearest_mean: (n, k) out-of-fold scores of the nearest class mean on the same folds; None where there are none.
        temperature: Of the published adapter; 1 for regression.
        thresholds: (k,) of the published adapter, where a row may have any number of classes.

    Returns:
        ``format`` 1; ``task`` classification, multilabel or regression; ``items`` rows given; ``compared`` rows that
        methods were compared on (a sample of many); ``weighted`` whether rows have weights, which all figures but
        counts follow; ``evaluated`` rows held out once; ``different`` evaluated items that differ (rows of one group
        count once); ``folds``; ``method`` with its parameters; of classes ``classes`` in the order of all answers,
        ``temperature``, ``calibrated`` (whether it was measured) and, where a row may have any number of them,
        ``thresholds``; ``candidates`` list of ``method``, ``parameters``, ``evaluated`` rows of its own, a loss,
        ``stderr`` (standard error over groups of its difference to the lowest loss), ``chosen`` and what else the
        `candidate` of its kind puts there; ``left_out`` list of candidates that were not compared to their end, with
        ``method``, ``parameters`` and ``why``; ``notes`` sentences that a reader should know. With the figures that
        `classification.measure`, `multilabel.measure` or `regression.measure` describes.
    """
    rows = judged.held_out if crossed is not None else np.zeros(len(task.y), dtype=np.bool_)
    result: dict[str, Any] = {
        "format": 1,
        "task": task.kind.value,
        "items": len(whole.y),
        "compared": len(task.y),
        "weighted": whole.weights is not None,
        "evaluated": int(rows.sum()),
        "different": len(np.unique(task.groups[rows])),
        "folds": len(np.unique(judged.folds[rows])),
        "method": method.model_dump(mode="json"),
    }
    if task.classes:
        result |= {"classes": list(task.classes), "temperature": float(temperature), "calibrated": choice is not None}
    if task.regression:
        result |= regression.measure(task, whole.targets, judged, crossed)
    elif task.multilabel:
        result |= {"thresholds": list(thresholds)}
        result |= multilabel.measure(task, whole.counts, judged, crossed, nearest_mean, thresholds)
    else:
        result |= classification.measure(task, whole.counts, judged, crossed, nearest_mean)
    kind = _KINDS[task.kind]
    result["candidates"] = [
        _candidate(comparison, index, method, choice) | kind.candidate(task, comparison, index, choice)
        for index in range(len(comparison.methods))
    ]
    result["left_out"] = [
        {"method": left.method.method, "parameters": left.method.parameters(), "why": left.why}
        for left in comparison.left_out
    ]
    # Where the time was over first, why nothing was held out is no matter of the data; the end is told elsewhere.
    figures = [] if comparison.early and not result["evaluated"] else kind.notes(result)
    return result | {"notes": _notes(result) + figures}


def _candidate(comparison: Comparison, index: int, method: Method, choice: Choice | None) -> dict[str, Any]:
    candidate = comparison.methods[index]
    return {
        "method": candidate.method,
        "parameters": candidate.parameters(),
        "evaluated": int(comparison.seen(index).sum()),
        "stderr": None if choice is None else float(choice.stderr[index]),
        "chosen": candidate == method if choice is None else index == choice.index,
    }


def _notes(result: dict[str, Any]) -> list[str]:
    """What is worth saying of classes and numbers alike."""
    notes = []
    if result["compared"] < result["items"]:
        notes.append(
            f"Methods were compared on {result['compared']} of the {result['items']} rows; what was chosen was fitted "
            "to all of them."
        )
    if not result["evaluated"]:
        return notes
    if result["different"] < _FEW_ITEMS:
        notes.append(f"Only {result['different']} different items could be held out: every figure here is rough.")
    if result["different"] < result["evaluated"]:
        notes.append(
            f"{result['evaluated']} rows were evaluated and {result['different']} of them differ; the interval counts "
            "different ones."
        )
    if result["weighted"]:
        notes.append("Rows count by their weights in every figure but in counts.")
    return notes
