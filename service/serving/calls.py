"""One call to an encoder, from the moment that it stands in the line until its caller is woken."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from models.base import Encoded
from service.errors import NotReady
from service.serving.feeding import Feed


@dataclass(eq=False)  # a call is itself alone: comparing the arrays of two would raise
class Call:
    """A call that waits for its embeddings; it stands in the line while `order` has something.

    Attributes:
        items: What the session takes.
        out: Their embeddings, by their places in `items`.
        done: Set when all are there, or when one failed.
        loop: Whose `done` is.
        order: Places of items that no batch has taken yet.
        missing: Items that are not embedded yet, and files that are not prepared yet.
        feed: Where the items come from, when they are files.
    """

    items: list[Encoded]
    out: Any
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    order: deque[int] = field(default_factory=deque)
    missing: int = 0
    feed: Feed | None = None


def stopping() -> NotReady:
    """What a call fails with when the service stops."""
    return NotReady("The service stops; send it again when it is back.")


def settle(call: Call, error: Exception | None) -> None:
    """Wake the caller, in its own loop."""

    def wake() -> None:
        if not call.done.done():
            call.done.set_result(None) if error is None else call.done.set_exception(error)

    call.loop.call_soon_threadsafe(wake)
