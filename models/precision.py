"""A backbone's graph in float16, for GPUs: made from the float32 one, compared with it on items, and kept or not.

    pooled.onnx -> products in float16, spectra and norms in float32 (models/half.py) -> pooled.fp16.onnx
    every item's embedding by both -> cosine >= 0.9995 for each -> kept

Inputs and outputs stay as they are. The file is one of `Card.extras`: it is not in the digest, so an adapter fitted on
float32 is served by it. Without a GPU the comparison computes in float32 and rounds every float16 value
(`models.half.rounded`); how fast or exact the file is on a GPU is not measured.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Card, Item
from models.feeds import Feed, feed
from models.half import half, rounded
from models.session import GRAPH_NAME, HALF_GRAPH_NAME, open_session, provider_of, why_provider
from models.weights import sha256_file

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

_logger = logging.getLogger(__name__)

LOWEST_COSINE: Final = 0.9995
"""Between the two embeddings of one item: an angle of 1.8 degrees."""


@dataclass(frozen=True)
class Agreement:
    """How close the float16 graph is to the float32 one.

    Attributes:
        lowest_cosine: Of all items; 0 where a number is not finite.
        kept: Whether it is close enough, and the file lies beside the other.
        sentence: What was found, for the log and the recipe.
    """

    lowest_cosine: float
    kept: bool
    sentence: str


def add_half_graph(folder: Path, feeds: Sequence[Feed]) -> Agreement:
    """Write ``pooled.fp16.onnx`` beside ``pooled.onnx`` if it gives the same embeddings; otherwise write nothing.

    Args:
        folder: With ``pooled.onnx``, which has one output.
        feeds: Real items as the graph takes them; one batch or more.

    Cost: 2 s for ``minilm-l6`` and 32 texts, whose lowest cosine was 0.999999.

    Raises:
        ValueError: There are no items to compare on.
    """
    if not feeds:
        raise ValueError("A float16 graph is only kept after a comparison; give it at least one item.")
    target = folder / HALF_GRAPH_NAME
    try:
        agreement = _tried(folder / GRAPH_NAME, target, feeds)
    except Exception as error:  # neither the converter's nor ONNX Runtime's errors have a common class
        agreement = Agreement(0.0, kept=False, sentence=f"float16 is not used: {type(error).__name__}: {error}"[:300])
    if not agreement.kept:
        target.unlink(missing_ok=True)
        _logger.warning("no float16 graph", extra={"reason": agreement.sentence})
    return agreement


def with_half(backbone: Backbone, folder: Path, items: Sequence[Item]) -> Card:
    """The card of a backbone that is being hosted, with a float16 graph among its extras where a GPU would use it.

    Args:
        backbone: Opened from `folder`.
        folder: Its files; the float16 graph is written beside them.
        items: What both graphs are compared on.
    """
    card = backbone.card
    if why_provider()[0] == "cpu" or not add_half_graph(folder, feeds_of(backbone, items)).kept:
        return card
    return replace(card, extras={**card.extras, HALF_GRAPH_NAME: sha256_file(folder / HALF_GRAPH_NAME)})


def feeds_of(backbone: Backbone, items: Sequence[Item]) -> list[Feed]:
    """Items as the graph takes them, each a batch of its own; of a long one its first piece.

    Raises:
        WrongInput: An item is not of the backbone's modality.
    """
    return [feed(backbone.card, [encoded]) for encoded in backbone.prepare(items)]


def _tried(source: Path, target: Path, feeds: Sequence[Feed]) -> Agreement:
    import onnx

    halved = half(onnx.load(source))
    target.write_bytes(halved.SerializeToString(deterministic=True))
    full, seen = _embeddings(open_session(source, threads=1), feeds), _embeddings(_half_session(target, halved), feeds)
    lowest = lowest_cosine(full, seen)
    kept = lowest >= LOWEST_COSINE
    return Agreement(
        lowest,
        kept,
        f"float16 agrees with float32 on {len(full)} items to a cosine of {lowest:.6f}"
        + ("" if kept else f"; {LOWEST_COSINE} is the least, so float32 is used"),
    )


def _half_session(path: Path, halved: "onnx.ModelProto") -> "ort.InferenceSession":
    """The file itself on a GPU; on a CPU what rounds as a GPU would."""
    session = open_session(path, threads=1)
    if provider_of(session) == "cuda":
        return session
    with TemporaryDirectory() as folder:
        check = Path(folder) / GRAPH_NAME
        check.write_bytes(rounded(halved).SerializeToString())
        return open_session(check, threads=1)


def lowest_cosine(full: npt.NDArray[np.float32], halved: npt.NDArray[np.float32]) -> float:
    """Of the rows of two (n, d) arrays, less what their lengths differ by: 1 - |a - b|² / (2 |a| |b|).

    That is the cosine for rows of one length, and below it otherwise: a head is not blind to length.

    Returns:
        0 where a number is not finite or shapes differ. Two rows of zeros agree.
    """
    if full.shape != halved.shape or not (np.isfinite(full).all() and np.isfinite(halved).all()):
        return 0.0
    a, b = full.astype(np.float64), halved.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    apart = np.square(a - b).sum(axis=1)
    return float((1 - apart / np.maximum(2 * lengths, 1e-30)).min())


def _embeddings(session: "ort.InferenceSession", feeds: Sequence[Feed]) -> npt.NDArray[np.float32]:
    return np.concatenate([np.asarray(session.run(None, dict(feed))[0]) for feed in feeds])
