"""A file of heads that every serving process of this machine maps: each head is in memory once, whoever serves it.

    header (one page) | head | head | ... | `end`, then a hole up to the file's size, which takes no disk

A head is a record: 64 bytes that name it, its weight (k, d), its bias (k,), all float32, up to the next 64 bytes. The
file only grows: what stands before `end` never changes, so readers need no lock. A writer holds the lock of the folder,
writes the record behind `end`, and moves `end` last: a writer that is killed between the two leaves bytes that nobody
looks at and the next one overwrites.

The file is a cache of the blobs. Whoever maps it holds a shared lock on it, which ends with the process: a file without
one is left over, and nobody reads it. A full file is superseded by an empty one under the same name; the old one is
gone when its last reader lets go.
"""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Arrays = tuple[F32, F32, float]
"""Weight (k, d), bias (k,) and temperature."""

NAME = "heads"
_MAGIC = b"GRAFTHD1"
_FIRST = mmap.PAGESIZE
_ALIGN = 64

_HEADER = struct.Struct("=8sQB")
_END = struct.Struct("=Q")
_END_AT, _SUPERSEDED_AT = 8, 16
_RECORD = struct.Struct("=32sIIf")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of heads: one writer at a time, in whichever process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class HeadFile:
    """One file, mapped for reading.

    What it raises as OSError (a full disk, a file system that cannot map) has left the heads that are held as they are.
    """

    def __init__(self, handle: int) -> None:
        """Map an open file and keep its shared lock; the handle is this object's from here on."""
        self._handle = handle
        self._map = mmap.mmap(handle, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        if self._map[: len(_MAGIC)] != _MAGIC:
            raise OSError(
                errno.EINVAL, "the shared file of heads has another format; a process of another release runs"
            )
        self._floats: F32 = np.frombuffer(self._map, np.float32)
        self._found: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._read_to = _FIRST

    @classmethod
    def join(cls, folder: Path, size_bytes: int) -> Self:
        """The file that serving processes share now, or a new one. The caller holds the lock.

        Args:
            folder: Where it lies.
            size_bytes: Of a new one.
        """
        with suppress(FileNotFoundError), _opened(folder / NAME, os.O_RDWR) as handle:
            if not _left_over(handle) and not (file := cls(handle)).superseded:
                return file
            os.close(handle)  # or whoever superseded it was ended before the new one had its name
        return cls.begin(folder, size_bytes)

    @classmethod
    def begin(cls, folder: Path, size_bytes: int, *, instead_of: Self | None = None) -> Self:
        """An empty file in place of the one there is. The caller holds the lock.

        Args:
            folder: Where it lies.
            size_bytes: Its size, of which nothing takes disk yet.
            instead_of: The file that every process is to let go of; nothing happens to it when this fails.
        """
        path = folder / f"{NAME}.new"
        path.unlink(missing_ok=True)
        with _opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as handle:
            os.ftruncate(handle, max(size_bytes, _FIRST))
            _write(handle, _HEADER.pack(_MAGIC, _FIRST, 0), 0)
            fcntl.flock(handle, fcntl.LOCK_SH)
            file = cls(handle)
            if instead_of is not None:
                _write(instead_of._handle, b"\1", _SUPERSEDED_AT)
            path.replace(folder / NAME)
        return file

    @property
    def superseded(self) -> bool:
        """Whether another file has taken its place."""
        return self._map[_SUPERSEDED_AT] != 0

    @property
    def free_bytes(self) -> int:
        """Room behind the last head."""
        return len(self._map) - self._end

    @property
    def room_bytes(self) -> int:
        """Room for heads while there are none."""
        return len(self._map) - _FIRST

    def __len__(self) -> int:
        """Heads that this process has put or found in it."""
        return len(self._held)

    def get(self, key: str) -> Arrays | None:
        """A head that this process has found or appended: views of the file, read-only, valid while they live."""
        place = self._held.get(key)
        return None if place is None else self._arrays(place)

    def find(self, key: str, head: Arrays) -> Arrays | None:
        """A head that any process has appended; None where there is none, or it is not what it should be.

        Args:
            key: sha256, hex.
            head: What it should be: nothing in the file is taken on trust.
        """
        self._catch_up()
        place = self._found.pop(key, None)
        if place is not None and _same(self._arrays(place), head):
            self._held[key] = place
        return self.get(key)

    def append(self, key: str, head: Arrays) -> Arrays:
        """Write a head behind the last one. The caller holds the lock, has not found it, and has seen to the room.

        Raises:
            OSError: It cannot be written, or cannot be read back.
        """
        place = self._end
        record = _record(key, head)
        _write(self._handle, record, place)
        self._move_end(place + len(record))
        arrays = self.find(key, head)
        if arrays is None:
            raise OSError(errno.EIO, "what is written to the shared file of heads does not show in its mapping")
        return arrays

    def free_disk_bytes(self) -> int:
        """Room on the disk that holds it."""
        disk = os.fstatvfs(self._handle)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        """Close the file; arrays that were given out stay valid."""
        os.close(self._handle)

    def leave(self, folder: Path) -> None:
        """Close the file, and remove it when no other process maps it. The caller holds the lock."""
        if not self.superseded and _left_over(self._handle):
            (folder / NAME).unlink(missing_ok=True)
        fcntl.flock(self._handle, fcntl.LOCK_UN)  # arrays in flight keep the mapping, and with it the lock
        self.close()

    @property
    def _end(self) -> int:
        end: int = _END.unpack_from(self._map, _END_AT)[0]
        return end

    def _catch_up(self) -> None:
        """Note the records that have been appended since the last time."""
        end = self._end
        while self._read_to < end:
            digest, k, width, _ = _RECORD.unpack_from(self._map, self._read_to)
            self._found[digest.hex()] = self._read_to
            self._read_to += record_bytes(k, width)

    def _move_end(self, end: int) -> None:
        _write(self._handle, _END.pack(end), _END_AT)

    def _arrays(self, place: int) -> Arrays:
        _, k, width, temperature = _RECORD.unpack_from(self._map, place)
        start = (place + _ALIGN) // 4
        middle = start + k * width
        return self._floats[start:middle].reshape(k, width), self._floats[middle : middle + k], temperature


def record_bytes(k: int, width: int) -> int:
    """Bytes that a head of k rows takes in a file."""
    return _ALIGN + -(-4 * k * (width + 1) // _ALIGN) * _ALIGN


def _record(key: str, head: Arrays) -> bytearray:
    weight, bias, temperature = head
    record = bytearray(record_bytes(*weight.shape))
    _RECORD.pack_into(record, 0, bytes.fromhex(key), *weight.shape, temperature)
    body = np.concatenate([weight.ravel(), bias]).astype(np.float32).tobytes()
    record[_ALIGN : _ALIGN + len(body)] = body
    return record


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """An open file, which is closed again only when the block fails."""
    handle = os.open(path, flags, 0o600)
    try:
        yield handle
    except BaseException:
        os.close(handle)
        raise


def _left_over(handle: int) -> bool:
    """Whether no other process maps the file; the handle has the shared lock afterwards."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(handle, fcntl.LOCK_SH)
    return True


def _write(handle: int, data: bytes | bytearray, place: int) -> None:
    """Write through the file, never through the mapping: a full disk is then an error and not a signal."""
    if os.pwrite(handle, data, place) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _same(one: Arrays, other: Arrays) -> bool:
    return bool(np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]) and one[2] == other[2])
