"""Activations behind a block of a backbone, on disk: all of them would not fit into memory.

    items -> prepare -> block<k>.onnx -> rows, appended to a file -> memory-mapped

512 texts of 30 tokens of 384 numbers are 24 MB, 5,000 images of 197 patches of 768 numbers 3 GB. The file has no name
in its folder, so that whatever ends the process takes it along: a killed job leaves nothing behind.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.base import AS_LONG, Backbone, Encoded, Item
from models.batching import PREPARED_AT_ONCE, ignore_progress, never_stops, plan
from models.errors import BackboneUnknown, InputError
from models.feeds import feed
from models.hosted import BLOCK, check_files, open_backbone
from models.session import open_session

if TYPE_CHECKING:
    import onnxruntime as ort

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

OUTPUT = "hidden_states"
RESERVE_BYTES: Final = 256 * 2**20
"""Of the disk, what others than this file need meanwhile: jobs, data bases, uploads."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_REMEDY: Final = "Free some, fit on fewer items, or fit a head alone."


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
        if AS_LONG not in self.shape:
            return list(self._states(batch))
        if (
            self._backbone.card.modality != "text"
        ):  # how many states a padded sound has of its own, only the graph knows
            return [self._states([item])[0] for item in batch]
        return [own[: item.size] for own, item in zip(self._states(batch), batch, strict=True)]

    def _states(self, batch: Sequence[Encoded]) -> F32:
        states: F32 = self._session.run([OUTPUT], feed(self._backbone.card, batch))[0]
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
    taps = [name for name in backbone.card.taps if BLOCK.fullmatch(name)]
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
        rows: (r, ...) float32, memory-mapped: an item's activations in one row, or its tokens in neighbouring rows. Of
            what is before all blocks the type of the graph's input.
        starts, stops: (n,) int64: item i has the rows from starts[i] to stops[i].
        ragged: Whether the items differ in length.
    """

    rows: npt.NDArray[Any]
    starts: I64
    stops: I64
    ragged: bool

    def __len__(self) -> int:
        """Items."""
        return len(self.starts)

    def item(self, index: int) -> npt.NDArray[Any]:
        """Activations of one item: of the tap's shape, its first side as long as the item where that is ragged."""
        rows: npt.NDArray[Any] = self.rows[self.starts[index] : self.stops[index]]
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
        InputError: The disk has no room for all of them, as far as those of the first part tell; or it is full.

    Cost: that of embedding, and memory for one batch.
    """
    check()
    backbone = tap.backbone
    at_once, done = PREPARED_AT_ONCE[backbone.card.modality], 0
    with _nameless(folder) as file:
        kept = _Rows(file, len(items), tap.shape, np.dtype(np.float32))
        for first in range(0, len(items), at_once):
            prepared = backbone.prepare(items[first : first + at_once])
            sizes = [item.size for item in prepared]
            for batch in plan(sizes, backbone.limits.size, backbone.limits.items):
                check()
                for place, states in zip(batch, tap.run([prepared[i] for i in batch]), strict=True):
                    kept.put(first + place, states)
                done += len(batch)
                on_progress(done / len(items))
            kept.check_room(done)
        return kept.read()


def keep(
    backbone: Backbone,
    items: Sequence[Item],
    folder: Path,
    *,
    on_progress: Callable[[float], None] = ignore_progress,
    check: Callable[[], None] = never_stops,
) -> Activations:
    """Prepare items, as `stream` does, and keep them as they are before any block: tokens, pixels or samples.

    See `stream` for the arguments and for the errors.
    """
    check()
    at_once = PREPARED_AT_ONCE[backbone.card.modality]
    kept: _Rows | None = None
    with _nameless(folder) as file:
        for first in range(0, len(items), at_once):
            prepared = backbone.prepare(items[first : first + at_once])
            for place, item in enumerate(prepared, first):
                check()
                if kept is None:
                    shape = item.values.shape if backbone.card.modality == "image" else (AS_LONG,)
                    kept = _Rows(file, len(items), shape, item.values.dtype)
                kept.put(place, item.values)
            on_progress((first + len(prepared)) / len(items))
            if kept is not None:
                kept.check_room(first + len(prepared))
        return (kept or _Rows(file, 0, (AS_LONG,), np.dtype(np.float32))).read()


@contextmanager
def _nameless(folder: Path) -> Iterator[IO[bytes]]:
    """A file without a name.

    Raises:
        InputError: The disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            yield file
    except OSError as error:
        if error.errno in _FULL:
            raise InputError(f"The disk has no room for the activations of all items. {_REMEDY}") from error
        raise


class _Rows:
    """Items' arrays, appended to a file.

    Args:
        file: Empty.
        n: Items.
        shape: Of one item's; `AS_LONG` first where they differ in length.
        dtype: Of all.
    """

    def __init__(self, file: IO[bytes], n: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._file = file
        self._dtype = dtype
        self._ragged = AS_LONG in shape
        self._shape = shape[1:] if self._ragged else shape
        self._starts, self._stops = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self._end = 0

    def put(self, place: int, states: npt.NDArray[Any]) -> None:
        """Append one item's."""
        self._file.write(np.ascontiguousarray(states, dtype=self._dtype).data)
        self._starts[place] = self._end
        self._end += len(states) if self._ragged else 1
        self._stops[place] = self._end

    def check_room(self, done: int) -> None:
        """Stop before the disk is full, as others need it too.

        Args:
            done: Items that were put; the others will be like them.

        Raises:
            InputError: The others do not fit.
        """
        here = self._file.tell()
        left = here * (len(self._starts) - done) // done
        disk = os.fstatvfs(self._file.fileno())
        free = disk.f_bavail * disk.f_frsize
        if left and free - left < RESERVE_BYTES:
            raise InputError(
                f"The activations of {len(self._starts):,} items take {(here + left) / 1e9:.1f} GB in all, and "
                f"{free / 1e9:.1f} GB are left on the disk, of which {RESERVE_BYTES / 1e9:.1f} are kept in reserve. "
                f"{_REMEDY}"
            )

    def read(self) -> Activations:
        """All of them, mapped; what has no bytes cannot be mapped."""
        shape = (self._end, *self._shape)
        self._file.flush()
        rows = (
            np.empty(shape, self._dtype)
            if 0 in shape
            else np.memmap(self._file, dtype=self._dtype, mode="r", shape=shape)
        )
        return Activations(rows, self._starts, self._stops, self._ragged)
