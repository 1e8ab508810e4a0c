"""Adapters that are served as the ONNX file that was published: the rows of a table go in, answers come out.

A session costs some 350 KB, so those that are asked for are kept and the least recently used leave.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from adapters.columns import Rows
from models.errors import WeightsCorrupt
from models.session import session_options
from service.serving.recent import Recent

F32 = npt.NDArray[np.float32]

GRAPHS_BYTES = 256 * 2**20
"""Most memory of a process for sessions: some 700 small ones."""

_SESSION_BYTES = 350_000
_COPIES = 4
"""What a session takes: so much for itself, and the file some times over (measured)."""

_ANSWERS = ("probabilities", "value")


@dataclass(frozen=True, slots=True)
class GraphHead:
    """A session over rows of a table. Thread-safe.

    Attributes:
        session: Of the published file.
        answer: Its output: `probabilities` (n, k) of a classification, `value` (n, 1) of a regression.
        size_bytes: Memory that it takes, about.
    """

    session: ort.InferenceSession
    answer: str
    size_bytes: int

    def run(self, rows: Rows) -> F32:
        """Answer rows that were typed by the adapter's own columns.

        Returns:
            (n, k) float32 calibrated probabilities, or (n, 1) float32 values.
        """
        columns: Mapping[str, Any] = {"numbers": rows.numbers, "categories": rows.categories}
        feed = {given.name: columns[given.name] for given in self.session.get_inputs()}
        (answer,) = self.session.run([self.answer], feed)
        return np.asarray(answer, dtype=np.float32)


class Graphs:
    """The sessions of one process. Thread-safe."""

    def __init__(self, limit_bytes: int = GRAPHS_BYTES) -> None:
        self._open: Recent[str, GraphHead] = Recent(limit_bytes, lambda graph: graph.size_bytes)
        self._opening = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, key: str) -> GraphHead | None:
        """The session of that key, or None where it is not open."""
        return self._open.get(key)

    def put(self, key: str, data: bytes) -> GraphHead:
        """Open a session, one at a time; the same key always means the same file.

        Raises:
            WeightsCorrupt: It is not a graph over rows of a table.
        """
        with self._opening:
            graph = self._open.get(key)
            if graph is None:
                graph = _opened(data)
                self._open.put(key, graph)
            return graph


def _opened(data: bytes) -> GraphHead:
    options = session_options(threads=1)
    # An arena keeps the memory of the largest call for ever, in each of hundreds of sessions.
    options.enable_cpu_mem_arena = False
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class of its own for each way in which a file can be broken
        raise WeightsCorrupt(f"The head ({len(data)} bytes) is not a graph that can be opened: {error}.") from error
    inputs = {given.name for given in session.get_inputs()}
    answers = [given.name for given in session.get_outputs() if given.name in _ANSWERS]
    if not answers or not inputs <= {"numbers", "categories"}:
        outputs = [given.name for given in session.get_outputs()]
        raise WeightsCorrupt(f"The head's graph takes {sorted(inputs)} and gives {outputs}; expected rows of a table.")
    return GraphHead(session, answers[0], _SESSION_BYTES + _COPIES * len(data))
