"""A wrapped graph is run before it is believed: what a backbone promises is tried, not assumed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.audio.backbone import FEWEST_SAMPLES
from models.audio.backbone import INPUT as SAMPLES
from models.base import Embedding
from models.errors import SourceRefused
from models.images.backbone import INPUT as PIXELS
from models.session import open_session
from models.text import INPUTS

if TYPE_CHECKING:
    import onnxruntime as ort

TOLERANCE: Final = 1e-6
"""Largest difference of a number alone and in a batch, in units of its row's norm."""
_NOISE: Final = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed: ?|Status Message: |"
    r"/onnxruntime_src/\S+:\d+ [^()]*\([^()]*\)(?: const)? "
)
_TEXTS: Final = ("", "a", "card " * 40, "I lost my card yesterday.", "Où est ma carte ? 卡在哪里")

Feed = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Trial:
    """Items that a graph is tried on, plain and extreme.

    Attributes:
        items: Inputs of one item each.
        long: The longest item that may come, on its own; the first item where all are alike.
    """

    items: tuple[Feed, ...]
    long: Feed

    @classmethod
    def images(cls, size: tuple[int, int]) -> "Trial":
        """Random pixels, black, white."""
        noise = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
        items = tuple({PIXELS: pixels} for pixels in (noise, np.zeros_like(noise), np.full_like(noise, 255)))
        return cls(items, items[0])

    @classmethod
    def sounds(cls, fixed_samples: int | None) -> "Trial":
        """Noise, silence, as loud as can be; and, where any length is taken, the shortest."""
        length = fixed_samples or 8000
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, length)).astype(np.float32)
        items = tuple({SAMPLES: samples} for samples in (noise, np.zeros_like(noise), np.sign(noise)))
        return cls(items, {SAMPLES: noise[:, : fixed_samples or FEWEST_SAMPLES]})

    @classmethod
    def texts(cls, tokenizer: Any, max_tokens: int) -> "Trial":
        """Texts of unlike length, the empty one among them, and one of as many tokens as are taken."""
        rows = [encoding.ids or [0] for encoding in tokenizer.encode_batch(list(_TEXTS))]
        last = max(rows, key=len)
        long = (last * (max_tokens // len(last) + 1))[:max_tokens]
        return cls(tuple(_tokens(row) for row in rows), _tokens(long))


def try_graph(path: Path, output: str, trial: Trial, name: str) -> int:
    """Run a graph on its trial.

    Args:
        path: The wrapped graph.
        output: Name of its output.
        trial: What it is tried on.
        name: Of the uploaded graph's output, for messages.

    Returns:
        Numbers of an embedding.

    Raises:
        SourceRefused: ONNX Runtime cannot load or run it, or it breaks one of a backbone's promises.
    """
    session = _opened(path)
    alone = [_run(session, output, item, name) for item in trial.items]
    together = _run(session, output, _batch(trial.items), name)
    _run(session, output, trial.long, name)
    rows = np.concatenate(alone)
    if rows.shape != together.shape or len(rows) != len(trial.items):
        raise SourceRefused(f"{name!r} gives {together.shape} for {len(trial.items)} items; one row an item is needed.")
    if not np.array_equal(together, _run(session, output, _batch(trial.items), name)):
        raise SourceRefused("The graph gives another embedding each time. Export it in evaluation mode.")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scale = np.maximum(norms, max(1e-3 * norms.max(), 1e-12))  # a row of nearly nothing has no digits of its own
    difference = float((np.abs(rows - together) / scale).max())
    if not difference <= TOLERANCE:
        raise SourceRefused(
            f"An item's embedding depends on the items beside it: alone and in a batch it differs by {difference:.0e} "
            f"of its length; at most {TOLERANCE:.0e} is taken. Export the graph in evaluation mode, without batch "
            "statistics or dynamic quantisation, and with padding masked."
        )
    if np.ptp(rows, axis=0).max() == 0:
        raise SourceRefused(f"{name!r} is the same for every item. Name the output that holds the embedding.")
    return int(rows.shape[1])


def _opened(path: Path) -> "ort.InferenceSession":
    try:
        return open_session(path, threads=1)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise SourceRefused(f"ONNX Runtime cannot load the graph: {_reason(error)} Export it again.") from error


def _run(session: "ort.InferenceSession", output: str, feed: Feed, name: str) -> Embedding:
    sizes = ", ".join(f"{key} {value.shape}" for key, value in feed.items())
    try:
        rows: Embedding = session.run([output], feed)[0]
    except Exception as error:
        raise SourceRefused(
            f"The graph does not run on {sizes}: {_reason(error)} Export it with a dynamic batch, and no larger than "
            "needed."
        ) from error
    if rows.ndim != 2:
        raise SourceRefused(
            f"{name!r} gives shape {rows.shape} for {sizes}; one row of numbers an item is needed, (n, d)."
        )
    if not np.isfinite(rows).all():
        raise SourceRefused(f"{name!r} is not finite for {sizes}. Check the scaling of the input (mean, std).")
    return rows


def _tokens(ids: list[int]) -> Feed:
    row = np.array([ids], dtype=np.int64)
    return dict(zip(INPUTS, (row, np.ones_like(row)), strict=True))


def _batch(items: tuple[Feed, ...]) -> Feed:
    """Items in one batch, zeros behind the shorter ones."""
    longest = max(value.shape[1] for item in items for value in item.values())
    return {key: np.concatenate([_padded(item[key], longest) for item in items]) for key in items[0]}


def _padded(values: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.pad(values, [(0, 0), (0, length - values.shape[1]), *[(0, 0)] * (values.ndim - 2)])


def _reason(error: Exception) -> str:
    """A sentence of ONNX Runtime's, without paths of this machine and places in its source."""
    text = _NOISE.sub("", " ".join(str(error).split()))[:300].strip().rstrip(".")
    return f"{text or type(error).__name__}."
