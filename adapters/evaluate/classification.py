"""What a report says of classes."""

from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Task
from adapters.calibrate import fit_temperature
from adapters.comparison import Choice, Comparison
from adapters.evaluate.crossed import Crossed
from adapters.evaluate.metrics import (
    average_precision,
    expected_calibration_error,
    precision_recall_f1,
    roc_auc,
    weights_of,
    wilson_interval,
)
from adapters.linalg import log_softmax

_MISLEADING_SHARE = 0.9

_NEAREST_MEAN = {"method": "prototype", "prior": "none"}

_NO_FIGURES: dict[str, Any] = {
    "accuracy": None,
    "accuracy_interval": None,
    "balanced_accuracy": None,
    "macro_f1": None,
    "log_loss": None,
    "ece": None,
    "positive": None,
    "roc_auc": None,
    "average_precision": None,
    "macro_average_precision": None,
    "confusion": [],
}


def measure(
    task: Task,
    support: I64,
    comparison: Comparison,
    crossed: Crossed | None,
    nearest_mean: F32 | None,
) -> dict[str, Any]:
    """A report's fields for classes.

    Args:
        task: The rows that were compared on.
        support: (k,) rows given of each class.
        comparison: Of the candidates that were chosen among, on the rows that are judged.
        crossed: Their scores; None where nothing was held out.
        nearest_mean: See `report`.

    Returns:
        ``accuracy`` share of evaluated rows whose likeliest class is right, ``accuracy_interval`` its 95% Wilson
        interval, as wide as so many different items make it; ``balanced_accuracy`` mean recall and ``macro_f1`` mean
        F1 of the classes that were evaluated; ``log_loss`` mean of -ln p(true class); ``ece`` expected calibration
        error in 15 bins of equal width;
        of exactly two classes ``positive`` the one with fewer rows (the second where they have as many), ``roc_auc``
        and ``average_precision`` of telling it from the other (null where one of them was not evaluated);
        ``macro_average_precision`` mean average precision of telling each evaluated class from the rest;
        ``confusion`` list of [true, predicted, count], indices into ``classes``, zero counts left out;
        ``per_class`` list of ``class``, ``support`` (rows given), ``evaluated`` (rows held out), ``precision``,
        ``recall``, ``f1``, ``average_precision``;
        ``baselines`` ``majority`` (the training folds' class shares) and ``nearest_mean`` (cosine to the class mean),
        each with ``accuracy`` and ``log_loss`` on the same rows.
        Rows weigh what their weight says in all but counts and interval.
    """
    log_p = None if crossed is None else log_softmax(crossed.scores)
    per_class = _per_class(task, support, crossed, log_p)
    figures = dict(_NO_FIGURES)
    if crossed is not None and log_p is not None:
        figures = _figures(task, crossed, log_p)
        precisions = [row["average_precision"] for row in per_class if row["average_precision"] is not None]
        figures["macro_average_precision"] = float(np.mean(precisions)) if precisions else None
    return {**figures, "per_class": per_class, "baselines": _baselines(task, comparison, nearest_mean)}


def candidate(task: Task, comparison: Comparison, index: int, choice: Choice | None) -> dict[str, Any]:
    """``nll`` at its temperature on its held-out rows, and ``accuracy``."""
    if choice is None:
        return {"nll": None, "accuracy": None}
    rows = comparison.seen(index)
    right = comparison.scores[index][rows].argmax(axis=1) == task.labels[rows]
    weights = weights_of(len(right), None if comparison.weights is None else comparison.weights[rows])
    return {"nll": float(choice.loss[index]), "accuracy": min(1.0, float(weights @ right / weights.sum()))}


def notes(result: dict[str, Any]) -> list[str]:
    """Sentences on what the figures of `measure` do not show at a glance."""
    if not result["evaluated"]:
        return [
            "No two classes have two different examples each, so nothing could be held out: accuracy is not known and "
            "the probabilities are not calibrated. A second, different example of each class mends both; one item "
            "under several labels counts for one."
        ]
    return unseen(result) + _misleading(result) + beaten(result, ("accuracy",))


def _figures(task: Task, crossed: Crossed, log_p: F64) -> dict[str, Any]:
    y, weights = task.labels[crossed.rows], weights_of(len(crossed.rows), crossed.weights)
    predicted = log_p.argmax(axis=1)
    accuracy = min(1.0, float(weights @ (predicted == y) / weights.sum()))
    different = len(np.unique(task.groups[crossed.rows]))
    evaluated = np.unique(y)
    cells, counts = np.unique(np.stack([y, predicted], axis=1), axis=0, return_counts=True)
    _, recall, f1 = precision_recall_f1(y, predicted, log_p.shape[1], weights)
    return {
        **_NO_FIGURES,
        "accuracy": accuracy,
        "accuracy_interval": list(wilson_interval(accuracy * different, different)),
        "balanced_accuracy": float(recall[evaluated].mean()),
        "macro_f1": float(f1[evaluated].mean()),
        "log_loss": float(-weights @ log_p[np.arange(len(y)), y] / weights.sum()),
        "ece": expected_calibration_error(np.exp(log_p), y, weights),
        **_of_two_classes(task, y, log_p, weights),
        "confusion": [[int(t), int(p), int(c)] for (t, p), c in zip(cells, counts, strict=True)],
    }


def _of_two_classes(task: Task, y: I64, log_p: F64, weights: F64) -> dict[str, Any]:
    if len(task.classes) != 2:
        return {}
    counts = task.counts
    positive = int(counts[1] <= counts[0])
    odds, truth = log_p[:, positive] - log_p[:, 1 - positive], y == positive
    if truth.all() or not truth.any():
        return {"positive": task.classes[positive]}
    return {
        "positive": task.classes[positive],
        "roc_auc": roc_auc(odds, truth, weights),
        "average_precision": average_precision(odds, truth, weights),
    }


def _per_class(task: Task, support: I64, crossed: Crossed | None, log_p: F64 | None) -> list[dict[str, Any]]:
    k = len(task.classes)
    y = np.empty(0, dtype=np.int64) if crossed is None else task.labels[crossed.rows]
    evaluated = np.bincount(y, minlength=k)
    rows: list[dict[str, Any]] = []
    figures = np.zeros((4, k))
    if crossed is not None and log_p is not None:
        weights = weights_of(len(y), crossed.weights)
        figures[:3] = precision_recall_f1(y, log_p.argmax(axis=1), k, weights)
        # Against the rest, by log odds: near one, probabilities are rounded.
        odds = log_p - np.log(np.maximum(-np.expm1(log_p), np.finfo(np.float64).tiny))
        for shown in np.flatnonzero(evaluated):
            figures[3, shown] = average_precision(odds[:, shown], y == shown, weights)
    for c, name in enumerate(task.classes):
        known = [float(figure[c]) if evaluated[c] else None for figure in figures]
        rows.append({"class": name, "support": int(support[c]), "evaluated": int(evaluated[c])})
        rows[-1] |= dict(zip(("precision", "recall", "f1", "average_precision"), known, strict=True))
    return rows


def _baselines(task: Task, comparison: Comparison, nearest_mean: F32 | None) -> dict[str, Any]:
    if nearest_mean is None:
        return {"majority": None, "nearest_mean": None}
    largest = int(task.counts.argmax())
    majority, rows = majority_scores(task, comparison)
    y, weights = task.labels[rows], None if comparison.weights is None else comparison.weights[rows]
    return {
        # One class for all folds: the largest of what is left of stratified folds changes with the fold that is out.
        "majority": _brief(majority, y, weights) | {"accuracy": _share(y == largest, weights)},
        "nearest_mean": _brief(log_softmax(at_temperature(nearest_mean, task, comparison)[rows]), y, weights),
    }


def majority_scores(task: Task, comparison: Comparison) -> tuple[F64, I64]:
    """Log shares of the classes outside each fold for the rows inside it: (m, k), and (m,) which rows."""
    k, found, rows = len(task.classes), [], []
    given = np.ones(len(task.y)) if task.weights is None else task.weights
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        shares = np.bincount(task.labels[~inside], given[~inside], minlength=k)
        # A class without a row outside gets the weight of half a row, so that its loss stays finite.
        shares = np.maximum(shares, given[~inside].mean() / 2) / shares.sum()
        found.append(np.tile(np.log(shares), (int(inside.sum()), 1)))
        rows.append(np.flatnonzero(inside))
    return np.concatenate(found), np.concatenate(rows)


def at_temperature(scores: F32, task: Task, comparison: Comparison) -> F32:
    """(n, k) scores, those of each fold divided by the temperature that the other folds' rows call for."""
    result = scores.copy()
    for fold in range(int(comparison.folds.max()) + 1):
        task.check()
        inside, others = comparison.folds == fold, comparison.held_out & (comparison.folds != fold)
        weights = None if comparison.weights is None else comparison.weights[others]
        y = task.marks if task.multilabel else task.labels
        result[inside] /= np.float32(fit_temperature(scores[others], y[others], weights))
    return result


def _brief(log_p: F64, y: I64, weights: F64 | None) -> dict[str, float]:
    w = weights_of(len(y), weights)
    log_loss = float(-w @ log_p[np.arange(len(y)), y] / w.sum())
    return {"accuracy": _share(log_p.argmax(axis=1) == y, weights), "log_loss": log_loss}


def _share(true: F64 | Any, weights: F64 | None) -> float:
    w = weights_of(len(true), weights)
    return min(1.0, float(w @ true / w.sum()))


def unseen(result: dict[str, Any]) -> list[str]:
    """Classes that no figure tells of."""
    single = [row["class"] for row in result["per_class"] if row["evaluated"] == 0 and row["support"] > 0]
    if not single:
        return []
    return [
        f"{len(single)} class(es) with a single different example were always in training and are not evaluated: "
        f"{', '.join(single[:10])}{', ...' if len(single) > 10 else ''}."
    ]


def _misleading(result: dict[str, Any]) -> list[str]:
    largest = max(result["per_class"], key=lambda row: int(row["support"]))
    share = largest["support"] / result["items"]
    if share <= _MISLEADING_SHARE:
        return []
    better = "average_precision" if result["positive"] is not None else "macro_average_precision"
    return [
        f"{share:.1%} of the rows are {largest['class']!r}, so accuracy is high whatever is answered of the others: "
        f"look at balanced_accuracy, {better} and the recall of each class."
    ]


_BASELINES = (("majority", "always answering the largest class"), ("nearest_mean", "the nearest class mean"))


def beaten(result: dict[str, Any], shares: tuple[str, ...]) -> list[str]:
    """Which baselines do as well.

    Args:
        result: The report.
        shares: Figures beside the log loss that both have; larger is better.
    """
    found = []
    for name, words in _BASELINES:
        baseline = result["baselines"][name]
        if baseline is None or (name == "nearest_mean" and result["method"] == _NEAREST_MEAN):
            continue  # It is the baseline.
        for share in shares:
            if result[share] <= baseline[share] < 1:
                called = share.replace("_", " ")
                found.append(f"Its {called} ({result[share]:.3f}) does not beat {words} ({baseline[share]:.3f}).")
        if result["log_loss"] >= baseline["log_loss"]:
            found.append(f"Its log loss ({result['log_loss']:.3f}) does not beat {words} ({baseline['log_loss']:.3f}).")
    return found
