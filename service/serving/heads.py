"""All affine heads that are held ready, of every width and every adapter, shared between the serving processes.

    get(digest)   this process has it: two dictionary look-ups and views of the shared file, nothing is copied
    put(digest)   this process has read its blob: the file has it already, or it is appended

A file takes half of the limit. When it is full, an empty one takes its place, which forgets the heads that nobody asks
for any more; those that are asked for are read from their blobs again. While the last answers from the old file are
made there are two, which is the whole limit.

Where the file cannot take a head (the disk is full, the head is larger than the file), this process holds it alone.
"""

import errno
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.serving.headfile import F32, Arrays, HeadFile, exclusive, record_bytes
from service.serving.recent import Recent

ALONE_BYTES = 64 * 2**20
"""Most memory of a process for heads that it holds alone."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """A head, as a batch sees it; valid for as long as it lives.

    Attributes:
        weight: (k, d) float32, read-only.
        bias: (k,) float32, read-only.
        temperature: Scores are divided by it before they become probabilities.
    """

    weight: F32
    bias: F32
    temperature: float

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32: the logits of classes, or the values of a regression (k = 1)."""
        return np.asarray(z @ self.weight.T + self.bias, dtype=np.float32)

    def probabilities(self, z: F32) -> F32:
        """Calibrated probabilities.

        Args:
            z: (n, d) float32.

        Returns:
            (n, k) float32; each row sums to 1 and does not depend on the other rows beyond 1e-6.
        """
        scores = self.scores(z) / np.float32(self.temperature)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def marks(self, z: F32) -> F32:
        """Calibrated probabilities of each class by itself, where an input may have any number of them.

        Args:
            z: (n, d) float32.

        Returns:
            (n, k) float32 in [0, 1].
        """
        scores = self.scores(z) / np.float32(self.temperature)
        return np.asarray(np.exp(-np.logaddexp(np.float32(0), -scores)), dtype=np.float32)


def _size_bytes(slot: Slot) -> int:
    return slot.weight.nbytes + slot.bias.nbytes


class HeadTable:
    """The heads of one service, as this process sees them. Thread-safe.

    Cost: each head once for all processes, plus about 150 bytes in each process; `get` takes 1.5 us.
    """

    def __init__(self, folder: Path, limit_bytes: int, *, min_free_bytes: int = 0) -> None:
        """Nothing is opened before the first head.

        Args:
            folder: Of the shared files; on a local disk, the same for every process of the service.
            limit_bytes: Most bytes of shared heads, for all processes together.
            min_free_bytes: Free disk that must remain.
        """
        self._folder = folder
        self._file_bytes = limit_bytes // 2
        self._min_free_bytes = min_free_bytes
        self._changing = threading.Lock()
        self._file: HeadFile | None = None
        self._alone: Recent[str, Slot] = Recent(min(ALONE_BYTES, self._file_bytes), _size_bytes)
        self._complaint = ""

    def __len__(self) -> int:
        """Heads that this process holds ready."""
        file = self._file
        return len(self._alone) + (len(file) if file is not None else 0)

    def get(self, key: str) -> Slot | None:
        """The head of that key, or None where this process has not put it, or it has been let go."""
        file = self._file
        if file is not None and not file.superseded:
            arrays = file.get(key)
            if arrays is not None:
                return Slot(*arrays)
        return self._alone.get(key)

    def put(self, key: str, weight: F32, bias: F32, temperature: float) -> Slot:
        """Hold a head. Never fails for want of room.

        Args:
            key: sha256 (hex) of its blob; the same key always means the same head.
            weight: (k, d) float32.
            bias: (k,) float32.
            temperature: Above 0, a float32.
        """
        temperature = float(np.float32(temperature))
        with self._changing:
            try:
                slot = self._share(key, (weight, bias, temperature))
            except OSError as error:
                self._complain(str(error))
            else:
                self._complaint = ""
                return slot
        slot = Slot(_frozen(weight), _frozen(bias), temperature)
        self._alone.put(key, slot)
        return slot

    def close(self) -> None:
        """Let go of the shared file; the last process that does removes it. Slots stay valid."""
        with self._changing:
            file, self._file = self._file, None
            if file is not None:
                with exclusive(self._folder):
                    file.leave(self._folder)

    def _share(self, key: str, head: Arrays) -> Slot:
        with exclusive(self._folder):
            file = self._file
            if file is None or file.superseded:
                file = self._turn_to(HeadFile.join(self._folder, self._file_bytes))
            arrays = file.find(key, head)
            if arrays is None:
                arrays = self._with_room(file, record_bytes(*head[0].shape)).append(key, head)
            return Slot(*arrays)

    def _with_room(self, file: HeadFile, size_bytes: int) -> HeadFile:
        if file.free_disk_bytes() - size_bytes < self._min_free_bytes:
            raise OSError(errno.ENOSPC, "the disk has no room left but its reserve")
        if size_bytes > file.room_bytes:
            raise OSError(errno.EFBIG, f"a head of {size_bytes:,} bytes is larger than the file's {file.room_bytes:,}")
        if size_bytes <= file.free_bytes:
            return file
        return self._turn_to(HeadFile.begin(self._folder, self._file_bytes, instead_of=file))

    def _turn_to(self, file: HeadFile) -> HeadFile:
        if self._file is not None:
            self._file.close()
        self._file = file
        return file

    def _complain(self, reason: str) -> None:
        """Say it once, and not again for each head while it lasts."""
        if reason != self._complaint:
            _logger.error("heads cannot be shared; this process holds them alone", extra={"reason": reason})
        self._complaint = reason


def _frozen(array: F32) -> F32:
    copy = array.copy()
    copy.setflags(write=False)
    return copy
