"""The report of a zero-shot adapter: how well it tells classes that it had no example of, and those that it had.

Every figure is cross-chosen: what a split is judged by, the other splits chose.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Mask, Method, Task, TaskKind
from adapters.evaluate.metrics import expected_calibration_error, wilson_interval
from adapters.zero_shot.compare import Settled
from adapters.zero_shot.judged import Judged, recall
from adapters.zero_shot.splits import Split
from adapters.zero_shot.stacking import harmonic_mean
from adapters.zero_shot.trials import Trials

_SHOWN_ATTRIBUTES = 10
_FEW_SPLITS = 4
_FEW_CLASSES = 5

_NO_FIGURES: dict[str, Any] = {
    "accuracy": None,
    "accuracy_interval": None,
    "balanced_accuracy": None,
    "macro_f1": None,
    "log_loss": None,
    "ece": None,
    "confusion": [],
}


def report_unseen(
    task: Task,
    method: Method,
    *,
    trials: Trials,
    settled: Settled | None,
    judged: Sequence[Judged],
    seen: Mask,
    classes: Sequence[str],
    temperature: float,
    stacking: float,
    whole: Task,
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values (null where a figure does not exist).

    Args:
        task: The rows that were compared on.
        method: What was published, all parameters filled in.
        trials: Of all candidates.
        settled: What all splits chose; None where nothing could be chosen.
        judged: Rows as they are answered by what they had no say in; none where nothing was measured.
        seen: (k,) classes of the head that it had examples of.
        classes: k names, in the order of all answers.
        temperature: Of the published adapter.
        stacking: What it takes from the scores of seen classes.
        whole: All rows.

    Returns:
        What `adapters.evaluate.report` has of classes, where it makes sense: ``accuracy`` is the mean over classes,
        seen and set apart together, of the share of their rows that are right; ``accuracy_interval`` its 95% Wilson
        interval for so many different items; ``log_loss`` and ``ece`` with every class alike. Beside: ``zero_shot``
        with ``seen_accuracy``, ``unseen_accuracy``, ``harmonic_mean``, the same as ``raw`` without stacking,
        ``unseen_among_themselves``, ``stacking``, ``splits``, ``classes_apart`` a split, ``seen`` and ``unseen``
        numbers of classes; ``per_class`` list of ``class``, ``seen``, ``support``, ``evaluated``, ``recall`` as a class
        that was learned, ``recall_apart`` as one set apart; ``attributes`` list of ``class`` and ``attributes``,
        triples of name, expected and predicted value, of classes set apart; ``candidates`` list of ``method``,
        ``parameters``, ``nll`` and ``accuracy`` (among classes set apart), ``stderr``, ``chosen``.
    """
    rows = np.concatenate([of.split.judged for of in judged]) if judged else np.zeros(0, dtype=np.int64)
    zero_shot = _zero_shot(judged) | {
        "stacking": float(stacking),
        "splits": len(trials.splits) if settled is not None else 0,
        "classes_apart": int(trials.splits[0].apart.sum()) if trials.splits else 0,
        "seen": int(seen.sum()),
        "unseen": int((~seen).sum()),
    }
    result: dict[str, Any] = {
        "format": 1,
        "task": task.kind.value,
        "items": len(whole.y),
        "compared": len(task.y),
        "weighted": whole.weights is not None,
        "evaluated": len(np.unique(rows)),
        "different": len(np.unique(task.groups[rows])),
        "folds": len(judged),
        "method": method.model_dump(mode="json"),
        "classes": list(classes),
        "temperature": float(temperature),
        "calibrated": bool(judged),
        **_figures(task, judged),
        "zero_shot": zero_shot,
        "per_class": _per_class(whole, seen, classes, judged),
        "attributes": _attributes(task, trials, settled),
        "baselines": {"majority": None, "nearest_mean": None},
        "guard": [],
        "candidates": _candidates(trials, settled),
        "left_out": [
            {"method": left.method.method, "parameters": left.method.parameters(), "why": left.why}
            for left in trials.left_out
        ],
    }
    return result | {"notes": _notes(result, judged)}


def _mean(parts: Sequence[F64]) -> float | None:
    """Mean of what is known of some arrays; None where nothing is."""
    values = np.concatenate(parts) if parts else np.zeros(0)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _sides(judged: Sequence[Judged], name: str) -> dict[str, float | None]:
    seen = _mean([getattr(of, name)[~of.split.apart] for of in judged])
    unseen = _mean([getattr(of, name)[of.split.apart] for of in judged])
    both = seen is None or unseen is None
    return {
        "seen_accuracy": seen,
        "unseen_accuracy": unseen,
        "harmonic_mean": None if both else float(harmonic_mean(np.array([seen]), np.array([unseen]))[0]),
    }


def _zero_shot(judged: Sequence[Judged]) -> dict[str, Any]:
    return {
        **_sides(judged, "recall"),
        "raw": _sides(judged, "raw"),
        "unseen_among_themselves": _mean([of.among[of.split.apart] for of in judged]),
    }


def _figures(task: Task, judged: Sequence[Judged]) -> dict[str, Any]:
    accuracy = _mean([of.recall for of in judged])
    if accuracy is None:
        return dict(_NO_FIGURES)
    log_p = np.concatenate([of.log_p for of in judged])
    y = np.concatenate([of.split.y for of in judged])
    weights = np.concatenate([of.split.weights for of in judged])
    rows = np.concatenate([of.split.judged for of in judged])
    different = len(np.unique(task.groups[rows]))
    return _NO_FIGURES | {
        "accuracy": accuracy,
        "accuracy_interval": list(wilson_interval(accuracy * different, different)),
        "balanced_accuracy": accuracy,
        "log_loss": float(-weights @ log_p[np.arange(len(y)), y] / weights.sum()),
        "ece": expected_calibration_error(np.exp(log_p), y, weights * (len(y) / weights.sum())),
    }


def _per_class(whole: Task, seen: Mask, classes: Sequence[str], judged: Sequence[Judged]) -> list[dict[str, Any]]:
    counts = _support(whole, classes)
    found: list[dict[str, Any]] = []
    for number, name in enumerate(classes):
        as_learned: list[float] = []
        apart: list[float] = []
        evaluated: set[int] = set()
        for of in judged:
            for column in np.flatnonzero(of.split.columns == number):
                (apart if of.split.apart[column] else as_learned).append(of.recall[column])
                evaluated |= set(of.split.judged[of.split.y == column].tolist())
        found.append(
            {
                "class": name,
                "seen": bool(seen[number]),
                "support": int(counts[number]),
                "evaluated": len(evaluated),
                "recall": _mean([np.array(as_learned)]),
                "recall_apart": _mean([np.array(apart)]),
            }
        )
    return found


def _support(whole: Task, classes: Sequence[str]) -> I64:
    if tuple(classes) != whole.classes:
        return np.zeros(len(classes), dtype=np.int64)
    return whole.counts


def _attributes(task: Task, trials: Trials, settled: Settled | None) -> list[dict[str, Any]]:
    """What classes set apart were taken to be, beside what their signatures say; where they differ most from others."""
    signatures = task.signatures
    if settled is None or signatures is None:
        return []
    found: list[dict[str, Any]] = []
    shown = set[int]()
    filled = signatures.filled(~task.absent)
    unlike = np.abs(filled - filled.mean(axis=0))
    for index, _ in settled.mix.parts:
        for split, trial in zip(trials.splits, trials.found[index], strict=True):
            if trial.predicted is None:
                continue
            for column in np.flatnonzero(split.apart):
                number = int(split.columns[column])
                if number in shown or np.isnan(trial.predicted[column]).any():
                    continue
                shown.add(number)
                most = np.argsort(-unlike[number], kind="stable")[:_SHOWN_ATTRIBUTES]
                expected, predicted = signatures.values[number], trial.predicted[column]
                triples = [
                    [signatures.attributes[a], _number(expected[a]), _number(predicted[a])] for a in most.tolist()
                ]
                found.append({"class": signatures.classes[number], "attributes": triples})
        if found:
            break
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _candidates(trials: Trials, settled: Settled | None) -> list[dict[str, Any]]:
    found = []
    chosen = set() if settled is None else {index for index, _ in settled.mix.parts}
    for index, method in enumerate(trials.methods):
        entry = {
            "method": method.method,
            "parameters": method.parameters(),
            "evaluated": int(sum(split.foreign.sum() for split in trials.splits)),
            "nll": None if settled is None else float(settled.loss[index]),
            "accuracy": _mean([_among(split, trials.found[index][i].scores) for i, split in enumerate(trials.splits)]),
            "stderr": None if settled is None else float(settled.stderr[index]),
            "chosen": index in chosen,
        }
        found.append(entry)
    return found


def _among(split: Split, scores: F32) -> F64:
    return recall(split, np.where(split.apart, scores, -np.inf).astype(np.float32))[split.apart]


def _notes(result: dict[str, Any], judged: Sequence[Judged]) -> list[str]:
    if result["task"] == TaskKind.MULTILABEL:
        return [
            "Rows are labelled with attributes and none with a class of the signatures: how well classes are told is "
            "not known, and their probabilities are not calibrated. How well attributes are told is measured on "
            "held-out rows, where there are any."
        ]
    if not judged:
        return [
            "No classes could be set apart with rows of others beside them, so nothing was measured or chosen: "
            "accuracy is not known and the probabilities are not calibrated. Labelled examples of three classes or "
            "more mend both."
        ]
    if not result["zero_shot"]["splits"]:
        return [
            "Nothing was learned from the rows but the temperature, so all of them judge what was published. "
            "Accuracies are means over classes; the interval counts items, not classes."
        ]
    notes = [
        f"Accuracies are means over classes, on {len(judged)} splits with {result['zero_shot']['classes_apart']} of "
        "the classes with examples set apart as if they had none; classes that truly have none are not among the "
        "answers there, and may be told better or worse. The interval counts items, not classes."
    ]
    if len(judged) < _FEW_SPLITS or result["zero_shot"]["seen"] < _FEW_CLASSES:
        notes.append(f"Only {result['zero_shot']['seen']} classes have examples: every figure here is rough.")
    if result["zero_shot"]["seen_accuracy"] is None:
        notes.append(
            "No row of a class that stayed could be held out, so seen classes are not judged and nothing is taken from "
            "their scores. A second, different example of each class mends it."
        )
    if result["compared"] < result["items"]:
        notes.append(
            f"Methods were compared on {result['compared']} of the {result['items']} rows; what was chosen was fitted "
            "to all of them."
        )
    return notes
