"""Before anything is published: what serving will compute is what was fitted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, I64, Head, Task
from adapters.columns import Rows
from adapters.ensembles.head import EnsembleHead
from adapters.heads import MAP_NAME, LayeredHead, RowHead, read_tables
from adapters.linalg import log_softmax
from adapters.maps import FourierMap
from models.errors import ExportMismatch

_TOLERANCE = 1e-4
_PROBES = 64
_MOST_ROWS = 512
_SPOILED_SHARE = 0.3
_UNKNOWN = "\N{REPLACEMENT CHARACTER} never seen"
_FINEST = 1e-2
"""Share of their size to which the differences of values are measured at the finest: float32 rounds them."""


def verify(
    head: Head, temperature: float, *, onnx: bytes, tables: bytes | None = None, task: Task, seed: int = 0
) -> float:
    """Run what is published on training rows and on probes, and compare it with the head.

    Probes are random embeddings at the scale of the task's, also where it has no rows; or rows of a table with missing
    numbers, missing and unknown categories, one with nothing at all; none for a head that takes anything else.

    Args:
        head: The reference: of classes, or of one value where it has none.
        temperature: Of the probabilities.
        onnx: What `Head.onnx` wrote.
        tables: What `heads.tables_bytes` wrote; it is compared behind the map that `Head.files` gives, if it gives one.
            None where serving runs the ONNX file.
        task: What the head was fitted to; 512 of its rows at most are used.
        seed: Of the probes.

    Returns:
        The largest difference seen, in probabilities, in scores relative to the row's largest, or in values relative
        to their spread (and no finer than to 1% of their size).

    Raises:
        ExportMismatch: A difference above 1e-4, or a value that is not finite.
    """
    differences: dict[str, F32] = {}
    for words, probe in _probes(head, task, seed):
        scores, outputs = head.scores_of(probe), _run(onnx, head.feed(probe))
        found = _of_file(scores, temperature, outputs, multilabel=getattr(head, "multilabel", False))
        if tables is not None:
            found |= _of_tables(tables, head.files().get(MAP_NAME), probe.z, scores, temperature, outputs)
        differences |= {name + words: difference for name, difference in found.items()}
    return max(_within(name, difference) for name, difference in differences.items())


def _probes(head: Head, task: Task, seed: int) -> Iterator[tuple[str, Task]]:
    """Rows to compare on, and what to call them in a message."""
    rng = np.random.default_rng(seed)
    fixed = isinstance(head, LayeredHead | RowHead | EnsembleHead)
    if len(task.y):
        most = min(_MOST_ROWS if fixed else _PROBES, len(task.y))
        yield "", _some(task, np.linspace(0, len(task.y) - 1, most).astype(np.int64))
    if isinstance(head, RowHead) and task.table is not None:
        index = rng.integers(0, len(task.y), _PROBES)
        yield " on spoiled rows", replace(_some(task, index), table=_spoil(task.table.take(index), rng))
    elif fixed:
        yield " on random embeddings", replace(task, z=_random(task, rng))


def _random(task: Task, rng: np.random.Generator) -> F32:
    """Embeddings at the scale of the task's; of length 1, about, where it has none."""
    width = task.z.shape[1]
    z = rng.standard_normal((_PROBES, width))
    scaled = z * task.z.std() + task.z.mean() if len(task.y) else z / np.sqrt(width)
    return np.asarray(scaled, dtype=np.float32)


def _some(task: Task, index: I64) -> Task:
    """Some of the rows, to be scored: with the encoding as it is."""
    return replace(
        task,
        z=task.z[index],
        y=task.y[index],
        groups=task.groups[index],
        table=None if task.table is None else task.table.take(index),
        weights=None,
        at=None if task.at is None else task.at[index],
    )


def _spoil(rows: Rows, rng: np.random.Generator) -> Rows:
    """Rows as callers may send them: with numbers missing, categories missing and categories never seen."""
    numbers, categories = rows.numbers.copy(), rows.categories.copy()
    numbers[rng.random(numbers.shape) < _SPOILED_SHARE] = np.nan
    categories[rng.random(categories.shape) < _SPOILED_SHARE] = ""
    categories[rng.random(categories.shape) < _SPOILED_SHARE] = _UNKNOWN
    numbers[0], categories[0] = np.nan, ""
    return replace(rows, numbers=numbers, categories=categories)


def _of_file(scores: F32, temperature: float, outputs: Mapping[str, F32], *, multilabel: bool) -> dict[str, F32]:
    """How far an ONNX file's outputs are from a head's scores, by what they are called in a message."""
    scale = _scale(scores, outputs)
    if "value" in outputs:
        return {"values of the ONNX file": np.abs(outputs["value"] - scores) / scale}
    scaled = scores / np.float32(temperature)
    # The logistic function by tanh: exp(-x) would overflow.
    probabilities = 0.5 + 0.5 * np.tanh(scaled / 2) if multilabel else np.exp(log_softmax(scaled))
    return {
        "scores of the ONNX file": np.abs(outputs["scores"] - scores) / scale,
        "probabilities of the ONNX file": np.abs(outputs["probabilities"] - probabilities),
    }


def _of_tables(
    tables: bytes, map_: bytes | None, z: F32, scores: F32, temperature: float, outputs: Mapping[str, F32]
) -> dict[str, F32]:
    """How far what serving computes of its head table is from a head's scores."""
    table = read_tables(tables)
    features = z if map_ is None else FourierMap.from_bytes(map_).apply(z)
    seen = features @ table.weight.T + table.bias
    return {
        "scores of the serving table": np.abs(seen - scores) / _scale(scores, outputs),
        "temperature of the serving table": np.array([abs(table.temperature / temperature - 1)]),
    }


def _scale(scores: F32, outputs: Mapping[str, F32]) -> F32:
    """In what differences count; see `verify`."""
    size: F32 = np.abs(scores).max(axis=1, keepdims=True)
    if "value" in outputs:
        smallest = max(float(np.ptp(scores)), _FINEST * float(size.max()), float(np.finfo(np.float32).tiny))
        return np.full_like(size, smallest)
    return np.maximum(size, np.float32(1.0))


def _run(onnx: bytes, given: Mapping[str, npt.NDArray[Any]]) -> dict[str, F32]:
    """All outputs by name; a file takes of `given` what it has inputs for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {entry.name: given[entry.name] for entry in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


def _within(name: str, difference: F32) -> float:
    largest = float(difference.max())
    # Written so that NaN fails too.
    if not largest <= _TOLERANCE:
        raise ExportMismatch(f"The {name} differ from the fitted head by {largest:.3g}; the limit is {_TOLERANCE}.")
    return largest
