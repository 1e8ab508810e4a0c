"""Embeddings that were computed before, on disk: shared by the fits and predictions of every process of one home.

    <home>/cache/embeddings-<k>.sqlite     one row an item; the highest k is the one in use
    <home>/cache/.lock                     held while a file is opened or given up

A row that is lost is computed again, so nothing here ever fails a caller: what cannot be read is a miss, what cannot be
written is forgotten. A file that is damaged or not ours gives way to an empty one of the next number: a name that
another process may still hold open is never used again.

What was not used for longest goes first. Time is counted in parts, eighths of the size that is allowed: a row carries
the part in which it was written or, as of its first use in a later one, read. So reading hardly ever writes.
"""

import contextlib
import hashlib
import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.base import Embedding, Item
from models.durable import locked
from service.store import embedding_file
from service.store.embedding_file import Found, NotOurs

PAUSE_S = 60.0
"""How long nothing is asked or written after the disk has failed."""

_LOCK_NAME = ".lock"
_PARTS = 8
_TAKEN = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Space:
    """What an embedding depends on beside the item, and whose it is.

    Attributes:
        tenant: Owner of the item. Part of every key, so that nobody can tell by the time an answer takes whether
            somebody else has sent an item.
        digest: Of the backbone.
        tap: Of the backbone.
        provider: What ran it, with the precision (`Backbone.provider`).
        long: What becomes of items that are longer than the backbone takes at once.
    """

    tenant: str
    digest: str
    tap: str
    provider: str
    long: str

    @cached_property
    def _begun(self) -> "hashlib._Hash":
        return hashlib.sha256(json.dumps([self.tenant, self.digest, self.tap, self.provider, self.long]).encode())

    def key(self, item: Item) -> bytes:
        """32 bytes that stand for an item here. Cost: 2 µs, and 1 µs a KB."""
        data = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else item
        whole = self._begun.copy()
        whole.update(hashlib.sha256(data).digest())
        return whole.digest()


class EmbeddingCache:
    """A bounded table of embeddings in a file. Thread-safe; any number of processes may use one folder.

    Args:
        folder: Where its file lies; made when missing.
        max_bytes: Largest size of the file, about; 0 switches the cache off.
        min_free_bytes: Free disk under which nothing is added.
        wait_s: How long to wait for another process's write before one's own is forgotten.
        clock: Seconds, rising.

    Cost: for 384 numbers 8 µs an item to read and 10 µs to write, many at a time; one alone 30 µs, a miss 17 µs.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        *,
        min_free_bytes: int = 0,
        wait_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._wait_s = wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._open: tuple[Path, sqlite3.Connection] | None = None
        self._paused_until_s = -np.inf
        self._failing = False

    def get_many(self, keys: Sequence[bytes], width: int) -> Found:
        """What is there of n items.

        Args:
            keys: See `Space.key`.
            width: Numbers of one embedding; a row of another width is a miss.
        """
        found = Found.nothing(len(keys), width)
        with self._lock, self._harmless():
            connection = self._connection()
            if connection is not None and keys:
                old = embedding_file.read(connection, keys, found, self._part_bytes)
                if old:
                    embedding_file.refresh(connection, old, self._part_bytes)
        return found

    def put_many(self, keys: Sequence[bytes], rows: Embedding, cut: npt.NDArray[np.bool_]) -> None:
        """Add embeddings, and drop those least used where they are too many.

        Args:
            keys: n of them.
            rows: (n, d) float32.
            cut: (n,) bool: the end of the item was left out.
        """
        with self._lock, self._harmless():
            connection = self._connection()
            if connection is not None and keys and self._has_room(rows.nbytes):
                embedding_file.write(
                    connection, keys, rows, cut, part_bytes=self._part_bytes, max_bytes=self._max_bytes
                )
                self._failing = False

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    @property
    def _part_bytes(self) -> int:
        return max(1, self._max_bytes // _PARTS)

    def _has_room(self, size_bytes: int) -> bool:
        return shutil.disk_usage(self._folder).free - size_bytes >= self._min_free_bytes

    def _connection(self) -> sqlite3.Connection | None:
        """The file in use, opened where it is not; None while the cache is off."""
        if self._max_bytes == 0 or self._clock() < self._paused_until_s:
            return None
        if self._open is not None and not self._open[0].exists():  # another process has given it up
            self._let_go()
        if self._open is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / _LOCK_NAME):
                path = _newest(self._folder) or _numbered(self._folder, 1)
                self._open = path, embedding_file.connect(path, self._wait_s)
                embedding_file.prepare(self._open[1])
        return self._open[1]

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Whatever becomes of the file, the caller goes on without it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _TAKEN:
                self._fail(error, damaged=isinstance(error, NotOurs) or code in _DAMAGED)

    def _fail(self, error: Exception, *, damaged: bool) -> None:
        if not self._failing:
            then = "it begins anew" if damaged else f"nothing is remembered, next try in {PAUSE_S:g} s"
            _logger.warning("the cache of embeddings failed; %s", then, extra={"reason": str(error)})
        self._failing = True
        with contextlib.suppress(sqlite3.Error, OSError):
            if damaged and self._open is not None:
                self._give_up(self._open[0])
                return
        self._let_go()
        self._paused_until_s = self._clock() + PAUSE_S

    def _give_up(self, path: Path) -> None:
        """Leave a file for an empty one of the next number, unless another process has done so."""
        self._let_go()
        with locked(self._folder / _LOCK_NAME):
            if path == _newest(self._folder):
                _numbered(self._folder, _number(path) + 1).touch()
                for more in ("", "-wal", "-shm"):
                    path.with_name(path.name + more).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._open is not None:
            with contextlib.suppress(sqlite3.Error):
                self._open[1].close()
            self._open = None


def _numbered(folder: Path, number: int) -> Path:
    return folder / f"embeddings-{number}.sqlite"


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _newest(folder: Path) -> Path | None:
    return max(folder.glob("embeddings-*.sqlite"), key=_number, default=None)
