"""One backbone's session, shared by every request.

    embed(texts) -> prepare -> waiting line -> batches (alike in length, capped by tokens) -> embeddings

There is no time window: whenever the session is free, the next batch takes from what waits. The call that has waited
longest is always in it; beside its items stand those of other calls that fit to them in length, so that next to nothing
is padded. Calls take turns, so that one of a thousand texts does not hold up one of a single text for longer than a
batch or two.

Texts are prepared at once. Files of images and sounds take longer to decode than to run, so they are prepared in
threads of their own (`feeding`), a few at a time, and each is in the line as soon as it is ready: decoding overlaps
with the session.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, repeat, zip_longest
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Embedding, Item
from models.batching import plan
from models.long import Long, Pieces
from models.session import POOLED
from service.errors import Busy
from service.serving.calls import Call, settle, stopping
from service.serving.feeding import Feed
from service.serving.recall import Recall

CANDIDATES = 32
"""Items that a batch is chosen from: more would pad a little less and make calls wait for each other."""

INLINE_ITEMS = 8
"""Up to this many texts are tokenised where they are, some 0.05 ms each; more go to a thread."""


class Watcher(Protocol):
    """Who counts batches."""

    def batch(self, items: int, tokens: int, padding: int) -> None:
        """One batch was run, of so many items, tokens of theirs, and tokens of padding."""
        ...


class _Nobody:
    def batch(self, items: int, tokens: int, padding: int) -> None:
        """Nobody counts."""


class Encoder:
    """Batches the items of all callers over one backbone; the session runs in threads of its own.

    Args:
        backbone: A loaded backbone.
        max_waiting: Most items that wait; further ones are refused.
        lanes: Batches that run at the same time.
        wide: The same backbone with threads for all lanes: it runs a batch that is alone. None leaves that to
            `backbone`.
        watcher: Told of every batch.
        decoders: Threads that decode files; as many as lanes where None.
        recall: Knows what was embedded before; None where nobody does.
        tap: Which of its embeddings the backbone was opened to give.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        max_waiting: int,
        lanes: int = 1,
        wide: Backbone | None = None,
        watcher: Watcher | None = None,
        decoders: int | None = None,
        recall: Recall | None = None,
        tap: str = POOLED,
    ) -> None:
        self.backbone = backbone
        self._tap = tap
        self._wide = wide or backbone
        self._busy = 0
        self._recall = recall
        self._max_waiting = max_waiting
        self._watcher = watcher or _Nobody()
        self._calls: deque[Call] = deque()
        self._fed: set[Call] = set()
        self._decoding = 0
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"encoder-{backbone.card.id}-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()
        self._tokenise = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self._decoders = decoders or lanes
        self._decode = ThreadPoolExecutor(self._decoders, thread_name_prefix="decode")

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return self._waiting

    async def embed(
        self, items: Sequence[Item], long: Long = "truncate", tenant: str | None = None
    ) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        """Embed texts, or files of images or sounds.

        Args:
            items: What the backbone takes.
            long: What becomes of items that are longer than it takes at once.
            tenant: Whose they are: what that tenant had embedded before is not embedded again. None asks nobody.

        Returns:
            (n, d) float32 in the order given, and (n,) bool whether the end of each item was left out.

        Raises:
            Busy: Too many items wait already.
            NotReady: The service stops.
            WrongInput: An item is not what the backbone takes; of files, the problem's pointer is ``/inputs/<i>``.
        """
        if self._recall is None or tenant is None:
            return await self._embed(items, long)
        return await self._recall.embed(self.backbone, tenant, items, long, self._embed, self._tap)

    async def run(
        self, items: Sequence[Item], prepared_by: Backbone, width: tuple[int, ...]
    ) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        """Run items that something else prepares, truncated, in batches with everybody else's.

        Args:
            items: What it takes.
            prepared_by: Prepares them; the encoder's own backbone runs what comes out.
            width: Of the row that each gets.

        Returns:
            (n, *width) float32 in the order given, and (n,) bool whether the end of each item was left out.

        Raises:
            Busy, NotReady, WrongInput: See `embed`.
        """
        if items and isinstance(items[0], bytes):
            return await self._run_files(cast(Sequence[bytes], items), "truncate", prepared_by)
        return await self._run_texts(items, "truncate", prepared_by, width)

    async def _embed(self, items: Sequence[Item], long: Long) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        if items and isinstance(items[0], bytes):
            return await self._run_files(cast(Sequence[bytes], items), long, self.backbone)
        return await self._run_texts(items, long, self.backbone, self.backbone.card.taps[self._tap])

    async def _run_texts(
        self, texts: Sequence[Item], long: Long, prepared_by: Backbone, width: tuple[int, ...]
    ) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        loop = asyncio.get_running_loop()
        if len(texts) <= INLINE_ITEMS:
            pieces = _pieces(prepared_by, texts, long)
        else:
            pieces = await loop.run_in_executor(self._tokenise, _pieces, prepared_by, texts, long)
        items = pieces.encoded
        call = Call(items, np.empty((len(items), *width), np.float32), loop.create_future(), loop)
        # Neighbours alike in length: of a large call any few that stand together make a batch without padding.
        call.order.extend(sorted(range(len(items)), key=lambda i: -items[i].size))
        call.missing = len(items)
        if items:
            self._enqueue(call)
            await self._finished(call)
        return pieces.pool(call.out, self.backbone.card), pieces.cut

    async def _run_files(
        self, files: Sequence[bytes], long: Long, prepared_by: Backbone
    ) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        loop = asyncio.get_running_loop()
        feed = Feed(prepared_by, files, long, threads=self._decoders)
        call = Call([], {}, loop.create_future(), loop, missing=len(files), feed=feed)
        self._enqueue(call)
        await self._finished(call)
        return feed.pool(call.out)

    async def _finished(self, call: Call) -> None:
        try:
            await call.done
        except BaseException:  # cancelled, or one of its batches failed: nobody waits for the rest
            self._leave(call)
            raise

    def close(self) -> None:
        """Stop the threads; calls that still wait fail."""
        with self._changed:
            self._closed = True
            for call in {*self._calls, *self._fed}:
                settle(call, stopping())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)
        self._tokenise.shutdown(wait=False)
        self._decode.shutdown(wait=False)

    def _enqueue(self, call: Call) -> None:
        with self._changed:
            if self._closed:
                raise stopping()
            if self._waiting + call.missing > self._max_waiting:
                raise Busy(
                    f"{self._waiting} inputs are waiting for {self.backbone.card.id}, the limit is "
                    f"{self._max_waiting}; send it again in a second."
                )
            self._waiting += call.missing
            if call.feed is None:
                self._calls.append(call)
                self._changed.notify()
            else:
                self._fed.add(call)
                self._resume(call, call.feed, call.feed.lines)

    def _resume(self, call: Call, feed: Feed, lines: int) -> None:
        """Let so many threads prepare files of a call; behind those of other calls. The lock is held."""
        for _ in range(0 if self._closed else lines):
            self._decode.submit(self._prepare_next, call, feed)

    def _prepare_next(self, call: Call, feed: Feed) -> None:
        """Prepare the next few files of a call and put them in the line; then come back for more."""
        with self._changed:
            part = feed.take()
            if part is None or self._closed:
                return
            self._decoding += 1
        try:
            pieces = feed.prepare(part)
        except Exception as error:
            settle(call, error)
            return
        finally:
            with self._changed:
                self._decoding -= 1
        with self._changed:
            if call in self._fed:
                self._arrive(call, feed, part, pieces)

    def _arrive(self, call: Call, feed: Feed, part: range, pieces: Pieces) -> None:
        """Files of a call are prepared; the lock is held."""
        if not call.order:
            self._calls.append(call)
        first = len(call.items)
        call.items.extend(pieces.encoded)
        call.order.extend(sorted(range(first, len(call.items)), key=lambda i: -call.items[i].size))
        further = len(pieces.encoded) - len(part)
        call.missing += further
        self._waiting += further
        feed.enter(part, first, pieces)
        self._resume(call, feed, feed.next_lines(len(call.order)))
        self._changed.notify()

    def _leave(self, call: Call) -> None:
        """Forget a call whose caller has gone."""
        with self._changed:
            self._waiting -= len(call.order) + (call.feed.coming if call.feed else 0)
            call.order.clear()
            self._fed.discard(call)
            if call.feed is not None:
                call.feed.stop()
            if call in self._calls:
                self._calls.remove(call)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._closed)
                if self._closed:
                    return
                batch = self._take()
                if self._calls:  # a call is announced once, and may have work for every lane
                    self._changed.notify()
                self._busy += 1
                alone = self._busy == 1 and not self._calls and not self._decoding
            self._run(batch, self._wide if alone else self.backbone)
            with self._changed:
                self._busy -= 1

    def _take(self) -> list[tuple[Call, int]]:
        """The next batch: of the plan for those next in turn, the batch with the first of them."""
        candidates = self._next_in_turn()
        limits = self.backbone.limits
        batches = plan([call.items[index].size for call, index in candidates], limits.size, limits.items)
        chosen = [candidates[i] for i in next(batch for batch in batches if 0 in batch)]
        for call, index in chosen:
            call.order.remove(index)
        for call in dict.fromkeys(call for call, _ in chosen):  # served: behind those that still wait
            self._calls.remove(call)
            if call.order:
                self._calls.append(call)
            if call.feed is not None:
                self._resume(call, call.feed, call.feed.freed_lines(len(call.order)))
        self._waiting -= len(chosen)
        return chosen

    def _next_in_turn(self) -> list[tuple[Call, int]]:
        """One item of each waiting call in turn, beginning with the call that has waited longest."""
        calls = list(islice(self._calls, CANDIDATES))
        if len(calls) == 1:
            return [(calls[0], index) for index in islice(calls[0].order, CANDIDATES)]
        lines = [zip(repeat(call), call.order, strict=False) for call in calls]
        turns = chain.from_iterable(zip_longest(*lines))
        return list(islice((item for item in turns if item is not None), CANDIDATES))

    def _run(self, chosen: list[tuple[Call, int]], backbone: Backbone) -> None:
        encoded = [call.items[index] for call, index in chosen]
        try:
            rows = backbone.run(encoded)
        except Exception as error:  # a failed batch fails its own calls and nobody else's
            for call, _ in chosen:
                settle(call, error)
            return
        tokens = 0 if chosen[0][0].feed else sum(item.size for item in encoded)
        self._watcher.batch(len(encoded), tokens, encoded[0].size * len(encoded) - tokens if tokens else 0)
        for row, (call, index) in zip(rows, chosen, strict=True):
            if isinstance(row, Exception):
                settle(call, row)
            else:
                call.out[index] = row
        with self._changed:  # another lane may hold items of the same call
            for call, _ in chosen:
                call.missing -= 1
            finished = {call for call, _ in chosen if call.missing == 0}
            self._fed -= finished
        for call in finished:
            settle(call, None)


def _pieces(backbone: Backbone, texts: Sequence[Item], long: Long) -> Pieces:
    return Pieces.of(backbone.prepare(texts), long)
