"""True sizes of a Parquet column's pages, read from the pages themselves.

The footer says how large a column is once decompressed, and may lie; the decoder believes each page's own header. So
the headers are walked before anything is decoded. A header is a Thrift struct in the compact protocol, of which only
the two sizes matter here: field 2 (uncompressed) and field 3 (compressed), both int32.
"""

from collections.abc import Iterator
from mmap import mmap

_I16, _I64 = 4, 6
_BYTE, _DOUBLE, _BINARY, _STRUCT = 3, 7, 8, 12
_BOOLEANS = (1, 2)
_UNCOMPRESSED_FIELD, _COMPRESSED_FIELD = 2, 3
_MAX_DEPTH = 8


def page_bytes(data: mmap, start: int, length: int) -> Iterator[int]:
    """Uncompressed bytes of each page in `length` bytes of a column chunk from `start`.

    Cost: about 10 µs a page; nothing is decompressed.

    Raises:
        ValueError: A header is not one, or leads out of the file.
    """
    position, end = start, start + length
    while position < end:
        header = _Header(data, position)
        sizes = header.sizes()
        position = header.position + sizes[_COMPRESSED_FIELD]
        if not 0 <= sizes[_COMPRESSED_FIELD] <= len(data) - header.position or sizes[_UNCOMPRESSED_FIELD] < 0:
            raise ValueError("a page leads out of the file")
        yield sizes[_UNCOMPRESSED_FIELD]


class _Header:
    """A cursor over one page header."""

    def __init__(self, data: mmap, position: int) -> None:
        self._data = data
        self.position = position

    def sizes(self) -> dict[int, int]:
        """The two sizes by field number; the cursor ends behind the header."""
        sizes = {}
        for field, kind in self._fields():
            if field in {_UNCOMPRESSED_FIELD, _COMPRESSED_FIELD} and _I16 <= kind <= _I64:
                sizes[field] = self._integer()
            else:
                self._skip(kind, depth=0)
        if len(sizes) != 2:
            raise ValueError("a page header without sizes")
        return sizes

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller reads or skips its value."""
        field = 0
        while byte := self._byte():
            field = field + (byte >> 4) if byte >> 4 else self._integer()
            yield field, byte & 0x0F

    def _skip(self, kind: int, depth: int) -> None:
        if kind == _BYTE:
            self.position += 1
        elif _I16 <= kind <= _I64:
            self._varint()
        elif kind == _DOUBLE:
            self.position += 8
        elif kind == _BINARY:
            length = self._varint()  # moves the cursor, so it comes first
            self.position += length
        elif kind == _STRUCT and depth < _MAX_DEPTH:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        elif kind not in _BOOLEANS:
            raise ValueError("a page header of an unknown shape")

    def _byte(self) -> int:
        if not 0 <= self.position < len(self._data):
            raise ValueError("a page header leads out of the file")
        self.position += 1
        return self._data[self.position - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than ten bytes in a page header")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
