"""What the caller has -> a file to upload."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

Rows = Iterable[tuple[str, str]]
"""(text, label) pairs."""


@contextmanager
def upload_file(data: str | Path | Rows) -> Iterator[tuple[str, IO[bytes]]]:
    """Open the data as a named file: a path is streamed from disk, pairs become a CSV in memory.

    Raises:
        OSError: The file cannot be read.
        TypeError: A row is not a pair of strings.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        with path.open("rb") as file:
            yield path.name, file
    else:
        yield "rows.csv", io.BytesIO(_csv(data))


def _csv(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("text", "label"))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, tuple | list) or len(row) != 2 or not all(isinstance(cell, str) for cell in row):
            raise TypeError(f"Row {number} is {row!r:.80}; every row has to be a (text, label) pair of strings.")
        writer.writerow(row)
    return text.getvalue().encode()
