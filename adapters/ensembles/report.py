"""What a report says of an average: shares, disagreement, and the gain over the best member."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Method, Task
from adapters.calibrate import nll_by_row
from adapters.ensembles.answers import HeldOut
from adapters.ensembles.learning import Learned, paired_interval
from adapters.ensembles.members import Member, placement
from adapters.ensembles.pool import pool_of
from adapters.evaluate import report
from adapters.evaluate.crossed import Crossed, cross
from adapters.evaluate.metrics import weights_of
from adapters.guard import Fallback, weigh

_SHOWN = 5
_MARKED = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """The average and its members on held-out rows, each row by what the other folds say.

    Attributes:
        task: The rows.
        crossed: Scores of the average.
        answers: (m, n, k) float32 of the members; zero of rows that were not held out.
        losses: (1 + m, n) of the average and of each member: log loss, its mean over classes, or the squared error.
        right: (1 + m, n) whether the likeliest class is the true one; None but for one class a row.
    """

    task: Task
    crossed: Crossed
    answers: F32
    losses: F64
    right: F64 | None


def judge(held: HeldOut, learned: Learned) -> Judged | None:
    """The average and its members on the same rows; None where nothing was held out."""
    if learned.choice is None:
        return None
    task, of = held.task, learned.comparison.judged(learned.choice, held.task.groups)
    crossed, members = cross(of, task.y), len(held.answers)
    answers = np.zeros((members, len(task.y), max(1, len(task.classes))), dtype=np.float32)
    for fold in range(int(held.folds.max()) + 1):
        inside = held.folds == fold
        answers[:, inside] = held.probabilities(held.without(fold))[:, inside]
    scores = [crossed.scores, *_log(task, answers)[:, crossed.rows]]
    losses = np.full((1 + members, len(task.y)), np.nan)
    losses[:, crossed.rows] = [_losses(one, task, crossed.rows) for one in scores]
    if task.regression or task.multilabel:
        return Judged(task, crossed, answers, losses, None)
    right = np.full_like(losses, np.nan)
    right[:, crossed.rows] = [one.argmax(axis=1) == task.labels[crossed.rows] for one in scores]
    return Judged(task, crossed, answers, losses, right)


def measure(
    held: HeldOut,
    learned: Learned,
    judged: Judged | None,
    *,
    whole: Task,
    method: Method,
    temperature: float,
    thresholds: tuple[float, ...],
) -> dict[str, Any]:
    """The report, see `evaluate.report`, and what follows.

    Returns:
        ``ensemble`` list of ``member`` (its reference), ``share`` (of the average; they sum to one), ``dropped``,
        ``saw`` (fitted to this dataset, and so again on its folds), ``classes`` (how many of them it knows) and, where
        rows were held out, what it does alone there: ``accuracy`` and ``log_loss``, or ``log_loss``, or ``mse``;
        ``disagreement`` list of two ``members`` and the ``share`` of held-out rows that they answer differently;
        ``gain`` for each of these figures the ``best`` member by it, the ``difference`` to it (above zero is better)
        and its 95% ``interval`` by a paired bootstrap; null where nothing was held out.
        ``guard`` weighs the average against each member, see `guard.weigh`.
    """
    task = held.task
    result = _base(held, learned, judged, whole, method, temperature, thresholds)
    result["ensemble"] = [_entry(held, learned, judged, index) for index in range(len(task.members))]
    result["disagreement"] = [] if judged is None else _disagreement(judged)
    result["gain"] = None if judged is None else _gain(judged)
    result["guard"] = [] if judged is None else _guard(judged)
    result["notes"] += _notes(held, learned, result)
    return result


def _base(
    held: HeldOut,
    learned: Learned,
    judged: Judged | None,
    whole: Task,
    method: Method,
    temperature: float,
    thresholds: tuple[float, ...],
) -> dict[str, Any]:
    if whole.regression and not len(whole.y):
        nothing = dict.fromkeys(("r2", "r2_interval", "rmse", "mae", "target"))
        counts = {"format": 1, "task": whole.kind.value, "items": 0, "compared": 0, "evaluated": 0}
        return counts | nothing | {"method": method.model_dump(mode="json"), "candidates": [], "notes": []}
    choice, comparison = learned.choice, learned.comparison
    found = report(
        held.task,
        method,
        whole=whole,
        comparison=comparison,
        choice=choice,
        judged=comparison if choice is None else comparison.judged(choice, held.task.groups),
        crossed=None if judged is None else judged.crossed,
        nearest_mean=None,
        temperature=temperature,
        thresholds=thresholds,
    )
    # Why nothing was held out is told by who tried.
    return found | ({"notes": []} if held.why else {})


def _log(task: Task, answers: F32) -> F32:
    """Answers as scores of a temperature of one."""
    return pool_of(task.kind, "log_probabilities").inner(answers).astype(np.float32)


def _losses(scores: F32, task: Task, rows: I64) -> F64:
    """(r,) of (r, k) scores of some rows."""
    if task.regression:
        return np.square(scores[:, 0] - task.targets[rows])
    return nll_by_row(scores, task.marks[rows] if task.multilabel else task.labels[rows], 1.0)


def _figures(judged: Judged) -> dict[str, F64]:
    """(1 + m,) of the average and of each member."""
    rows = judged.crossed.rows
    weights = weights_of(len(rows), judged.crossed.weights) / len(rows)
    loss = {"mse" if judged.task.regression else "log_loss": judged.losses[:, rows] @ weights}
    return loss if judged.right is None else {"accuracy": judged.right[:, rows] @ weights} | loss


def _entry(held: HeldOut, learned: Learned, judged: Judged | None, index: int) -> dict[str, Any]:
    member, task = held.task.members[index], held.task
    alone = {} if judged is None else {name: float(of[1 + index]) for name, of in _figures(judged).items()}
    return {
        "member": member.name,
        "share": float(learned.shares[index]),
        "dropped": bool(learned.dropped[index]),
        "saw": member.saw,
        "classes": int(placement(member, task.classes).any(axis=0).sum()),
        **alone,
    }


def _disagreement(judged: Judged) -> list[dict[str, Any]]:
    task, rows = judged.task, judged.crossed.rows
    if task.regression:
        return []
    weights = weights_of(len(rows), judged.crossed.weights) / len(rows)
    answers = judged.answers[:, rows]
    said = answers > _MARKED if task.multilabel else answers.argmax(axis=2)[:, :, None]
    names = [member.name for member in task.members]
    return [
        {"members": [names[a], names[b]], "share": float(weights @ (said[a] != said[b]).any(axis=1))}
        for a, b in combinations(range(len(names)), 2)
    ]


def _gain(judged: Judged) -> dict[str, Any]:
    found = {}
    for name, of in _figures(judged).items():
        sign = 1.0 if name == "accuracy" else -1.0
        each = judged.right if name == "accuracy" and judged.right is not None else judged.losses
        best = 1 + int(np.argmax(sign * of[1:]))
        mean, low, high = paired_interval(sign * (each[0] - each[best]), judged.task)
        found[name] = {"best": judged.task.members[best - 1].name, "difference": mean, "interval": [low, high]}
    return found


def _guard(judged: Judged) -> list[dict[str, Any]]:
    task, alone = judged.task, judged.losses[1:]
    fallbacks = [Fallback(member.name, losses) for member, losses in zip(task.members, alone, strict=True)]
    return weigh(judged.losses[0], fallbacks, task.groups, task.weights, task.seed)


def _notes(held: HeldOut, learned: Learned, result: dict[str, Any]) -> list[str]:
    """Sentences that a reader should know."""
    members, notes = held.task.members, []
    if held.why:
        given = learned.comparison.methods[0].parameters()["weights"]
        notes.append(held.why + ("" if given else " All versions weigh the same."))
    for member, dropped in zip(members, learned.dropped, strict=True):
        if dropped:
            notes.append(f"{member.name} was left out: without it the held-out rows are likelier, and surely so.")
        notes += _left_out(member, held.task)
    asked = [member.name for member in members if not member.saw]
    if asked and not held.why:
        notes.append(
            f"{', '.join(asked)} was not fitted to this dataset and was asked as it is; as far as it has seen rows "
            "that are held out here, its figures and its share are too good."
        )
    return notes + _beaten(result["gain"])


def _left_out(member: Member, task: Task) -> list[str]:
    if not task.classes:
        return []
    lost = [name for name, row in zip(member.classes, placement(member, task.classes), strict=True) if not row.any()]
    if not lost:
        return []
    shown = ", ".join(repr(name[:60]) for name in lost[:_SHOWN])
    return [f"{len(lost)} label(s) of {member.name} are no classes here and were left out: {shown}."]


def _beaten(gain: dict[str, Any] | None) -> list[str]:
    return [
        f"By {name.replace('_', ' ')} it is not surely better than {of['best']} alone: the gain is "
        f"{of['difference']:.4f}, between {of['interval'][0]:.4f} and {of['interval'][1]:.4f}."
        for name, of in (gain or {}).items()
        if of["interval"][0] <= 0
    ]
