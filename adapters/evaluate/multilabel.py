"""What a report says of classes of which a row may have any number."""

from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.calibrate import nll_by_row
from adapters.comparison import Choice, Comparison
from adapters.evaluate.classification import at_temperature, beaten, unseen
from adapters.evaluate.crossed import Crossed
from adapters.evaluate.metrics import average_precision, calibration_gap, ratios, weights_of
from adapters.thresholds import fit_thresholds

_NO_FIGURES: dict[str, Any] = {
    "micro_f1": None,
    "macro_f1": None,
    "exact_match": None,
    "macro_average_precision": None,
    "log_loss": None,
    "ece": None,
}


def measure(
    task: Task,
    support: I64,
    comparison: Comparison,
    crossed: Crossed | None,
    nearest_mean: F32 | None,
    thresholds: tuple[float, ...],
) -> dict[str, Any]:
    """A report's fields for classes of which a row may have any number.

    Args:
        task: The rows that were compared on.
        support: (k,) rows given of each class.
        comparison: Of the candidates that were chosen among, on the rows that are judged.
        crossed: Their scores; None where nothing was held out.
        nearest_mean: See `report`.
        thresholds: (k,) that are published.

    Returns:
        ``micro_f1`` F1 of all marks taken together and ``macro_f1`` its mean over the classes that were evaluated, both
        at thresholds that the other folds chose; ``exact_match`` share of rows all of whose marks are right there;
        ``macro_average_precision`` mean over these classes of the average precision; ``log_loss`` mean over rows and
        classes of -ln p(what is true); ``ece`` calibration error of all marks in 15 bins of equal width;
        ``per_class`` list of ``class``, ``support`` (rows given that have it), ``evaluated`` (held-out rows that have
        it), ``threshold``, ``precision``, ``recall``, ``f1``, ``average_precision``;
        ``baselines`` ``majority`` (the training folds' share of each class, marked where above one half) and
        ``nearest_mean`` (null where it is of no use), each with ``micro_f1`` and ``log_loss`` on the same rows.
        Rows weigh what their weight says in all but counts.
    """
    marks, p, said = answers(task, crossed)
    weights = np.ones(0) if crossed is None else weights_of(len(marks), crossed.weights)
    per_class = _per_class(task, support, marks, p, said, weights, thresholds)
    known = [row for row in per_class if row["evaluated"]]
    figures = dict(_NO_FIGURES)
    if crossed is not None:
        log_loss = nll_by_row(crossed.scores, marks, 1.0)
        cells = np.broadcast_to(weights[:, None], p.shape).ravel()
        figures = {
            "micro_f1": micro_f1(marks, said, weights),
            "macro_f1": float(np.mean([row["f1"] for row in known])) if known else None,
            "exact_match": float(weights @ (marks == said).all(axis=1) / weights.sum()),
            "macro_average_precision": float(np.mean([row["average_precision"] for row in known])) if known else None,
            "log_loss": float(weights @ log_loss / weights.sum()),
            "ece": calibration_gap(p.ravel(), marks.ravel(), cells),
        }
    return {**figures, "per_class": per_class, "baselines": _baselines(task, comparison, nearest_mean)}


def candidate(task: Task, comparison: Comparison, index: int, choice: Choice | None) -> dict[str, Any]:
    """``nll`` at its temperature on its held-out rows, and ``micro_f1`` where marks are likelier than not."""
    if choice is None:
        return {"nll": None, "micro_f1": None}
    rows = comparison.seen(index)
    marks, said = task.marks[rows], comparison.scores[index][rows] > 0
    weights = weights_of(len(marks), None if comparison.weights is None else comparison.weights[rows])
    return {"nll": float(choice.loss[index]), "micro_f1": micro_f1(marks, said, weights)}


def notes(result: dict[str, Any]) -> list[str]:
    """Sentences on what the figures of `measure` do not show at a glance."""
    if not result["evaluated"]:
        return [
            "There are fewer than four rows or two different items, so nothing could be held out: accuracy is not "
            "known, the probabilities are not calibrated and every threshold is 0.5. More different rows mend that."
        ]
    return unseen(result) + beaten(result, ("micro_f1",))


def micro_f1(marks: Mask, said: Mask, weights: F64) -> float:
    """F1 of all marks taken together: (m, k) each and (m,); zero where nothing is marked and nothing said."""
    right, both = float(weights @ (marks & said).sum(axis=1)), float(weights @ (marks.sum(axis=1) + said.sum(axis=1)))
    return 2 * right / both if both > 0 else 0.0


def answers(task: Task, crossed: Crossed | None) -> tuple[Mask, F64, Mask]:
    """(m, k) the truth, probabilities, and answers at thresholds that the other folds' rows chose."""
    if crossed is None:
        nothing = np.zeros((0, len(task.classes)), dtype=np.bool_)
        return nothing, np.zeros(nothing.shape), nothing
    marks, p = task.marks[crossed.rows], 1 / (1 + np.exp(-crossed.scores.astype(np.float64)))
    said = np.zeros_like(marks)
    for fold in np.unique(crossed.folds):
        inside = crossed.folds == fold
        weights = None if crossed.weights is None else crossed.weights[~inside]
        said[inside] = p[inside] >= fit_thresholds(p[~inside], marks[~inside], weights)
    return marks, p, said


def _per_class(
    task: Task, support: I64, marks: Mask, p: F64, said: Mask, weights: F64, thresholds: tuple[float, ...]
) -> list[dict[str, Any]]:
    precision, recall, f1 = ratios(weights @ (marks & said), weights @ said, weights @ marks)
    evaluated = marks.sum(axis=0)
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(task.classes):
        row = {"class": name, "support": int(support[c]), "evaluated": int(evaluated[c]), "threshold": thresholds[c]}
        known = evaluated[c] > 0
        for word, figure in (("precision", precision), ("recall", recall), ("f1", f1)):
            row[word] = float(figure[c]) if known else None
        row["average_precision"] = average_precision(p[:, c], marks[:, c], weights) if known else None
        rows.append(row)
    return rows


def _baselines(task: Task, comparison: Comparison, nearest_mean: F32 | None) -> dict[str, Any]:
    if not comparison.possible:
        return {"majority": None, "nearest_mean": None}
    odds, rows = majority_scores(task, comparison)
    weights = None if comparison.weights is None else comparison.weights[rows]
    nearest = None if nearest_mean is None else at_temperature(nearest_mean, task, comparison)[rows]
    return {
        "majority": _brief(odds, task.marks[rows], weights),
        "nearest_mean": None if nearest is None else _brief(nearest, task.marks[rows], weights),
    }


def majority_scores(task: Task, comparison: Comparison) -> tuple[F32, I64]:
    """Log odds of the classes outside each fold for the rows inside it: (m, k), and (m,) which rows."""
    found, rows = [], []
    given = np.ones(len(task.y)) if task.weights is None else task.weights
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        marked, total = given[~inside] @ task.marks[~inside], given[~inside].sum()
        # As if half a row more had it and half a row more had not: a class that all have would cost too much.
        half = given[~inside].mean() / 2
        odds = np.log((marked + half) / (total - marked + half))
        found.append(np.tile(odds.astype(np.float32), (int(inside.sum()), 1)))
        rows.append(np.flatnonzero(inside))
    return np.concatenate(found), np.concatenate(rows)


def _brief(scores: F32, marks: Mask, weights: F64 | None) -> dict[str, float]:
    w = weights_of(len(marks), weights)
    log_loss = float(w @ nll_by_row(scores, marks, 1.0) / w.sum())
    return {"micro_f1": micro_f1(marks, scores > 0, w), "log_loss": log_loss}
