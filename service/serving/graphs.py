"""Adapters that are served as the ONNX file that was published: what their tap gives goes in, answers come out.

A session of a table's or a small network's costs some 350 KB, so those that are asked for are kept and the least
recently used leave. Parts of a backbone are up to as large as the whole, and lie on a shelf of their own: one of them
would push hundreds of small ones out, and each would wait while it is opened.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from adapters.columns import Rows
from models.errors import WeightsCorrupt
from models.session import providers, session_options
from service.serving.recent import Recent

F32 = npt.NDArray[np.float32]

Inputs = Mapping[str, npt.NDArray[Any]]
"""What a backbone takes, and what comes out behind one of its blocks, by name; each (n, ...)."""

GRAPHS_BYTES = 256 * 2**20
"""Most memory of a process for sessions of tables and small networks: some 700 small ones."""

TUNED_BYTES = 2**30
"""Most memory of a process for sessions that are parts of backbones: 5 of the whole of MiniLM, or 35 of its last two
blocks. They are what a request would wait a second for, so there is room for a handful of the largest."""

_SESSION_BYTES = 350_000
_COPIES = 4
_TUNED_COPIES = 2
"""What a session takes: so much for itself, and the file some times over. Measured; of 90 MB of weights 1.8 times."""

_ANSWERS = ("probabilities", "value")

_ROW = frozenset({"numbers", "categories"})
_EMBEDDING = frozenset({"embedding"})
_STATES = frozenset({"hidden_states", "attention_mask"})
_INPUT = frozenset({"input_ids", "attention_mask", "pixels", "samples"})

_CPU = "CPUExecutionProvider"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GraphHead:
    """A session over what a tap gives. Thread-safe.

    Attributes:
        session: Of the published file.
        answer: Its output: `probabilities` (n, k) of a classification, `value` (n, 1) of a regression.
        size_bytes: Memory that it takes, about.
    """

    session: ort.InferenceSession
    answer: str
    size_bytes: int

    def run(self, at: Rows | F32 | Inputs) -> F32:
        """Answer rows that were typed by the adapter's own columns, embeddings, or activations of a backbone.

        Args:
            at: n rows; (n, d) float32; or arrays by name, of which it takes those that it needs.

        Returns:
            (n, k) float32 calibrated probabilities, or (n, 1) float32 values.
        """
        named = _named(at)
        feed = {given.name: named[given.name] for given in self.session.get_inputs()}
        (answer,) = self.session.run([self.answer], feed)
        return np.asarray(answer, dtype=np.float32)


class Graphs:
    """The sessions of one process. Thread-safe."""

    def __init__(self, limit_bytes: int = GRAPHS_BYTES, tuned_bytes: int = TUNED_BYTES) -> None:
        self._small = _Shelf(limit_bytes)
        self._tuned = _Shelf(tuned_bytes)

    def __len__(self) -> int:
        return len(self._small.open) + len(self._tuned.open)

    def get(self, key: str) -> GraphHead | None:
        """The session of that key, or None where it is not open."""
        return self._small.open.get(key) or self._tuned.open.get(key)

    def put(self, key: str, data: bytes, tap: str = "row") -> GraphHead:
        """Open a session, one of each shelf at a time; the same key always means the same file.

        Args:
            key: sha256 (hex) of the file.
            data: The file.
            tap: What it takes; see `Manifest.tap`.

        Raises:
            WeightsCorrupt: It is not a graph over what that tap gives.
        """
        shelf = self._tuned if _takes(tap) in {_STATES, _INPUT} else self._small
        with shelf.opening:
            graph = shelf.open.get(key)
            if graph is None:
                graph = _opened(data, tap)
                shelf.open.put(key, graph)
            return graph


class _Shelf:
    def __init__(self, limit_bytes: int) -> None:
        self.open: Recent[str, GraphHead] = Recent(limit_bytes, lambda graph: graph.size_bytes)
        self.opening = threading.Lock()


def _named(at: Rows | F32 | Inputs) -> Inputs:
    if isinstance(at, Rows):
        return {"numbers": at.numbers, "categories": at.categories}
    return {"embedding": at} if isinstance(at, np.ndarray) else at


def _takes(tap: str) -> frozenset[str]:
    """Names of inputs that a graph on that tap may have."""
    if tap == "row":
        return _ROW
    if tap == "input":
        return _INPUT
    return _STATES if tap.startswith("block") and tap != "blocks" else _EMBEDDING


def _opened(data: bytes, tap: str) -> GraphHead:
    tuned = _takes(tap) in {_STATES, _INPUT}
    session = _session(data, tuned=tuned)
    inputs = {given.name for given in session.get_inputs()}
    answers = [given.name for given in session.get_outputs() if given.name in _ANSWERS]
    if not answers or not inputs <= _takes(tap):
        outputs = [given.name for given in session.get_outputs()]
        expected = "rows of a table" if tap == "row" else f"what the tap {tap} gives"
        raise WeightsCorrupt(f"The head's graph takes {sorted(inputs)} and gives {outputs}; expected {expected}.")
    copies = _TUNED_COPIES if tuned else _COPIES
    return GraphHead(session, answers[0], _SESSION_BYTES + copies * len(data))


def _session(data: bytes, *, tuned: bool) -> ort.InferenceSession:
    options = session_options(threads=1)
    # An arena keeps the memory of the largest call for ever, in each of hundreds of sessions.
    options.enable_cpu_mem_arena = False
    wanted = providers() if tuned else [_CPU]
    try:
        return ort.InferenceSession(data, options, providers=wanted, enable_fallback=0)
    except Exception as error:  # ONNX Runtime has a class of its own for each way in which a file can be broken
        if wanted != [_CPU]:
            _logger.warning("a part of a backbone runs on the CPU", extra={"reason": str(error).splitlines()[0][:300]})
            return _session(data, tuned=False)
        raise WeightsCorrupt(f"The head ({len(data)} bytes) is not a graph that can be opened: {error}.") from error
