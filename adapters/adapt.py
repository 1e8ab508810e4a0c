"""The one entry: from a task and a method to everything that is published.

(features ->) compare -> calibrate -> fit -> evaluate -> export -> verify
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters.adaptation import STAGES, Adaptation, Stages, ended_early, noting
from adapters.admission import admit_embeddings, counted
from adapters.base import Method, Need, Task
from adapters.comparison import Comparison
from adapters.decision import Decision, decide
from adapters.evaluate import report
from adapters.features import choose_features
from adapters.folds import sample_rows
from adapters.growth import growth
from adapters.heads import affine_part, publishable, tables_bytes
from adapters.methods import parse_method
from adapters.methods.auto import Auto
from adapters.race import compare
from adapters.verify import verify
from adapters.zero_shot.adapt import adapt_unseen
from adapters.zero_shot.candidates import tells_unseen

__all__ = ["STAGES", "Adaptation", "adapt"]

_PARENT_SAW = (
    "The parent that its weights were pulled toward may have learned from rows that are held out here; as far as it "
    "has, these figures are too good, and only rows that neither has seen tell the truth."
)

_BLOCKS_SAW = (
    "Which blocks it learns from was chosen on rows that are held out here, so these figures may be a little too good."
)


def adapt(
    task: Task, method: Method, *, on_stage: Callable[[str, float], None], clock: Callable[[], float]
) -> Adaptation:
    """Compare, calibrate, fit, evaluate, export and verify.

    Args:
        task: All rows; those that weigh nothing are left out. `Task.check` is asked between iterations. At the end of
            `Task.left_s` the best so far is published.
        method: Parameters that are None are chosen here.
        on_stage: Called with a name of `STAGES` and the fraction 0..1 of that stage.
        clock: Seconds from any start, growing.

    Returns:
        What is published. Everything but ``seconds`` depends on the task and the method alone, unless the budget ends
        it early.

    Raises:
        TaskUnsupported, DatasetTooSmall, TargetOutOfRange, RequirementMissing, FitStopped: See `Method.fit`.
        WrongInput: An embedding is not finite.
        ExportMismatch: The exported files do not compute what was fitted.

    Cost: One core, 77 classes: ``auto`` 0.7 s for 385 rows 384 wide, 4.5 s for 1,000 rows 768 wide. More than 12,000
        rows are compared on a sample of 10,000: ``logistic`` on 100,000 rows, 384 wide, 100 classes takes 27 s.
    """
    task = counted(method.view(task))
    if Need.MEMBERS in method.requirements():
        # It fits members again through this module.
        from adapters.ensembles.adapt import adapt_ensemble

        return adapt_ensemble(task, method, on_stage=on_stage, clock=clock)
    if _by_signatures(method, task):
        return adapt_unseen(task, method, on_stage=on_stage, clock=clock)
    method.admit(task)
    admit_embeddings(task)
    stages = Stages(task, on_stage, clock)
    task, notes = noting(task)
    chosen = None
    if task.parts:
        with stages.run("features") as on_progress:
            chosen = choose_features(_grown_on(task), on_progress)
        task = chosen.task
    with stages.run("compare") as on_progress:
        sample = _sample(task)
        comparison = _compare(method, task, sample, on_progress)
    with stages.run("calibrate"):
        decision = decide(sample, comparison, free=method.method == "auto")
    with stages.run("fit"):
        fitted, temperature = _fitted(method, task, comparison, decision)
        learned = fitted.fit(task)
        head = publishable(learned if chosen is None else chosen.unscaled(learned), task)
        tap = getattr(head, "tap", "")
        early = comparison.early or task.left_s() <= 0
    with stages.run("evaluate"):
        measured = _measure(task, sample, fitted, comparison, decision, temperature)
    with stages.run("export"):
        onnx, affine, files = head.onnx(temperature), affine_part(head), head.files()
        tables = None if affine is None else tables_bytes(affine, temperature)
    with stages.run("verify"):
        verify(
            head, temperature, onnx=onnx, tables=tables, task=task if chosen is None else chosen.served, seed=task.seed
        )
    if chosen is not None:
        measured["features"] = chosen.table
        if not chosen.usual:
            measured["notes"].append(_BLOCKS_SAW)
    measured["notes"] += [*decision.notes, *dict.fromkeys(notes)]
    if early:
        compared, left_out = len(comparison.methods), len(comparison.left_out)
        measured["notes"].append(ended_early(compared, left_out, comparing=comparison.early))
    return Adaptation(
        kind="graph" if affine is None else "affine",
        method=fitted,
        temperature=temperature,
        thresholds=decision.thresholds,
        calibrated=decision.choice is not None and not task.regression,
        head=head,
        onnx=onnx,
        tables=tables,
        files=files,
        tap=tap,
        parts=() if chosen is None or tap else tuple((part.first, part.behind) for part in chosen.parts),
        tried=[candidate.model_dump(mode="json") for candidate in comparison.methods],
        again=_again(method, comparison, fitted),
        early=early,
        report=measured | {"seconds": dict(stages.seconds)},
        seconds=stages.seconds,
    )


def _by_signatures(method: Method, task: Task) -> bool:
    """Whether classes are told by their signatures: the method asks for it, or there are classes without rows."""
    if Need.SIGNATURES in method.requirements():
        return True
    return method.method in {"auto", "names"} and tells_unseen(task)


def _grown_on(task: Task) -> Task:
    """What has a parent learns on what the parent learned on: the last part alone."""
    return task if task.parent is None else replace(task, parts=task.parts[-1:])


def _sample(task: Task) -> Task:
    """What methods are compared on: all rows, or a sample of many."""
    rows = sample_rows(task)
    return task if len(rows) == len(task.y) else task.rows(rows)


def _compare(method: Method, task: Task, sample: Task, on_progress: Callable[[float], None]) -> Comparison:
    folds = method.folds_of_variants(task) if isinstance(method, Auto) else None
    return compare(method.variants(task), sample, on_progress, rows=len(task.y), folds=folds)


def _fitted(method: Method, task: Task, comparison: Comparison, decision: Decision) -> tuple[Method, float]:
    """What to fit to all rows, and its temperature."""
    choice = decision.choice
    chosen = method.fallback(task) if choice is None else comparison.methods[choice.index]
    if task.regression:
        return chosen, 1.0
    return chosen, chosen.default_temperature if choice is None else choice.temperature


def _measure(
    task: Task, sample: Task, fitted: Method, comparison: Comparison, decision: Decision, temperature: float
) -> dict[str, Any]:
    measured = report(
        sample,
        fitted,
        whole=task,
        comparison=comparison,
        choice=decision.choice,
        judged=decision.judged,
        crossed=decision.crossed,
        nearest_mean=decision.nearest_mean,
        temperature=temperature,
        thresholds=decision.thresholds,
    )
    measured["guard"] = decision.guard
    if task.parent is not None and decision.crossed is not None:
        measured["growth"] = growth(sample, task.absent, decision.crossed.rows, decision.crossed.scores)
        measured["notes"].append(measured["growth"]["sentence"])
        if Need.PARENT in fitted.requirements():
            measured["notes"].append(_PARENT_SAW)
    return measured


def _again(method: Method, comparison: Comparison, fitted: Method) -> dict[str, Any]:
    """The method that compares exactly these candidates, on as many folds; itself where time had no say."""
    if not comparison.early and not isinstance(method, Auto):
        return method.model_dump(mode="json")
    scored = zip(comparison.methods, comparison.scored, strict=True)
    compared = list(scored) if comparison.possible else [(fitted, 0)]
    candidates = [candidate.model_dump(mode="json") for candidate, _ in compared]
    names = getattr(method, "names", True)
    again = {"method": "auto", "names": names, "candidates": candidates, "folds": [folds for _, folds in compared]}
    return parse_method(again).model_dump(mode="json")
