"""One backbone's session, shared by every request.

    embed(texts) -> prepare -> waiting line -> rounds (sorted by length, capped by tokens) -> embeddings

There is no time window: whenever the session is free, the next round takes what waits. A round takes items from all
waiting calls in turn, so that a call of a thousand texts does not hold up a call of one for longer than a round.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from models.base import Backbone, Embedding, Encoded
from models.batching import MAX_ITEMS, MAX_TOKENS, plan
from service.errors import Busy, NotReady

ROUND_ITEMS = 32
"""Most items of a round: what a newcomer waits for at most, about 50 ms of MiniLM on two cores."""

INLINE_ITEMS = 8
"""Up to this many texts are tokenised where they are, some 0.05 ms each; more go to a thread."""


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
    """Batches the items of all callers over one backbone; the session runs in a thread of its own."""

    def __init__(self, backbone: Backbone, *, max_waiting: int) -> None:
        self.backbone = backbone
        self._max_waiting = max_waiting
        self._calls: deque[_Call] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"encoder-{backbone.card.id}", daemon=True)
        self._thread.start()
        self._prepare = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    @property
    def waiting(self) -> int:
        """Items that no round has taken yet."""
        return self._waiting

    async def embed(self, texts: Sequence[str]) -> tuple[Embedding, list[bool]]:
        """Embed texts.

        Returns:
            (n, d) float32 in the order given, and whether each text was truncated.

        Raises:
            Busy: Too many items wait already.
            NotReady: The service stops.
            WrongInput: An item is not what the backbone takes.
        """
        loop = asyncio.get_running_loop()
        if len(texts) <= INLINE_ITEMS:
            items = self.backbone.prepare(texts)
        else:
            items = await loop.run_in_executor(self._prepare, self.backbone.prepare, texts)
        width = self.backbone.card.taps["pooled"]
        call = _Call(items, np.empty((len(items), *width), np.float32), loop.create_future(), loop)
        call.order.extend(range(len(items)))
        call.missing = len(items)
        if items:
            self._enqueue(call)
            try:
                await call.done
            except BaseException:  # cancelled, or one of its batches failed: nobody waits for the rest
                self._leave(call)
                raise
        return call.out, [item.truncated for item in items]

    def close(self) -> None:
        """Stop the thread; calls that still wait fail."""
        with self._changed:
            self._closed = True
            for call in self._calls:
                _settle(call, _stops())
            self._changed.notify()
        self._thread.join(timeout=5)
        self._prepare.shutdown(wait=False)

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
                taken = self._take()
            self._run(taken)

    def _take(self) -> list[tuple[_Call, int]]:
        """The next round: one item of each waiting call in turn until it is full."""
        taken: list[tuple[_Call, int]] = []
        while self._calls and len(taken) < ROUND_ITEMS:
            call = self._calls.popleft()
            taken.append((call, call.order.popleft()))
            if call.order:
                self._calls.append(call)
        self._waiting -= len(taken)
        return taken

    def _run(self, taken: list[tuple[_Call, int]]) -> None:
        encoded = [call.items[index] for call, index in taken]
        for batch in plan([item.size for item in encoded], MAX_TOKENS, MAX_ITEMS):
            try:
                rows = self.backbone.run([encoded[i] for i in batch])
            except Exception as error:  # a failed batch fails its own calls and nobody else's
                for i in batch:
                    _settle(taken[i][0], error)
                continue
            for row, i in zip(rows, batch, strict=True):
                call, index = taken[i]
                call.out[index] = row
                call.missing -= 1
                if call.missing == 0:
                    _settle(call, None)


def _stops() -> NotReady:
    return NotReady("The service stops; send it again when it is back.")


def _settle(call: _Call, error: Exception | None) -> None:
    """Wake the caller, in its own loop."""

    def wake() -> None:
        if not call.done.done():
            call.done.set_result(None) if error is None else call.done.set_exception(error)

    call.loop.call_soon_threadsafe(wake)
