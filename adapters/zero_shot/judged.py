"""Rows as an adapter would answer them that had no say in what was chosen."""

from dataclasses import dataclass

import numpy as np

from adapters.base import F32, F64, Head, Mask, Task
from adapters.calibrate import fit_temperature
from adapters.linalg import log_softmax
from adapters.zero_shot.compare import Mix, Settled, Wish, crossed, stacked
from adapters.zero_shot.splits import Split
from adapters.zero_shot.trials import Trials


@dataclass(frozen=True, eq=False)
class Judged:
    """The judged rows of one split.

    Attributes:
        split: Which.
        recall: (c,) share of each column's rows that are right among all columns; NaN without rows.
        raw: The same with nothing taken from seen classes.
        among: The same of classes set apart, told from each other alone; NaN of the others.
        log_p: (m, c) log probabilities.
    """

    split: Split
    recall: F64
    raw: F64
    among: F64
    log_p: F64

    @classmethod
    def of(cls, split: Split, scores: F32, settled: Settled) -> "Judged":
        """From raw scores, and what is taken from those of seen classes and the temperature."""
        calibrated = stacked(split, scores, settled)
        alone = np.where(split.apart, scores, -np.inf)
        among = np.where(split.apart, recall(split, alone), np.nan)
        return cls(split, recall(split, calibrated), recall(split, scores), among, log_softmax(calibrated))


def judge_crossed(trials: Trials, wish: Wish) -> list[Judged]:
    """Every split by what the others settle on."""
    return [
        Judged.of(trials.splits[number], settled.mix.scores(trials, number), settled)
        for number, settled in crossed(trials, wish)
    ]


def judge_all(head: Head, seen: Mask, stacking: float, task: Task) -> tuple[list[Judged], float]:
    """All rows, by a head that learned nothing from them, and the temperature that they call for.

    Args:
        head: Its scores hold `stacking` already.
        seen: (k,) classes that it had examples of.
        stacking: What it takes from their scores.
        task: The rows.
    """
    everything = np.arange(len(task.y))
    given = np.ones(len(everything)) if task.weights is None else task.weights
    weights = given / np.bincount(task.labels, given, minlength=len(task.classes))[task.labels]
    split = Split(
        np.arange(len(task.classes)), ~seen, np.zeros(len(task.y), np.bool_), everything, task.labels, weights
    )
    scores = head.scores_of(task)
    temperature = fit_temperature(scores, task.labels, weights)
    raw = scores + np.where(seen, stacking, 0.0).astype(np.float32)
    settled = Settled(Mix(()), stacking, temperature, np.zeros(0), np.zeros(0))
    return [Judged.of(split, raw, settled)], temperature


def recall(split: Split, scores: F32) -> F64:
    """(c,) of each column's rows the share that is right; NaN without rows."""
    c = len(split.columns)
    counts = np.bincount(split.y, split.weights, minlength=c)
    right = np.bincount(split.y, split.weights * (scores.argmax(axis=1) == split.y), minlength=c)
    found: F64 = np.divide(right, counts, out=np.full(c, np.nan), where=counts > 0)
    return found
