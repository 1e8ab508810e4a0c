"""Comparing methods within a time: what a task's own clock allows, less what the fit after it will take."""

from collections.abc import Callable
from dataclasses import replace

from adapters.base import Task
from adapters.errors import DeadlineExceeded

OVERHEAD_S = 0.3
"""For judging, writing and checking what is published, beside the last fit."""

_FINAL_FITS = 3.0
"""How much longer than one of a fold's fits the last one takes, on as many rows: it ends later and in float64."""


class OutOfTime(DeadlineExceeded):
    """The time for comparing is over; what has been compared is kept."""


def limited(task: Task, reserve_s: Callable[[], float]) -> Task:
    """The same task whose `check` raises `OutOfTime` when no more is left than is to be kept.

    Args:
        task: With the caller's `left_s`.
        reserve_s: Seconds to keep, asked each time.
    """

    def left_s() -> float:
        return task.left_s() - reserve_s()

    def check() -> None:
        task.check()
        if left_s() <= 0:
            raise OutOfTime("The time for comparing methods is over.")

    return replace(task, check=check, left_s=left_s)


def last_fit_s(fold_s: float, variants: int, fold_rows: int, rows: int) -> float:
    """Seconds that the fit of one candidate to all rows will take.

    Args:
        fold_s: Seconds that all variants took together on one fold.
        variants: How many.
        fold_rows: Rows that they learned from.
        rows: Rows that it will learn from.
    """
    return min(1.0, _FINAL_FITS / variants) * fold_s * max(1.0, rows / max(1, fold_rows))
