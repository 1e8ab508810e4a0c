"""A zip or tar archive as a list of files. Nothing is ever written under a name that the archive gives.

Links, absolute paths, `..`, encryption and two files of one name are refused; so is an archive that unpacks to more
than an upload may have. Hidden files and those that systems leave behind (`.DS_Store`, `__MACOSX`, `Thumbs.db`) are
passed over.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.tar_archive import open_tar
from service.uploads.zip_archive import open_zip

_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}
_MOST_PATH_CHARS = 1_000


class Entry(Protocol):
    """A file as the archive tells of it."""

    @property
    def path(self) -> str:
        """Its name, folders included, as it stands there."""
        ...

    @property
    def size_bytes(self) -> int:
        """What the archive says that it unpacks to."""
        ...

    @property
    def trouble(self) -> str:
        """Why it cannot be taken, such as ``is a link``; empty where it can."""
        ...

    def read(self, limit: int) -> bytes:
        """At most `limit` of its bytes, from the first.

        Raises:
            UploadUnreadable: They are damaged.
        """
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive that is not passed over.

    Attributes:
        path: With ``/`` between folders, in Unicode's composed form.
        entry: Where its bytes come from.
    """

    path: str
    entry: Entry

    @property
    def parts(self) -> tuple[str, ...]:
        """Its folders, and its name."""
        return tuple(self.path.split("/"))


@contextmanager
def open_archive(path: Path, kind: Literal["zip", "tar"], limits: Limits) -> Iterator[list[Member]]:
    """The files of an archive in the order of their paths, as long as it is open.

    Args:
        path: The finished local file; beside it is room for an unpacked copy of a compressed tar.
        kind: Its format.
        limits: How many files, and bytes of them, there may be.

    Raises:
        UploadUnreadable: It is damaged.
        UploadTooLarge: It has more files, or unpacks to more bytes, than the limits allow.
        UploadRefused: It holds something that is not taken: a link, an encrypted file, a path that leads out of it.
    """
    opened = open_zip if kind == "zip" else open_tar
    with opened(path, limits) as entries:
        yield _members(entries, limits)


def _members(entries: Iterable[Entry], limits: Limits) -> list[Member]:
    members: dict[str, Member] = {}
    size_bytes = 0
    for entry in entries:
        path = _path(entry)
        if not path or _is_passed_over(path):
            continue
        if entry.trouble:
            raise UploadRefused(f"The archive holds {quoted(path)}, which {entry.trouble}")
        if path in members:
            raise UploadRefused(f"The archive holds {quoted(path)} twice. Write it again with one file of each name.")
        members[path] = Member(path, entry)
        size_bytes += entry.size_bytes
        _check(len(members), size_bytes, limits)
    return [members[path] for path in sorted(members)]


def _path(entry: Entry) -> str:
    """A file's path in one spelling; empty for a folder that was written on Windows.

    Raises:
        UploadRefused: It leads out of the archive.
        UploadTooLarge: It is very long.
    """
    path = unicodedata.normalize("NFC", entry.path.replace("\\", "/"))
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or parts[0].endswith(":"):
        raise UploadRefused(
            f"The archive holds the path {quoted(path)}, which leads out of it. Write it again with relative paths."
        )
    if len(path) > _MOST_PATH_CHARS:
        raise UploadTooLarge(
            f"The archive holds a path of {len(path)} characters; the limit is {_MOST_PATH_CHARS}. Shorten it."
        )
    return "" if path.endswith("/") else "/".join(part for part in parts if part not in {"", "."})


def _is_passed_over(path: str) -> bool:
    parts = path.split("/")
    return any(part.startswith(".") for part in parts) or any(part.casefold() in _LEFT_BEHIND for part in parts)


def _check(files: int, size_bytes: int, limits: Limits) -> None:
    if files > limits.rows:
        raise UploadTooLarge(f"The archive has more than {limits.rows} files, which is the limit. Send a part of them.")
    if size_bytes > limits.bytes:
        raise UploadTooLarge(
            f"The files of the archive have {size_bytes} bytes or more once unpacked; the limit is {limits.bytes}. "
            "Send fewer or smaller files."
        )
