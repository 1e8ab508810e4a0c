"""Draws of every set that the fit engine is judged on: what is uploaded, and what is asked of it afterwards."""

import base64
import csv
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import media_data, tables_data
from benchmarks.data import load_banking77
from benchmarks.media_data import Media, image_folder
from benchmarks.tables_data import TableData

ALL = 0
"""Instead of a number of examples a class: every training row."""


@dataclass(frozen=True)
class Drawn:
    """One draw of a set.

    Attributes:
        data: Name of the set.
        size: Examples a class, or rows of a table; `ALL` for all.
        seed: Number of the draw.
        filename: Of the upload.
        content: Its bytes.
        inputs: What is predicted, as JSON values.
        truth: The label or the number of each.
        form: How the upload is to be read.
        options: What is asked of the fit.
        positive: The class whose ranking counts, of two; None otherwise.
    """

    data: str
    size: int
    seed: int
    filename: str
    content: bytes
    inputs: list[Any]
    truth: list[Any]
    form: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    positive: str | None = None


def banking77(folder: Path, size: int, seed: int) -> Drawn:
    """One of the fixed splits; of all rows there is one."""
    data = load_banking77(folder)
    rows = data.train if size == ALL else data.split(size, seed)
    return _texts("banking77", size, seed, rows, data.test)


def sst2(folder: Path, size: int, seed: int) -> Drawn:
    """Phrases, positive or negative: 2,000 of each may be fitted, 872 sentences are judged."""
    train, test = (_labelled(folder / "sst2" / f"{part}.csv") for part in ("train", "test"))
    return _texts("sst2", size, seed, train if size == ALL else _draw(train, size, seed), test)


def digits(_folder: Path, size: int, seed: int) -> Drawn:
    """scikit-learn's digits: some of each class are fitted, all others judged."""
    return _media(media_data.digits(seed, size), ALL, seed, size)


def fsdd(folder: Path, size: int, seed: int) -> Drawn:
    """Spoken digits."""
    return _media(media_data.fsdd(folder), size, seed, size)


def cifar10(folder: Path, size: int, seed: int) -> Drawn:
    """Small pictures, through a MobileNetV2."""
    return _media(media_data.cifar10(folder), size, seed, size, {"backbone": "mobilenet-v2-128"})


def ai4i2020(folder: Path, size: int, seed: int) -> Drawn:
    """Machines that fail, one in thirty."""
    return _table(tables_data.load_tables(folder)[0], size, seed)


def german_credit(folder: Path, size: int, seed: int) -> Drawn:
    """Good and bad credits."""
    return _table(tables_data.load_tables(folder)[1], size, seed)


def diabetes(folder: Path, size: int, seed: int) -> Drawn:
    """A number."""
    return _table(tables_data.load_tables(folder)[2], size, seed)


SETS: dict[str, tuple[Callable[[Path, int, int], Drawn], tuple[int, ...]]] = {
    "banking77": (banking77, (1, 5, 10)),
    "sst2": (sst2, (10, 50, 500)),
    "digits": (digits, (5, 10, 50)),
    "fsdd": (fsdd, (5, 20, ALL)),
    "cifar10": (cifar10, (10, 50, 100)),
    "ai4i2020": (ai4i2020, (1_000, 3_000, 8_000)),
    "german_credit": (german_credit, (100, 300, 800)),
    "diabetes": (diabetes, (50, 150, 350)),
}
"""How each set is drawn, and the sizes at which methods are compared."""


def _labelled(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _draw(rows: Sequence[tuple[str, str]], size: int, seed: int) -> list[tuple[str, str]]:
    rng, classes = np.random.default_rng(seed), defaultdict(list)
    for row in rows:
        classes[row[1]].append(row)
    return [found[i] for _, found in sorted(classes.items()) for i in rng.permutation(len(found))[:size]]


def _texts(data: str, size: int, seed: int, train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]) -> Drawn:
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerows([("text", "label"), *train])
    texts, truth = [text for text, _ in test], [label for _, label in test]
    form = {"modality": "text", "text": "text", "label": "label", "task": "classification"}
    return Drawn(data, size, seed, "rows.csv", sink.getvalue().encode(), texts, truth, form)


def _media(media: Media, shots: int, seed: int, size: int, options: dict[str, Any] | None = None) -> Drawn:
    fitted = media.train if shots == ALL else media.draw(shots, seed)
    content = image_folder(fitted, media.suffix)
    inputs = [{media.field: base64.b64encode(data).decode()} for data, _ in media.test]
    truth = [label for _, label in media.test]
    return Drawn(media.name, size, seed, "files.zip", content, inputs, truth, options=options or {})


def _table(data: TableData, size: int, seed: int) -> Drawn:
    order = np.random.default_rng(seed).permutation(len(data.rows)).tolist()
    fitted, judged = data.take(order[:size]), data.take(order[size:])
    task = "regression" if data.regression else "classification"
    form = {"modality": "table", "target": data.column, "task": task}
    return Drawn(
        data.name,
        size,
        seed,
        "rows.csv",
        _csv(fitted),
        judged.rows,
        [target if data.regression else str(target) for target in judged.target],
        form,
        positive=data.positive,
    )


def _csv(data: TableData) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow([*data.rows[0], data.column])
    writer.writerows([*row.values(), target] for row, target in zip(data.rows, data.target, strict=True))
    return sink.getvalue().encode()
