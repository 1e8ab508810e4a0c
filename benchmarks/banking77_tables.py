"""What the Banking77 figures are held against, and how they are shown."""

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.record import Target
from benchmarks.scores import spread

if TYPE_CHECKING:
    from benchmarks.banking77 import Fit

REFERENCE = {1: (0.538, 2.72), 3: (0.739, 1.66), 5: (0.800, 1.25), 10: (0.853, 0.86)}
"""Accuracy and log loss of scikit-learn's LR (C = 10), mean of five splits, as recorded beside the data."""

ALL_ROWS = 0
"""Instead of shots: every training row."""
ALL_ACCURACY = 0.925
"""Of `auto` on all rows."""
LOG_LOSS_SHARE = {5: 0.65}
"""Most of the baseline's log loss that `auto` may have, by shots; below it everywhere."""

WITH_NAMES = frozenset({"logistic-names", "auto"})
"""Methods that know the class names, and are held to more."""
PLAIN_GAIN = -0.002
"""Accuracy over the baseline's that a method without names has to reach."""
NAMES_GAIN = {1: 0.13, 3: 0.03, 5: 0.015, 10: 0.007}
"""The same for methods with names, by shots."""

TIMED_SHOTS = 5
EMBED_FACTOR = 1.3
SERVABLE_S = {"logistic": 2.5, "auto": 4.0}
"""Seconds from upload to servable at `TIMED_SHOTS`, on top of `EMBED_FACTOR` times the embedding alone."""


def targets(fits: Sequence["Fit"], baseline: str) -> list[Target]:
    """Every figure that has a limit, for what was run."""
    result = []
    for shots, method in _groups(fits):
        if method == baseline:
            continue
        own, base = _of(fits, shots, method), _of(fits, shots, baseline)
        if shots in NAMES_GAIN:
            gain = NAMES_GAIN[shots] if method in WITH_NAMES else PLAIN_GAIN
            floor = _mean(base, lambda f: f.test.accuracy) + gain
            result.append(Target(f"{method} {shots}-shot accuracy", _mean(own, _accuracy), floor, at_least=True))
        elif shots == ALL_ROWS and method == "auto":
            result.append(Target("auto, all rows, accuracy", _mean(own, _accuracy), ALL_ACCURACY, at_least=True))
        ceiling = _mean(base, _log_loss) * (LOG_LOSS_SHARE.get(shots, 1.0) if method.startswith("auto") else 1.0)
        result.append(Target(f"{method} {shots}-shot log loss below {baseline}", _mean(own, _log_loss), ceiling))
        if shots == TIMED_SHOTS and method in SERVABLE_S:
            what = f"{method} {shots}-shot seconds beyond {EMBED_FACTOR:g} x embedding, median"
            result.append(Target(what, statistics.median(map(overhead_s, own)), SERVABLE_S[method]))
    return result


def overhead_s(fit: "Fit") -> float:
    """Seconds from upload to servable that embedding does not explain; 0 where nothing was timed."""
    return 0.0 if fit.servable_s is None else fit.servable_s - EMBED_FACTOR * fit.embed_s


def fits_table(fits: Sequence["Fit"]) -> Table:
    """Mean and deviation over splits on the test set, beside what the service had said before."""
    table = Table("shots", "method", "accuracy", "log loss", "ECE", "out of fold", "each split", title="Test set")
    for shots, method in _groups(fits):
        own = _of(fits, shots, method)
        told = [f.cross_validated for f in own if f.cross_validated]
        said = [t["accuracy"] for t in told if t["accuracy"] is not None]
        table.add_row(
            str(shots),
            method,
            str(spread([f.test.accuracy for f in own])),
            str(spread([f.test.log_loss for f in own])),
            str(spread([f.test.ece for f in own])),
            str(spread(said)) if said else "",
            " ".join(f"{f.test.accuracy:.3f}" for f in own),
        )
    for shots in sorted({f.shots for f in fits} & set(REFERENCE)):
        accuracy, loss = REFERENCE[shots]
        table.add_row(str(shots), "recorded reference", f"{accuracy:.3f}", f"{loss:.3f}", "", "", "")
    return table


def stages_table(fits: Sequence["Fit"]) -> Table:
    """Where the seconds from upload to servable go, medians over splits."""
    timed = [f for f in fits if f.servable_s is not None and f.stages_s]
    names = list(dict.fromkeys(name for f in timed for name in f.stages_s or {}))
    title = "Seconds from upload to first answer (servable), medians; rest: upload, queue, publishing, first answer"
    table = Table("shots", "method", "embed alone", "servable", "worst", *names, "rest", "test set", title=title)
    for shots, method in _groups(timed):
        own = _of(timed, shots, method)
        stages = [statistics.median((f.stages_s or {}).get(name, 0.0) for f in own) for name in names]
        rest = _median(own, lambda f: (f.servable_s or 0.0) - sum((f.stages_s or {}).values()))
        servable = [f.servable_s or 0.0 for f in own]
        embed, predict = _median(own, lambda f: f.embed_s), _median(own, lambda f: f.predict_s or 0.0)
        seconds = (embed, statistics.median(servable), max(servable), *stages, rest, predict)
        table.add_row(str(shots), method, *(f"{value:.2f}" for value in seconds))
    return table


def _groups(fits: Sequence["Fit"]) -> list[tuple[int, str]]:
    """(shots, method) in the order they were run."""
    return list(dict.fromkeys((f.shots, f.method) for f in fits))


def _of(fits: Sequence["Fit"], shots: int, method: str) -> list["Fit"]:
    return [f for f in fits if (f.shots, f.method) == (shots, method)]


def _accuracy(fit: "Fit") -> float:
    return fit.test.accuracy


def _log_loss(fit: "Fit") -> float:
    return fit.test.log_loss


def _mean(fits: Sequence["Fit"], figure: Callable[["Fit"], float]) -> float:
    return spread([figure(f) for f in fits]).mean


def _median(fits: Sequence["Fit"], figure: Callable[["Fit"], float]) -> float:
    return statistics.median(figure(f) for f in fits)
