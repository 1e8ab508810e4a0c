"""The fits that `benchmarks.heads` times, on embeddings that are drawn."""

import gc
import math
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
import numpy.typing as npt

from adapters.adapt import adapt
from adapters.base import F32, I64, Head, Method, Need, Task, TaskKind
from adapters.methods import METHODS, parse_method
from benchmarks.processes import usage

Say = Callable[[str], None]
"""Hears what is measured now."""

SEED = 0
HELD_OUT = 2_000
SPREAD = 1.25
"""How far rows of a class are apart, in units of how far classes are."""
LEADING = 16
"""Directions after which the spread falls off."""

AXES = {"n": "rows", "d": "width", "k": "classes"}
MIDDLE = {"n": 1_000, "d": 384, "k": 20}
"""Where the other two stand while one is varied."""

PEER = "LogisticRegressionCV"
PEER_SHAPES = ({"n": 385, "d": 384, "k": 77}, {"n": 1_000, "d": 768, "k": 77})
PEER_METHODS = ("prototype", "lda", "ridge", "logistic", "auto")
DRAWS = 3

MANY = {"n": 100_000, "d": 384, "k": 100}
MANY_METHODS = ("prototype", "ridge", "lda", "logistic")


@dataclass(frozen=True)
class Cost:
    """One fit.

    Attributes:
        method: Its name, or `PEER`.
        n, d, k: Rows, width, classes.
        seconds: Of `adapt`; beside the peer the median of the draws.
        accuracy: On held-out rows, the mean of the draws; NaN where they were not scored.
        memory: Most resident memory, with the embeddings, in units of the embeddings; NaN where it was not measured.
    """

    method: str
    n: int
    d: int
    k: int
    seconds: float
    accuracy: float = math.nan
    memory: float = math.nan

    def as_json(self) -> dict[str, object]:
        """As it is kept: what was not measured is left out."""
        return {name: value for name, value in asdict(self).items() if value == value}


def draw(n: int, d: int, k: int, seed: int = SEED) -> tuple[F32, I64, F32, I64]:
    """Rows to fit and `HELD_OUT` others: z, y, z, y; at least five of each class while there are rows for it."""
    rng = np.random.default_rng(seed)
    # As of real embeddings, few directions hold most of what differs within classes, and even fewer between them.
    spectrum = (1 / np.sqrt(1 + np.arange(d) / LEADING)).astype(np.float32)
    y = np.arange(n + HELD_OUT) % k
    z = rng.standard_normal((len(y), d), dtype=np.float32)
    z *= np.float32(SPREAD)
    z += (spectrum * rng.standard_normal((k, d), dtype=np.float32))[y]
    z *= spectrum
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z[:n], y[:n], z[n:], y[n:]


def task_of(z: F32, y: I64, device: str) -> Task:
    """The task that a fit of these rows is."""
    classes = tuple(f"class {c}" for c in range(int(y.max()) + 1))
    return Task(z, y, classes, np.arange(len(y)), seed=SEED, device=device)


def heads() -> list[Method]:
    """Every method that needs embeddings and labels only, simplest first."""
    methods = [parse_method(name) for name in METHODS]
    able = [m for m in methods if TaskKind.CLASSIFICATION in m.tasks and m.requirements() == {Need.LABELS}]
    return sorted(able, key=lambda method: method.complexity)


def timed(method: Method, task: Task) -> tuple[Head, float]:
    """The head, and the seconds until it could be published."""
    started = time.perf_counter()
    adaptation = adapt(task, method, on_stage=lambda _stage, _fraction: None, clock=time.perf_counter)
    return adaptation.head, time.perf_counter() - started


def warm_up() -> None:
    """What a process does only once: export and verify import their libraries."""
    z, y, _, _ = draw(40, 8, 4)
    timed(parse_method("prototype"), task_of(z, y, "cpu"))


def sweep(sizes: Mapping[str, Sequence[int]], enough_s: float, device: str, say: Say) -> Iterator[Cost]:
    """Vary one size at a time."""
    for method in heads():
        measured: dict[tuple[int, ...], float] = {}
        for axis, values in sizes.items():
            for value in values:
                shape = MIDDLE | {axis: value}
                key = tuple(shape.values())
                if key not in measured:
                    say(f"{method.method}, {shape}")
                    z, y, _, _ = draw(**shape)
                    _, measured[key] = timed(method, task_of(z, y, device))
                    yield Cost(method.method, **shape, seconds=measured[key])
                if measured[key] > enough_s:
                    break


def beside_peer(shapes: Sequence[dict[str, int]], draws: int, device: str, say: Say) -> Iterator[Cost]:
    """The same rows, as many folds and as many penalties for scikit-learn; all of them on each draw in turn."""
    for shape in shapes:
        seconds: dict[str, list[float]] = defaultdict(list)
        accuracies: dict[str, list[float]] = defaultdict(list)
        for seed in range(SEED, SEED + draws):
            z, y, held_z, held_y = draw(**shape, seed=seed)
            for name in (PEER, *PEER_METHODS):
                say(f"{name}, {shape}")
                if name == PEER:
                    scores, took = _peer(z, y, held_z)
                else:
                    head, took = timed(parse_method(name), task_of(z, y, device))
                    scores = head.scores(held_z)
                seconds[name].append(took)
                accuracies[name].append(_accuracy(scores, held_y))
        for name, took_s in seconds.items():
            yield Cost(name, **shape, seconds=median(took_s), accuracy=mean(accuracies[name]))


def _peer(z: F32, y: I64, held_z: F32) -> tuple[npt.NDArray[np.floating], float]:
    """Scores of the held-out rows, and the seconds of the fit."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegressionCV

    with warnings.catch_warnings():
        # Its weakest penalty may not converge; of the parameters whose defaults are to change none decides here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        fitted = LogisticRegressionCV(Cs=6, cv=5, max_iter=1_000)
        started = time.perf_counter()
        fitted.fit(z, y)
        return fitted.decision_function(held_z), time.perf_counter() - started


def _accuracy(scores: npt.NDArray[np.floating], y: I64) -> float:
    return float((scores.argmax(axis=1) == y).mean())


def on_many_rows(device: str, say: Say) -> Iterator[Cost]:
    """Seconds, and the most memory beside everything that was there before the embeddings."""
    before = usage(os.getpid()).rss_bytes
    z, y, held_z, held_y = draw(**MANY)
    for name in MANY_METHODS:
        say(f"{name}, {MANY}")
        gc.collect()
        # The kernel forgets the highest mark so far.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        head, seconds = timed(parse_method(name), task_of(z, y, device))
        memory = (usage(os.getpid()).peak_rss_bytes - before) / z.nbytes
        yield Cost(name, **MANY, seconds=seconds, accuracy=_accuracy(head.scores(held_z), held_y), memory=memory)
