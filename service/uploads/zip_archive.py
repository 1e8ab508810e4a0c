"""Zip archives: listed from their directory, which is measured first, and read under limits whatever they say."""

import mmap
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.names import quoted

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_END_MAGIC = b"PK\x05\x06"
_LOCATOR_MAGIC = b"PK\x06\x07"
_LOCATOR_BYTES = 20
_ENTRY_MAGIC = b"PK\x01\x02"
_MOST_COMMENT_BYTES = 65_535
_FOLDERS = 1_000
"""Entries beyond the files that are allowed: folders, and what systems leave behind for each file."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1
_UTF8 = 0x800
_UNIX = 3


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file of a zip archive (see `archives.Entry`)."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def path(self) -> str:
        """Archives that do not say how names are encoded have UTF-8 all the same, or the first PC's letters."""
        name = self.info.filename
        if self.info.flag_bits & _UTF8 or name.isascii():
            return name
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return name

    @property
    def size_bytes(self) -> int:
        """As its directory says."""
        return self.info.file_size

    @property
    def trouble(self) -> str:
        """Encrypted, a link, or compressed in an unusual way."""
        if self.info.flag_bits & _ENCRYPTED:
            return "is encrypted. Write the archive again without a password."
        mode = self.info.external_attr >> 16
        if self.info.create_system == _UNIX and stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            return "is a link or a device, and links are not followed. Write the archive again with the file itself."
        if self.info.compress_type not in _METHODS:
            return "is compressed in an unusual way. Write the archive again with the ordinary method (deflate)."
        return ""

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes."""
        try:
            with self.archive.open(self.info) as file:
                return file.read(limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise UploadUnreadable(
                f"{quoted(self.path)} cannot be read from the archive ({type(error).__name__}): it is damaged. "
                "Write or upload the archive again."
            ) from None


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[Iterator[ZipEntry]]:
    """The files of a zip archive, without its folders.

    Raises:
        UploadTooLarge: Its directory has more entries than the limits allow.
        UploadUnreadable: The directory is damaged.
    """
    _check_directory(path, limits)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, LookupError, struct.error) as error:
        raise UploadUnreadable(
            f"The zip archive cannot be read ({type(error).__name__}): it is damaged. Write or upload it again."
        ) from None
    with archive:
        yield (ZipEntry(archive, info) for info in archive.infolist() if not info.is_dir())


def _check_directory(path: Path, limits: Limits) -> None:
    """Count the entries before the library reads them: each becomes an object of half a kilobyte."""
    most = 2 * limits.rows + _FOLDERS
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start, end = _directory(data)
        entries = 0
        while (start := data.find(_ENTRY_MAGIC, start, end) + 1) and entries <= most:
            entries += 1
    if entries > most:
        raise UploadTooLarge(
            f"The archive has more than {most} files and folders; the limit is {limits.rows} files. "
            "Send a part of them."
        )


def _directory(data: mmap.mmap) -> tuple[int, int]:
    """Where the directory begins and ends, by the record behind it, or by the larger one before that (ZIP64)."""
    end = data.rfind(_END_MAGIC, max(0, len(data) - _MOST_COMMENT_BYTES - _END.size))
    if end < 0 or end + _END.size > len(data):
        raise UploadUnreadable("The zip archive breaks off: its directory is missing. Write or upload it again.")
    size = _END.unpack_from(data, end)[5]
    large = end - _LOCATOR_BYTES - _END64.size
    if large >= 0 and data[large + _END64.size : large + _END64.size + 4] == _LOCATOR_MAGIC:
        end, size = large, _END64.unpack_from(data, large)[8]
    return max(0, end - size), end
