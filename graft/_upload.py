"""What the caller has -> a file to upload.

a path of a file                 -> streamed from disk
a path of a folder               -> a zip archive of its files
bytes                            -> a file of their own kind
(text, label) pairs              -> a CSV; JSON Lines where a label is a list of labels, or a number
(path or bytes, label) pairs     -> a zip archive with a metadata.csv, or .jsonl
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from graft._folder import Pairs, zipped_folder, zipped_pairs
from graft._labels import Label, is_label, written

Rows = Iterable[tuple[str | Path | bytes, Label]]
"""(text, label) pairs, or (path or bytes of an image or a sound, label) pairs."""

Upload = str | Path | bytes | Rows
"""What can be uploaded."""

Sent = Callable[[int, int], None]
"""Told of the bytes sent so far, and of all."""

NAMED = "data"
"""What bytes are called, which have no name."""


@contextmanager
def upload_file(data: Upload, on_upload: Sent | None = None) -> Iterator[tuple[str, IO[bytes]]]:
    """Open the data as a named file; `on_upload` is told as it is read.

    Raises:
        OSError: A file cannot be read.
        TypeError: A row is not a pair.
        ValueError: A folder is empty, or there is no room to pack it.
    """
    with _opened(data) as (name, file):
        yield name, file if on_upload is None else cast(IO[bytes], _Told(file, on_upload))


def _opened(data: Upload) -> AbstractContextManager[tuple[str, IO[bytes]]]:
    if isinstance(data, str | Path):
        path = Path(data)
        return zipped_folder(path) if path.is_dir() else _from_disk(path)
    if isinstance(data, bytes):
        return _in_memory(NAMED, data)
    rows = list(data)
    if rows and isinstance(rows[0], tuple | list) and rows[0] and isinstance(rows[0][0], Path | bytes):
        return zipped_pairs(cast(Pairs, rows))
    _check_texts(rows)
    suffix, content = written("text", cast("list[tuple[str, Label]]", rows))
    return _in_memory(f"rows{suffix}", content)


@contextmanager
def _from_disk(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with path.open("rb") as file:
        yield path.name, file


@contextmanager
def _in_memory(name: str, data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    yield name, io.BytesIO(data)


def _check_texts(rows: Sequence[object]) -> None:
    for number, row in enumerate(rows, start=1):
        pair = isinstance(row, tuple | list) and len(row) == 2
        if not pair or not isinstance(row[0], str) or not is_label(row[1]):  # type: ignore[index]
            raise TypeError(
                f"Row {number} is {row!r:.80}; every row has to be a (text, label) pair, or a (path or bytes, label) "
                "pair where the paths are pathlib.Path. A label is a string, a list of them, or a number."
            )


class _Told:
    """A file that tells how much of it was read; what httpx uses of a file, and no more."""

    def __init__(self, file: IO[bytes], on_upload: Sent) -> None:
        self._file = file
        self._on_upload = on_upload
        self._size_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._on_upload(self._file.tell(), self._size_bytes)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
