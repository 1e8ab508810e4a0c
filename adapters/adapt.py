"""The one entry: from a task and a method to everything that is published.

compare -> calibrate -> fit -> evaluate -> export -> verify
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from adapters.base import Head, Method, Task
from adapters.evaluate import report
from adapters.heads import AffineHead, RowHead, tables_bytes
from adapters.methods import parse_method
from adapters.select import Choice, compare, pick
from adapters.verify import verify, verify_rows
from models.errors import ExportFailed

STAGES = ("compare", "calibrate", "fit", "evaluate", "export", "verify")
"""In this order; names of what `on_stage` hears and of `Adaptation.seconds`."""


@dataclass(frozen=True)
class Adaptation:
    """A fitted, calibrated, exported and verified adapter.

    Attributes:
        kind: How serving runs it: as rows of the shared head table, or (tables) the ONNX file as it is.
        method: With every parameter filled in.
        temperature: Positive; 1 for regression.
        calibrated: Whether the temperature was measured on held-out rows; otherwise it is the method's default.
            False for regression, which has no probabilities.
        head: The reference.
        onnx: The head with its temperature as an ONNX file.
        tables: The same for serving (safetensors); None for kind ``graph``.
        report: See `evaluate.report`; has ``seconds`` beside.
        seconds: By stage.
    """

    kind: Literal["affine", "graph"]
    method: Method
    temperature: float
    calibrated: bool
    head: AffineHead | RowHead
    onnx: bytes
    tables: bytes | None
    report: dict[str, Any]
    seconds: dict[str, float]


def adapt(
    task: Task, method: Method, *, on_stage: Callable[[str, float], None], clock: Callable[[], float]
) -> Adaptation:
    """Compare, calibrate, fit, evaluate, export and verify.

    Args:
        task: All rows; `Task.check` is asked between iterations.
        method: Parameters that are None are chosen here.
        on_stage: Called with a name of `STAGES` and the fraction 0..1 of that stage.
        clock: Seconds from any start, growing.

    Returns:
        What is published. Everything but ``seconds`` depends on the task and the method alone.

    Raises:
        TaskUnsupported, DatasetTooSmall, TargetOutOfRange, RequirementMissing, FitStopped: See `Method.fit`.
        ExportMismatch: The exported files do not compute what was fitted.

    Cost: 385 rows, 384 wide, 77 classes, one core: 0.4 s for ``logistic``, 0.9 s for ``auto``.
    """
    method.admit(task)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        on_stage(name, 0.0)
        task.check()
        start = clock()
        yield
        seconds[name] = clock() - start
        on_stage(name, 1.0)

    variants = method.variants(task)
    with stage("compare"):
        tried = variants if task.regression else _with_baseline(variants)
        everything = compare(tried, task, lambda fraction: on_stage("compare", fraction))
    comparison = replace(everything, methods=variants, scores=everything.scores[: len(variants)])
    with stage("calibrate"):
        choice = pick(comparison, task.y, comparison.held_out) if comparison.possible else None
    with stage("fit"):
        chosen = variants[choice.index] if choice else method.fallback(task)
        head = _publishable(chosen.fit(task), task)
    calibrated = choice is not None and not task.regression
    temperature = _temperature(chosen, choice, task)
    with stage("evaluate"):
        nearest_mean = everything.scores[-1] if calibrated else None
        measured = report(
            task,
            chosen,
            comparison=comparison,
            choice=choice,
            nearest_mean=nearest_mean,
            temperature=temperature,
        )
    with stage("export"):
        onnx = head.onnx(temperature)
        tables = tables_bytes(head, temperature) if isinstance(head, AffineHead) else None
    with stage("verify"):
        _verify(head, temperature, onnx, tables, task)
    measured |= {"seconds": dict(seconds)}
    kind: Literal["affine", "graph"] = "affine" if isinstance(head, AffineHead) else "graph"
    return Adaptation(kind, chosen, temperature, calibrated, head, onnx, tables, measured, seconds)


def _with_baseline(variants: tuple[Method, ...]) -> tuple[Method, ...]:
    """Candidates and, last, the nearest class mean: the report compares with it on the same folds."""
    return (*variants, parse_method("prototype"))


def _temperature(chosen: Method, choice: Choice | None, task: Task) -> float:
    if task.regression:
        return 1.0
    return choice.temperature if choice else chosen.default_temperature


def _publishable(head: Head, task: Task) -> AffineHead | RowHead:
    """The head on what callers send: an embedding, or the row of a table."""
    if not isinstance(head, AffineHead):
        raise ExportFailed(f"There is no way to serve a {type(head).__name__}; only affine heads are served.")
    return head if task.encoding is None else RowHead(task.schema, task.encoding, head)


def _verify(head: AffineHead | RowHead, temperature: float, onnx: bytes, tables: bytes | None, task: Task) -> None:
    if isinstance(head, RowHead) and task.table is not None:
        verify_rows(head, temperature, onnx=onnx, table=task.table, seed=task.seed)
    elif isinstance(head, AffineHead) and tables is not None:
        verify(head, temperature, onnx=onnx, tables=tables, z=task.z, seed=task.seed)
