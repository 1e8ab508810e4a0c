"""Before anything is published: what serving will compute is what was fitted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Head
from adapters.columns import Rows
from adapters.heads import RowHead, read_tables
from adapters.linalg import log_softmax
from models.errors import ExportMismatch

_TOLERANCE = 1e-4
_RANDOM_ROWS = 64
_MOST_ROWS = 512
_SPOILED_SHARE = 0.3
_UNKNOWN = "\N{REPLACEMENT CHARACTER} never seen"
_FINEST = 1e-2
"""Share of their size to which the differences of values are measured at the finest: float32 rounds them."""


def verify(head: Head, temperature: float, *, onnx: bytes, tables: bytes, z: F32, seed: int) -> float:
    """Run the ONNX file and the serving table on random and training embeddings and compare them with the head.

    Args:
        head: The reference: of classes, or of one value where it has none.
        temperature: Of the probabilities.
        onnx: What `Head.onnx` wrote.
        tables: What `heads.tables_bytes` wrote.
        z: (n, d) training embeddings; 512 of them at most are used.
        seed: Of the random embeddings, drawn at the scale of `z`.

    Returns:
        The largest difference seen, in probabilities, in scores relative to the row's largest, or in values relative
        to their spread (and no finer than to 1% of their size).

    Raises:
        ExportMismatch: A difference above 1e-4, or a value that is not finite.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((_RANDOM_ROWS, z.shape[1])) * z.std() + z.mean()
    probe = np.concatenate([z[:_MOST_ROWS], drawn]).astype(np.float32)
    scores = head.scores(probe)
    outputs = _run(onnx, {"embedding": probe})
    table = read_tables(tables)
    table_scores = probe @ table.weight.T + table.bias
    differences = _of_file(scores, temperature, outputs) | {
        "scores of the serving table": np.abs(table_scores - scores) / _scale(scores, outputs),
        "temperature of the serving table": np.array([abs(table.temperature / temperature - 1)]),
    }
    return max(_within(name, difference) for name, difference in differences.items())


def verify_rows(head: RowHead, temperature: float, *, onnx: bytes, table: Rows, seed: int) -> float:
    """Run the ONNX file on training rows, as they are and spoiled, and compare it with the head.

    Spoiled rows have missing numbers, missing and unknown categories; one has nothing at all.

    Args:
        head: The reference.
        temperature: Of the probabilities.
        onnx: What `RowHead.onnx` wrote.
        table: Training rows; 512 of them at most are used, and 64 spoiled ones.
        seed: Of what is spoiled.

    Returns:
        The largest difference seen; see `verify`.

    Raises:
        ExportMismatch: A difference above 1e-4, or a value that is not finite.
    """
    rng = np.random.default_rng(seed)
    spread = np.linspace(0, len(table) - 1, min(_MOST_ROWS, len(table))).astype(np.int64)
    probes = table.take(spread), _spoil(table.take(rng.integers(0, len(table), _RANDOM_ROWS)), rng)
    differences: dict[str, F32] = {}
    for words, rows in zip(("", " on spoiled rows"), probes, strict=True):
        outputs = _run(onnx, {"numbers": rows.numbers, "categories": rows.categories})
        found = _of_file(head.scores(rows), temperature, outputs)
        differences |= {name + words: difference for name, difference in found.items()}
    return max(_within(name, difference) for name, difference in differences.items())


def _spoil(rows: Rows, rng: np.random.Generator) -> Rows:
    """Rows as callers may send them: with numbers missing, categories missing and categories never seen."""
    numbers, categories = rows.numbers.copy(), rows.categories.copy()
    numbers[rng.random(numbers.shape) < _SPOILED_SHARE] = np.nan
    categories[rng.random(categories.shape) < _SPOILED_SHARE] = ""
    categories[rng.random(categories.shape) < _SPOILED_SHARE] = _UNKNOWN
    numbers[0], categories[0] = np.nan, ""
    return replace(rows, numbers=numbers, categories=categories)


def _of_file(scores: F32, temperature: float, outputs: Mapping[str, F32]) -> dict[str, F32]:
    """How far an ONNX file's outputs are from a head's scores, by what they are called in a message."""
    scale = _scale(scores, outputs)
    if "value" in outputs:
        return {"values of the ONNX file": np.abs(outputs["value"] - scores) / scale}
    probabilities = np.exp(log_softmax(scores / np.float32(temperature)))
    return {
        "scores of the ONNX file": np.abs(outputs["scores"] - scores) / scale,
        "probabilities of the ONNX file": np.abs(outputs["probabilities"] - probabilities),
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
