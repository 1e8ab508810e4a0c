"""How many JPEG files a second decoding and ONNX Runtime themselves embed on these cores: no HTTP, no head.

    python -m benchmarks.image_ceiling FOLDER CALLS --group 8     one process, as `measure` starts it

One process a core, one thread each, an equal part of the files: nothing waits. The service decodes with the
same functions and runs the same graph.
"""

import argparse
import base64
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks import ceiling
from benchmarks.ceiling import Ceiling
from models.hosted import read_card
from models.images.pixels import PixelRecipe, open_image, pixels_of

GROUPS = (1, 4, 8, 16, 32)


def measure(folder: Path, files: Path, processes: int, group: int) -> Ceiling:
    """As `ceiling.measure`; `files` is a JSON list of files in base64."""
    return ceiling.measure(folder, files, processes, group, module="benchmarks.image_ceiling")


def run(folder: Path, files: Sequence[bytes], group: int, part: int, parts: int) -> dict[str, float]:
    """Decode and embed one part of the set when told to on standard input."""
    recipe = PixelRecipe.from_dict(read_card(folder).recipe["pixels"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "pooled.onnx"), options, providers=["CPUExecutionProvider"])
    groups = [files[start : start + group] for start in range(0, len(files), group)][part::parts]

    def embed(some: Sequence[bytes]) -> None:
        session.run(None, {"pixels": np.stack([pixels_of(open_image(data), recipe) for data in some])})

    embed(groups[0])
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu_s = time.monotonic(), time.process_time()
    for some in groups:
        embed(some)
    return {
        "texts": sum(map(len, groups)),
        "began": began,
        "ended": time.monotonic(),
        "cpu_s": time.process_time() - cpu_s,
    }


def main() -> None:
    """Run one part, print one line."""
    parser = argparse.ArgumentParser(description="Decode and embed a set of images with ONNX Runtime alone.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    chosen = parser.parse_args()
    files = [base64.b64decode(text) for text in json.loads(chosen.files.read_text(encoding="utf-8"))]
    print(json.dumps(run(chosen.folder, files, chosen.group, chosen.part, chosen.parts)), flush=True)


if __name__ == "__main__":
    main()
