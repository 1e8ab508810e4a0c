"""The one entry: from a task and a method to everything that is published.

compare -> calibrate -> fit -> evaluate -> export -> verify
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from adapters.base import Method, Task
from adapters.evaluate import report
from adapters.heads import AffineHead, tables_bytes
from adapters.methods import parse_method
from adapters.select import Comparison, compare, pick
from adapters.verify import verify
from models.errors import ExportFailed

STAGES = ("compare", "calibrate", "fit", "evaluate", "export", "verify")
"""In this order; names of what `on_stage` hears and of `Adaptation.seconds`."""


@dataclass(frozen=True)
class Adaptation:
    """A fitted, calibrated, exported and verified adapter.

    Attributes:
        kind: How serving runs it.
        method: With every parameter filled in.
        temperature: Positive.
        calibrated: Whether the temperature was measured on held-out rows; otherwise it is the method's default.
        head: The reference.
        onnx: The head with its temperature as an ONNX file.
        tables: The same for serving (safetensors).
        report: See `evaluate.report`; has ``seconds`` beside.
        seconds: By stage.
    """

    kind: Literal["affine"]
    method: Method
    temperature: float
    calibrated: bool
    head: AffineHead
    onnx: bytes
    tables: bytes
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
        DatasetTooSmall, RequirementMissing, FitStopped: See `Method.fit`.
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
        everything = compare(_with_baseline(variants), task, lambda fraction: on_stage("compare", fraction))
    comparison = Comparison(variants, everything.folds, everything.scores[: len(variants)])
    with stage("calibrate"):
        choice = pick(comparison, task.y, comparison.held_out) if comparison.possible else None
    with stage("fit"):
        chosen = variants[choice.index] if choice else method.fallback(task)
        head = chosen.fit(task)
    temperature = choice.temperature if choice else chosen.default_temperature
    with stage("evaluate"):
        nearest_mean = everything.scores[-1] if choice else None
        measured = report(
            task,
            chosen,
            comparison=comparison,
            choice=choice,
            nearest_mean=nearest_mean,
            temperature=temperature,
        )
    if not isinstance(head, AffineHead):
        raise ExportFailed(f"There is no way to serve a {type(head).__name__}; only affine heads are served.")
    with stage("export"):
        onnx, tables = head.onnx(temperature), tables_bytes(head, temperature)
    with stage("verify"):
        verify(head, temperature, onnx=onnx, tables=tables, z=task.z, seed=task.seed)
    measured |= {"seconds": dict(seconds)}
    return Adaptation("affine", chosen, temperature, choice is not None, head, onnx, tables, measured, seconds)


def _with_baseline(variants: tuple[Method, ...]) -> tuple[Method, ...]:
    """Candidates and, last, the nearest class mean: the report compares with it on the same folds."""
    return (*variants, parse_method("prototype"))
