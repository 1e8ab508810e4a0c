"""ONNX Runtime sessions, opened one way everywhere."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3

# TF32 rounds products to 10 bits of mantissa: a row would then depend on its neighbours by far more than 1e-6.
_CUDA_OPTIONS = {"use_tf32": "0"}


def open_session(path: Path, *, threads: int) -> ort.InferenceSession:
    """Load a graph from a file, on the GPU where there is one.

    Args:
        path: An ONNX file without external data.
        threads: Threads within one operator (intra-op) on the CPU; operators themselves run one after another.
    """
    return ort.InferenceSession(str(path), session_options(threads), providers=providers())


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


def providers() -> Sequence[str | tuple[str, dict[str, str]]]:
    """Execution providers, best first.

    onnxruntime-gpu offers CUDA on machines without a GPU too, and asking for it there fails loudly; so the driver is
    asked first.
    """
    if _CUDA in ort.get_available_providers() and cuda_devices() > 0:
        ort.preload_dlls()
        return [(_CUDA, _CUDA_OPTIONS), _CPU]
    return [_CPU]


def provider_of(session: ort.InferenceSession) -> str:
    """``cuda`` or ``cpu``: what runs most of a session's graph."""
    return "cuda" if session.get_providers()[0] == _CUDA else "cpu"


def cuda_devices() -> int:
    """CUDA devices that the NVIDIA driver shows this process; 0 without a driver. Honours ``CUDA_VISIBLE_DEVICES``."""
    try:
        driver: Any = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    ready = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if ready else 0
