"""Items to embeddings in the child: what is known from before is read, the rest is embedded and remembered.

items -> keys -> cache -> only what is missing through the backbone, a part at a time -> cache
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Embedding, Item
from models.batching import embed_parts
from models.catalog import Entry
from models.errors import SourceRefused
from models.hosted import add_tap, hosted, open_backbone, read_card
from models.long import Long
from models.sources import Folder, Hub, Package
from models.warm import NO_LIMITS, Limits
from service.errors import NotReady
from service.jobs.tuning import LazyTuning
from service.store.embeddings import EmbeddingCache, Space

POOLED = "pooled"

_MOST_OPEN = 4
"""Backbones that are kept open for the next job; those of 100 MB of weights take 140 MB each."""

_TIMED_TOGETHER = 4


@dataclass(frozen=True)
class Embedded:
    """Items at the tap of a backbone.

    Attributes:
        z: (n, d) float32, in the order given.
        cut: (n,) bool: the end of the item was left out.
        fresh: Items that were not known from before.
        ms_per_item: Median over the parts embedded, wall time, preparation included; None where all was known.
    """

    z: Embedding
    cut: npt.NDArray[np.bool_]
    fresh: int
    ms_per_item: float | None


class Embedder:
    """Embeds the items of a job; backbones stay open between jobs.

    Args:
        folder: The folder of hosted backbones.
        threads: CPU threads within one operation of a backbone, and threads that decode files.
        clock: Seconds, rising.
        cache: Where embeddings are kept; nowhere where None.
        limits: What an opened backbone may take of the machine.
    """

    def __init__(
        self,
        folder: Path,
        threads: int,
        clock: Callable[[], float],
        cache: EmbeddingCache | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._limits = limits
        self._clock = clock
        self._cache = cache or EmbeddingCache(folder, 0)
        self._open: OrderedDict[tuple[str, str], Backbone] = OrderedDict()

    def backbone(self, digest: str, tap: str = POOLED) -> Backbone:
        """A hosted backbone, opened where it is not.

        Args:
            digest: Of the backbone.
            tap: Which of its embeddings it is to give.

        Raises:
            BackboneUnknown, WeightsCorrupt: See `open_backbone`.
        """
        key = (digest, tap)
        if key not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)
            options: dict[str, Any] = {} if tap == POOLED else {"tap": tap}
            self._open[key] = open_backbone(self._folder, digest, threads=self._threads, limits=self._limits, **options)
        self._open.move_to_end(key)
        return self._open[key]

    def add_tap(self, entry: Entry | None, digest: str, tap: str, on_progress: Callable[[float], None]) -> None:
        """Make sure that a hosted backbone has a tap.

        Args:
            entry: What the backbone was made of; None where that is not known.
            digest: Of the backbone.
            tap: ``blocks``, or ``block<k>``.
            on_progress: Called with the share of the export that is done.

        Raises:
            SourceRefused: It has not, and what it was made of gives none.
        """
        card = read_card(self._folder / digest)
        if tap in card.taps:
            return
        if entry is None:
            raise SourceRefused(f"The backbone {card.id!r} has no tap {tap!r}, and what it was made of is not known.")
        add_tap(entry, self._folder, digest, tap, lambda _stage, share: on_progress(share))

    def tuning(self, entry: Entry, digest: str, items: Sequence[Item]) -> LazyTuning | None:
        """A way into a hosted backbone for methods that train it; None where it was made of no weights in torch."""
        if not isinstance(entry.source, Package | Hub | Folder):
            return None
        card = replace(read_card(self._folder / digest), id=entry.id)  # what its tenant calls it
        return LazyTuning(entry, card, self._folder, items, self._threads, self._limits)

    def digest(self, name: str) -> str:
        """What the name of a backbone of the operator's means here.

        Raises:
            NotReady: It is not hosted.
        """
        cards = hosted(self._folder)
        if name not in cards:
            raise NotReady(f"Backbone {name!r} is not hosted yet.")
        return cards[name].digest

    def embed(
        self,
        backbone: Backbone,
        items: Sequence[Item],
        *,
        tenant: str,
        long: Long,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
        at_once: int | None = None,
        tap: str = POOLED,
    ) -> Embedded:
        """Embed items, equal ones once. Parts that are ready are kept even if the job is killed in the next.

        Args:
            backbone: From `backbone`.
            items: What it takes.
            tenant: Whose they are.
            long: What becomes of items that are longer than it takes at once.
            on_progress: Called with the share of what was missing, in (0, 1].
            check: Called often; whatever it raises ends the call.
            at_once: Items of a part; as suits the modality where None.
            tap: Of the backbone, as it was opened.

        Raises:
            WrongInput: An item is not what the backbone takes; its place is counted within the part.
        """
        space = Space(tenant, backbone.card.digest, tap, backbone.provider, long)
        keys = [space.key(item) for item in items]
        found = self._cache.get_many(keys, *backbone.card.taps[tap])
        first: dict[bytes, int] = {}
        for at in np.flatnonzero(~found.hit).tolist():
            first.setdefault(keys[at], at)
        missing, times_ms = list(first.values()), []
        began_s = self._clock()
        for part in embed_parts(
            backbone,
            [items[at] for at in missing],
            long=long,
            at_once=at_once,
            threads=self._threads,
            on_progress=on_progress,
            check=check,
        ):
            times_ms.append(1000 * (self._clock() - began_s) / len(part.z))
            here = missing[part.start : part.start + len(part.z)]
            found.rows[here], found.cut[here] = part.z, part.cut
            self._cache.put_many([keys[at] for at in here], part.z, part.cut)
            began_s = self._clock()
        again = [at for at in np.flatnonzero(~found.hit).tolist() if first[keys[at]] != at]
        origins = [first[keys[at]] for at in again]
        found.rows[again], found.cut[again] = found.rows[origins], found.cut[origins]
        on_progress(1.0)
        return Embedded(found.rows, found.cut, len(missing), float(np.median(times_ms)) if times_ms else None)

    def ms_per_item(self, backbone: Backbone, items: Sequence[Item], *, long: Long, check: Callable[[], None]) -> float:
        """Median wall time to prepare and embed an item anew, in milliseconds, some at a time."""
        times_ms = []
        began_s = self._clock()
        for part in embed_parts(
            backbone, items, long=long, at_once=_TIMED_TOGETHER, threads=self._threads, check=check
        ):
            times_ms.append(1000 * (self._clock() - began_s) / len(part.z))
            began_s = self._clock()
        return float(np.median(times_ms))
