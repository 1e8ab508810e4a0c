"""A folder, or files with their labels -> one zip archive to upload.

    folder     cat/1.jpg, dog/2.jpg, metadata.csv   as they lie
    pairs      (path or bytes, label)               000001.jpg ... and a metadata.csv (or .jsonl) with the labels

Nothing is compressed (images and sounds already are), names are in order and times are left out, so that the same files
always give the same archive, and the service sees that it has it already.
"""

import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from graft._errors import ApiError
from graft._labels import Label, is_label, written
from graft._media import medium_of

Pairs = Sequence[tuple[Path | bytes, Label]]

SYSTEM_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
"""What systems leave in folders, in lower case, beside names that begin with a dot."""

_TOO_LARGE = 413
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can name."""


@dataclass(frozen=True)
class Packing:
    """The files of a folder that are to be sent: (name in the archive, file), in order, and their bytes in all."""

    folder: Path
    files: tuple[tuple[str, Path], ...]
    size_bytes: int

    @property
    def told(self) -> str:
        """How much it is, in words."""
        return f"{str(self.folder)!r} has {len(self.files):,} files of {self.size_bytes:,} bytes"


def packing(folder: Path) -> Packing:
    """What a folder holds: hidden and system files are left out, and links that lead out of it.

    Raises:
        ValueError: It holds nothing.
        OSError: It cannot be read.
    """
    root = folder.resolve()
    found = sorted(_files_in(root), key=lambda file: file.relative_to(root).parts)
    if not found:
        raise ValueError(
            f"{str(folder)!r} has no files to upload (hidden ones are left out). Put each class in a folder of its "
            "own, photos/cat/1.jpg, or a metadata.csv beside the files."
        )
    files = tuple((file.relative_to(root).as_posix(), file) for file in found)
    return Packing(folder, files, sum(file.stat().st_size for file in found))


def _files_in(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if _belongs(name)]
        for path in (Path(place, name) for name in names if _belongs(name)):
            if path.is_file() and path.resolve().is_relative_to(root):
                yield path


def _belongs(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in SYSTEM_NAMES


@contextmanager
def zipped_folder(folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """A folder as a named archive in a temporary file.

    Raises:
        ValueError: It holds nothing, or the disk for temporary files has no room for it.
        OSError: It cannot be read.
        ApiError: The service's own, of what is done with the archive; one about its size tells the size.
    """
    packed = packing(folder)
    _check_room(packed)
    with tempfile.TemporaryFile() as file:
        _write(file, packed.files)
        try:
            yield f"{folder.resolve().name or 'folder'}.zip", file
        except ApiError as error:
            if error.status != _TOO_LARGE:
                raise
            raise ApiError(error.status, replace(error.details, detail=f"{error} The folder {packed.told}.")) from error


def _check_room(packed: Packing) -> None:
    place = tempfile.gettempdir()
    free_bytes = shutil.disk_usage(place).free
    if packed.size_bytes >= free_bytes:
        raise ValueError(
            f"The folder {packed.told}, and {place} has {free_bytes:,} bytes free to pack it in. Upload a part of it, "
            "or name another place in TMPDIR."
        )


@contextmanager
def zipped_pairs(pairs: Pairs) -> Iterator[tuple[str, IO[bytes]]]:
    """Files and their labels as a named archive with a ``metadata.csv`` (or ``.jsonl``), in a temporary file.

    Raises:
        TypeError: A pair is not (path or bytes, label).
        ValueError: There is none, or bytes are neither an image nor a sound.
        OSError: A file cannot be read.
    """
    if not pairs:
        raise ValueError("There are no files to upload.")
    names = [_name(number, pair) for number, pair in enumerate(pairs, start=1)]
    suffix, table = written("file_name", [(name, label) for name, (_, label) in zip(names, pairs, strict=True)])
    contents = [(f"metadata{suffix}", table), *zip(names, (given for given, _ in pairs), strict=True)]
    with tempfile.TemporaryFile() as file:
        _write(file, contents)
        yield "files.zip", file


def _name(number: int, pair: object) -> str:
    """What to call a file in the archive."""
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not is_label(pair[1]):
        raise TypeError(
            f"Row {number} is {pair!r:.80}; every row has to be a (path or bytes, label) pair, where a label is a "
            "string, a list of them, or a number."
        )
    given = pair[0]
    if isinstance(given, Path):
        return f"{number:06d}{given.suffix.lower()}"
    if not isinstance(given, bytes):
        raise TypeError(
            f"Row {number} holds {given!r:.80} beside files; give paths (pathlib.Path) or bytes throughout."
        )
    medium = medium_of(given)
    if medium is None:
        raise ValueError(f"Row {number} holds {len(given):,} bytes that are neither an image nor a sound.")
    return f"{number:06d}.{medium.ending}"


def _write(file: IO[bytes], contents: Iterable[tuple[str, Path | bytes]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            source: IO[bytes] = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
            with source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry)
    file.seek(0)
