"""What adapting gives, and the stages on the way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from adapters.base import Head, Method, Task

STAGES = ("features", "compare", "calibrate", "fit", "evaluate", "export", "verify")
"""In this order; names of what `on_stage` hears and of `Adaptation.seconds`. The first one only of several blocks."""


@dataclass(frozen=True)
class Adaptation:
    """A fitted, calibrated, exported and verified adapter.

    Attributes:
        kind: How serving runs it: as rows of the shared head table, or the ONNX file as it is.
        method: With every parameter filled in.
        temperature: Positive; 1 for regression.
        thresholds: (k,) probability from which on a row has each class; () but where it may have several.
        calibrated: Whether the temperature was measured on held-out rows; otherwise it is the method's default.
            False for regression, which has no probabilities.
        head: The reference.
        onnx: The head with its temperature as an ONNX file.
        tables: The same for serving (safetensors); None for kind ``graph``.
        files: Further files of the version, by name.
        tap: What the head takes: ``block<k>`` or ``input`` of the backbone; "" for what the task's `z` is of.
        parts: First and behind the last column of each piece of the task's `z` that it takes; () for all of it.
        tried: Every candidate that was compared to its end, as JSON methods.
        again: The method, as JSON, with which the same task gives the same bytes whatever the time.
        early: Whether the budget ended something before its end.
        report: See `evaluate.report`; has ``guard`` (see `guard.weigh`) and ``seconds`` beside; of a task with a parent
            ``growth`` (see `growth.growth`), of several blocks ``features`` (see `features.choose_features`).
        seconds: By stage.
    """

    kind: Literal["affine", "graph"]
    method: Method
    temperature: float
    thresholds: tuple[float, ...]
    calibrated: bool
    head: Head
    onnx: bytes
    tables: bytes | None
    files: dict[str, bytes]
    tap: str
    parts: tuple[tuple[int, int], ...]
    tried: list[dict[str, Any]]
    again: dict[str, Any]
    early: bool
    report: dict[str, Any]
    seconds: dict[str, float]


class Stages:
    """Says where the work is, asks whether to go on, and takes the time."""

    def __init__(self, task: Task, on_stage: Callable[[str, float], None], clock: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = {}
        self._task = task
        self._on_stage = on_stage
        self._clock = clock

    @contextmanager
    def run(self, name: str) -> Iterator[Callable[[float], None]]:
        """One stage; gives what to call with its fraction."""
        self._on_stage(name, 0.0)
        self._task.check()
        start = self._clock()
        yield lambda fraction: self._on_stage(name, fraction)
        self.seconds[name] = self._clock() - start
        self._on_stage(name, 1.0)


def noting(task: Task) -> tuple[Task, list[str]]:
    """The task, and a list that grows by every sentence that is said to it from now on."""
    notes: list[str] = []

    def say(sentence: str) -> None:
        task.say(sentence)
        notes.append(sentence)

    return replace(task, say=say), notes


def ended_early(compared: int, left_out: int, *, comparing: bool) -> str:
    """What a report says where the time ended something.

    Args:
        compared: Candidates that were compared to their end.
        left_out: Those that were not.
        comparing: Whether the time ended the comparison; otherwise it ended the last fit.
    """
    if not compared:
        return "The time was over before anything could be compared: nothing here was chosen or measured."
    if comparing:
        return (
            f"The time was over before everything was compared: {compared} candidate(s) count, {left_out} do not. "
            "More time may find a better one."
        )
    return "The time was over before the last fit had ended by itself: more time may make it better."
