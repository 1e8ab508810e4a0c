"""Inputs that were embedded before are not embedded again: the cache of embeddings, as predictions ask it.

    inputs -> keys -> cache -> only what is missing through the encoder -> (behind) cache

A small call of texts is looked up where it is: 0.02 ms beside the 4 ms that a text takes. Files are looked up in a
thread, before they are decoded. What is written goes through one thread, many rows at a time, and is dropped where that
thread is behind. Files are written when they are first seen; texts when they are seen again, because most texts never
are, and each would cost a write and push out what a fit has left there.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Embedding, Item
from models.errors import WrongInput
from models.long import Long
from models.session import POOLED
from service.store.embedding_file import Found
from service.store.embeddings import EmbeddingCache, Space

INLINE_ITEMS = 8
"""Up to this many texts are looked up where they are."""

BEHIND_BYTES = 16 * 2**20
"""Embeddings that wait to be written; what comes on top is dropped."""

SEEN = 65_536
"""Texts, at the least, that are remembered as seen once."""

Rows = tuple[Embedding, npt.NDArray[np.bool_]]
Embed = Callable[[Sequence[Item], Long], Awaitable[Rows]]
"""What an encoder does."""


class Recall:
    """The cache of embeddings for one process that serves. Its methods are called from one event loop.

    Args:
        folder: Where the cache's file lies.
        max_bytes: Largest size of that file, about; 0 switches it all off.
        min_free_bytes: Free disk under which nothing is added.
    """

    def __init__(self, folder: Path, max_bytes: int, *, min_free_bytes: int = 0) -> None:
        self._off = max_bytes == 0
        self._known = EmbeddingCache(folder, max_bytes, min_free_bytes=min_free_bytes, wait_s=0)
        self._lookup = ThreadPoolExecutor(1, thread_name_prefix="recall")
        self._writer = _Writer(EmbeddingCache(folder, max_bytes, min_free_bytes=min_free_bytes))
        self._seen: set[bytes] = set()
        self._seen_before: set[bytes] = set()

    async def embed(
        self,
        backbone: Backbone,
        tenant: str,
        items: Sequence[Item],
        long: Long,
        embed: Embed,
        tap: str = POOLED,
    ) -> Rows:
        """Embed items, those that are not known by `embed`.

        Args:
            backbone: What `embed` embeds with.
            tenant: Whose call it is.
            items: What the backbone takes.
            long: What becomes of items that are longer than it takes at once.
            embed: Embeds some of them.
            tap: Which of the backbone's embeddings that is.

        Returns:
            (n, d) float32 in the order given, and (n,) bool whether the end of each item was left out.

        Raises:
            What `embed` raises, with the places that items have in this call.
        """
        if self._off or not items:
            return await embed(items, long)
        space = Space(tenant, backbone.card.digest, tap, backbone.provider, long)
        (width,) = backbone.card.taps[tap]
        texts = isinstance(items[0], str)
        if texts and len(items) <= INLINE_ITEMS:
            keys, found = self._look_up(space, items, width)
        else:
            loop = asyncio.get_running_loop()
            keys, found = await loop.run_in_executor(self._lookup, self._look_up, space, items, width)
        missing = np.flatnonzero(~found.hit).tolist()
        if not missing:
            return found.rows, found.cut
        try:
            rows, cut = await embed([items[at] for at in missing], long)
        except WrongInput:
            if len(missing) == len(items):
                raise
            return await embed(items, long)  # so that the places that it names are those in the call
        self._remember([keys[at] for at in missing], rows, cut, texts=texts)
        if len(missing) == len(items):
            return rows, cut
        found.rows[missing], found.cut[missing] = rows, cut
        return found.rows, found.cut

    def close(self) -> None:
        """Stop the threads; what still waits to be written is dropped."""
        self._lookup.shutdown(wait=True)
        self._writer.close()
        self._known.close()

    def _look_up(self, space: Space, items: Sequence[Item], width: int) -> tuple[list[bytes], Found]:
        keys = [space.key(item) for item in items]
        return keys, self._known.get_many(keys, width)

    def _remember(self, keys: list[bytes], rows: Embedding, cut: npt.NDArray[np.bool_], *, texts: bool) -> None:
        if not texts:
            self._writer.put(keys, rows.copy(), cut.copy())  # those returned are the caller's
            return
        again = [at for at, key in enumerate(keys) if self._was_seen(key)]
        if again:
            self._writer.put([keys[at] for at in again], rows[again], cut[again])

    def _was_seen(self, key: bytes) -> bool:
        """Whether a text has come before, and from now on it has."""
        if key in self._seen or key in self._seen_before:
            return True
        if len(self._seen) >= SEEN:
            self._seen, self._seen_before = set(), self._seen
        self._seen.add(key)
        return False


class _Writer:
    """Writes rows behind, in a thread of its own."""

    def __init__(self, cache: EmbeddingCache) -> None:
        self._cache = cache
        self._waiting: deque[tuple[list[bytes], Embedding, npt.NDArray[np.bool_]]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, keys: list[bytes], rows: Embedding, cut: npt.NDArray[np.bool_]) -> None:
        """Write some time soon, or not at all."""
        with self._changed:
            if self._closed or self._waiting_bytes + rows.nbytes > BEHIND_BYTES:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="remember", daemon=True)
                self._thread.start()
            self._waiting.append((keys, rows, cut))
            self._waiting_bytes += rows.nbytes
            self._changed.notify()

    def close(self) -> None:
        """Stop when what is being written is written."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._cache.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                taken, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
            for width in {rows.shape[1] for _, rows, _ in taken}:
                alike = [part for part in taken if part[1].shape[1] == width]
                keys, rows, cut = zip(*alike, strict=True)
                self._cache.put_many([key for some in keys for key in some], np.concatenate(rows), np.concatenate(cut))
