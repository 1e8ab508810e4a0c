"""What a report says of numbers."""

from typing import Any

import numpy as np

from adapters.base import F64, Task
from adapters.comparison import Choice, Comparison
from adapters.evaluate.crossed import Crossed
from adapters.evaluate.metrics import r2, r2_interval, weighted_median, weights_of

_LOST_DIGITS = 1e-2
"""Share of the targets' deviation that the rounding of a float32 may take before it is said."""


def measure(task: Task, given: F64, comparison: Comparison, crossed: Crossed | None) -> dict[str, Any]:
    """A report's fields for numbers; values of held-out rows are by the candidate that the other folds chose.

    Args:
        task: The rows that were compared on.
        given: (n,) targets of all rows given.
        comparison: Of the candidates that were chosen among, on the rows that are judged.
        crossed: Their values; None where nothing was held out.

    Returns:
        ``target`` with ``mean``, ``deviation``, ``low`` and ``high`` of the rows given; ``rmse`` root of the mean
        squared error and ``mae`` mean absolute error, in units of the target; ``r2`` share of the variance of the
        evaluated targets that is explained (1 at best; below 0 worse than their mean; null where they are all equal),
        ``r2_interval`` its 95% interval, by 1,000 bootstrap samples of different items;
        ``baselines`` ``mean`` and ``median`` of the training folds, each with the same three figures.
        Rows weigh what their weight says in ``rmse``, ``mae`` and ``r2``.
    """
    result: dict[str, Any] = {
        "target": {
            "mean": float(given.mean()),
            "deviation": float(given.std()),
            "low": float(given.min()),
            "high": float(given.max()),
        }
    }
    if crossed is None:
        nothing = {"r2": None, "r2_interval": None, "rmse": None, "mae": None}
        return result | nothing | {"baselines": {"mean": None, "median": None}}
    y, predicted = task.targets[crossed.rows], crossed.scores[:, 0].astype(np.float64)
    interval = r2_interval(y, predicted, task.groups[crossed.rows], task.seed, crossed.weights)
    return (
        result
        | _figures(y, predicted, crossed.weights)
        | {"r2_interval": None if interval is None else list(interval), "baselines": _baselines(task, comparison)}
    )


def candidate(task: Task, comparison: Comparison, index: int, choice: Choice | None) -> dict[str, Any]:
    """``mse`` mean squared error on its held-out rows, and ``r2``."""
    if choice is None:
        return {"mse": None, "r2": None}
    rows = comparison.seen(index)
    predicted = comparison.scores[index][rows, 0].astype(np.float64)
    weights = None if comparison.weights is None else comparison.weights[rows]
    return {"mse": float(choice.loss[index]), "r2": r2(task.targets[rows], predicted, weights)}


def notes(result: dict[str, Any]) -> list[str]:
    """Sentences on what the figures of `measure` do not show at a glance."""
    return _impossible(result) + _too_far(result["target"]) + _beaten(result)


def _figures(y: F64, predicted: F64, weights: F64 | None) -> dict[str, float | None]:
    w, error = weights_of(len(y), weights), predicted - y
    rmse, mae = float(np.sqrt(w @ error**2 / w.sum())), float(w @ np.abs(error) / w.sum())
    return {"r2": r2(y, predicted, weights), "rmse": rmse, "mae": mae}


def _baselines(task: Task, comparison: Comparison) -> dict[str, Any]:
    mean, median = mean_values(task, comparison), np.zeros(len(task.y))
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        weights = None if task.weights is None else task.weights[~inside]
        median[inside] = weighted_median(task.targets[~inside], weights)
    rows = comparison.held_out
    weights = None if comparison.weights is None else comparison.weights[rows]
    return {
        "mean": _figures(task.targets[rows], mean[rows], weights),
        "median": _figures(task.targets[rows], median[rows], weights),
    }


def mean_values(task: Task, comparison: Comparison) -> F64:
    """(n,) mean of the targets outside each fold for the rows inside it; zero for rows that were never held out."""
    mean = np.zeros(len(task.y))
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        weights = None if task.weights is None else task.weights[~inside]
        mean[inside] = np.average(task.targets[~inside], weights=weights)
    return mean


def _impossible(result: dict[str, Any]) -> list[str]:
    if not result["evaluated"]:
        return [
            "There are fewer than four rows or two different items, so nothing could be held out: how far the values "
            "are off is not known. More different rows mend that."
        ]
    if result["r2"] is None:
        return ["All evaluated targets are equal, so there is nothing to explain and no r2."]
    return []


def _too_far(target: dict[str, float]) -> list[str]:
    """Values are computed in single precision, whose steps grow with the distance from zero."""
    step = float(np.finfo(np.float32).eps) * max(abs(target["low"]), abs(target["high"]))
    if step <= _LOST_DIGITS * target["deviation"] or target["deviation"] == 0:
        return []
    return [
        f"The targets lie around {target['mean']:.6g} and differ by {target['deviation']:.3g} only; values there are "
        f"exact to {step:.2g}. Take a constant such as {target['mean']:.6g} off the targets and add it to the answers."
    ]


def _beaten(result: dict[str, Any]) -> list[str]:
    found = []
    for name, figure in (("mean", "rmse"), ("median", "mae")):
        baseline = result["baselines"][name]
        if baseline is not None and result[figure] >= baseline[figure] > 0:
            found.append(
                f"Its {figure} ({result[figure]:.4g}) does not beat always answering the {name} of the target "
                f"({baseline[figure]:.4g})."
            )
    return found
