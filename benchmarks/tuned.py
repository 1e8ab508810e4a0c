"""Training the last blocks, or low-rank changes, of a backbone, against a head on the frozen one. In this process.

    BENCH_DATA=... python -m benchmarks.tuned [--sets sst2,cifar10] [--unseen dev] [--rows 1000] [--quick] [--threads 2]
        [--methods '[{"method": "last_k", "k": 4}, {"method": "lora"}]']

``--unseen dev`` judges on rows of the training file that are learned from by nobody: for choosing defaults. ``test``
judges on the test file: to be looked at when nothing is left to be chosen.
"""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.table import Table

from adapters.base import Head, Method, Task
from adapters.methods import parse_method
from adapters.tuned import TunedHead
from benchmarks.data import bench_data
from benchmarks.record import Target, open_console, provenance, show_targets, some_of, write
from models.base import Item
from models.batching import embed
from models.catalog import Entry, Options, entry
from models.hosted import host, open_backbone
from models.sources import Folder
from models.trunks.tuning import open_tuning

SETS = ("sst2", "cifar10")
SEED = 7
FROZEN = "logistic"
METHODS: dict[str, list[dict[str, Any]]] = {
    "sst2": [{"method": "last_k", "k": 4}, {"method": "lora"}],
    "cifar10": [{"method": "last_k", "k": 4}],
}
GAIN = {"sst2": 0.03, "cifar10": 0.01}
"""What training part of the backbone is to add to the accuracy of a head on the frozen one."""
ROWS = {"sst2": 4000, "cifar10": 1000}
_PIXELS = 128


@dataclass(frozen=True)
class Problem:
    """Items and their classes; the first `learned` of them are learned from.

    Attributes:
        entry: Of the backbone.
        items: All of them.
        y: (n,) classes.
        classes: Their names.
        learned: How many.
    """

    entry: Entry
    items: list[Item]
    y: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    learned: int


@dataclass(frozen=True)
class Row:
    """One method on one set.

    Attributes:
        set, method: Which.
        accuracy: On unseen rows.
        fit_s: Seconds of the fit; what the first blocks make of the items not counted.
        epochs: After which the weights were kept; None for a head on the frozen backbone.
        losses: Held-out losses by epoch.
    """

    set: str
    method: dict[str, Any]
    accuracy: float
    fit_s: float
    epochs: int | None = None
    losses: tuple[float, ...] = ()


def main() -> None:
    """Run, print and keep."""
    options = _options()
    torch.set_num_threads(options.threads)
    made_by = provenance({**vars(options), "home": str(bool(options.home))})
    console, rows, data = open_console(), [], bench_data()
    with TemporaryDirectory() as scratch:
        for name in options.sets:
            problem = _problem(name, data, options.rows or ROWS[name], options.unseen)
            methods = options.methods or METHODS[name]
            rows += _run(name, problem, methods, Path(scratch), options)
    table = Table("set", "method", "accuracy", "fit s", "epochs", title="Unseen rows: " + options.unseen)
    for row in rows:
        table.add_row(row.set, json.dumps(row.method), f"{row.accuracy:.4f}", f"{row.fit_s:.0f}", str(row.epochs))
    console.print(table)
    targets = _targets(rows)
    show_targets(console, targets)
    if options.unseen == "test":
        kept = {"rows": [asdict(row) for row in rows], "targets": [target.as_json() for target in targets]}
        console.print(f"kept in {write('tuned', kept, made_by)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=some_of(SETS), default=list(SETS))
    parser.add_argument("--unseen", choices=("dev", "test"), default="dev")
    parser.add_argument("--rows", type=int, help="rows to learn from; of images, all classes together")
    parser.add_argument("--methods", type=json.loads, help="a JSON list of methods")
    parser.add_argument("--quick", action="store_true", help="without the last round over the held-out rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--home", type=Path, help="where backbones are hosted; kept between runs")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _run(
    name: str, problem: Problem, methods: Sequence[dict[str, Any]], scratch: Path, options: argparse.Namespace
) -> list[Row]:
    task = _task(problem, options.home or scratch / "home", scratch, options)
    learned, unseen = task.split(np.arange(len(task.y)) >= problem.learned)
    rows = []
    for method in [parse_method(FROZEN), *map(parse_method, methods)]:
        if task.tuning is not None and method.method != FROZEN:
            task.tuning.bring(getattr(method, "k", None), on_progress=lambda _: None, check=lambda: None)
        start = time.perf_counter()
        head = _fit(method, learned, quick=options.quick)
        seconds = time.perf_counter() - start
        accuracy = float((head.scores_of(unseen).argmax(axis=1) == unseen.y).mean())
        course = head.course if isinstance(head, TunedHead) else None
        found = (course.epochs, course.losses) if course else (None, ())
        rows.append(Row(name, {"method": method.method, **method.parameters()}, accuracy, seconds, *found))
        print(rows[-1], flush=True)
    return rows


def _fit(method: Method, task: Task, *, quick: bool) -> Head:
    if quick and method.method != FROZEN:
        return next(iter(type(method).fit_each([method], task)))
    return method.fit(task)


def _task(problem: Problem, home: Path, scratch: Path, options: argparse.Namespace) -> Task:
    card = host(problem.entry, home, lambda _stage, _share: None)
    z, _ = embed(open_backbone(home, card.digest, threads=options.threads), problem.items)
    tuning = open_tuning(problem.entry, home, card.digest, problem.items, scratch=scratch, threads=options.threads)
    at = np.arange(len(problem.y))
    return Task(z, problem.y, problem.classes, at.copy(), seed=options.seed, tuning=tuning, at=at, say=print)


def _problem(name: str, data: Path, rows: int, unseen: str) -> Problem:
    return (_sst2 if name == "sst2" else _cifar10)(data, rows, unseen)


def _sst2(data: Path, rows: int, unseen: str) -> Problem:
    """``sst2/``: rows at random; unseen ones are the rest of the training file, or the test file."""
    known = _texts(data / "sst2" / "train.csv")
    order = np.random.default_rng(SEED).permutation(len(known))
    chosen = [known[i] for i in order[:rows]]
    others = _texts(data / "sst2" / "test.csv") if unseen == "test" else [known[i] for i in order[rows:]]
    y = np.array([int(label) for _, label in chosen + others])
    return Problem(entry("minilm-l6"), [text for text, _ in chosen + others], y, ("negative", "positive"), rows)


def _texts(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _cifar10(data: Path, rows: int, unseen: str) -> Problem:
    """``cifar10/``: as many of each class at random; unseen ones are 1,000 others, or the test file."""
    images, labels = _images(data / "cifar10" / "train.parquet")
    order = np.random.default_rng(SEED).permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == label][: rows // 10] for label in range(10)])
    others = order[~np.isin(order, chosen)][:1000]
    items, y = [images[i] for i in chosen], labels[chosen]
    if unseen == "test":
        more, truth = _images(data / "cifar10" / "test.parquet")
    else:
        more, truth = [images[i] for i in others], labels[others]
    weights = Folder(str(data / "weights" / "mobilenetv2_100_imagenet"), "mobilenetv2_100", {"pad_type": "same"})
    scaling = {"mean": [127.5] * 3, "std": [127.5] * 3}
    size = {"size": [_PIXELS] * 2, "resize": _PIXELS, "resample": "bilinear", "crop": True}
    eye = Entry("mobilenet", "image", "Apache-2.0", "MobileNetV2", weights, Options(preprocess={**size, **scaling}))
    classes = tuple(f"class {label}" for label in range(10))
    return Problem(eye, [*items, *more], np.concatenate([y, truth]), classes, len(chosen))


def _images(path: Path) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    images = [entry["bytes"] if isinstance(entry, dict) else entry for entry in table["image"].to_pylist()]
    return images, np.array(table["label"].to_pylist(), dtype=np.int64)


def _targets(rows: Sequence[Row]) -> list[Target]:
    targets = []
    for name in dict.fromkeys(row.set for row in rows):
        of_set = [row for row in rows if row.set == name]
        frozen = next(row.accuracy for row in of_set if row.epochs is None)
        best = max((row.accuracy for row in of_set if row.epochs is not None), default=0.0)
        targets.append(Target(f"{name}: accuracy", best, frozen + GAIN[name], at_least=True))
    return targets


if __name__ == "__main__":
    main()
