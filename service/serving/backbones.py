"""The backbones that this process serves: opened when a worker has hosted them, and from then on kept.

Two kinds stand side by side. The operator's (GRAFT_BACKBONES) are everybody's, and a pointer in the folder says which
digest each name means. A tenant's own are rows of the registry, and only that tenant sees them. Encoders are held by
digest: whoever calls it what, it is open once.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Backbone, Card
from models.catalog import Entry, catalog
from models.errors import BackboneUnknown
from models.hosted import hosted, open_backbone
from models.session import GRAPH_NAME, why_provider
from models.warm import NO_LIMITS, Limits
from service.cores import available_cores
from service.errors import NotReady
from service.registry.backbones import CHANGED, PREPARING, READY, Own
from service.registry.events import Event
from service.serving.encoder import Encoder, Watcher
from service.serving.recall import Recall

POLL_S = 0.25
RETRY_S = 5.0
DRAIN_S = 60.0
"""How long an encoder that nobody may use any more is kept for calls that wait for it."""

ONE_SESSION_BYTES = 128 * 2**20
"""Graphs that are larger are opened once; see `Backbones._opened`."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """A backbone as one tenant sees it.

    Attributes:
        id: Its name.
        card: What it is, once it can embed here.
        state: ``ready`` to embed, ``preparing`` (a worker exports it, or this process opens it) or ``failed``.
        entry: What was asked for.
        own: Whether it is the tenant's own, and not the operator's.
        provider, provider_why: What runs it here, and why that; empty until it is ready.
        job: The job that hosts it, or has hosted it.
        error: Problem object when that failed.
    """

    id: str
    card: Card | None
    state: str
    entry: Entry | None = None
    own: bool = False
    provider: str = ""
    provider_why: str = ""
    job: str | None = None
    error: dict[str, Any] | None = None

    @property
    def modality(self) -> str | None:
        """What an item is; None where that is known only when it is hosted."""
        return self.card.modality if self.card else self.entry.modality if self.entry else None

    @property
    def trained(self) -> bool:
        """Whether anything was learned from data."""
        return self.card.trained if self.card else self.entry is None or self.entry.trained


class Backbones:
    """Encoders of the hosted backbones, by digest.

    Args:
        names: The operator's, of the catalogue.
        folder: Of hosted backbones.
        lanes: Batches that run at the same time.
        max_waiting: Most items that wait for one.
        limits: What each may take of the machine.
        watcher: Told of every batch.
        owned: Reads what tenants host. Blocks.
        needed: Reads the digests that a tenant hosts or a version was fitted on. Blocks.
        recall: Knows what was embedded before; None where nobody does.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        folder: Path,
        *,
        lanes: int,
        max_waiting: int,
        limits: Limits = NO_LIMITS,
        watcher: Watcher | None = None,
        owned: Callable[[], Sequence[Own]] = tuple,
        needed: Callable[[], Container[str]] = frozenset,
        recall: Recall | None = None,
    ) -> None:
        known = catalog()
        for name in names:
            if name not in known:
                raise BackboneUnknown(f"GRAFT_BACKBONES names {name!r}; the catalogue has {', '.join(sorted(known))}.")
        self.names = names
        self._entries = {name: known[name] for name in names}
        self._folder = folder
        self._lanes = lanes
        self._recall = recall
        self._max_waiting = max_waiting
        self._limits = limits
        self._watcher = watcher
        self._owned = owned
        self._own: dict[str, dict[str, Own]] = {}
        self._reading = threading.Lock()
        self._needed = needed
        self._changed = True
        self._encoders: dict[str, Encoder] = {}
        self._cards: dict[str, Card] = {}
        self._opening = asyncio.Lock()

    def standings(self) -> list[Standing]:
        """The operator's backbones, by name."""
        return [self._operators(name) for name in sorted(self.names)]

    def visible(self, tenant: str) -> list[Standing]:
        """Every backbone that a tenant sees, by name; a name of its own hides the operator's. Does not block.

        What the tenant asked for a moment ago is there after the next `refresh`.
        """
        own = self._own.get(tenant, {})
        seen = {standing.id: standing for standing in self.standings()}
        seen |= {id_: self._tenants(one) for id_, one in own.items()}
        return [seen[id_] for id_ in sorted(seen)]

    def find(self, tenant: str, name: str) -> Standing:
        """One backbone that a tenant sees.

        Raises:
            BackboneUnknown: It sees none of that name.
        """
        own = self._own.get(tenant, {})
        if name in own:
            return self._tenants(own[name])
        if name in self._entries:
            return self._operators(name)
        names = ", ".join(sorted({*self.names, *own}))
        raise BackboneUnknown(
            f"There is no backbone {name[:100]!r} here; hosted are {names} (GET /v1/backbones). POST /v1/backbones "
            "hosts another."
        )

    def check_known(self, tenant: str, name: str) -> None:
        """Refuse a backbone that a tenant does not see.

        Raises:
            BackboneUnknown: It sees none of that name.
        """
        self.find(tenant, name)

    @property
    def waiting(self) -> int:
        """Items that wait for any of them."""
        return sum(encoder.waiting for encoder in self._encoders.values())

    def waiting_for(self) -> list[str]:
        """Names of the operator's backbones that are not ready."""
        return [standing.id for standing in self.standings() if standing.state != READY]

    async def encoder(self, name: str, digest: str) -> Encoder:
        """The encoder of a digest, opened if it is not.

        Raises:
            NotReady: It is still being prepared, or this service has another build of that backbone.
        """
        if digest not in self._encoders:
            if not (self._folder / digest).is_dir():
                raise NotReady(
                    f"Backbone {name} with digest {digest[:12]}... is not here yet; try again in some seconds, or "
                    "restore the folder 'backbones' from a backup."
                )
            await self._open(digest)
        return self._encoders[digest]

    async def warm(self, tenant: str, name: str) -> None:
        """Open a tenant's own backbone, if it is hosted and can be opened."""
        own = self._own.get(tenant, {}).get(name)
        if own is not None:
            await self._try_open(own)

    async def prepare(self) -> None:
        """Open each of the operator's as soon as it is hosted; returns when all are ready. A broken one is retried."""
        while self.waiting_for():
            cards = await asyncio.to_thread(hosted, self._folder)
            for name in self.waiting_for():
                if name in cards:
                    await self._make_ready(cards[name])
            await asyncio.sleep(POLL_S if self.waiting_for() else 0)

    def notice(self, event: Event) -> None:
        """Follow the registry's events."""
        self._changed = self._changed or event.kind == CHANGED

    def refresh(self) -> None:
        """Read what tenants host now. Blocks."""
        with self._reading:  # of two at once, the one that read first must not be the last to say what there is
            own: dict[str, dict[str, Own]] = {}
            for row in self._owned():
                own.setdefault(row.tenant, {})[row.id] = row
            self._own = own

    async def follow(self) -> None:
        """For ever: open what a tenant has hosted, so that it is warm, and close what nobody needs any more."""
        while True:
            if self._changed:
                self._changed = False
                try:
                    await asyncio.to_thread(self.refresh)
                    await self._open_new()
                    await self._close_unneeded()
                except Exception:
                    _logger.exception("the tenants' backbones could not be followed", extra={"retry_s": RETRY_S})
                    self._changed = True
                    await asyncio.sleep(RETRY_S)
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        """Stop all encoders."""
        for encoder in self._encoders.values():
            encoder.close()

    def _operators(self, name: str) -> Standing:
        card = self._cards.get(name)
        provider, why = self._provider(card)
        state = READY if card else PREPARING
        return Standing(name, card, state, self._entries[name], provider=provider, provider_why=why)

    def _tenants(self, own: Own) -> Standing:
        is_open = own.card is not None and own.card.digest in self._encoders
        provider, why = self._provider(own.card)
        return Standing(
            own.id,
            own.card if is_open else None,
            PREPARING if own.state == READY and not is_open else own.state,
            own.entry,
            own=True,
            provider=provider,
            provider_why=why,
            job=own.job,
            error=own.error,
        )

    def _provider(self, card: Card | None) -> tuple[str, str]:
        """What runs a backbone here, and why; both empty where it is not open."""
        encoder = self._encoders.get(card.digest) if card else None
        if encoder is None:
            return "", ""
        provider = encoder.backbone.provider
        tried, why = why_provider()
        if provider.startswith(tried):
            return provider, why
        return provider, f"{tried} was tried ({why}) and did not work; the log says why"

    async def _open_new(self) -> None:
        for rows in list(self._own.values()):
            for own in rows.values():
                await self._try_open(own)

    async def _try_open(self, own: Own) -> None:
        if own.card is None or own.card.digest in self._encoders:
            return
        extra = {"tenant": own.tenant, "backbone": own.id, "digest": own.card.digest}
        try:
            await self.encoder(own.id, own.card.digest)
        except Exception:  # one that is broken must not hold up the others
            _logger.exception("a backbone cannot be opened", extra=extra)
        else:
            _logger.info("backbone ready", extra=extra)

    async def _close_unneeded(self) -> None:
        needed = await asyncio.to_thread(self._needed)
        operators = {card.digest for card in self._cards.values()}
        for digest in [digest for digest in self._encoders if digest not in operators and digest not in needed]:
            encoder = self._encoders.pop(digest)
            deadline_s = asyncio.get_running_loop().time() + DRAIN_S
            while encoder.waiting and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.sleep(POLL_S)
            await asyncio.to_thread(encoder.close)
            _logger.info("backbone closed", extra={"digest": digest})

    async def _make_ready(self, card: Card) -> None:
        try:
            await self._open(card.digest)
        except Exception:
            _logger.exception("a backbone cannot be opened", extra={"backbone": card.id, "retry_s": RETRY_S})
            await asyncio.sleep(RETRY_S)
        else:
            self._cards[card.id] = card
            _logger.info("backbone ready", extra={"backbone": card.id, "digest": card.digest})

    async def _open(self, digest: str) -> None:
        async with self._opening:
            if digest not in self._encoders:
                self._encoders[digest] = await asyncio.to_thread(self._opened, digest)

    def _opened(self, digest: str) -> Encoder:
        """A backbone with one thread for each of many batches, and a second time with all threads for a batch alone.

        Measured on two cores, where MobileNetV2, MiniLM and a graph of 226 MB agree within some percent: a batch alone
        takes 0.53 to 0.65 of the time with two threads, and two at once in one session of two threads take 1.01 to 1.14
        of the time that they take with one thread each. The second session costs the weights once more (20 MB, 90 MB,
        340 MB): ONNX Runtime lays them out for its kernels in each session of its own, so that weights that two
        sessions are given in common (`SessionOptions.add_initializer`) save nothing, and its store for what was laid
        out is not there in Python. Hence a large graph has the session of all threads alone. Whatever a GPU runs has
        one session too: threads of the CPU hardly matter to it.
        """

        def opened(threads: int) -> Backbone:
            return open_backbone(self._folder, digest, threads=threads, limits=self._limits)

        graph = self._folder / digest / GRAPH_NAME
        is_large = graph.is_file() and graph.stat().st_size > ONE_SESSION_BYTES
        first = opened(self._lanes if is_large else 1)
        twice = self._lanes > 1 and not is_large and first.provider == "cpu"
        wide = opened(self._lanes) if twice else None
        return Encoder(
            first,
            max_waiting=self._max_waiting,
            lanes=self._lanes,
            wide=wide,
            watcher=self._watcher,
            recall=self._recall,
            decoders=available_cores(),
        )
