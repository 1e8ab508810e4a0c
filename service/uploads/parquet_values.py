"""One column of a Parquet batch as Python values, measured before it is copied out row by row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.errors import Problem
from service.errors import UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.rows import Cell, listed

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


def listed_values(array: "pa.Array", limits: Limits) -> tuple[list[Cell | Problem], int]:
    """Lists of a batch as cells, and the bytes of their strings (see `values`).

    Args:
        array: (n,) lists of strings, whole numbers or truth values (`holds_names`), or nulls.
        limits: The strings of all rows together may have no more than `limits.bytes`.

    Raises:
        UploadTooLarge: They have more, or there are more of them than `limits.cells`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = array.flatten()
    size = (pc.sum(pc.binary_length(flat)).as_py() or 0) if is_string(flat.type) else flat.nbytes
    if len(flat) > limits.cells or size > limits.bytes:
        raise UploadTooLarge(
            f"The lists of labels hold {len(flat)} values of {size} bytes in {len(array)} rows; the limits are "
            f"{limits.cells} and {limits.bytes}. Send fewer or shorter ones."
        )
    try:
        return [None if row is None else listed(row) for row in array.to_pylist()], size
    except UnicodeDecodeError:
        rows = array.cast(pa.large_list(pa.large_binary())).to_pylist()
        return [None if row is None else _listed_utf8(row) for row in rows], size


def _listed_utf8(row: Sequence[bytes | None]) -> Cell | Problem:
    words = [None if word is None else _utf8(word) for word in row]
    return next((word for word in words if isinstance(word, Problem)), None) or listed(words)


def holds_names(kind: "pa.DataType") -> bool:
    """A type whose values are lists of what can be labels: strings, whole numbers, truth values."""
    from pyarrow import types

    if not is_list(kind):
        return False
    inner = kind.value_type
    return bool(is_string(inner) or types.is_integer(inner) or types.is_boolean(inner) or types.is_null(inner))


def is_list(kind: "pa.DataType") -> bool:
    """A type whose values are lists, however they are laid out."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


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
