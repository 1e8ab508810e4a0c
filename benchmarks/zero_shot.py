"""Classes that nobody has an example of: AwA by attributes, Banking77 by names, and the start from names alone.

    BENCH_DATA=... python -m benchmarks.zero_shot [--parts awa,banking77,names,start]

In process, as a fit does it. Everything is chosen on classes set apart of the seen ones (names: of the training rows);
unseen classes and test rows are looked at once.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from adapters.adapt import adapt
from adapters.base import Method, Task
from adapters.linalg import unit_rows
from adapters.methods import parse_method
from benchmarks.data import bench_data
from benchmarks.record import open_console, provenance, show_targets, some_of, write
from benchmarks.zero_shot_data import BACKBONE, Embedded, Unseen, Words, awa, shots, without
from benchmarks.zero_shot_scores import among_unseen, both_sides
from benchmarks.zero_shot_targets import targets

PARTS = ("awa", "banking77", "names", "start")
AWA = ("eszsl", "sae", "conse", "iap", "dap", "blend-all", "auto")
BANKING77 = ("names", "eszsl", "sae", "conse", "blend", "auto")
METHODS: dict[str, Any] = {
    "blend-all": {"method": "blend", "members": [{"method": m} for m in ("eszsl", "sae", "conse", "iap", "dap")]}
}
"""What a word for a method means where it is not simply its name."""

TEMPLATES = (
    *("{}", "{}?", "{}.", "question about {}", "my question is about {}", "I have a question about {}", "help with {}"),
    *("I need help with {}", "problem with {}", "a customer asks about {}", "what about {}", "how does {} work?"),
    *(
        "banking: {}",
        "the customer's intent is {}",
        "please help me, {}",
        "why {}?",
        "how do I {}?",
        "tell me about {}",
    ),
    *("{} in my banking app", "I am writing about {}"),
)
SHOTS, SPLITS = (1, 3, 5, 10), 5


@dataclass(frozen=True)
class Row:
    """One method on one split.

    Attributes:
        data, split, method: Which.
        chosen: The method with every parameter, as published.
        among: Mean per-class accuracy of unseen classes told from each other.
        harmonic, seen, unseen: Seen and unseen classes together, with stacking.
        raw: Harmonic mean without it.
        foretold: What the report said of `among` and `harmonic` before any of these rows was seen.
        fit_s: Seconds of the whole fit.
    """

    data: str
    split: str
    method: str
    chosen: dict[str, Any]
    among: float
    harmonic: float
    seen: float
    unseen: float
    raw: float
    foretold: dict[str, float | None]
    fit_s: float


@dataclass(frozen=True)
class Start:
    """One few-shot split: accuracies on all test rows, and what `auto` published."""

    shots: int
    split: int
    auto: float
    few_shot: float
    zero_shot: float
    chosen: str


def method_of(word: str) -> Method:
    """What a word for a method means."""
    return parse_method(METHODS.get(word, {"method": word}))


def judge(data: str, part: Unseen, word: str) -> Row:
    """Fit one method to one split and score it once."""
    started = time.perf_counter()
    found = adapt(part.task, method_of(word), on_stage=_silent, clock=time.monotonic)
    fit_s = time.perf_counter() - started
    unseen, scores = part.task.absent, found.head.scores(part.z)
    stacking = getattr(found.head, "stacking", 0.0)
    stacked = both_sides(scores, part.y, unseen)
    raw = both_sides(scores + np.where(unseen, 0, np.float32(stacking)), part.y, unseen)
    # What was held out to judge seen classes need not be missed where only unseen ones are judged.
    alone = scores if part.whole is None else found.method.fit(part.whole).scores(part.z)
    said = found.report["zero_shot"]
    return Row(
        data,
        part.name,
        word,
        found.method.model_dump(mode="json"),
        among_unseen(alone, part.y, unseen),
        stacked.harmonic,
        stacked.seen,
        stacked.unseen,
        raw.harmonic,
        {"among": said["unseen_among_themselves"], "harmonic": said["harmonic_mean"]},
        fit_s,
    )


def rows_of(data: str, parts: Sequence[Unseen], words: Sequence[str], console: Console) -> Iterator[Row]:
    """Every method on every split."""
    for part in parts:
        for word in words:
            row = judge(data, part, word)
            console.print(
                f"{data} {part.name} {word}: {row.among:.3f}, H {row.raw:.3f} -> {row.harmonic:.3f}, {row.fit_s:.1f} s"
            )
            yield row


def names_alone(words: Words, embedded: Embedded) -> dict[str, Any]:
    """Zero-shot by names over all 77: plain, all templates averaged, and those that training rows choose."""
    from adapters.dataset import humanise

    tables = [words.embed([template.format(humanise(name)) for name in embedded.classes]) for template in TEMPLATES]
    chosen = _templates(tables, embedded)

    def accuracy(numbers: Sequence[int]) -> float:
        return _accuracy(_mean_names([tables[i] for i in numbers]), embedded.test, embedded.y_test)

    return {
        "plain": accuracy([0]),
        "all": accuracy(range(len(tables))),
        "chosen": accuracy(chosen),
        "templates": [TEMPLATES[number] for number in chosen],
    }


def _templates(tables: Sequence[Any], embedded: Embedded) -> list[int]:
    """Added one after the other as long as more training rows are right."""
    chosen: list[int] = []
    best = 0.0
    while True:
        tried = [(i, [tables[j] for j in (*chosen, i)]) for i in range(len(tables)) if i not in chosen]
        found = [(_accuracy(_mean_names(some), embedded.train, embedded.y_train), -i) for i, some in tried]
        value, number = max(found, default=(0.0, 0))
        if value <= best:
            return chosen
        best, chosen = value, [*chosen, -number]


def _mean_names(tables: Sequence[Any]) -> Any:
    return unit_rows(np.mean(tables, axis=0, dtype=np.float64))


def _accuracy(names: Any, z: Any, y: Any) -> float:
    return float(((z @ names.T).argmax(axis=1) == y).mean())


def start(embedded: Embedded, number: int, split: int) -> Start:
    """`auto` with names beside `auto` without them and names alone."""
    task = shots(embedded, number, split)

    def fitted(task: Task, method: dict[str, Any]) -> tuple[float, str]:
        found = adapt(task, parse_method(method), on_stage=_silent, clock=time.monotonic)
        right = found.head.scores(embedded.test).argmax(axis=1) == embedded.y_test
        return float(right.mean()), found.method.method

    auto, chosen = fitted(task, {"method": "auto"})
    few, _ = fitted(replace(task, names=None), {"method": "auto"})
    zero = _accuracy(_mean_names([embedded.names]), embedded.test, embedded.y_test)
    return Start(number, split, auto, few, zero, chosen)


def run(folder: Path, chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The parts that are asked for, as they are kept."""
    figures: dict[str, Any] = {"rows": [], "names": {}, "starts": []}
    if "awa" in chosen.parts:
        figures["rows"] += rows_of("awa", awa(folder), AWA, console)
    if {"banking77", "names", "start"} & set(chosen.parts):
        words = Words(chosen.threads)
        embedded = words.banking77(folder)
        if "banking77" in chosen.parts:
            lists = [without(embedded, number) for number in range(len(embedded.unseen))]
            figures["rows"] += rows_of("banking77", lists, BANKING77, console)
        if "names" in chosen.parts:
            figures["names"] = names_alone(words, embedded)
        if "start" in chosen.parts:
            figures["starts"] = [start(embedded, number, split) for number in SHOTS for split in range(SPLITS)]
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/zero_shot.json."""
    chosen = _parse(arguments)
    made_by, console = provenance(vars(chosen) | {"backbone": BACKBONE}), open_console()
    figures = run(bench_data(), chosen, console)
    aims = targets(figures["rows"], figures["names"], figures["starts"])
    for data in ("awa", "banking77"):
        rows = [row for row in figures["rows"] if row.data == data]
        if rows:
            console.print(_table(data, rows))
    if figures["names"]:
        console.print(figures["names"])
    show_targets(console, aims)
    kept = figures | {key: [asdict(one) for one in figures[key]] for key in ("rows", "starts")}
    path = write(chosen.results, {"targets": [aim.as_json() for aim in aims], **kept}, made_by)
    console.print(f"Written to {path}", soft_wrap=True)


def _table(data: str, rows: Sequence[Row]) -> Table:
    table = Table("method", "unseen among themselves", "raw H", "H", "seen", "unseen", "fit, s", title=data)
    splits = sorted({row.split for row in rows}) if data == "awa" else [""]
    for split in splits:
        for word in dict.fromkeys(row.method for row in rows):
            some = [row for row in rows if row.method == word and split in {"", row.split}]
            names = ("among", "raw", "harmonic", "seen", "unseen", "fit_s")
            table.add_row(
                f"{word} {split}", *(f"{statistics.mean(getattr(row, name) for row in some):.3f}" for name in names)
            )
    return table


def _silent(_stage: str, _share: float) -> None:
    """Nobody wants to know how far it is."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy on classes without examples.")
    parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the backbone's sessions")
    parser.add_argument("--results", default="zero_shot", help="name of the file in benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
