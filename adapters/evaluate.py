"""The report: how good an adapter is, on rows that nothing about it had seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, I64, Method, Task
from adapters.calibrate import fit_temperature
from adapters.linalg import F64, log_softmax
from adapters.select import Choice, Comparison, pick

Mask = npt.NDArray[np.bool_]

_ECE_BINS = 15
_Z95 = 1.959963984540054


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

    Accuracy, log loss and the rest come from cross-fitting: for each fold the candidate, its parameters and its
    temperature are chosen on the other folds' held-out scores, so that choosing does not flatter the figures.

    Args:
        task: All rows.
        method: What was published, all parameters filled in.
        comparison: Out-of-fold scores of every candidate.
        choice: What was picked on all held-out rows, None where there were none.
        nearest_mean: (n, k) out-of-fold scores of the nearest class mean on the same folds, None where there were none.
        temperature: Of the published adapter.

    Returns:
        ``format`` 1; ``items`` rows given; ``evaluated`` rows held out once; ``folds``; ``classes`` in the order of all
        answers; ``method`` with its parameters; ``temperature``; ``calibrated`` whether the temperature was measured;
        ``different`` evaluated items that differ (rows of one group count once);
        ``accuracy`` share of evaluated rows whose likeliest class is right, ``accuracy_interval`` its 95% Wilson
        interval, as wide as so many different items make it; ``macro_f1`` mean F1 of the classes that were evaluated;
        ``log_loss`` mean of -ln p(true class); ``ece`` expected calibration error in 15 bins of equal width;
        ``confusion`` list of [true, predicted, count], indices into ``classes``, zero counts left out;
        ``per_class`` list of ``class``, ``support`` (rows given), ``evaluated`` (rows held out), ``precision``,
        ``recall``, ``f1``;
        ``baselines`` ``majority`` (the training folds' class shares) and ``nearest_mean`` (cosine to the class mean),
        each with ``accuracy`` and ``log_loss`` on the same rows;
        ``candidates`` list of ``method``, ``parameters``, ``nll`` (at its temperature on all held-out rows),
        ``accuracy``, ``stderr`` (standard error over rows of its difference in nll to the lowest), ``chosen``;
        ``notes`` sentences that a reader should know.
    """
    fitted = cross_fit(comparison, task.y) if comparison.possible else None
    result: dict[str, Any] = {
        "format": 1,
        "items": len(task.y),
        "evaluated": int(comparison.held_out.sum()),
        "folds": int(comparison.folds.max()) + 1,
        "classes": list(task.classes),
        "method": method.model_dump(mode="json"),
        "temperature": float(temperature),
        "calibrated": choice is not None,
        **(_figures(fitted, task.groups) if fitted else _NO_FIGURES),
        "per_class": _per_class(task, fitted),
        "baselines": _baselines(task, comparison, nearest_mean),
        "candidates": _candidates(task, method, comparison, choice),
    }
    return result | {"notes": _notes(result)}


_FEW_ITEMS = 20

_NEAREST_MEAN = {"method": "prototype", "prior": "none"}

_NO_FIGURES: dict[str, Any] = {
    "different": 0,
    "accuracy": None,
    "accuracy_interval": None,
    "macro_f1": None,
    "log_loss": None,
    "ece": None,
    "confusion": [],
}


def cross_fit(comparison: Comparison, y: I64) -> CrossFitted:
    """Probabilities of every held-out row, by what the other folds chose."""
    parts, rows = [], []
    for fold in range(int(comparison.folds.max()) + 1):
        inside = comparison.folds == fold
        choice = pick(comparison, y, comparison.held_out & ~inside)
        parts.append(log_softmax(comparison.scores[choice.index][inside] / np.float32(choice.temperature)))
        rows.append(np.flatnonzero(inside))
    index = np.concatenate(rows)
    return CrossFitted(np.concatenate(parts), y[index], index)


def wilson_interval(right: float, total: int) -> tuple[float, float]:
    """95% interval of a share.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.
    """
    share, z2 = right / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def expected_calibration_error(p: F64, y: I64, bins: int = _ECE_BINS) -> float:
    """Mean gap between the top probability and being right, over bins of equal width, weighted by rows.

    Args:
        p: (n, k) probabilities.
        y: (n,) true classes.
        bins: How many.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015.
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(y))


def _figures(fitted: CrossFitted, groups: I64) -> dict[str, Any]:
    predicted = fitted.log_p.argmax(axis=1)
    accuracy = float((predicted == fitted.y).mean())
    different = len(np.unique(groups[fitted.rows]))
    cells, counts = np.unique(np.stack([fitted.y, predicted], axis=1), axis=0, return_counts=True)
    _, _, f1 = _precision_recall_f1(fitted.y, predicted, fitted.log_p.shape[1])
    return {
        "different": different,
        "accuracy": accuracy,
        "accuracy_interval": list(wilson_interval(accuracy * different, different)),
        "macro_f1": float(f1[np.unique(fitted.y)].mean()),
        "log_loss": float(-fitted.log_p[np.arange(len(fitted.y)), fitted.y].mean()),
        "ece": expected_calibration_error(np.exp(fitted.log_p), fitted.y),
        "confusion": [[int(t), int(p), int(c)] for (t, p), c in zip(cells, counts, strict=True)],
    }


def _precision_recall_f1(y: I64, predicted: I64, k: int) -> tuple[F64, F64, F64]:
    """Each (k,); zero where the denominator is."""
    right = np.bincount(y[y == predicted], minlength=k).astype(np.float64)
    said, true = np.bincount(predicted, minlength=k), np.bincount(y, minlength=k)
    return right / np.maximum(said, 1), right / np.maximum(true, 1), 2 * right / np.maximum(said + true, 1)


def _per_class(task: Task, fitted: CrossFitted | None) -> list[dict[str, Any]]:
    k = len(task.classes)
    support = np.bincount(task.y, minlength=k)
    evaluated = np.zeros(k, dtype=np.int64) if fitted is None else np.bincount(fitted.y, minlength=k)
    rows: list[dict[str, Any]] = []
    predicted = None if fitted is None else fitted.log_p.argmax(axis=1)
    scores = None if fitted is None or predicted is None else _precision_recall_f1(fitted.y, predicted, k)
    for c, name in enumerate(task.classes):
        known = scores is not None and evaluated[c] > 0
        precision, recall, f1 = (float(s[c]) for s in scores) if known and scores is not None else (None, None, None)
        rows.append({"class": name, "support": int(support[c]), "evaluated": int(evaluated[c])})
        rows[-1] |= {"precision": precision, "recall": recall, "f1": f1}
    return rows


def _baselines(task: Task, comparison: Comparison, nearest_mean: F32 | None) -> dict[str, Any]:
    if nearest_mean is None:
        return {"majority": None, "nearest_mean": None}
    k, folds = len(task.classes), comparison.folds
    shares, nearest, truth = [], [], []
    for fold in range(int(folds.max()) + 1):
        inside, others = folds == fold, comparison.held_out & (folds != fold)
        counts = np.bincount(task.y[~inside], minlength=k)
        shares.append(np.tile(np.log(counts / counts.sum()), (int(inside.sum()), 1)))
        temperature = fit_temperature(nearest_mean[others], task.y[others])
        nearest.append(log_softmax(nearest_mean[inside] / np.float32(temperature)))
        truth.append(task.y[inside])
    y = np.concatenate(truth)
    largest = int(np.bincount(task.y, minlength=k).argmax())
    return {
        # One class for all folds: the largest of what is left of stratified folds changes with the fold that is out.
        "majority": _brief(np.concatenate(shares), y) | {"accuracy": float((y == largest).mean())},
        "nearest_mean": _brief(np.concatenate(nearest), y),
    }


def _brief(log_p: F64, y: I64) -> dict[str, float]:
    accuracy = float((log_p.argmax(axis=1) == y).mean())
    return {"accuracy": accuracy, "log_loss": float(-log_p[np.arange(len(y)), y].mean())}


def _candidates(task: Task, method: Method, comparison: Comparison, choice: Choice | None) -> list[dict[str, Any]]:
    rows = comparison.held_out
    result = []
    for i, candidate in enumerate(comparison.methods):
        entry: dict[str, Any] = {"method": candidate.method, "parameters": candidate.parameters()}
        if choice is None:
            entry |= {"nll": None, "accuracy": None, "stderr": None, "chosen": candidate == method}
        else:
            accuracy = float((comparison.scores[i][rows].argmax(axis=1) == task.y[rows]).mean())
            entry |= {"nll": float(choice.nll[i]), "accuracy": accuracy, "stderr": float(choice.stderr[i])}
            entry["chosen"] = i == choice.index
        result.append(entry)
    return result


def _notes(result: dict[str, Any]) -> list[str]:
    if not result["calibrated"]:
        return [
            "No two classes have two different examples each, so nothing could be held out: accuracy is not known and "
            "the probabilities are not calibrated. A second, different example of each class mends both; one text "
            "under several labels counts for one."
        ]
    notes = []
    if result["different"] < _FEW_ITEMS:
        notes.append(f"Only {result['different']} different items could be held out: every figure here is rough.")
    if result["different"] < result["evaluated"]:
        notes.append(
            f"{result['evaluated']} rows were evaluated and {result['different']} of them differ; the interval counts "
            "different ones."
        )
    unseen = [row["class"] for row in result["per_class"] if row["evaluated"] == 0]
    if unseen:
        notes.append(
            f"{len(unseen)} class(es) with a single different example were always in training and are not evaluated: "
            f"{', '.join(unseen[:10])}{', ...' if len(unseen) > 10 else ''}."
        )
    for name, words in (("majority", "always answering the largest class"), ("nearest_mean", "the nearest class mean")):
        baseline = result["baselines"][name]
        if name == "nearest_mean" and result["method"] == _NEAREST_MEAN:
            continue  # It is the baseline.
        if result["accuracy"] <= baseline["accuracy"] < 1:
            notes.append(f"Its accuracy ({result['accuracy']:.3f}) does not beat {words} ({baseline['accuracy']:.3f}).")
        if result["log_loss"] >= baseline["log_loss"]:
            notes.append(f"Its log loss ({result['log_loss']:.3f}) does not beat {words} ({baseline['log_loss']:.3f}).")
    return notes
