"""One cell as a vector, or why it is none; and many of them as one array."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.errors import UploadRefused, UploadTooLarge
from service.uploads.cells import Bad
from service.uploads.items import F32
from service.uploads.limits import Limits

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = {int, float}

LARGEST = 1e15
"""Largest number of a vector: the square of its length must be a float32, and a sum of many of these."""


def as_vector(value: object) -> F32 | Bad:
    """A decoded JSON value as a vector: (d,) float32, infinite where a number is too large for that."""
    if value is None:
        return Bad("the embedding is missing")
    if not isinstance(value, list):
        return Bad("the embedding is not a list of numbers")
    if not set(map(type, value)) <= _NUMBERS:
        return Bad("the embedding holds something that is not a number")
    try:
        return as_float32(np.array(value, dtype=np.float64))
    except OverflowError:
        return Bad("the embedding holds a number that is too large")


def as_vectors(column: "pa.ListArray") -> list[F32 | Bad]:
    """The cells of a column of lists of float32; a null in a list becomes NaN."""
    missing = Bad("the embedding is missing")
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    cells = zip(ends - lengths, ends, column.is_valid().to_pylist(), strict=True)
    return [flat[start:end] if there else missing for start, end, there in cells]


def as_float32(numbers: npt.NDArray[Any]) -> F32:
    """Numbers of any type as float32; one that is too large becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return numbers.astype(np.float32, order="C")


def stacked(cells: Sequence[F32 | Bad], limits: Limits) -> tuple[F32, dict[int, str]]:
    """Vectors of one length as one array.

    Args:
        cells: (m,) as read.
        limits: Has the longest.

    Returns:
        (m, d) float32, d being the commonest length, zeros where a row has a fault; and position -> fault.

    Raises:
        UploadRefused, UploadTooLarge: d is 0, or over the limit.
    """
    lengths = Counter(len(cell) for cell in cells if not isinstance(cell, Bad))
    width = max(lengths, key=lengths.__getitem__, default=0)
    if lengths:
        check_width(width, limits)
    faults = {at: fault for at, cell in enumerate(cells) if (fault := _fault(cell, width))}
    z = np.zeros((len(cells), width), dtype=np.float32)
    for at, cell in enumerate(cells):
        if at not in faults and not isinstance(cell, Bad):
            z[at] = cell
    return z, faults | out_of_range(z)


def matrix(cells: Sequence[F32 | Bad]) -> F32:
    """Vectors that are known to be of one length and without a fault, as one array."""
    return np.stack([cell for cell in cells if not isinstance(cell, Bad)])


def check_width(width: int, limits: Limits) -> None:
    """Makes sure that vectors are neither empty nor too long.

    Raises:
        UploadRefused, UploadTooLarge: They are.
    """
    if not width:
        raise UploadRefused("The vectors have no numbers in them. Send vectors of at least one number.")
    if width > limits.width:
        raise UploadTooLarge(f"The vectors have {width} numbers each; the limit is {limits.width}. Shorten them.")


def check_numbers(numbers: int, limits: Limits) -> None:
    """Makes sure that all vectors together fit in memory.

    Raises:
        UploadTooLarge: They do not.
    """
    if numbers > limits.numbers:
        raise UploadTooLarge(
            f"The vectors have at least {numbers} numbers together; the limit is {limits.numbers}. "
            "Send fewer or shorter ones."
        )


def out_of_range(z: F32) -> dict[int, str]:
    """Position of each row with NaN, an infinity or a number beyond `LARGEST` -> what is wrong with it."""
    found = {}
    for at in np.flatnonzero(~_in_range(z).all(axis=1)).tolist():
        first = int(np.flatnonzero(~_in_range(z[at]))[0])
        found[at] = f"the embedding holds {_kind(float(z[at, first]))} at position {first}"
    return found


def _in_range(z: F32) -> npt.NDArray[np.bool_]:
    return np.abs(z) <= LARGEST  # which NaN is not


def _kind(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "an infinity, or a number too large for float32,"
    return f"{number:.3g}, which is beyond {LARGEST:g},"


def _fault(cell: F32 | Bad, width: int) -> str | None:
    if isinstance(cell, Bad):
        return cell.reason
    if len(cell) != width:
        return f"the embedding has {len(cell)} numbers, and most have {width}"
    return None
