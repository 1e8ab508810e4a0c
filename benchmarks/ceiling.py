"""How many texts a second ONNX Runtime itself embeds on these cores: no HTTP, no head, the tokens made beforehand.

    python -m benchmarks.ceiling FOLDER TEXTS --group 8     one process, as `measure` starts it

The whole set is sorted by length and run in groups of a fixed size, so that next to nothing is padding.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from benchmarks.processes import machine_cpu_s
from benchmarks.server import ROOT

Batch = dict[str, npt.NDArray[np.int64]]
B = TypeVar("B")

GROUPS = (1, 4, 8, 16, 32)
WARM_GROUPS = 20


@dataclass(frozen=True)
class Ceiling:
    """One way to run the whole set.

    Attributes:
        processes: At the same time, with one thread each and an equal part of the set.
        group: Texts a run of the session.
        texts_per_s: Of all processes together.
        cpu_ms: Processor milliseconds a text.
        others: Share of all cores that went to something else: a large one spoils the rate.
    """

    processes: int
    group: int
    texts_per_s: float
    cpu_ms: float
    others: float


def measure(folder: Path, texts: Path, processes: int, group: int, module: str = "benchmarks.ceiling") -> Ceiling:
    """Run the whole set once in processes of their own, which begin together.

    Args:
        folder: Of the hosted backbone.
        texts: JSON list of texts, or what else the module takes.
        processes: How many; each takes every so manieth group.
        group: Texts a run.
        module: What each process runs.
    """
    command = [sys.executable, "-m", module, str(folder), str(texts), "--group", str(group)]
    children = [
        subprocess.Popen(
            [*command, "--part", str(part), "--parts", str(processes)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in range(processes)
    ]
    try:
        for child in children:
            _told(child.stdout)
        machine_s = machine_cpu_s()
        for child in children:
            _tell(child.stdin)
        seen = [json.loads(_told(child.stdout)) for child in children]
        machine_s = machine_cpu_s() - machine_s
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return _together(processes, group, seen, machine_s)


def _together(processes: int, group: int, seen: Sequence[dict[str, float]], machine_s: float) -> Ceiling:
    texts, cpu_s = sum(one["texts"] for one in seen), sum(one["cpu_s"] for one in seen)
    elapsed_s = max(one["ended"] for one in seen) - min(one["began"] for one in seen)
    others = max(0.0, (machine_s - cpu_s) / (elapsed_s * (os.cpu_count() or 1)))
    return Ceiling(processes, group, texts / elapsed_s, 1000 * cpu_s / texts, others)


def best(seen: Sequence[Ceiling]) -> Ceiling:
    """The fastest."""
    return max(seen, key=lambda one: one.texts_per_s)


def run(folder: Path, texts: Sequence[str], group: int, part: int, parts: int) -> dict[str, float]:
    """Embed one part of the set when told to on standard input."""
    batches, session = batches_of(folder, texts, group)[part::parts], open_alone(folder)
    figures = timed(batches, lambda batch: session.run(None, batch))
    return {"texts": sum(len(batch["input_ids"]) for batch in batches), **figures}


def open_alone(folder: Path) -> ort.InferenceSession:
    """The graph of a hosted backbone, with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(folder / "pooled.onnx"), options, providers=["CPUExecutionProvider"])


def timed(batches: Sequence[B], embed: Callable[[B], object]) -> dict[str, float]:
    """Warm up, wait for the word on standard input, embed every batch: when that began and ended, processor seconds."""
    for batch in batches[:: max(1, len(batches) // WARM_GROUPS)]:
        embed(batch)
    print("ready", flush=True)
    sys.stdin.readline()
    # The system's clock is the same in all processes.
    began, cpu_s = time.monotonic(), time.process_time()
    for batch in batches:
        embed(batch)
    return {"began": began, "ended": time.monotonic(), "cpu_s": time.process_time() - cpu_s}


def batches_of(folder: Path, texts: Sequence[str], group: int) -> list[Batch]:
    """The texts as tokens, sorted by length, in groups that are padded to their longest."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokens = sorted((encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))), key=len)
    return [padded(tokens[start : start + group]) for start in range(0, len(tokens), group)]


def padded(tokens: Sequence[Sequence[int]]) -> Batch:
    """Inputs of the graph: (n, t) ids with zeros after an item's end, and the mask that hides them."""
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, item in enumerate(tokens):
        ids[number, : len(item)] = item
        mask[number, : len(item)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def main(run: Callable[[Path, list[str], int, int, int], dict[str, float]]) -> None:
    """Run one part of the items of a file, a JSON list; print one line."""
    parser = argparse.ArgumentParser(description="Embed a set of items with ONNX Runtime alone.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", type=Path)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    chosen = parser.parse_args()
    items = json.loads(chosen.items.read_text(encoding="utf-8"))
    print(json.dumps(run(chosen.folder, items, chosen.group, chosen.part, chosen.parts)), flush=True)


def _told(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def _tell(stream: IO[str] | None) -> None:
    assert stream is not None
    stream.write("go\n")
    stream.flush()


if __name__ == "__main__":
    main(run)
