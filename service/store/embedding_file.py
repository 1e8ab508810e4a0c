"""The SQLite file behind the cache of embeddings: its tables, and the few things that are done with them.

Each row has a checksum of its own: SQLite notices a page that makes no sense, and not one whose numbers have changed.
"""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.base import Embedding

FORMAT = 1
"""Raised with every change of the tables, and of what is done to an item before its backbone's graph."""

_APPLICATION_ID = 0x47524654
_PAGE_BYTES = 16_384  # of rows of 1.5 to 25 KB; smaller pages take up to three times as long to write
_LOG_BYTES = 2**24
_ASKED_AT_ONCE = 500
_DROPPED_AT_ONCE = 256

_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE rows (
    key BLOB PRIMARY KEY, part INTEGER NOT NULL, cut INTEGER NOT NULL, crc INTEGER NOT NULL, row BLOB NOT NULL
);
CREATE INDEX rows_by_part ON rows (part);
CREATE TABLE state (written INTEGER NOT NULL);
INSERT INTO state VALUES (0);
COMMIT;
"""  # noqa: S608  # our own numbers


class NotOurs(sqlite3.DatabaseError):
    """A database of another kind or format."""


@dataclass(frozen=True)
class Found:
    """What a cache has of n items.

    Attributes:
        hit: (n,) bool: it is there.
        rows: (n, d) float32; zeros where it is not.
        cut: (n,) bool: the end of the item was left out.
    """

    hit: npt.NDArray[np.bool_]
    rows: Embedding
    cut: npt.NDArray[np.bool_]

    @classmethod
    def nothing(cls, n: int, width: int) -> "Found":
        """All n of them are missing."""
        none = np.zeros(n, dtype=np.bool_)
        return cls(none, np.zeros((n, width), dtype=np.float32), none.copy())


def connect(path: Path, wait_s: float) -> sqlite3.Connection:
    """Open a file, which may be empty or missing; one thread at a time may use it."""
    return sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file; one process at a time.

    Raises:
        NotOurs: The file has tables of another kind or format.
    """
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    kind, form = _number(connection, "PRAGMA application_id"), _number(connection, "PRAGMA user_version")
    if (kind, form) == (0, 0) and _number(connection, "SELECT count(*) FROM sqlite_master") == 0:
        connection.executescript(_SCHEMA)
    elif (kind, form) != (_APPLICATION_ID, FORMAT):
        raise NotOurs(f"it is of kind {kind:#x} and format {form}, not {_APPLICATION_ID:#x} and {FORMAT}")
    # A power cut may take the last rows with it and nothing else; a killed process takes none.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")


def read(connection: sqlite3.Connection, keys: Sequence[bytes], found: Found, part_bytes: int) -> list[bytes]:
    """Fill `found`, leaving out rows of another width and rows that are damaged.

    Returns:
        The keys of those that were last used in an earlier part.
    """
    places: dict[bytes, list[int]] = {}
    for at, key in enumerate(keys):
        places.setdefault(key, []).append(at)
    wanted, size_bytes = list(places), found.rows.itemsize * found.rows.shape[1]
    now, old = _part(connection, part_bytes), []
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        some = wanted[start : start + _ASKED_AT_ONCE]
        marks = ",".join("?" * len(some))
        asked = f"SELECT key, part, cut, crc, row FROM rows WHERE key IN ({marks})"  # noqa: S608  # marks alone
        for key, part, cut, crc, row in connection.execute(asked, some):
            if len(row) == size_bytes and zlib.crc32(row) == crc:
                here = places[key]
                found.rows[here] = np.frombuffer(row, dtype="<f4")
                found.cut[here] = bool(cut)
                found.hit[here] = True
                if part < now:
                    old.append(key)
    return old


def refresh(connection: sqlite3.Connection, keys: Sequence[bytes], part_bytes: int) -> None:
    """Note that rows were used in the present part."""
    with _writing(connection):
        now = _part(connection, part_bytes)
        connection.executemany("UPDATE rows SET part = ? WHERE key = ?", ((now, key) for key in keys))


def write(
    connection: sqlite3.Connection,
    keys: Sequence[bytes],
    rows: Embedding,
    cut: npt.NDArray[np.bool_],
    *,
    part_bytes: int,
    max_bytes: int,
) -> None:
    """Add rows, and drop those least used until the file is small enough; all of it or nothing."""
    with _writing(connection):
        connection.execute("UPDATE state SET written = written + ?", (rows.nbytes,))
        now = _part(connection, part_bytes)
        packed = [row.tobytes() for row in np.ascontiguousarray(rows, dtype="<f4")]
        connection.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)",
            ((key, now, int(c), zlib.crc32(row), row) for key, c, row in zip(keys, cut, packed, strict=True)),
        )
        while _used_bytes(connection) > max_bytes and _drop(connection):
            pass


def _drop(connection: sqlite3.Connection) -> int:
    least = f"SELECT rowid FROM rows ORDER BY part, rowid LIMIT {_DROPPED_AT_ONCE}"  # noqa: S608  # our own number
    return connection.execute(f"DELETE FROM rows WHERE rowid IN ({least})").rowcount  # noqa: S608  # our own too


def _part(connection: sqlite3.Connection, part_bytes: int) -> int:
    return _number(connection, "SELECT written FROM state") // part_bytes


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
    return pages * _number(connection, "PRAGMA page_size")


def _number(connection: sqlite3.Connection, asked: str) -> int:
    row = connection.execute(asked).fetchone()
    if row is None:
        raise NotOurs(f"it has nothing to say to {asked}")
    return int(row[0])


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
