"""From a comparison to what is published: which candidate, its temperature and thresholds, and how it was judged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapters.base import F32, F64, Method, Need, Task, TaskKind
from adapters.calibrate import nll_by_row
from adapters.comparison import Choice, Comparison, losses, pick
from adapters.errors import FitStopped
from adapters.evaluate import classification, multilabel, regression
from adapters.evaluate.crossed import Crossed, cross
from adapters.growth import parent_scores
from adapters.guard import Fallback, instead, notes, weigh
from adapters.linalg import log_softmax, unit_rows
from adapters.race import compare
from adapters.thresholds import UNMEASURED, fit_thresholds
from models.errors import InputError

_TRANSFER = frozenset({Need.NAMES, Need.PARENT, Need.TUNING})
"""What a method may take from elsewhere than the rows."""


@dataclass(frozen=True)
class Decision:
    """What was chosen on held-out rows, and how it does there.

    Attributes:
        choice: None where nothing could be held out or compared.
        judged: The candidates that were chosen among, on the rows that are judged.
        crossed: Their scores by what the other folds chose; None without a choice.
        nearest_mean: (n, k) out-of-fold scores of the nearest class mean; None where there are none.
        thresholds: (k,) where a row may have any number of classes.
        guard: See `guard.weigh`.
        notes: What the guard has to say.
    """

    choice: Choice | None
    judged: Comparison
    crossed: Crossed | None
    nearest_mean: F32 | None
    thresholds: tuple[float, ...]
    guard: list[dict[str, Any]]
    notes: list[str]


def decide(task: Task, comparison: Comparison, *, free: bool) -> Decision:
    """Pick a candidate, weigh it against every fallback, and fit the thresholds.

    Args:
        task: The rows that were compared on.
        comparison: Of the candidates.
        free: Whether a fallback may be published instead.

    Raises:
        FitStopped: `task.check` said so.
    """
    unmeasured = (UNMEASURED,) * len(task.classes) if task.multilabel else ()
    if not comparison.possible:
        return Decision(None, comparison, None, None, unmeasured, [], [])
    choice = pick(comparison, task.y, comparison.held_out)
    judged = comparison.judged(choice, task.groups)
    crossed = cross(judged, task.y)
    nearest = _nearest_mean(task, comparison)
    fallbacks = list(_fallbacks(task, comparison, choice, judged, nearest))
    entries = weigh(_by_row(task, crossed), fallbacks, task.groups, task.weights, task.seed)
    said = notes(entries)
    other = instead(entries, fallbacks) if free else None
    if other is not None and other.index is not None:
        index, group = _published_instead(task, comparison, choice, judged, other)
        said = [_instead(comparison.methods[choice.index], comparison.methods[index])]
        choice = replace(choice, index=index)
        judged = group.judged(pick(group, task.y, group.held_out), task.groups)
        crossed = cross(judged, task.y)
    return Decision(choice, judged, crossed, nearest, _thresholds(task, comparison, choice), entries, said)


def _published_instead(
    task: Task, comparison: Comparison, choice: Choice, judged: Comparison, other: Fallback
) -> tuple[int, Comparison]:
    """The candidate to publish instead of the choice, and what it was chosen among, which judges it.

    That what was chosen is no better than the plain ones, or than the names alone, may be the fault of the rule that
    prefers what is simple: the candidate with the lowest loss stands up for it then, with those of its kind.
    """
    assert other.index is not None  # noqa: S101  # `instead` gives what can be published
    if other.name not in {"plain", "names"}:
        return other.index, comparison.only(other.index)
    lowest = min(comparison.plain(), key=lambda index: float(choice.loss[index]))
    kin = _some(comparison, _kin(comparison, lowest))
    crossed = cross(replace(kin, folds=judged.folds, scored=()), task.y)
    entry = weigh(_by_row(task, crossed), [other], task.groups, task.weights, task.seed)[0]
    if entry["p_better"] is not None and entry["p_better"] > 0.5:
        return lowest, kin
    if other.name == "names":
        return other.index, comparison.only(other.index)
    return other.index, _some(comparison, _untransferred(comparison))


def _kin(comparison: Comparison, index: int) -> list[int]:
    """Candidates of the same method with the same needs."""
    one = comparison.methods[index]
    return [
        i
        for i in comparison.plain()
        if comparison.methods[i].method == one.method and comparison.methods[i].requirements() == one.requirements()
    ]


def _by_row(task: Task, crossed: Crossed) -> F64:
    """(n,) loss of each row; NaN where it is not judged."""
    found = np.full(len(task.y), np.nan)
    scores, rows = crossed.scores, crossed.rows
    if task.regression:
        found[rows] = np.square(scores[:, 0] - task.targets[rows])
    else:
        found[rows] = nll_by_row(scores, task.marks[rows] if task.multilabel else task.labels[rows], 1.0)
    return found


def _thresholds(task: Task, comparison: Comparison, choice: Choice) -> tuple[float, ...]:
    if not task.multilabel:
        return ()
    rows = comparison.seen(choice.index)
    odds = comparison.scores[choice.index][rows].astype(np.float64) / choice.temperature
    weights = None if task.weights is None else task.weights[rows]
    return tuple(float(t) for t in fit_thresholds(1 / (1 + np.exp(-odds)), task.marks[rows], weights))


def _nearest_mean(task: Task, comparison: Comparison) -> F32 | None:
    """Out-of-fold scores of the nearest class mean on the same folds; None where it cannot do the task."""
    # The registry imports every method, and ``auto`` imports what compares them: so it is asked for when needed.
    from adapters.methods import parse_method

    prototype = parse_method("prototype")
    if prototype in comparison.methods:
        index = comparison.methods.index(prototype)
        if index in comparison.plain():
            return comparison.scores[index]
    return None if task.kind not in prototype.tasks else _scores_of(prototype, task)


def _scores_of(method: Method, task: Task) -> F32 | None:
    """Out-of-fold scores of one method; None where it cannot do the task or there is no time for it."""
    try:
        found = compare([method], task)
    except FitStopped:
        raise
    except InputError:
        return None
    complete = found.possible and (found.seen(0) == found.held_out).all()
    return found.scores[0] if complete else None


def _fallbacks(
    task: Task, comparison: Comparison, choice: Choice, judged: Comparison, nearest: F32 | None
) -> Iterator[Fallback]:
    """What could be done instead, on the rows that are judged and at the temperature that the other folds chose."""
    chosen = comparison.methods[choice.index]
    index = _index(comparison, "prototype", {"prior": "none"})
    if nearest is not None and index != choice.index:
        yield Fallback("nearest_mean", _at_own_temperature(nearest, task, judged), index)
    yield _constant(task, judged)
    named = task.names is not None and task.names.shape[1] == task.z.shape[1]
    if task.kind is TaskKind.CLASSIFICATION and task.names is not None and named and chosen.method != "names":
        cosine = unit_rows(task.z.astype(np.float64)) @ unit_rows(task.names.astype(np.float64)).T
        yield Fallback(
            "names", _at_own_temperature(cosine.astype(np.float32), task, judged), _index(comparison, "names", {})
        )
    if task.parent is not None:
        yield from _parent(task, judged)
    if chosen.requirements() & _TRANSFER:
        yield from _plain(task, comparison, choice, judged)


def _constant(task: Task, judged: Comparison) -> Fallback:
    """Always the same answer."""
    found = np.full(len(task.y), np.nan)
    if task.regression:
        rows = judged.held_out
        found[rows] = (regression.mean_values(task, judged)[rows] - task.targets[rows]) ** 2
        return Fallback("mean", found)
    if task.multilabel:
        odds, index = multilabel.majority_scores(task, judged)
        found[index] = nll_by_row(odds, task.marks[index], 1.0)
    else:
        log_p, index = classification.majority_scores(task, judged)
        found[index] = -log_p[np.arange(len(index)), task.labels[index]]
    return Fallback("majority", found)


def _parent(task: Task, judged: Comparison) -> Iterator[Fallback]:
    """The parent as it is, on rows that it has an answer for."""
    scores = None if task.parent is None else parent_scores(task.parent, task)
    if scores is None or task.regression:
        return
    old = scores.shape[1]
    found = np.full(len(task.y), np.nan)
    if task.multilabel and old == len(task.classes):
        rows = np.flatnonzero(judged.held_out)
        found[rows] = nll_by_row(scores[rows], task.marks[rows], 1.0)
    elif not task.multilabel:
        rows = np.flatnonzero(judged.held_out & (task.labels < old))
        found[rows] = -log_softmax(scores[rows])[np.arange(len(rows)), task.labels[rows]]
    yield Fallback("parent", found)


def _plain(task: Task, comparison: Comparison, choice: Choice, judged: Comparison) -> Iterator[Fallback]:
    """Without names, parent or a trained backbone: what is chosen among such candidates, or see `_without_transfer`."""
    able = _untransferred(comparison)
    if able:
        # Chosen fold by fold, as the candidate was: the best of many on the rows that judge it would look too good.
        group = _some(comparison, able)
        own = pick(group, task.y, group.held_out)
        crossed = cross(replace(group, folds=judged.folds, scored=()), task.y)
        yield Fallback("plain", _by_row(task, crossed), able[own.index])
        return
    scores = _scores_of(_without_transfer(comparison.methods[choice.index], task), task)
    if scores is not None:
        yield Fallback("plain", _at_own_temperature(scores, task, judged))


def _untransferred(comparison: Comparison) -> list[int]:
    """Candidates that can be published and take nothing from elsewhere than the rows."""
    return [i for i in comparison.plain() if not comparison.methods[i].requirements() & _TRANSFER]


def _some(comparison: Comparison, indices: list[int]) -> Comparison:
    """The same with some of the candidates."""
    return replace(
        comparison,
        methods=tuple(comparison.methods[i] for i in indices),
        scores=tuple(comparison.scores[i] for i in indices),
        scored=tuple(comparison.scored[i] for i in indices if comparison.scored),
    )


def _without_transfer(method: Method, task: Task) -> Method:
    """The same without its prior; of who trains the backbone, a linear head on the backbone as it is."""
    # See `_nearest_mean`.
    from adapters.methods import parse_method

    if "prior" in type(method).model_fields:
        return method.model_copy(update={"prior": "none"})
    return parse_method("ridge" if task.regression else "logistic").fallback(task)


def _at_own_temperature(scores: F32, task: Task, judged: Comparison) -> F64:
    """(n,) loss of each row that is judged, at the temperature that the other folds' rows call for."""
    found = np.full(len(task.y), np.nan)
    rows = judged.held_out
    if task.regression:
        found[rows] = losses(scores[rows], task.y[rows], None)[0]
        return found
    y = task.marks if task.multilabel else task.labels
    found[rows] = nll_by_row(classification.at_temperature(scores, task, judged)[rows], y[rows], 1.0)
    return found


def _index(comparison: Comparison, method: str, parameters: dict[str, Any]) -> int | None:
    """Of a candidate that may be published: scored as often as any."""
    for index in comparison.plain():
        candidate = comparison.methods[index]
        if candidate.method == method and parameters.items() <= candidate.parameters().items():
            return index
    return None


def _instead(chosen: Method, other: Method) -> str:
    return (
        f"{chosen.method!r} was chosen first; {other.method!r} is likelier than not to be better on held-out rows, and "
        "was published instead."
    )
