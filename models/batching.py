"""Many items through one backbone: batched by length without waste, given back in the order they came."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.base import Backbone, BatchLimits, Embedding, Encoded, Item
from models.long import Long, Pieces

RUN_TOKENS = 5
"""What one run of a session costs beside its tokens, in tokens. MiniLM on one core: 1.2 ms a run, 0.23 ms a token."""


PREPARED_AT_ONCE = {"text": 1024, "image": 128, "audio": 16}
"""Items that are prepared before they are run, by modality: enough to be sorted by length, and tens of MB at most."""


def ignore_progress(_: float) -> None:
    """Nobody watches."""


def never_stops() -> None:
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


@dataclass(frozen=True)
class Part:
    """Neighbouring items of a sequence, embedded.

    Attributes:
        start: Place of the first in the sequence.
        z: (m, d) float32, one row an item.
        cut: (m,) bool: the end of the item was left out.
    """

    start: int
    z: Embedding
    cut: npt.NDArray[np.bool_]


def embed_parts(
    backbone: Backbone,
    items: Sequence[Item],
    *,
    long: Long = "truncate",
    limits: BatchLimits | None = None,
    at_once: int | None = None,
    threads: int = 1,
    on_progress: Callable[[float], None] = ignore_progress,
    check: Callable[[], None] = never_stops,
) -> Iterator[Part]:
    """Embed any number of items, a part at a time, so that what is ready can be kept.

    See `embed` for the other arguments and for the errors. A part has `at_once` items, or as many as suit their
    modality. Files are decoded in so many `threads`; with more than one, those of the next part while a part is run.
    """
    check()
    at_once = at_once or PREPARED_AT_ONCE[backbone.card.modality]
    with closing(_prepared(backbone, items, at_once, threads)) as parts:
        for start, prepared in parts:

            def report(share: float, before: int = start, here: int = len(prepared)) -> None:
                on_progress((before + share * here) / len(items))

            z, cut = _run(backbone, Pieces.of(prepared, long), limits or backbone.limits, report, check)
            yield Part(start, z, cut)


def embed(
    backbone: Backbone,
    items: Sequence[Item],
    *,
    long: Long = "truncate",
    limits: BatchLimits | None = None,
    on_progress: Callable[[float], None] = ignore_progress,
    check: Callable[[], None] = never_stops,
) -> tuple[Embedding, npt.NDArray[np.bool_]]:
    """Embed any number of items.

    Args:
        backbone: A loaded backbone.
        items: What it takes.
        long: What becomes of items that are longer than it takes at once.
        limits: How large a batch may be; the backbone's own where None.
        on_progress: Called after each batch with the share of all items that is done, in (0, 1].
        check: Called before each piece of work; whatever it raises ends the call.

    Returns:
        (n, d) float32 embeddings and (n,) bool "its end was left out", both in the order given.

    Raises:
        WrongInput: An item is not of the backbone's modality.
    """
    embedding = np.empty((len(items), *backbone.card.taps["pooled"]), dtype=np.float32)
    left_out = np.zeros(len(items), dtype=np.bool_)
    for part in embed_parts(backbone, items, long=long, limits=limits, on_progress=on_progress, check=check):
        here = slice(part.start, part.start + len(part.z))
        embedding[here], left_out[here] = part.z, part.cut
    return embedding, left_out


def _prepared(
    backbone: Backbone, items: Sequence[Item], at_once: int, threads: int
) -> Generator[tuple[int, list[Encoded]], None, None]:
    """Parts of items, prepared, with the place of each one's first item.

    One part, or two with several threads, is in memory at a time: a decoded file takes up to a hundred times the room
    of an encoded one.
    """
    starts = range(0, len(items), at_once)
    if threads == 1 or backbone.card.modality == "text":  # a tokenizer has threads of its own
        for start in starts:
            yield start, backbone.prepare(items[start : start + at_once])
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")

    def begin(start: int) -> list[Future[list[Encoded]]]:
        return [pool.submit(backbone.prepare, [item]) for item in items[start : start + at_once]]

    try:
        ahead = begin(0)
        for start in starts:
            ready, ahead = ahead, begin(start + at_once)
            yield start, [encoded for future in ready for encoded in future.result()]
    finally:
        pool.shutdown(cancel_futures=True)


def _run(
    backbone: Backbone,
    pieces: Pieces,
    limits: BatchLimits,
    on_progress: Callable[[float], None],
    check: Callable[[], None],
) -> tuple[Embedding, npt.NDArray[np.bool_]]:
    """Embeddings of prepared items, and whose end was left out."""
    sizes = [piece.size for piece in pieces.encoded]
    embedding = np.empty((len(sizes), *backbone.card.taps["pooled"]), dtype=np.float32)
    done, total = 0, max(1, sum(sizes))
    for batch in plan(sizes, limits.size, limits.items):
        check()
        embedding[batch] = backbone.run([pieces.encoded[i] for i in batch])
        done += sum(sizes[i] for i in batch)
        on_progress(done / total)
    return pieces.pool(embedding, backbone.card), pieces.cut
