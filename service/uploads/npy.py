"""NumPy's own files, read without NumPy's reader: .npy (one array) and .npz (a zip archive of them).

    path -> Arrays: name, type and shape of each, from their headers alone -> load one

Everything is measured before it is read: the header, the data that the shape promises, an archive's table of contents
and what its members inflate to. Nothing is ever unpickled: an array of Python objects is refused by its type.
"""

import ast
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from service.errors import UploadRefused, UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.names import quoted

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 10_000
_DIMENSIONS = 8
_MEMBERS = 64
_DIRECTORY_BYTES = 1 << 16
_END = b"PK\x05\x06"
_END_BYTES = 22
_END64_LOCATOR = b"PK\x06\x07"
_END64_LOCATOR_BYTES = 20
_COMMENT_BYTES = 1 << 16
_ENCRYPTED = 1

Loader = Callable[[], npt.NDArray[Any]]


@dataclass(frozen=True)
class Array:
    """One array of a file, not read yet.

    Attributes:
        name: Its name in the archive, or of a structured array's field; empty for the array of a plain .npy.
        dtype: Type of its elements, never one of Python objects.
        shape: Its shape.
        load: Reads it.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    load: Loader


def open_arrays(path: Path, kind: str, limits: Limits) -> list[Array]:
    """The arrays of a NumPy file; a structured array gives one for each of its fields.

    Args:
        path: The finished local file.
        kind: ``npy`` or ``npz`` (`sniff`).
        limits: An archive may inflate to no more than `limits.bytes`, an array have no more rows than `limits.rows`.

    Raises:
        UploadRefused: An array holds Python objects.
        UploadTooLarge: A header, an array or an archive is over a limit.
        UploadUnreadable: The file is damaged.
    """
    with _readable():
        if kind == "npy":
            return list(_fields(_single(path, limits)))
        return [field for array in _members(path, limits) for field in _fields(array)]


def _single(path: Path, limits: Limits) -> Array:
    with path.open("rb") as file:
        header = _header(file, "")
        start, end = file.tell(), path.stat().st_size
    _check_size(header, "", end - start, limits)

    def load() -> npt.NDArray[Any]:
        with _readable(), path.open("rb") as file:
            file.seek(start)
            return _array(header, file.read(header.size_bytes))

    return Array("", header.dtype, header.shape, load)


def _members(path: Path, limits: Limits) -> Iterator[Array]:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_members(members, limits)
        for member in members:
            if member.filename.endswith(".npy"):
                yield _member(path, archive, member, limits)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: Limits) -> Array:
    name = member.filename.removesuffix(".npy")
    if member.flag_bits & _ENCRYPTED:
        raise UploadUnreadable(f"The archive's member {quoted(name)} is encrypted. Send it without a password.")
    with archive.open(member) as file:
        header = _header(file, name)
        start = file.tell()
    _check_size(header, name, member.file_size - start, limits)

    def load() -> npt.NDArray[Any]:
        with _readable(), zipfile.ZipFile(path) as again, again.open(member) as file:
            file.read(start)
            return _array(header, file.read(header.size_bytes))

    return Array(name, header.dtype, header.shape, load)


def _fields(array: Array) -> Iterator[Array]:
    """The fields of a structured array, or the array itself."""
    if array.dtype.names is None:
        yield array
        return
    for name in array.dtype.names:
        kind = array.dtype[name]

        def load(name: str = name) -> npt.NDArray[Any]:
            field: npt.NDArray[Any] = array.load()[name]
            return field

        yield Array(name, kind.base, array.shape + kind.shape, load)


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def _header(file: IO[bytes], name: str) -> _Header:
    """Reads the header: magic, version, its length, and a Python literal of three entries."""
    start = file.read(8)
    if len(start) < 8 or not start.startswith(_MAGIC) or start[6] not in {1, 2, 3}:
        raise ValueError("no NumPy header")
    pattern = "<H" if start[6] == 1 else "<I"
    (length,) = struct.unpack(pattern, file.read(struct.calcsize(pattern)))
    if length > _HEADER_BYTES:
        raise UploadTooLarge(f"{_called(name)} has a header of {length} bytes; the limit is {_HEADER_BYTES}.")
    text = file.read(length).decode("utf-8" if start[6] == 3 else "latin-1")
    fields = ast.literal_eval(text)
    shape, dtype = fields["shape"], np.lib.format.descr_to_dtype(fields["descr"])
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("no shape")
    if dtype.hasobject:
        raise UploadRefused(
            f"{_called(name)} holds Python objects, which are pickled in the file and never unpickled here. Save it as "
            "numbers or as text, for example with labels.astype(str)."
        )
    return _Header(dtype, shape, bool(fields["fortran_order"]))


def _check_size(header: _Header, name: str, left_bytes: int, limits: Limits) -> None:
    """The data must be there, all of it and nothing else, before any of it is read."""
    if len(header.shape) > _DIMENSIONS or header.size_bytes > left_bytes:
        raise UploadUnreadable(
            f"{_called(name)} is damaged: its header promises {header.size_bytes} bytes of data for the shape "
            f"{_shape(header.shape)}, and the file has {left_bytes}. Save it again."
        )
    if header.size_bytes < left_bytes:
        raise UploadUnreadable(
            f"{_called(name)} is followed by {left_bytes - header.size_bytes} more bytes. "
            "Save several arrays with np.savez, each under a name."
        )
    if header.shape and header.shape[0] > limits.rows:
        raise UploadTooLarge(
            f"{_called(name)} has {header.shape[0]} rows; the limit is {limits.rows}. Send a part of them."
        )


def _array(header: _Header, data: bytes) -> npt.NDArray[Any]:
    if len(data) != header.size_bytes:
        raise ValueError("the data breaks off")
    flat: npt.NDArray[Any] = np.frombuffer(data, dtype=header.dtype, count=prod(header.shape))
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _check_directory(path: Path) -> None:
    """An archive's table of contents is read as a whole: its length stands at the archive's end."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - _COMMENT_BYTES - _END_BYTES))
        tail = file.read()
    # As the zip reader looks for it: at the very end, else before a comment.
    plain = tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0")
    end = len(tail) - _END_BYTES if plain else tail.rfind(_END)
    locator = tail[max(0, end - _END64_LOCATOR_BYTES) : max(0, end)]
    directory_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end < 0 or locator.startswith(_END64_LOCATOR):
        raise ValueError("no table of contents, or one for archives of gigabytes")
    if directory_bytes > _DIRECTORY_BYTES:
        raise UploadTooLarge(
            f"The archive's table of contents has {directory_bytes} bytes; the limit is {_DIRECTORY_BYTES}. "
            "Save the vectors and the labels alone."
        )


def _check_members(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(members) > _MEMBERS:
        raise UploadTooLarge(
            f"The archive holds {len(members)} files; the limit is {_MEMBERS}. Save the vectors and the labels alone."
        )
    inflated_bytes = sum(member.file_size for member in members)
    if inflated_bytes > limits.bytes:
        raise UploadTooLarge(
            f"The archive inflates to {inflated_bytes} bytes; the limit is {limits.bytes}. Send fewer or shorter "
            "vectors, or numbers of fewer bytes (float32 or float16)."
        )


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever is wrong with the file becomes one of our errors."""
    try:
        yield
    except (
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, RecursionError, MemoryError),
        *(OverflowError, OSError, EOFError, NotImplementedError, RuntimeError),
        *(struct.error, zlib.error, zipfile.BadZipFile),
    ) as error:
        raise UploadUnreadable(
            f"The NumPy file cannot be read ({type(error).__name__}): it is damaged, or uses a feature that is not "
            "supported. Save it again: np.savez(path, embedding=vectors, label=labels)."
        ) from None


def _called(name: str) -> str:
    return f"Array {quoted(name)}" if name else "The array"


def _shape(shape: tuple[int, ...]) -> str:
    return str(shape[:_DIMENSIONS])
