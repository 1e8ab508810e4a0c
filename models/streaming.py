"""Activations behind a block of a backbone, on disk: all of them would not fit into memory.

    items -> prepare -> block<k>.onnx -> rows, appended to a file -> memory-mapped

512 texts of 30 tokens of 384 numbers are 24 MB, 5,000 images of 197 patches of 768 numbers 3 GB. The file has no name
in its folder, so that whatever ends the process takes it along: a killed job leaves nothing behind.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.base import AS_LONG, Backbone, Encoded, Item
from models.batching import PREPARED_AT_ONCE, ignore_progress, never_stops, plan
from models.errors import BackboneUnknown
from models.hosted import check_files, open_backbone
from models.session import open_session
from models.text import pad

if TYPE_CHECKING:
    import onnxruntime as ort

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

OUTPUT = "hidden_states"


class Tap:
    """A backbone up to one of its blocks. Thread-safe as a backbone is."""

    def __init__(self, backbone: Backbone, name: str, session: "ort.InferenceSession") -> None:
        self.name = name
        self._backbone = backbone
        self._session = session

    @property
    def backbone(self) -> Backbone:
        """What prepares the items."""
        return self._backbone

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one item's activations; `AS_LONG` where it is as long as the item."""
        return self._backbone.card.taps[self.name]

    def run(self, batch: Sequence[Encoded]) -> list[F32]:
        """Activations of each item, in the order given, without those of padding."""
        ragged, modality = AS_LONG in self.shape, self._backbone.card.modality
        if modality == "text":
            states = self._states({**pad(batch)})
            return [own[: item.size] for own, item in zip(states, batch, strict=True)] if ragged else list(states)
        if modality == "image":
            return list(self._states({"pixels": np.stack([item.values for item in batch])}))
        if ragged:  # how many states a padded sound has of its own, only the graph knows
            return [self._states({"samples": item.values[None]})[0] for item in batch]
        return list(self._states({"samples": self._padded(batch)}))

    def _padded(self, batch: Sequence[Encoded]) -> F32:
        """Sounds of the length that the graph takes, or of the longest."""
        taken = self._session.get_inputs()[0].shape[1]
        length = taken if isinstance(taken, int) else max(item.size for item in batch)
        samples = np.full((len(batch), length), self._backbone.card.recipe.get("padding", 0.0), dtype=np.float32)
        for row, item in zip(samples, batch, strict=True):
            row[: item.size] = item.values
        return samples

    def _states(self, inputs: dict[str, Any]) -> F32:
        states: F32 = self._session.run([OUTPUT], inputs)[0]
        return states


def open_tap(folder: Path, digest: str, tap: str, *, threads: int) -> Tap:
    """Load a hosted backbone up to a block. Never loads torch.

    Args:
        folder: The folder of hosted backbones.
        digest: `Card.digest`.
        tap: ``block<k>``, of `Card.taps`.
        threads: CPU threads within one operation.

    Raises:
        BackboneUnknown: No backbone with that digest is hosted here, or it was hosted without that tap.
        WeightsCorrupt: A file is not the one that was recorded.
    """
    backbone = open_backbone(folder, digest, threads=threads)
    taps = [name for name in backbone.card.taps if name != "pooled"]
    if tap not in taps:
        raise BackboneUnknown(
            f"{backbone.card.id} is hosted without the tap {tap!r}; it has {', '.join(taps) or 'none but pooled'}. "
            "Host it again with that tap among its taps."
        )
    home, graph = folder / digest, f"{tap}.onnx"
    check_files(backbone.card, home, [graph])
    return Tap(backbone, tap, open_session(home / graph, threads=threads))


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of n items, read from disk where they are looked at.

    Attributes:
        rows: (r, ...) float32, memory-mapped: an item's activations in one row, or its tokens in neighbouring rows.
        starts, stops: (n,) int64: item i has the rows from starts[i] to stops[i].
        ragged: Whether the items differ in length.
    """

    rows: F32
    starts: I64
    stops: I64
    ragged: bool

    def __len__(self) -> int:
        """Items."""
        return len(self.starts)

    def item(self, index: int) -> F32:
        """Activations of one item: of the tap's shape, its first side as long as the item where that is ragged."""
        rows: F32 = self.rows[self.starts[index] : self.stops[index]]
        return rows if self.ragged else rows[0]


def stream(
    tap: Tap,
    items: Sequence[Item],
    folder: Path,
    *,
    on_progress: Callable[[float], None] = ignore_progress,
    check: Callable[[], None] = never_stops,
) -> Activations:
    """Bring items to a tap, batch by batch, into a file. Of items that are too long the end is left out.

    Args:
        tap: See `open_tap`.
        items: What its backbone takes.
        folder: On the disk that the file is to lie on; its room is given back with the last reference to the result.
        on_progress: Called after each batch with the share of all items that is done, in (0, 1].
        check: Called before each batch; whatever it raises ends the call.

    Raises:
        WrongInput: An item is not of the backbone's modality.
        OSError: The disk is full.

    Cost: that of embedding, and memory for one batch.
    """
    check()
    backbone, ragged = tap.backbone, AS_LONG in tap.shape
    starts, stops = np.zeros(len(items), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    at_once, done, end = PREPARED_AT_ONCE[backbone.card.modality], 0, 0
    row_shape = tap.shape[1:] if ragged else tap.shape
    with tempfile.TemporaryFile(dir=folder) as file:
        for first in range(0, len(items), at_once):
            prepared = backbone.prepare(items[first : first + at_once])
            sizes = [item.size for item in prepared]
            for batch in plan(sizes, backbone.limits.size, backbone.limits.items):
                check()
                for place, states in zip(batch, tap.run([prepared[i] for i in batch]), strict=True):
                    file.write(np.ascontiguousarray(states, dtype=np.float32).data)
                    starts[first + place] = end
                    end += len(states) if ragged else 1
                    stops[first + place] = end
                done += len(batch)
                on_progress(done / len(items))
        return Activations(_mapped(file, (end, *row_shape)), starts, stops, ragged)


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> F32:
    """The whole file as an array; what has no bytes cannot be mapped."""
    if 0 in shape:
        return np.empty(shape, dtype=np.float32)
    file.flush()
    return np.memmap(file, dtype=np.float32, mode="r", shape=shape)
