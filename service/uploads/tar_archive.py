"""Tar archives, plain or compressed with gzip or bzip2: unpacked to one file of a bounded size, then read in place."""

import bz2
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.names import quoted

_CHUNK_BYTES = 1 << 20
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
_FRAMED = 3
"""Most bytes of an archive for each of its files': headers, long names, and blanks to the next block."""
_FOLDERS = 1_000


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A file of a tar archive (see `archives.Entry`)."""

    file: IO[bytes]
    info: tarfile.TarInfo

    @property
    def path(self) -> str:
        """Its name; bytes that are not UTF-8 are replaced."""
        return self.info.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @property
    def size_bytes(self) -> int:
        """As its header says."""
        return self.info.size

    @property
    def trouble(self) -> str:
        """A link, a device, or a file with holes."""
        if not self.info.isreg():
            return "is a link or a device, and links are not followed. Write the archive again with the file itself."
        if self.info.issparse():
            return "is stored with holes. Write the archive again without --sparse."
        return ""

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes."""
        wanted = min(limit, self.info.size)
        self.file.seek(self.info.offset_data)
        data = self.file.read(wanted)
        if len(data) < wanted:
            raise UploadUnreadable(f"The archive breaks off within {quoted(self.path)}. Write or upload it again.")
        return data


@contextmanager
def open_tar(path: Path, limits: Limits) -> Iterator[Iterator[TarEntry]]:
    """The files of a tar archive, without its folders. What it unpacks to lies beside it as long as it is open.

    Raises:
        UploadTooLarge: It unpacks to more bytes than the limits allow.
        UploadUnreadable: It is damaged.
    """
    plain = path.with_name(f"{path.name}.tar")
    try:
        with path.open("rb") as source:
            magic = source.read(3)
        if magic.startswith((_GZIP, _BZIP2)):
            _unpack(path, plain, gzip.GzipFile if magic.startswith(_GZIP) else bz2.BZ2File, limits)
        with (plain if plain.exists() else path).open("rb") as file:
            yield _entries(file, limits)
    finally:
        plain.unlink(missing_ok=True)


def _unpack(path: Path, plain: Path, opened: type[gzip.GzipFile] | type[bz2.BZ2File], limits: Limits) -> None:
    most = _FRAMED * limits.bytes + _CHUNK_BYTES
    size_bytes = 0
    try:
        with opened(path, "rb") as source, plain.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > most:
                    raise UploadTooLarge(
                        f"The archive unpacks to more than {most} bytes; the limit for its files is {limits.bytes}. "
                        "Send fewer or smaller files."
                    )
                target.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, OSError) as error:
        raise _damaged(error) from None


def _entries(file: IO[bytes], limits: Limits) -> Iterator[TarEntry]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            seen = 0
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all that it has seen
                seen += 1
                if seen > 2 * limits.rows + _FOLDERS:
                    raise UploadTooLarge(
                        f"The archive has more than {limits.rows} files, which is the limit. Send a part of them."
                    )
                if info.size < 0:  # the library reads such numbers, and goes back by them
                    raise tarfile.ReadError(f"a size of {info.size}")
                if not info.isdir():
                    yield TarEntry(file, info)
            _check_end(file, archive.offset)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(error) from None


def _check_end(file: IO[bytes], at: int) -> None:
    """The library takes a header that it cannot read for the end, which is a block of zeros."""
    file.seek(at)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise UploadUnreadable(
            f"The tar archive breaks off or is damaged at byte {at} (unpacked). Write or upload it again."
        )


def _damaged(error: Exception) -> UploadUnreadable:
    return UploadUnreadable(
        f"The tar archive cannot be read ({type(error).__name__}): it is damaged. Write or upload it again."
    )
