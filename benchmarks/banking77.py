"""Accuracy, log loss and seconds on Banking77, over HTTP, beside scikit-learn on the very same embeddings.

    BENCH_DATA=... python -m benchmarks.banking77 [--shots 5,10] [--splits 5] [--methods logistic,logistic-names,auto]

Each split: upload its rows, fit, predict the whole test set. Nothing is chosen on the test set.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.progress import Progress

from benchmarks.banking77_tables import ALL_ROWS, fits_table, stages_table, targets
from benchmarks.data import Banking77, Rows, bench_data, load_banking77
from benchmarks.record import open_console, provenance, show_targets, write
from benchmarks.scores import F64, I64, Scores, measure
from benchmarks.server import NO_CACHE, Service, fresh_home, serving, stop_on_terminate
from graft import Client, Prediction, Version
from models.base import Backbone, Embedding
from models.batching import embed
from models.hosted import hosted, open_backbone

BACKBONE = "minilm-l6"
BASELINE = "scikit-learn"
METHODS: dict[str, str | dict[str, Any]] = {
    "logistic-names": {"method": "logistic", "prior": "names"},
    "auto-plain": {"method": "auto", "names": False},
}
"""What a word of ``--methods`` means where it is not simply a method's name."""
EMBEDDINGS = 3
"""Times that a split is embedded alone; the median counts."""


@dataclass(frozen=True)
class Split:
    """One split, with what was measured in this process.

    Attributes:
        shots, number: Which.
        rows: What is uploaded.
        z: (n, d) their embeddings.
        embed_s: Median seconds to embed them, alone on the machine, with a session that is warm.
    """

    shots: int
    number: int
    rows: Rows
    z: Embedding
    embed_s: float


@dataclass(frozen=True)
class Fit:
    """One method on one split.

    Attributes:
        shots, split, method: Which.
        test: Figures on the whole test set.
        cross_validated: The same as the service told before it saw a test row; None for the baseline.
        chosen: The method with every parameter, as published.
        temperature: Of its probabilities.
        embed_s: See `Split`.
        servable_s: From the start of the upload to the first answer; None for the baseline.
        stages_s: The fit's own stages, from its report.
        predict_s: For the whole test set over HTTP.
    """

    shots: int
    split: int
    method: str
    test: Scores
    embed_s: float
    cross_validated: dict[str, float | None] | None = None
    chosen: dict[str, Any] | None = None
    temperature: float | None = None
    servable_s: float | None = None
    stages_s: dict[str, float] | None = None
    predict_s: float | None = None


@dataclass(frozen=True)
class TestSet:
    """What every fit is scored on: texts, classes in order, y (n,), and embeddings z (n, d) for the baseline."""

    texts: list[str]
    classes: list[str]
    y: I64
    z: Embedding


def embed_split(backbone: Backbone, data: Banking77, shots: int, number: int) -> Split:
    """Embed a split's texts `EMBEDDINGS` times."""
    rows = data.train if shots == ALL_ROWS else data.split(shots, number)
    texts = [text for text, _ in rows]
    seconds = []
    for _ in range(1 if shots == ALL_ROWS else EMBEDDINGS):
        started = time.perf_counter()
        z, _ = embed(backbone, texts)
        seconds.append(time.perf_counter() - started)
    return Split(shots, number, rows, z, statistics.median(seconds))


def test_set(backbone: Backbone, data: Banking77) -> TestSet:
    """Embed the test set and number its labels."""
    classes = sorted({label for _, label in data.test})
    texts = [text for text, _ in data.test]
    y = np.array([classes.index(label) for _, label in data.test], dtype=np.int64)
    z, _ = embed(backbone, texts)
    return TestSet(texts, classes, y, z)


def baseline(split: Split, test: TestSet) -> Fit:
    """scikit-learn's logistic regression (C = 10) on the embeddings that the service fits on."""
    from sklearn.linear_model import LogisticRegression

    labels = [label for _, label in split.rows]
    with warnings.catch_warnings():
        # With one example a class, scikit-learn asks whether the labels are numbers to be regressed.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        fitted = LogisticRegression(C=10, max_iter=2000).fit(split.z, labels)
    p = np.zeros((len(test.y), len(test.classes)))
    p[:, [test.classes.index(label) for label in fitted.classes_]] = fitted.predict_proba(test.z)
    return Fit(split.shots, split.number, BASELINE, measure(p, test.y), split.embed_s)


def fit_over_http(client: Client, split: Split, method: str, test: TestSet) -> Fit:
    """Upload, fit, and predict the test set as any client would."""
    name = f"{method}-{split.shots}-{split.number}"
    started = time.perf_counter()
    version = client.fit(split.rows, name=name, method=METHODS.get(method, method))
    client.predict(version.ref, test.texts[:1])
    servable_s = time.perf_counter() - started
    started = time.perf_counter()
    answers = client.predict(version.ref, test.texts, top_k=len(test.classes))
    predict_s = time.perf_counter() - started
    return Fit(
        split.shots,
        split.number,
        method,
        measure(probabilities(answers, test.classes), test.y),
        split.embed_s,
        cross_validated=_cross_validated(version),
        chosen=dict(version.method),
        temperature=version.temperature,
        servable_s=servable_s,
        stages_s=client.adapters.report(version.ref)["seconds"],
        predict_s=predict_s,
    )


def probabilities(answers: Sequence[Prediction], classes: Sequence[str]) -> F64:
    """Answers that list every class -> (n, k), in the order of `classes`."""
    column = {label: number for number, label in enumerate(classes)}
    p = np.zeros((len(answers), len(classes)))
    for row, answer in zip(p, answers, strict=True):
        for label, value in answer.top:
            row[column[label]] = value
    return p


def warm_up(client: Client, rows: Rows, methods: Sequence[str]) -> None:
    """Let the worker import, and open its backbone: what is timed is a service that has been running."""
    for method in methods:
        version = client.fit(rows, name="warm-up", method=METHODS.get(method, method))
        client.predict(version.ref, [rows[0][0]])


def run(service: Service, data: Banking77, chosen: argparse.Namespace, on_fit: Callable[[], None]) -> Iterator[Fit]:
    """Every split, the baseline first and then each method."""
    digest = hosted(service.backbones)[BACKBONE].digest
    backbone = open_backbone(service.backbones, digest, threads=chosen.threads)
    # Other rows than any split's: an upload that is there already is not stored again.
    warm_up(service.client, data.split(chosen.shots[0], 0)[::2], chosen.methods)
    test = test_set(backbone, data)
    for shots in chosen.shots:
        for number in range(1 if shots == ALL_ROWS else chosen.splits):
            split = embed_split(backbone, data, shots, number)
            yield baseline(split, test)
            for method in chosen.methods:
                yield fit_over_http(service.client, split, method, test)
                on_fit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/banking77.json."""
    chosen = _parse(arguments)
    data = load_banking77(bench_data())
    unknown = [shots for shots in chosen.shots if shots not in {*data.shots, ALL_ROWS}]
    if unknown:
        raise SystemExit(f"There are no splits of {unknown} shots; there are {sorted(data.shots)} and 0 for all rows.")
    stop_on_terminate()
    made_by = provenance(vars(chosen) | {"backbone": BACKBONE})
    console = open_console()
    with (
        fresh_home() as home,
        serving(home, threads=chosen.threads, settings={} if chosen.cache else NO_CACHE) as service,
        Progress(console=console) as progress,
    ):
        bar = progress.add_task("Banking77", total=len(chosen.shots) * chosen.splits * len(chosen.methods))
        fits = list(run(service, data, chosen, lambda: progress.advance(bar)))
    aims = targets(fits, BASELINE)
    console.print(fits_table(fits))
    console.print(stages_table(fits))
    show_targets(console, aims)
    figures = {"targets": [aim.as_json() for aim in aims], "fits": [asdict(fit) for fit in fits]}
    console.print(f"Written to {write(chosen.results, figures, made_by)}", soft_wrap=True)


def _cross_validated(version: Version) -> dict[str, float | None]:
    seen = version.metrics
    return {"accuracy": seen.accuracy, "log_loss": seen.log_loss, "ece": seen.ece}


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy, log loss and seconds on Banking77 over HTTP.")
    parser.add_argument("--shots", type=_numbers, default=[5, 10], help="examples a class: 1, 3, 5, 10; 0 = all rows")
    parser.add_argument("--splits", type=int, default=5, choices=range(1, 6), help="how many of the splits")
    parser.add_argument("--methods", type=_words, default=["logistic", "logistic-names", "auto"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the backbone's sessions")
    parser.add_argument(
        "--cache", action="store_true", help="embed each text once: accuracy is quick, times mean little"
    )
    parser.add_argument("--results", default="banking77", help="name of the file in benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
