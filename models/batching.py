"""Many items through one backbone: batched by length without waste, given back in the order they came."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.base import Backbone, BatchLimits, Embedding, Item
from models.long import Long, Pieces

RUN_TOKENS = 5
"""What one run of a session costs beside its tokens, in tokens. MiniLM on one core: 1.2 ms a run, 0.23 ms a token."""


def _ignore_progress(_: float) -> None:
    """Nobody watches."""


def _never_stops() -> None:
    """Nobody stops it."""


def plan(sizes: Sequence[int], max_tokens: int, max_items: int) -> list[list[int]]:
    """Group items into batches at the least cost, which is `RUN_TOKENS` a batch and every token after padding.

    Of items sorted by size the best batches are neighbours, so dynamic programming over the cuts finds them: few short
    items are better off in a run of their own than padded to a long one.

    Args:
        sizes: Tokens of each item.
        max_tokens: Most tokens of a batch after padding; an item that is longer is a batch alone.
        max_items: Most items of a batch.

    Returns:
        Batches of indexes into `sizes`, longest items first (memory is at its peak at once instead of late, and every
        batch's first item is its width); each index once. Ties keep their order, so a plan is a function of `sizes`.

    Raises:
        ValueError: A limit is below 1.

    Cost: O(n · max_items); 0.1 ms for 32 items.
    """
    if max_tokens < 1 or max_items < 1:
        raise ValueError(f"max_tokens is {max_tokens} and max_items {max_items}; both must be 1 or more.")
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    cost, cut = [0.0], [0]
    for stop in range(1, len(order) + 1):
        cheapest, begin = math.inf, stop - 1
        for start in range(stop - 1, max(-1, stop - 1 - max_items), -1):
            padded = (stop - start) * sizes[order[start]]
            if padded > max_tokens and start < stop - 1:
                break
            if (total := cost[start] + RUN_TOKENS + padded) < cheapest:
                cheapest, begin = total, start
        cost.append(cheapest)
        cut.append(begin)
    batches: list[list[int]] = []
    stop = len(order)
    while stop:
        batches.append(order[cut[stop] : stop])
        stop = cut[stop]
    return batches[::-1]


def embed(
    backbone: Backbone,
    items: Sequence[Item],
    *,
    long: Long = "truncate",
    limits: BatchLimits | None = None,
    on_progress: Callable[[float], None] = _ignore_progress,
    check: Callable[[], None] = _never_stops,
) -> tuple[Embedding, npt.NDArray[np.bool_]]:
    """Embed any number of items.

    Args:
        backbone: A loaded backbone.
        items: What it takes.
        long: What becomes of items that are longer than it takes at once.
        limits: How large a batch may be; the backbone's own where None.
        on_progress: Called after each batch with the share of all tokens that is done, in (0, 1].
        check: Called before each piece of work; whatever it raises ends the call.

    Returns:
        (n, d) float32 embeddings and (n,) bool "its end was left out", both in the order given.

    Raises:
        WrongInput: An item is not of the backbone's modality.
    """
    check()
    pieces = Pieces.of(backbone.prepare(items), long)
    sizes = [piece.size for piece in pieces.encoded]
    embedding = np.empty((len(sizes), *backbone.card.taps["pooled"]), dtype=np.float32)
    done, total = 0, max(1, sum(sizes))
    limits = limits or backbone.limits
    for batch in plan(sizes, limits.size, limits.items):
        check()
        embedding[batch] = backbone.run([pieces.encoded[i] for i in batch])
        done += sum(sizes[i] for i in batch)
        on_progress(done / total)
    return pieces.pool(embedding, backbone.card), pieces.cut
