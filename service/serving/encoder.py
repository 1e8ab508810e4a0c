"""One backbone's session, shared by every request.

    embed(texts) -> prepare -> waiting line -> batches (alike in length, capped by tokens) -> embeddings

There is no time window: whenever the session is free, the next batch takes from what waits. The call that has waited
longest is always in it; beside its items stand those of other calls that fit to them in length, so that next to nothing
is padded. Calls take turns, so that one of a thousand texts does not hold up one of a single text for longer than a
batch or two.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice, repeat, zip_longest
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Embedding, Encoded
from models.batching import plan
from models.long import Long, Pieces
from service.errors import Busy, NotReady

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


@dataclass(eq=False)  # a call is itself alone: comparing the arrays of two would raise
class _Call:
    """A call that waits for its embeddings."""

    items: list[Encoded]
    out: Embedding
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    order: deque[int] = field(default_factory=deque)
    missing: int = 0


class Encoder:
    """Batches the items of all callers over one backbone; the session runs in threads of its own.

    Args:
        backbone: A loaded backbone.
        max_waiting: Most items that wait; further ones are refused.
        lanes: Batches that run at the same time.
        wide: The same backbone with threads for all lanes: it runs a batch that is alone.
        watcher: Told of every batch.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        max_waiting: int,
        lanes: int = 1,
        wide: Backbone | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.backbone = backbone
        self._wide = wide or backbone
        self._busy = 0
        self._max_waiting = max_waiting
        self._watcher = watcher or _Nobody()
        self._calls: deque[_Call] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"encoder-{backbone.card.id}-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()
        self._prepare = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return self._waiting

    async def embed(self, texts: Sequence[str], long: Long = "truncate") -> tuple[Embedding, npt.NDArray[np.bool_]]:
        """Embed texts.

        Args:
            texts: What the backbone takes.
            long: What becomes of texts that are longer than it takes at once.

        Returns:
            (n, d) float32 in the order given, and (n,) bool whether the end of each text was left out.

        Raises:
            Busy: Too many items wait already.
            NotReady: The service stops.
            WrongInput: An item is not what the backbone takes.
        """
        loop = asyncio.get_running_loop()
        if len(texts) <= INLINE_ITEMS:
            pieces = self._pieces(texts, long)
        else:
            pieces = await loop.run_in_executor(self._prepare, self._pieces, texts, long)
        width = self.backbone.card.taps["pooled"]
        items = pieces.encoded
        call = _Call(items, np.empty((len(items), *width), np.float32), loop.create_future(), loop)
        # Neighbours alike in length: of a large call any few that stand together make a batch without padding.
        call.order.extend(sorted(range(len(items)), key=lambda i: -items[i].size))
        call.missing = len(items)
        if items:
            self._enqueue(call)
            try:
                await call.done
            except BaseException:  # cancelled, or one of its batches failed: nobody waits for the rest
                self._leave(call)
                raise
        return pieces.pool(call.out, self.backbone.card), pieces.cut

    def close(self) -> None:
        """Stop the threads; calls that still wait fail."""
        with self._changed:
            self._closed = True
            for call in self._calls:
                _settle(call, _stops())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)
        self._prepare.shutdown(wait=False)

    def _pieces(self, texts: Sequence[str], long: Long) -> Pieces:
        return Pieces.of(self.backbone.prepare(texts), long)

    def _enqueue(self, call: _Call) -> None:
        with self._changed:
            if self._closed:
                raise _stops()
            if self._waiting + call.missing > self._max_waiting:
                raise Busy(
                    f"{self._waiting} inputs are waiting for {self.backbone.card.id}, the limit is "
                    f"{self._max_waiting}; send it again in a second."
                )
            self._waiting += call.missing
            self._calls.append(call)
            self._changed.notify()

    def _leave(self, call: _Call) -> None:
        """Forget a call whose caller has gone."""
        with self._changed:
            self._waiting -= len(call.order)
            call.order.clear()
            if call in self._calls:
                self._calls.remove(call)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._closed)
                if self._closed:
                    return
                batch = self._take()
                self._busy += 1
                alone = self._busy == 1 and not self._calls
            self._run(batch, self._wide if alone else self.backbone)
            with self._changed:
                self._busy -= 1

    def _take(self) -> list[tuple[_Call, int]]:
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
        self._waiting -= len(chosen)
        return chosen

    def _next_in_turn(self) -> list[tuple[_Call, int]]:
        """One item of each waiting call in turn, beginning with the call that has waited longest."""
        calls = list(islice(self._calls, CANDIDATES))
        if len(calls) == 1:
            return [(calls[0], index) for index in islice(calls[0].order, CANDIDATES)]
        lines = [zip(repeat(call), call.order, strict=False) for call in calls]
        turns = chain.from_iterable(zip_longest(*lines))
        return list(islice((item for item in turns if item is not None), CANDIDATES))

    def _run(self, chosen: list[tuple[_Call, int]], backbone: Backbone) -> None:
        encoded = [call.items[index] for call, index in chosen]
        try:
            rows = backbone.run(encoded)
        except Exception as error:  # a failed batch fails its own calls and nobody else's
            for call, _ in chosen:
                _settle(call, error)
            return
        tokens = sum(item.size for item in encoded)
        self._watcher.batch(len(encoded), tokens, encoded[0].size * len(encoded) - tokens)
        for row, (call, index) in zip(rows, chosen, strict=True):
            call.out[index] = row
        with self._changed:  # another lane may hold items of the same call
            for call, _ in chosen:
                call.missing -= 1
            finished = {id(call): call for call, _ in chosen if call.missing == 0}
        for call in finished.values():
            _settle(call, None)


def _stops() -> NotReady:
    return NotReady("The service stops; send it again when it is back.")


def _settle(call: _Call, error: Exception | None) -> None:
    """Wake the caller, in its own loop."""

    def wake() -> None:
        if not call.done.done():
            call.done.set_result(None) if error is None else call.done.set_exception(error)

    call.loop.call_soon_threadsafe(wake)
