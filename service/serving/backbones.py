"""The backbones that this process serves: opened when a worker has hosted them, and from then on kept.

Two kinds stand side by side. The operator's (GRAFT_BACKBONES) are everybody's, and a pointer in the folder says which
digest each name means. A tenant's own are rows of the registry, and only that tenant sees them. Encoders are held by
digest: whoever calls it what, it is open once.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from models.base import Backbone, Card
from models.catalog import catalog
from models.errors import BackboneUnknown
from models.hosted import hosted
from models.session import POOLED, why_provider
from models.tuning import INPUT_TAP
from models.warm import NO_LIMITS, Limits
from service.errors import NotReady
from service.registry.backbones import CHANGED, PREPARING, READY, Own
from service.registry.events import Event
from service.serving.encoder import Encoder, Watcher
from service.serving.facts import Facts
from service.serving.graphs import GraphHead
from service.serving.opening import Opener
from service.serving.recall import Recall
from service.serving.standing import Standing
from service.serving.tails import Addressing, Tail
from service.serving.trunks import Trunks

POLL_S = 0.25
RETRY_S = 5.0
DRAIN_S = 60.0
"""How long an encoder that nobody may use any more is kept for calls that wait for it."""

BLOCKS = "blocks"
"""The tap that gives the embeddings of all blocks at once."""

_Key = tuple[str, str]
"""Digest and tap of an encoder."""

_logger = logging.getLogger(__name__)


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
        self._opener = Opener(folder, lanes, max_waiting, limits, watcher, recall)
        self._trunks = Trunks(folder, gpu_memory_bytes=limits.gpu_memory_bytes)
        self._owned = owned
        self._own: dict[str, dict[str, Own]] = {}
        self._reading = threading.Lock()
        self._needed = needed
        self._changed = True
        self._encoders: dict[_Key, Encoder] = {}
        self._cards: dict[str, Card] = {}
        self._in_turn = asyncio.Lock()
        self._opening = threading.Lock()

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
        return sum(encoder.waiting for encoder in list(self._encoders.values()))

    def waiting_for(self) -> list[str]:
        """Names of the operator's backbones that are not ready."""
        return [standing.id for standing in self.standings() if standing.state != READY]

    async def encoder(self, name: str, digest: str, tap: str = POOLED) -> Encoder:
        """The encoder of a digest, opened if it is not.

        Args:
            name: Of the backbone.
            digest: Of the backbone.
            tap: Which of its embeddings the encoder gives.

        Raises:
            NotReady: It is still being prepared, or this service has another build of that backbone.
        """
        encoder = self._encoders.get((digest, tap))
        if encoder is None:
            self._require(name, digest)
            encoder = await self._open(digest, tap)
        return encoder

    async def tail(self, facts: Facts, head: GraphHead) -> Tail:
        """An adapter that is a part of its backbone, with what it stands on, opened if it is not.

        Args:
            facts: Of the version.
            head: Its session.

        Raises:
            NotReady: See `encoder`; or the backbone is here without that tap.
        """
        digest, tap = facts.backbone_digest, facts.tap
        backbone = (await self.encoder(facts.backbone, digest)).backbone
        encoder = self._encoders.get((digest, tap))
        if encoder is None:
            await asyncio.to_thread(self._trunks.at, backbone.card, tap)
            encoder = self._branching(backbone, tap)
        return Tail(encoder, Addressing(backbone, head))

    def open_for(self, facts: Facts) -> None:
        """Open what a version stands on beside the backbone itself, so that its first call need not wait. Blocks.

        Raises:
            NotReady: See `tail`.
        """
        for tap in facts.backbones:
            self._require(tap.backbone, tap.digest)
            self._open_now(tap.digest, tap.tap)
        if facts.backbones:
            return
        if facts.tap == BLOCKS:
            self._require(facts.backbone, facts.backbone_digest)
            self._open_now(facts.backbone_digest, facts.tap)
        elif facts.tuned and facts.tap != INPUT_TAP:
            self._require(facts.backbone, facts.backbone_digest)
            self._trunks.open(facts.backbone_digest, facts.tap)

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
        for encoder in list(self._encoders.values()):
            encoder.close()

    def _require(self, name: str, digest: str) -> None:
        if not (self._folder / digest).is_dir():
            raise NotReady(
                f"Backbone {name} with digest {digest[:12]}... is not here yet; try again in some seconds, or "
                "restore the folder 'backbones' from a backup."
            )

    def _operators(self, name: str) -> Standing:
        card = self._cards.get(name)
        provider, why = self._provider(card)
        state = READY if card else PREPARING
        return Standing(name, card, state, self._entries[name], provider=provider, provider_why=why)

    def _tenants(self, own: Own) -> Standing:
        is_open = own.card is not None and (own.card.digest, POOLED) in self._encoders
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
        encoder = self._encoders.get((card.digest, POOLED)) if card else None
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
        if own.card is None or (own.card.digest, POOLED) in self._encoders:
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
        for digest, tap in list(self._encoders):
            if digest in operators or digest in needed:
                continue
            encoder = self._encoders.pop((digest, tap))
            self._trunks.drop(digest)
            deadline_s = asyncio.get_running_loop().time() + DRAIN_S
            while encoder.waiting and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.sleep(POLL_S)
            await asyncio.to_thread(encoder.close)
            _logger.info("backbone closed", extra={"digest": digest, "tap": tap})

    async def _make_ready(self, card: Card) -> None:
        try:
            await self._open(card.digest, POOLED)
        except Exception:
            _logger.exception("a backbone cannot be opened", extra={"backbone": card.id, "retry_s": RETRY_S})
            await asyncio.sleep(RETRY_S)
        else:
            self._cards[card.id] = card
            _logger.info("backbone ready", extra={"backbone": card.id, "digest": card.digest})

    async def _open(self, digest: str, tap: str) -> Encoder:
        async with self._in_turn:  # so that requests that come meanwhile hold no thread each
            encoder = self._encoders.get((digest, tap))
            return encoder if encoder is not None else await asyncio.to_thread(self._open_now, digest, tap)

    def _branching(self, backbone: Backbone, tap: str) -> Encoder:
        """Called from the event loop alone, and nothing is opened: no lock, which an opening may hold for a second."""
        key = (backbone.card.digest, tap)
        if key not in self._encoders:
            self._encoders[key] = self._opener.branching(backbone, tap, self._trunks)
        return self._encoders[key]

    def _open_now(self, digest: str, tap: str) -> Encoder:
        with self._opening:
            encoder = self._encoders.get((digest, tap))
            if encoder is None:
                encoder = self._encoders[digest, tap] = self._opener.open(digest, tap)
            return encoder
