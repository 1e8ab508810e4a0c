"""How many JPEG files a second decoding and ONNX Runtime themselves embed on these cores: no HTTP, no head.

    python -m benchmarks.image_ceiling FOLDER CALLS --group 8     one process, as `measure` starts it

One process a core, one thread each, an equal part of the files: nothing waits. The service decodes with the
same functions and runs the same graph.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import ceiling
from benchmarks.ceiling import Ceiling
from models.hosted import read_card
from models.images.pixels import PixelRecipe, open_image, pixels_of

GROUPS = ceiling.GROUPS


def measure(folder: Path, files: Path, processes: int, group: int) -> Ceiling:
    """As `ceiling.measure`; `files` is a JSON list of files in base64."""
    return ceiling.measure(folder, files, processes, group, module="benchmarks.image_ceiling")


def run(folder: Path, texts: Sequence[str], group: int, part: int, parts: int) -> dict[str, float]:
    """Decode and embed one part of the files, which come in base64, when told to on standard input."""
    recipe, session = PixelRecipe.from_dict(read_card(folder).recipe["pixels"]), ceiling.open_alone(folder)
    files = [base64.b64decode(text) for text in texts]
    groups = [files[start : start + group] for start in range(0, len(files), group)][part::parts]

    def embed(some: Sequence[bytes]) -> None:
        session.run(None, {"pixels": np.stack([pixels_of(open_image(data), recipe) for data in some])})

    return {"texts": sum(map(len, groups)), **ceiling.timed(groups, embed)}


if __name__ == "__main__":
    ceiling.main(run)
