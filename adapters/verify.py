"""Before anything is published: what serving will compute is what was fitted."""

import numpy as np

from adapters.base import F32, Head
from adapters.heads import read_tables
from adapters.linalg import log_softmax
from models.errors import ExportMismatch

_TOLERANCE = 1e-4
_RANDOM_ROWS = 64
_MOST_ROWS = 512


def verify(head: Head, temperature: float, *, onnx: bytes, tables: bytes, z: F32, seed: int) -> float:
    """Run the ONNX file and the serving table on random and training embeddings and compare them with the head.

    Args:
        head: The reference.
        temperature: Of the probabilities.
        onnx: What `Head.onnx` wrote.
        tables: What `heads.tables_bytes` wrote.
        z: (n, d) training embeddings; 512 of them at most are used.
        seed: Of the random embeddings, drawn at the scale of `z`.

    Returns:
        The largest difference seen, in probabilities or in scores relative to the row's largest.

    Raises:
        ExportMismatch: A difference above 1e-4, or a value that is not finite.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((_RANDOM_ROWS, z.shape[1])) * z.std() + z.mean()
    probe = np.concatenate([z[:_MOST_ROWS], drawn]).astype(np.float32)
    scores = head.scores(probe)
    probabilities = np.exp(log_softmax(scores / np.float32(temperature)))
    seen_scores, seen_probabilities = _run(onnx, probe)
    table = read_tables(tables)
    table_scores = probe @ table.weight.T + table.bias
    scale = np.maximum(1.0, np.abs(scores).max(axis=1, keepdims=True))
    differences = {
        "scores of the ONNX file": np.abs(seen_scores - scores) / scale,
        "probabilities of the ONNX file": np.abs(seen_probabilities - probabilities),
        "scores of the serving table": np.abs(table_scores - scores) / scale,
        "temperature of the serving table": np.array([abs(table.temperature / temperature - 1)]),
    }
    return max(_within(name, difference) for name, difference in differences.items())


def _run(onnx: bytes, z: F32) -> tuple[F32, F32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    scores, probabilities = session.run(["scores", "probabilities"], {"embedding": z})
    return scores, probabilities


def _within(name: str, difference: F32) -> float:
    largest = float(difference.max())
    # Written so that NaN fails too.
    if not largest <= _TOLERANCE:
        raise ExportMismatch(f"The {name} differ from the fitted head by {largest:.3g}; the limit is {_TOLERANCE}.")
    return largest
