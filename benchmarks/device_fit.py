"""Logistic regression on a GPU beside the CPU: seconds, and whether both say the same.

    python -m benchmarks.device_fit [--small]

Needs no data and no service: overlapping clusters of random rows. Without a GPU torch on the CPU takes its place, which
tells whether the figures agree and nothing about seconds.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.table import Table

from adapters import cuda
from adapters.base import Head, Task
from adapters.methods.logistic import Logistic
from benchmarks.record import Target, open_console, provenance, show_targets, write

HELD_OUT = 2000
SPREAD = 4.0
"""Standard deviation of a row around its class's direction, over all coordinates together."""
AGREEMENT = 0.002
"""Most that accuracies may differ by."""
MEMORY_FACTOR = 3.0


@dataclass(frozen=True)
class Size:
    """Of a fit, and the seconds that it may take.

    Attributes:
        choose: Whether `c` is chosen on folds; else it is 10.
    """

    name: str
    n: int
    d: int
    k: int
    choose: bool
    cpu_s: float
    gpu_s: float


SIZES = (
    Size("1,000 x 768, 77 classes, c chosen", 1000, 768, 77, choose=True, cpu_s=8.0, gpu_s=1.0),
    Size("100,000 x 384, 100 classes, c given", 100_000, 384, 100, choose=False, cpu_s=60.0, gpu_s=3.0),
    Size("100,000 x 384, 100 classes, c chosen", 100_000, 384, 100, choose=True, cpu_s=60.0, gpu_s=3.0),
)
SMALL = (
    Size("200 x 32, 5 classes, c chosen", 200, 32, 5, choose=True, cpu_s=8.0, gpu_s=8.0),
    Size("2,000 x 64, 10 classes, c given", 2000, 64, 10, choose=False, cpu_s=8.0, gpu_s=8.0),
)


@dataclass(frozen=True)
class Measured:
    """One size on both.

    Attributes:
        name: Of the size.
        cpu_s: Seconds of a fit on the CPU.
        gpu_s: Seconds of the second fit on the device; the first one loads kernels.
        first_s: Seconds of that first one.
        cpu_accuracy: On rows that were not learned from.
        gpu_accuracy: The same.
        difference: Largest difference of scores, in units of the largest score.
        cpu_memory_bytes: What the CPU's fit added to the peak of the process.
        embeddings_bytes: The rows themselves.
        notes: What the fits on the device had to say, such as that it had too little memory.
    """

    name: str
    cpu_s: float
    gpu_s: float
    first_s: float
    cpu_accuracy: float
    gpu_accuracy: float
    difference: float
    cpu_memory_bytes: int
    embeddings_bytes: int
    notes: list[str]


def clusters(n: int, d: int, k: int, seed: int = 0) -> Task:
    """N rows of unit length around k random directions, every class as often."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((k, d), dtype=np.float32) / np.sqrt(np.float32(d))
    y = rng.permutation(np.arange(n) % k)
    z = rng.standard_normal((n, d), dtype=np.float32)
    z *= np.float32(SPREAD / np.sqrt(d))
    z += centres[y]
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return Task(z, y, tuple(f"class {c}" for c in range(k)), np.arange(n))


def measure(size: Size) -> Measured:
    """Fit one size on the CPU, twice on the device, and compare."""
    everything = clusters(size.n + HELD_OUT, size.d, size.k)
    kept = np.arange(size.n + HELD_OUT) < size.n
    task, held_out = everything.rows(kept), everything.rows(~kept)
    del everything
    method = Logistic() if size.choose else Logistic(c=10.0)
    notes: list[str] = []
    # Before anything else may have raised the peak.
    before = _peak_bytes()
    on_cpu, cpu_s = _timed(lambda: method.fit(task))
    memory = _peak_bytes() - before
    on_device = replace(task, device="cuda", say=notes.append)
    _, first_s = _timed(lambda: method.fit(on_device))
    on_gpu, gpu_s = _timed(lambda: method.fit(on_device))
    seen, expected = on_gpu.scores(held_out.z), on_cpu.scores(held_out.z)
    return Measured(
        name=size.name,
        cpu_s=cpu_s,
        gpu_s=gpu_s,
        first_s=first_s,
        cpu_accuracy=float((expected.argmax(axis=1) == held_out.y).mean()),
        gpu_accuracy=float((seen.argmax(axis=1) == held_out.y).mean()),
        difference=float(np.abs(seen - expected).max() / np.abs(expected).max()),
        cpu_memory_bytes=memory,
        embeddings_bytes=task.z.nbytes,
        notes=notes,
    )


def targets(sizes: Sequence[Size], measured: Sequence[Measured], *, gpu: bool) -> list[Target]:
    """Every figure that has a limit; seconds of the device only where it is one."""
    aims = []
    for size, seen in zip(sizes, measured, strict=True):
        aims.append(Target(f"{size.name}: CPU seconds", seen.cpu_s, size.cpu_s))
        if gpu:
            aims.append(Target(f"{size.name}: GPU seconds", seen.gpu_s, size.gpu_s))
        apart = abs(seen.cpu_accuracy - seen.gpu_accuracy)
        aims.append(Target(f"{size.name}: difference of accuracies", apart, AGREEMENT))
        if seen.embeddings_bytes > 2**26:
            factor = seen.cpu_memory_bytes / seen.embeddings_bytes
            aims.append(Target(f"{size.name}: memory over that of the embeddings", factor, MEMORY_FACTOR))
    return aims


def device_name() -> str | None:
    """Of the GPU; None where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@contextmanager
def standing_in(gpu: str | None) -> Iterator[None]:
    """Without a GPU, torch's CPU is what fits for one run on."""
    if gpu is not None:
        yield
        return
    with patch.object(cuda, "solve", partial(cuda.solve, device="cpu")):
        yield


def _timed(fit: Callable[[], Head]) -> tuple[Head, float]:
    started = time.perf_counter()
    head = fit()
    return head, time.perf_counter() - started


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _shown(measured: Sequence[Measured], gpu: str | None) -> Table:
    table = Table("fit", "CPU s", "device s", "first", "accuracy CPU", "device", "scores apart", "MB", "notes")
    table.title = f"Logistic regression: CPU, and {gpu or 'torch on the CPU'}"
    for one in measured:
        seconds = (f"{value:.2f}" for value in (one.cpu_s, one.gpu_s, one.first_s))
        accuracies = (f"{value:.4f}" for value in (one.cpu_accuracy, one.gpu_accuracy))
        rest = (f"{one.difference:.1e}", f"{one.cpu_memory_bytes / 1e6:.0f}", "; ".join(one.notes))
        table.add_row(one.name, *seconds, *accuracies, *rest)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/device_fit.json (--small: device_fit_small.json)."""
    parser = argparse.ArgumentParser(description="Logistic regression on a GPU beside the CPU.")
    parser.add_argument("--small", action="store_true", help="seconds in all, for a look at a machine without a GPU")
    parser.add_argument("--results", help="name of the file of results")
    chosen = parser.parse_args(arguments)
    gpu, made_by, console = device_name(), provenance(vars(chosen)), open_console()
    made_by["device"] |= {"gpu": gpu}
    sizes = SMALL if chosen.small else SIZES
    with console.status("fitting"), standing_in(gpu):
        measured = [measure(size) for size in sizes]
    aims = targets(sizes, measured, gpu=gpu is not None)
    console.print(_shown(measured, gpu))
    show_targets(console, aims)
    figures: dict[str, Any] = {"targets": [aim.as_json() for aim in aims], "fits": [asdict(one) for one in measured]}
    name = chosen.results or ("device_fit_small" if chosen.small else "device_fit")
    console.print(f"Written to {write(name, figures, made_by)}", soft_wrap=True)


if __name__ == "__main__":
    main()
