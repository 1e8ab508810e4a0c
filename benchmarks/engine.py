"""`auto` beside every single method, over HTTP, on texts, images, sounds and tables at three sizes each.

    BENCH_DATA=... python -m benchmarks.engine [--sets banking77,sst2] [--seeds 5] [--methods auto,logistic,...]

Each draw is uploaded once and fitted by every method; each is scored on the same held-out items. Embeddings are cached:
what is compared is what the methods make of them. Nothing is chosen on the test sets.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.data import bench_data
from benchmarks.engine_client import EngineClient
from benchmarks.engine_data import ALL, SETS, Drawn
from benchmarks.media import mobilenet
from benchmarks.record import Target, open_console, provenance, show_targets, some_of, write
from benchmarks.scores import F64, log_loss
from benchmarks.server import fresh_home, serving, stop_on_terminate

AUTO = "auto"
SINGLE = ("prototype", "ridge", "lda", "logistic", "logistic-names", "kernel", "mlp")
TUNED = {"last_k": {"method": "last_k", "k": 4, "epochs": 3}, "lora": {"method": "lora", "epochs": 3}}
"""Methods that train the backbone: they take minutes, and are run where they are asked for."""
METHODS: dict[str, Any] = {"logistic-names": {"method": "logistic", "prior": "names"}, **TUNED}
"""What a word of ``--methods`` means where it is not simply a method's name."""
NO_NAMES = frozenset(SETS) - {"banking77", "sst2"}
REGRESSION = frozenset({"ridge", "kernel", "mlp", AUTO})
POINTS = 0.003
"""How far `auto` may be behind the best single method on Banking77."""


@dataclass(frozen=True)
class Fit:
    """One method on one draw.

    Attributes:
        data, size, seed, method: Which.
        score: Accuracy; average precision of ai4i2020, ROC AUC of german_credit, R² of diabetes.
        log_loss: In nats; None for numbers.
        judged: Items that it is the figure of.
        chosen: Name of the method that was published.
        fit_s: Of the job but for embedding.
    """

    data: str
    size: int
    seed: int
    method: str
    score: float
    log_loss: float | None
    judged: int
    chosen: str
    fit_s: float


def judge(client: EngineClient, drawn: Drawn, dataset: str, method: str, limits: dict[str, Any]) -> Fit:
    """Fit by one method, and score what it answers."""
    body = {**drawn.options, "method": METHODS.get(method, method)}
    version, seconds = client.fit(dataset, f"{drawn.data}-{method}".replace("_", "-"), body | limits)
    answers = client.predict(version["ref"], drawn.inputs)
    score, loss = scores(drawn, answers)
    spent = sum(value for stage, value in seconds.items() if stage != "embed")
    chosen = version["method"]["method"]
    return Fit(drawn.data, drawn.size, drawn.seed, method, score, loss, len(drawn.truth), chosen, spent)


def scores(drawn: Drawn, answers: Sequence[dict[str, Any]]) -> tuple[float, float | None]:
    """The figure of a set, and the log loss."""
    from sklearn import metrics

    if "value" in answers[0]:
        return float(metrics.r2_score(drawn.truth, [answer["value"] for answer in answers])), None
    classes = sorted({*drawn.truth, *(name for name, _ in answers[0]["top"])})
    p: F64 = np.array([[dict(answer["top"]).get(name, 0.0) for name in classes] for answer in answers])
    y = np.array([classes.index(label) for label in drawn.truth])
    loss = log_loss(p, y)
    if drawn.positive is None:
        return float((p.argmax(axis=1) == y).mean()), loss
    truth, odds = y == classes.index(drawn.positive), p[:, classes.index(drawn.positive)]
    if drawn.data == "ai4i2020":
        return float(metrics.average_precision_score(truth, odds)), loss
    return float(metrics.roc_auc_score(truth, odds)), loss


def able(data: str, methods: Sequence[str]) -> list[str]:
    """Of some methods those that can do a set."""
    kept = [method for method in methods if method != "logistic-names" or data not in NO_NAMES]
    return [method for method in kept if data != "diabetes" or method in REGRESSION]


def run(client: EngineClient, chosen: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Iterator[Fit]:
    """Every fit."""
    limits = {} if chosen.max_seconds is None else {"max_seconds": chosen.max_seconds}
    for name in chosen.sets:
        draw, sizes = SETS[name]
        for size in chosen.sizes or sizes:
            for seed in range(1 if size == ALL else chosen.seeds):
                drawn = draw(folder, size, seed)
                dataset = client.upload(drawn)
                for method in able(name, chosen.methods):
                    say(f"{name}, {size or 'all'}, draw {seed + 1}, {method}")
                    yield judge(client, drawn, dataset, method, limits)


def targets(fits: Sequence[Fit]) -> list[Target]:
    """`auto` against the best single method: within 0.3 points on Banking77, within one standard error elsewhere."""
    found = []
    for data, size in dict.fromkeys((fit.data, fit.size) for fit in fits):
        own = [fit for fit in fits if (fit.data, fit.size) == (data, size)]
        mean = {method: [fit.score for fit in own if fit.method == method] for method in {fit.method for fit in own}}
        singles = {method: statistics.mean(seen) for method, seen in mean.items() if method != AUTO}
        if AUTO not in mean or not singles:
            continue
        best = max(singles, key=lambda method: singles[method])
        room = POINTS if data == "banking77" else max(standard_error(mean[best], own[0].judged), POINTS)
        what = f"{data}, {size or 'all'}: auto beside {best}"
        found.append(Target(what, statistics.mean(mean[AUTO]), singles[best] - room, at_least=True))
    return found


def standard_error(scores: Sequence[float], judged: int) -> float:
    """Of a mean over draws; of a single draw, of the share of its items that are right."""
    if len(scores) > 1:
        return statistics.stdev(scores) / math.sqrt(len(scores))
    return math.sqrt(max(0.0, scores[0] * (1 - scores[0]) / judged))


def shown(fits: Sequence[Fit]) -> Table:
    """Means over draws: a row a size, a column a method."""
    methods = list(dict.fromkeys(fit.method for fit in fits))
    table = Table("data", "size", *methods, "auto chose", "auto s", title="On the test set: score / log loss")
    for data, size in dict.fromkeys((fit.data, fit.size) for fit in fits):
        own = [fit for fit in fits if (fit.data, fit.size) == (data, size)]
        autos = [fit for fit in own if fit.method == AUTO]
        chosen = ", ".join(sorted({fit.chosen for fit in autos}))
        seconds = f"{statistics.median(fit.fit_s for fit in autos):.2f}" if autos else "-"
        table.add_row(data, str(size or "all"), *(_cell(own, method) for method in methods), chosen, seconds)
    return table


def _cell(fits: Sequence[Fit], method: str) -> str:
    own = [fit for fit in fits if fit.method == method]
    if not own:
        return "-"
    losses = [fit.log_loss for fit in own if fit.log_loss is not None]
    score = f"{statistics.mean(fit.score for fit in own):.3f}"
    return f"{score} / {statistics.mean(losses):.3f}" if losses else score


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/engine.json."""
    chosen = _parse(arguments)
    folder = bench_data()
    stop_on_terminate()
    made_by, console = provenance(vars(chosen)), open_console()
    started = time.perf_counter()
    settings = {"GRAFT_BACKBONE_FOLDERS": str(folder)}
    with (
        console.status("starting") as status,
        fresh_home() as home,
        serving(home, settings=settings) as service,
        closing(EngineClient(service.client.base_url)) as client,
    ):
        if "cifar10" in chosen.sets:
            client.host(mobilenet(folder / "weights", "mobilenet-v2-128"))
        fits = list(run(client, chosen, folder, status.update))
    console.print(shown(fits))
    aims = targets(fits)
    show_targets(console, aims)
    kept = {
        "seconds": round(time.perf_counter() - started),
        "targets": [aim.as_json() for aim in aims],
        "fits": [asdict(fit) for fit in fits],
    }
    console.print(f"Written to {write(chosen.results, kept, made_by)}", soft_wrap=True)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="`auto` beside every single method, over HTTP.")
    parser.add_argument("--sets", type=some_of(tuple(SETS)), default=list(SETS), help="of " + ", ".join(SETS))
    heads = (AUTO, *SINGLE)
    every = (*heads, *TUNED)
    parser.add_argument("--methods", type=some_of(every), default=list(heads), help="of " + ", ".join(every))
    parser.add_argument("--sizes", type=_numbers, default=[], help="instead of each set's own; 0 = all rows")
    parser.add_argument("--max-seconds", type=float, help="budget of each fit; 60 when left out")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each size")
    parser.add_argument("--results", default="engine", help="name of the file in benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
