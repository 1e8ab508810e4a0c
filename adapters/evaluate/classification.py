"""What a report says of classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Task
from adapters.calibrate import fit_temperature
from adapters.evaluate.metrics import (
    average_precision,
    expected_calibration_error,
    precision_recall_f1,
    roc_auc,
    wilson_interval,
)
from adapters.linalg import log_softmax
from adapters.select import Choice, Comparison, cross_pick

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
    "confusion": [],
}


@dataclass(frozen=True)
class CrossFitted:
    """Probabilities of held-out rows, each by the candidate and the temperature that the other folds chose.

    Attributes:
        log_p: (m, k) float64 log probabilities.
        y: (m,) true classes.
        rows: (m,) index of each row in the task.
    """

    log_p: F64
    y: I64
    rows: I64


def measure(
    task: Task, comparison: Comparison, choice: Choice | None, nearest_mean: F32 | None, temperature: float
) -> dict[str, Any]:
    """A report's fields for classes.

    Returns:
        ``classes`` in the order of all answers; ``temperature``; ``calibrated`` whether the temperature was measured;
        ``accuracy`` share of evaluated rows whose likeliest class is right, ``accuracy_interval`` its 95% Wilson
        interval, as wide as so many different items make it; ``balanced_accuracy`` mean recall and ``macro_f1`` mean
        F1 of the classes that were evaluated; ``log_loss`` mean of -ln p(true class); ``ece`` expected calibration
        error in 15 bins of equal width;
        of exactly two classes ``positive`` the one with fewer rows (the second where they have as many), ``roc_auc``
        and ``average_precision`` of telling it from the other;
        ``confusion`` list of [true, predicted, count], indices into ``classes``, zero counts left out;
        ``per_class`` list of ``class``, ``support`` (rows given), ``evaluated`` (rows held out), ``precision``,
        ``recall``, ``f1``;
        ``baselines`` ``majority`` (the training folds' class shares) and ``nearest_mean`` (cosine to the class mean),
        each with ``accuracy`` and ``log_loss`` on the same rows.
    """
    fitted = cross_fit(comparison, task.labels) if comparison.possible else None
    return {
        "classes": list(task.classes),
        "temperature": float(temperature),
        "calibrated": choice is not None,
        **(_figures(task, fitted) if fitted else _NO_FIGURES),
        "per_class": _per_class(task, fitted),
        "baselines": _baselines(task, comparison, nearest_mean),
    }


def candidate(task: Task, comparison: Comparison, index: int, choice: Choice | None) -> dict[str, Any]:
    """``nll`` at its temperature on all held-out rows, and ``accuracy``."""
    if choice is None:
        return {"nll": None, "accuracy": None}
    rows = comparison.held_out
    accuracy = float((comparison.scores[index][rows].argmax(axis=1) == task.y[rows]).mean())
    return {"nll": float(choice.loss[index]), "accuracy": accuracy}


def cross_fit(comparison: Comparison, y: I64) -> CrossFitted:
    """Probabilities of every held-out row, by what the other folds chose."""
    parts, rows = [], []
    for choice, inside in cross_pick(comparison, y):
        parts.append(log_softmax(comparison.scores[choice.index][inside] / np.float32(choice.temperature)))
        rows.append(np.flatnonzero(inside))
    index = np.concatenate(rows)
    return CrossFitted(np.concatenate(parts), y[index], index)


def notes(result: dict[str, Any]) -> list[str]:
    """Sentences on what the figures of `measure` do not show at a glance."""
    if not result["calibrated"]:
        return [
            "No two classes have two different examples each, so nothing could be held out: accuracy is not known and "
            "the probabilities are not calibrated. A second, different example of each class mends both; one item "
            "under several labels counts for one."
        ]
    return _unseen(result) + _misleading(result) + _beaten(result)


def _figures(task: Task, fitted: CrossFitted) -> dict[str, Any]:
    predicted = fitted.log_p.argmax(axis=1)
    accuracy = float((predicted == fitted.y).mean())
    different = len(np.unique(task.groups[fitted.rows]))
    evaluated = np.unique(fitted.y)
    cells, counts = np.unique(np.stack([fitted.y, predicted], axis=1), axis=0, return_counts=True)
    _, recall, f1 = precision_recall_f1(fitted.y, predicted, fitted.log_p.shape[1])
    return {
        "accuracy": accuracy,
        "accuracy_interval": list(wilson_interval(accuracy * different, different)),
        "balanced_accuracy": float(recall[evaluated].mean()),
        "macro_f1": float(f1[evaluated].mean()),
        "log_loss": float(-fitted.log_p[np.arange(len(fitted.y)), fitted.y].mean()),
        "ece": expected_calibration_error(np.exp(fitted.log_p), fitted.y),
        **_of_two_classes(task, fitted),
        "confusion": [[int(t), int(p), int(c)] for (t, p), c in zip(cells, counts, strict=True)],
    }


def _of_two_classes(task: Task, fitted: CrossFitted) -> dict[str, Any]:
    if len(task.classes) != 2:
        return {"positive": None, "roc_auc": None, "average_precision": None}
    counts = np.bincount(task.labels, minlength=2)
    positive = int(counts[1] <= counts[0])
    odds, truth = fitted.log_p[:, positive] - fitted.log_p[:, 1 - positive], fitted.y == positive
    return {
        "positive": task.classes[positive],
        "roc_auc": roc_auc(odds, truth),
        "average_precision": average_precision(odds, truth),
    }


def _per_class(task: Task, fitted: CrossFitted | None) -> list[dict[str, Any]]:
    k = len(task.classes)
    support = np.bincount(task.labels, minlength=k)
    evaluated = np.zeros(k, dtype=np.int64) if fitted is None else np.bincount(fitted.y, minlength=k)
    rows: list[dict[str, Any]] = []
    predicted = None if fitted is None else fitted.log_p.argmax(axis=1)
    scores = None if fitted is None or predicted is None else precision_recall_f1(fitted.y, predicted, k)
    for c, name in enumerate(task.classes):
        known = scores is not None and evaluated[c] > 0
        precision, recall, f1 = (float(s[c]) for s in scores) if known and scores is not None else (None, None, None)
        rows.append({"class": name, "support": int(support[c]), "evaluated": int(evaluated[c])})
        rows[-1] |= {"precision": precision, "recall": recall, "f1": f1}
    return rows


def _baselines(task: Task, comparison: Comparison, nearest_mean: F32 | None) -> dict[str, Any]:
    if nearest_mean is None:
        return {"majority": None, "nearest_mean": None}
    k, folds, labels = len(task.classes), comparison.folds, task.labels
    shares, nearest, truth = [], [], []
    for fold in range(int(folds.max()) + 1):
        inside, others = folds == fold, comparison.held_out & (folds != fold)
        counts = np.bincount(labels[~inside], minlength=k)
        shares.append(np.tile(np.log(counts / counts.sum()), (int(inside.sum()), 1)))
        temperature = fit_temperature(nearest_mean[others], labels[others])
        nearest.append(log_softmax(nearest_mean[inside] / np.float32(temperature)))
        truth.append(labels[inside])
    y = np.concatenate(truth)
    largest = int(np.bincount(labels, minlength=k).argmax())
    return {
        # One class for all folds: the largest of what is left of stratified folds changes with the fold that is out.
        "majority": _brief(np.concatenate(shares), y) | {"accuracy": float((y == largest).mean())},
        "nearest_mean": _brief(np.concatenate(nearest), y),
    }


def _brief(log_p: F64, y: I64) -> dict[str, float]:
    accuracy = float((log_p.argmax(axis=1) == y).mean())
    return {"accuracy": accuracy, "log_loss": float(-log_p[np.arange(len(y)), y].mean())}


def _unseen(result: dict[str, Any]) -> list[str]:
    unseen = [row["class"] for row in result["per_class"] if row["evaluated"] == 0]
    if not unseen:
        return []
    return [
        f"{len(unseen)} class(es) with a single different example were always in training and are not evaluated: "
        f"{', '.join(unseen[:10])}{', ...' if len(unseen) > 10 else ''}."
    ]


def _misleading(result: dict[str, Any]) -> list[str]:
    largest = max(result["per_class"], key=lambda row: int(row["support"]))
    share = largest["support"] / result["items"]
    if share <= _MISLEADING_SHARE:
        return []
    better = ", average_precision" if result["positive"] is not None else ""
    return [
        f"{share:.1%} of the rows are {largest['class']!r}, so accuracy is high whatever is answered of the others: "
        f"look at balanced_accuracy{better} and the recall of each class."
    ]


def _beaten(result: dict[str, Any]) -> list[str]:
    found = []
    for name, words in (("majority", "always answering the largest class"), ("nearest_mean", "the nearest class mean")):
        baseline = result["baselines"][name]
        if name == "nearest_mean" and result["method"] == _NEAREST_MEAN:
            continue  # It is the baseline.
        if result["accuracy"] <= baseline["accuracy"] < 1:
            found.append(f"Its accuracy ({result['accuracy']:.3f}) does not beat {words} ({baseline['accuracy']:.3f}).")
        if result["log_loss"] >= baseline["log_loss"]:
            found.append(f"Its log loss ({result['log_loss']:.3f}) does not beat {words} ({baseline['log_loss']:.3f}).")
    return found
