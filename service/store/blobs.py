"""Content-addressed blobs in a local folder.

    blobs/sha256/ab/abcd...     the bytes whose sha256 is that name
    staging/                    files that are not whole yet

A blob is written to staging, fsynced, linked to its final name and its folder fsynced: after a power cut it is whole or
it is not there. Linking never replaces, so two writers of the same bytes are harmless. (obstore's local store does not
fsync and follows symbolic links, which is why this is ours.)
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from models.durable import sync
from service.errors import ArtifactCorrupt, DiskFull

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """A stored blob: its digest (sha256, hex) and size."""

    digest: str
    size_bytes: int


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn "no space left" into the domain's word for it."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(
                "There is no room left on the disk that holds this service's state; free some, then send it again."
            ) from error
        raise


def create_only(path: Path, data: bytes, staging: Path) -> bool:
    """Write a whole, durable file unless there is one; says whether this call made it."""
    temporary = staging / uuid4().hex
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
            sync(path.parent)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
    return True


class Blobs:
    """The blobs of one service."""

    def __init__(self, home: Path, *, min_free_bytes: int = 0) -> None:
        self._root = home / "blobs" / "sha256"
        self._staging = home / "staging"
        self._min_free_bytes = min_free_bytes

    def path(self, digest: str) -> Path:
        """Where the blob of that digest lies."""
        return self._root / digest[:2] / digest

    def put(self, data: bytes) -> Blob:
        """Store bytes; storing the same bytes again changes nothing.

        Raises:
            DiskFull: There is less room than the blob and the reserve need.
        """
        self.check_room(len(data))
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        try:
            os.utime(path)  # it is wanted again: a sweep must not take it for left over
        except FileNotFoundError:
            create_only(path, data, self._staging)
        return Blob(digest, len(data))

    def put_file(self, source: BinaryIO, size_bytes: int) -> Blob:
        """Store what a file holds, from its beginning, without holding it in memory.

        Raises:
            DiskFull: There is less room than the blob and the reserve need.
        """
        self.check_room(size_bytes)
        source.seek(0)
        with self.staged() as staged:
            with staged.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            with staged.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            path = self.path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(staged, path)
                sync(path.parent)
            except FileExistsError:
                os.utime(path)
            return Blob(digest, path.stat().st_size)

    def get(self, digest: str) -> bytes:
        """Read a blob, checked against its digest.

        Raises:
            ArtifactCorrupt: It is gone, or its bytes are not those that were written.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise ArtifactCorrupt(f"blob {digest} is gone") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtifactCorrupt(f"blob {digest} has other bytes than were written ({len(data)} bytes on disk)")
        return data

    def delete(self, digest: str) -> None:
        """Remove a blob; the caller has made sure that nothing points to it."""
        self.path(digest).unlink(missing_ok=True)

    def check_room(self, size_bytes: int) -> None:
        """Refuse what would leave less than the reserve.

        Raises:
            DiskFull: Too little room.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._root).free
        if free - size_bytes < self._min_free_bytes:
            raise DiskFull(
                f"{free:,} bytes are free on the disk that holds this service's state and {self._min_free_bytes:,} are "
                "kept in reserve; delete datasets or versions, or give it more room, then send it again."
            )

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A path to write an incoming file to; it is gone afterwards."""
        self._staging.mkdir(parents=True, exist_ok=True)
        path = self._staging / uuid4().hex
        try:
            with disk_errors():
                yield path
        finally:
            path.unlink(missing_ok=True)

    def sweep(self, keep: Container[str], older_than_s: float, now_s: float) -> int:
        """Remove old files that nothing needs: what crashed writers left in staging, and blobs that are not in `keep`.

        Args:
            keep: Digests that something points to.
            older_than_s: Younger files stay: something may be about to point to them.
            now_s: Seconds since the epoch.

        Returns:
            How many files were removed.
        """
        removed = 0
        for path in [*self._staging.glob("*"), *(p for p in self._root.glob("*/*") if p.name not in keep)]:
            with contextlib.suppress(FileNotFoundError):  # its writer has just finished with it
                if now_s - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    removed += 1
        return removed
