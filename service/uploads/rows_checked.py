"""Is every row of a file there and whole? Asked before the first of them is predicted."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from models.errors import Problem
from service.errors import UploadRefused, UploadUnreadable
from service.uploads.cells import Bad
from service.uploads.delimited import DelimitedTable
from service.uploads.items import F32
from service.uploads.limits import Limits
from service.uploads.numbers import has_decimal_commas
from service.uploads.rows import Row
from service.uploads.vector_cells import check_numbers, check_width, out_of_range

T = TypeVar("T")

_BATCH_ROWS = 1024


def check_rows(rows: Iterable[tuple[int, object]], limits: Limits) -> int:
    """Counts rows, none of which may be a `Problem`.

    Args:
        rows: Number and content of each.
        limits: How many problems are listed.

    Raises:
        UploadUnreadable: Some are; they are listed.
        UploadRefused: There are no rows.
    """
    count = bad = 0
    problems: list[Problem] = []
    for _, row in rows:
        count += 1
        if isinstance(row, Problem):
            bad += 1
            problems += [row] if len(problems) < limits.listed_problems else []
    if bad:
        first = problems[0]
        raise UploadUnreadable(
            f"{bad} of {count} rows cannot be read; the first is row {first.row}: {first.detail.rstrip('.')}. "
            "Nothing was predicted. Mend them and send the file again.",
            problems=problems,
        )
    if not count:
        raise UploadRefused("The file holds no rows. Send at least one.")
    return count


def check_vectors(vectors: Iterable[tuple[int, F32 | Bad]], limits: Limits) -> int:
    """Makes sure that vectors are there, finite and as long as the first; returns their length.

    Args:
        vectors: Row number and vector of each row, or why there is none.
        limits: Has the longest vector, the most numbers, and how many problems are listed.

    Raises:
        UploadUnreadable: Some are not.
        UploadRefused, UploadTooLarge: They are empty or too long, or too many numbers together.
    """
    width = size = 0

    def judged(number: int, vector: F32 | Bad) -> Problem | None:
        nonlocal width, size
        if isinstance(vector, Bad):
            return Problem(vector.reason, row=number)
        if not width:
            check_width(len(vector), limits)
            width = len(vector)
        size += len(vector)
        check_numbers(size, limits)
        if len(vector) != width:
            return Problem(f"the embedding has {len(vector)} numbers, and the first has {width}", row=number)
        fault = out_of_range(vector[None]).get(0)
        return Problem(fault, row=number) if fault else None

    check_rows(((number, judged(number, vector)) for number, vector in vectors), limits)
    return width


def decimal_commas(table: DelimitedTable) -> frozenset[str]:
    """Columns of numbers with decimal commas, throughout the file."""
    found: dict[str, bool | None] = dict.fromkeys(table.columns)
    rows = (record for record in table.rows(table.columns) if isinstance(record, Row))
    for part in in_parts(rows, _BATCH_ROWS):
        for name, before in found.items():
            if before is not False:
                here = has_decimal_commas([row.cells[name] for row in part])
                found[name] = before if here is None else here
    return frozenset(name for name, commas in found.items() if commas)


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one perhaps shorter."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
