"""One column of a Parquet batch as Python values, measured before it is copied out row by row."""

from typing import TYPE_CHECKING

from models.errors import Problem
from service.errors import UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.rows import Cell

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES_PER_CHAR = 4


def values(array: "pa.Array", limits: Limits) -> tuple[list[Cell | Problem], int]:
    """Values of a batch, and the bytes of its strings.

    Args:
        array: (n,) strings, numbers, booleans or nulls, plain or as a dictionary.
        limits: A string that must be over `limits.cell_chars` is not decoded.

    Returns:
        (n,) values, where a `Problem` without a row number stands for one that cannot be used, and the UTF-8 bytes of
        those that can, each counted as often as it occurs.

    Raises:
        UploadTooLarge: A dictionary has more values than `limits.rows`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    strings = array.dictionary if isinstance(array, pa.DictionaryArray) else array
    if pa.types.is_string_view(strings.type):
        strings = strings.cast(pa.large_string())  # measuring a view is not implemented
    if not is_string(strings.type):
        return array.to_pylist(), 0
    if len(strings) > limits.rows:
        raise UploadTooLarge(f"A dictionary has {len(strings)} values; the limit is {limits.rows}. Write it again.")
    rows = array.indices if isinstance(array, pa.DictionaryArray) else pa.array(range(len(array)))
    lengths = pc.take(pc.binary_length(strings), rows)
    too_long = pc.fill_null(pc.greater(lengths, limits.cell_chars * _BYTES_PER_CHAR), False)
    kept = pc.take(strings, pc.if_else(too_long, pa.scalar(None, rows.type), rows))
    problem = Problem(f"a cell is longer than {limits.cell_chars} characters, which is the limit")
    cells = [problem if bad else value for bad, value in zip(too_long.to_pylist(), _decoded(kept), strict=True)]
    return cells, pc.sum(pc.binary_length(kept)).as_py() or 0


def is_string(kind: "pa.DataType") -> bool:
    """A type whose values are UTF-8 strings, however they are laid out."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _decoded(strings: "pa.Array") -> list[Cell | Problem]:
    """Strings as Python strings; Arrow does not promise that they are UTF-8."""
    import pyarrow as pa

    try:
        return strings.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return [None if value is None else _utf8(value) for value in strings.cast(pa.large_binary()).to_pylist()]


def _utf8(value: bytes) -> str | Problem:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem(f"a cell is not UTF-8: byte 0x{value[error.start]:02X} at its byte {error.start}")
