"""ONNX Runtime sessions, opened one way everywhere: on the GPU where there is one, otherwise on the CPU.

A GPU that is there and does not work (a driver that is too old, no cuDNN, no memory left) costs speed and one line in
the log, never the service.
"""

import ctypes
import functools
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort

from models.base import Card

_logger = logging.getLogger(__name__)

POOLED: Final = "pooled"
GRAPH_NAME: Final = "pooled.onnx"
HALF_GRAPH_NAME: Final = "pooled.fp16.onnx"

_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_ERRORS_ONLY: Final = 3
_FATAL_ONLY: Final = 4

_CUDA_OPTIONS: Final = {
    # TF32 rounds products to 10 bits of mantissa: a row would then depend on its neighbours by far more than 1e-6.
    "use_tf32": "0",
    # The default doubles the arena with every extension: the first long batch would take half of the device.
    "arena_extend_strategy": "kSameAsRequested",
}

Provider = str | tuple[str, dict[str, str]]


def open_session(path: Path, *, threads: int, gpu_memory_bytes: int = 0) -> ort.InferenceSession:
    """Load a graph from a file, on the GPU where there is one that works.

    Args:
        path: An ONNX file without external data.
        threads: Threads within one operator (intra-op) on the CPU; operators themselves run one after another.
        gpu_memory_bytes: Most memory of the device for this session's arena, weights included; 0 = no cap.
    """
    wanted = providers(gpu_memory_bytes)
    if wanted == [_CPU]:
        return _session(path, threads, wanted)
    try:
        session = _session(path, threads, wanted)
    except Exception as error:  # ONNX Runtime's errors have no common class
        _warn_once(str(error).splitlines()[0][:300])
        return _session(path, threads, [_CPU])
    if provider_of(session) == "cpu":
        _warn_once("ONNX Runtime opened the session on the CPU instead")
    return session


def open_pooled(
    card: Card, folder: Path, *, threads: int, gpu_memory_bytes: int = 0, tap: str = POOLED
) -> tuple[ort.InferenceSession, str]:
    """Load a backbone's graph that gives one embedding an item: in float16 on a GPU where its card has such a file.

    Such a file is only there for ``pooled``, where it was compared with the float32 one (`models.precision`).

    Args:
        card: Of the backbone.
        folder: Where its files lie.
        threads: CPU threads within one operation.
        gpu_memory_bytes: See `open_session`.
        tap: ``pooled`` or ``blocks``.

    Returns:
        The session, and what runs it: ``cpu``, ``cuda`` or ``cuda float16``.
    """
    if tap != POOLED:
        session = open_session(folder / f"{tap}.onnx", threads=threads, gpu_memory_bytes=gpu_memory_bytes)
        return session, provider_of(session)
    if HALF_GRAPH_NAME in card.extras and providers() != [_CPU]:
        session = open_session(folder / HALF_GRAPH_NAME, threads=threads, gpu_memory_bytes=gpu_memory_bytes)
        if provider_of(session) == "cuda":
            return session, "cuda float16"
    session = open_session(folder / GRAPH_NAME, threads=threads, gpu_memory_bytes=gpu_memory_bytes)
    return session, provider_of(session)


def session_options(threads: int) -> ort.SessionOptions:
    """Options of every session.

    Raises:
        ValueError: `threads` is below 1 (ONNX Runtime would read 0 as "all cores").
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; it must be 1 or more.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # A spinning thread takes the core from the next process: one process a core is how the service scales.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Every batch has another shape: a memory plan per shape would never be used twice, and is kept for ever.
    options.enable_mem_pattern = False
    return options


def providers(gpu_memory_bytes: int = 0) -> Sequence[Provider]:
    """Execution providers, best first.

    onnxruntime-gpu offers CUDA on machines without a GPU too, and asking for it there fails loudly; so the driver is
    asked first.

    Args:
        gpu_memory_bytes: Most memory of the device for one session's arena; 0 = no cap.
    """
    if why_provider()[0] == "cpu":
        return [_CPU]
    cap = {"gpu_mem_limit": str(gpu_memory_bytes)} if gpu_memory_bytes else {}
    return [(_CUDA, _CUDA_OPTIONS | cap), _CPU]


def why_provider() -> tuple[str, str]:
    """What sessions of this process are opened on, and why: ``("cpu", "no NVIDIA driver ...")``.

    Tells what will be tried; a session says itself what it runs on (`provider_of`).
    """
    if _CUDA not in ort.get_available_providers():
        return "cpu", "this onnxruntime has no CUDA provider; onnxruntime-gpu has"
    if (devices := cuda_devices()) > 0:
        return "cuda", f"the NVIDIA driver shows {devices} device{'s' * (devices > 1)}; the first is used"
    if _driver() is None:
        return "cpu", "there is no NVIDIA driver (libcuda.so.1) on this machine"
    return "cpu", "the NVIDIA driver shows no device to this process (CUDA_VISIBLE_DEVICES?)"


def provider_of(session: ort.InferenceSession) -> str:
    """``cuda`` or ``cpu``: what runs most of a session's graph."""
    return "cuda" if session.get_providers()[0] == _CUDA else "cpu"


def cuda_devices() -> int:
    """CUDA devices that the NVIDIA driver shows this process; 0 without a driver. Honours ``CUDA_VISIBLE_DEVICES``."""
    driver = _driver()
    if driver is None:
        return 0
    count = ctypes.c_int(0)
    ready = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if ready else 0


def _driver() -> Any:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def _session(path: Path, threads: int, wanted: Sequence[Provider]) -> ort.InferenceSession:
    options = session_options(threads)
    if wanted != [_CPU]:
        ort.preload_dlls()
        # What goes wrong is said in our one line; ONNX Runtime would say it again at every session.
        options.log_severity_level = _FATAL_ONLY
    # The fallback of ONNX Runtime's own prints to standard output.
    return ort.InferenceSession(str(path), options, providers=wanted, enable_fallback=0)


@functools.cache
def _failures() -> Iterator[int]:
    """Counts 0, 1, ... over the life of the process."""
    return itertools.count()


def _warn_once(reason: str) -> None:
    if next(_failures()) == 0:
        _logger.warning("the GPU cannot be used, so backbones run on the CPU", extra={"reason": reason})
