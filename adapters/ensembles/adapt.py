"""From a task with members to everything that is published: an average needs no fit of its own.

compare (members on held-out rows) -> calibrate (shares, temperature) -> fit -> evaluate -> export -> verify
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from adapters.adaptation import Adaptation, Stages
from adapters.admission import admit_embeddings, counted
from adapters.base import Method, Task
from adapters.ensembles.answers import HeldOut, hold_out
from adapters.ensembles.head import head_of
from adapters.ensembles.learning import Learned, learn
from adapters.ensembles.report import judge, measure
from adapters.folds import sample_rows
from adapters.methods.ensemble import Ensemble
from adapters.thresholds import UNMEASURED, fit_thresholds
from adapters.verify import verify


def adapt_ensemble(
    task: Task, method: Method, *, on_stage: Callable[[str, float], None], clock: Callable[[], float]
) -> Adaptation:
    """Give or learn shares, judge the average on held-out rows, compile it and check it.

    Args:
        task: Rows, none at all or many, and the `members`; those that weigh nothing are left out.
        method: An `Ensemble`.
        on_stage: Called with a name of `STAGES` and the fraction 0..1 of that stage.
        clock: Seconds from any start, growing.

    Returns:
        What is published, of kind ``graph``: without rows not calibrated, at a temperature of 1. See `report.measure`.

    Raises:
        RequirementMissing, ParameterInvalid, TaskUnsupported: See `Ensemble.admit`.
        WrongInput: An embedding is not finite.
        ExportMismatch: The exported file does not compute the average.
        FitStopped: `task.check` said so.

    Cost: as many fits as members of the same dataset times folds.
    """
    method, task = cast("Ensemble", method), counted(task)
    method.admit(task)
    admit_embeddings(task)
    stages = Stages(task, on_stage, clock)
    with stages.run("compare") as on_progress:
        held = hold_out(_sample(task), on_progress)
    with stages.run("calibrate"):
        learned = learn(method, held)
        temperature = _temperature(method, task, learned)
        thresholds = _thresholds(task, held, learned, temperature)
        judged = judge(held, learned)
    with stages.run("fit"):
        head = head_of(task, learned.shares, learned.of)
        fitted = _settled(method, learned, temperature)
    with stages.run("evaluate"):
        measured = measure(
            held, learned, judged, whole=task, method=fitted, temperature=temperature, thresholds=thresholds
        )
    with stages.run("export"):
        onnx = head.onnx(temperature)
    with stages.run("verify"):
        verify(head, temperature, onnx=onnx, task=task, seed=task.seed)
    return Adaptation(
        kind="graph",
        method=fitted,
        temperature=temperature,
        thresholds=thresholds,
        calibrated=learned.choice is not None and method.temperature is None and not task.regression,
        head=head,
        onnx=onnx,
        tables=None,
        files=head.files(),
        tap="",
        parts=(),
        tried=[candidate.model_dump(mode="json") for candidate in learned.comparison.methods],
        again=_again(method, fitted, held),
        early=held.early,
        report=measured | {"seconds": dict(stages.seconds)},
        seconds=stages.seconds,
    )


def _sample(task: Task) -> Task:
    """What members are judged on: all rows, or a sample of many."""
    rows = sample_rows(task)
    return task if len(rows) == len(task.y) else task.rows(rows)


def _temperature(method: Ensemble, task: Task, learned: Learned) -> float:
    if task.regression:
        return 1.0
    if method.temperature is not None:
        return method.temperature
    return method.default_temperature if learned.choice is None else learned.choice.temperature


def _thresholds(task: Task, held: HeldOut, learned: Learned, temperature: float) -> tuple[float, ...]:
    """Where a row may have any number of classes, from which probability on it has each."""
    if not task.multilabel:
        return ()
    if learned.choice is None:
        return (UNMEASURED,) * len(task.classes)
    rows = held.rows
    weights = None if held.task.weights is None else held.task.weights[rows]
    odds = learned.scores[rows].astype(np.float64) / temperature
    return tuple(float(t) for t in fit_thresholds(1 / (1 + np.exp(-odds)), held.task.marks[rows], weights))


def _settled(method: Ensemble, learned: Learned, temperature: float) -> Ensemble:
    """With every parameter filled in."""
    weights = [float(share) for share in learned.shares] if method.weights is None else method.weights
    return method.model_copy(update={"weights": weights, "of": learned.of, "temperature": temperature})


def _again(method: Ensemble, fitted: Ensemble, held: HeldOut) -> dict[str, Any]:
    """Where the time ended it, what was published instead of what more time would have found."""
    return (fitted if held.early else method).model_dump(mode="json")
