"""From a task with signatures to everything that is published.

compare (classes set apart) -> calibrate (stacking, temperature) -> fit -> evaluate -> export -> verify
"""

from collections.abc import Callable

from adapters.adaptation import Adaptation, Stages, ended_early, noting
from adapters.admission import admit_embeddings, counted
from adapters.base import Head, Mask, Method, Task
from adapters.folds import sample_rows
from adapters.heads import affine_part, tables_bytes
from adapters.verify import verify
from adapters.zero_shot.attributes import MarkedTrials, try_marks
from adapters.zero_shot.candidates import Candidates
from adapters.zero_shot.compare import settle
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.judged import judge_all, judge_crossed
from adapters.zero_shot.report import report_unseen
from adapters.zero_shot.trials import Trials, run_trials

_PARENT_SAW = (
    "The version whose probabilities are taken may have learned from these very rows; as far as it has, the figures of "
    "its classes are too good, and only rows that it has not seen tell the truth."
)


def adapt_unseen(
    task: Task, method: Method, *, on_stage: Callable[[str, float], None], clock: Callable[[], float]
) -> Adaptation:
    """Compare, calibrate, fit, evaluate, export and verify, where classes are told by their signatures.

    Everything that is chosen is chosen on splits of the classes that have rows: some of them are set apart as if nobody
    had an example of them, and rows of the others are held out beside. With fewer than three classes that have rows
    nothing is chosen: parameters that do well elsewhere are taken, nothing is taken from the scores of seen classes,
    and the temperature is the method's default. No rows at all are enough for a method that learns from none.

    Args:
        task: All rows; see `Task.signatures`. Those that weigh nothing are left out.
        method: Parameters that are None are chosen here; ``auto`` compares all zero-shot methods and a blend of the
            best of them, and keeps the simplest that is about as good as the best.
        on_stage: Called with a name of `adaptation.STAGES` and the fraction 0..1 of that stage.
        clock: Seconds from any start, growing.

    Returns:
        What is published; see `adaptation.Adaptation`, and `report.report_unseen` of its report.

    Raises:
        TaskUnsupported, DatasetTooSmall, RequirementMissing, FitStopped: See `Method.fit`.
        WrongInput: An embedding is not finite.
        ExportMismatch: The exported files do not compute what was fitted.
    """
    task = counted(method.view(task))
    admit_embeddings(task)
    candidates = Candidates.of(method, task)
    task = candidates.view(task)
    stages = Stages(task, on_stage, clock)
    task, notes = noting(task)
    sample = task.rows(sample_rows(task)) if len(task.y) else task
    with stages.run("compare") as on_progress:
        trials, marked = _tried(candidates, sample, on_progress)
    with stages.run("calibrate"):
        settled = settle(trials, range(len(trials.splits)), candidates.wish) if trials.possible else None
        fitted, stacking, temperature = candidates.chosen(trials, settled, marked)
    with stages.run("fit"):
        head = fitted.fit(task)
        early = trials.early or task.left_s() <= 0
    with stages.run("evaluate"):
        seen, judged = _seen(head, task), judge_crossed(trials, candidates.wish) if settled else []
        if len(task.y) and (candidates.learns_nothing or (fitted.method == "names" and not judged)):
            judged, temperature = judge_all(head, seen, stacking, sample)
        measured = report_unseen(
            sample,
            fitted,
            trials=trials,
            settled=settled,
            judged=judged,
            seen=seen,
            classes=getattr(head, "classes", task.classes),
            temperature=temperature,
            stacking=stacking,
            whole=task,
        )
        if marked is not None:
            measured |= marked.report(sample)
        if judged and candidates.learns_nothing:
            measured["notes"].append(_PARENT_SAW)
    with stages.run("export"):
        onnx, affine = head.onnx(temperature), affine_part(head)
        tables = None if affine is None else tables_bytes(affine, temperature)
    with stages.run("verify"):
        verify(head, temperature, onnx=onnx, tables=tables, task=task, seed=task.seed)
    measured["notes"] += dict.fromkeys(notes)
    if early:
        compared, left_out = len((marked or trials).methods), len(trials.left_out)
        measured["notes"].append(ended_early(compared, left_out, comparing=trials.early))
    return Adaptation(
        kind="graph" if affine is None else "affine",
        method=fitted,
        temperature=temperature,
        thresholds=(),
        calibrated=bool(judged),
        head=head,
        onnx=onnx,
        tables=tables,
        files=head.files(),
        tap="",
        parts=(),
        tried=[candidate.model_dump(mode="json") for candidate in (marked or trials).methods],
        again=candidates.again(trials, fitted),
        early=early,
        report=measured | {"seconds": dict(stages.seconds)},
        seconds=stages.seconds,
    )


def settle_unseen(method: Method, task: Task) -> Method:
    """The method with every open parameter chosen on classes set apart; what to take where nothing can be chosen."""
    candidates = Candidates.of(method, task)
    sample = task.rows(sample_rows(task)) if len(task.y) else task
    trials, marked = _tried(candidates, sample, lambda _fraction: None)
    settled = settle(trials, range(len(trials.splits)), candidates.wish) if trials.possible else None
    return candidates.chosen(trials, settled, marked)[0]


def _tried(
    candidates: Candidates, task: Task, on_progress: Callable[[float], None]
) -> tuple[Trials, MarkedTrials | None]:
    """Candidates on classes set apart; on folds where rows are labelled with attributes; nothing where none learns."""
    if task.multilabel:
        return Trials((), (), ()), try_marks(candidates.methods, task, on_progress)
    if candidates.learns_nothing:
        return Trials((), (), ()), None
    return run_trials(candidates.methods, task, on_progress), None


def _seen(head: Head, task: Task) -> Mask:
    return head.seen if isinstance(head, SignatureHead) else ~task.absent
