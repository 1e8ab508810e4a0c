"""What this process knows of the registry, and the heads it holds ready.

The directory follows the events: when an adapter changes, its new state is read and its heads are loaded before the old
state is let go. A request therefore never waits for a new version and never finds a gap. What has not been asked for
yet is read when it is.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from adapters.heads import read_tables
from service.errors import NotFound
from service.registry import events
from service.registry.adapters import LATEST, LIVE
from service.registry.events import Event
from service.serving import outlines
from service.serving.facts import Facts, Known
from service.serving.graphs import GraphHead, Graphs
from service.serving.heads import HeadTable, Slot
from service.serving.maps import MappedSlot, Maps
from service.serving.recent import Recent
from service.serving.references import Reference
from service.store.blobs import Blobs

POLL_S = 0.25

KNOWN_BYTES = 128 * 2**20
"""Most memory of a process for what it knows: 60,000 adapters of ten classes."""

SHARED = 512
"""Lists of classes, of versions and of aliases that adapters are looked at for having in common."""

Key = tuple[str, str]
"""Tenant and name of an adapter."""

Head = Slot | MappedSlot | GraphHead
"""What scores embeddings, rows or activations."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A version, ready to answer.

    Attributes:
        facts: Its manifest, as far as an answer needs it.
        head: What scores what its tap gives.
        tenant: Whose it is; None where that is nobody's to know.
    """

    facts: Facts
    head: Head
    tenant: str | None = None


class Directory:
    """Adapters as this process sees them, at most `POLL_S` behind the registry.

    Cost: `serve` takes 2 us when everything is held; about 700 bytes an adapter.
    """

    def __init__(
        self,
        engine: Engine,
        blobs: Blobs,
        heads: HeadTable,
        graphs: Graphs | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        prepare: Callable[[Facts], None] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            engine: Of the registry.
            blobs: Where the heads lie.
            heads: Takes affine heads.
            graphs: Takes sessions.
            on_event: Called in a thread with each new event, of every kind, after the directory has followed it; when
                it raises, it is called again with the same events.
            prepare: Called in a thread with a new version before it takes the place of the old one; when it raises,
                the old one goes on.
        """
        self._engine = engine
        self._blobs = blobs
        self._heads = heads
        self._graphs = Graphs() if graphs is None else graphs
        self._maps = Maps()
        self._on_event = on_event
        self._prepare = prepare
        self._known: Recent[Key, Known] = Recent(KNOWN_BYTES, lambda known: known.size_bytes)
        self._shared: Callable[[Any], Any] = lru_cache(SHARED)(_itself)
        self._aliases = lru_cache(SHARED)(_aliases)
        self._refreshing = threading.Lock()
        self._seen: set[int] = set()
        self._newest = 0

    def start(self) -> None:
        """Note where the events stand; what came before is read when it is asked for."""
        self._newest = events.newest(self._engine)
        self._seen = {event.seq for event in events.since(self._engine, self._newest)}

    async def serve(self, tenant: str, reference: Reference) -> Served:
        """The version that a reference names now, with its head.

        Raises:
            NotFound: There is no such adapter, alias or version.
        """
        known = self._known.get((tenant, reference.name))
        if known is not None:
            facts = known.of(reference.number or known.aliases.get(reference.alias))
            head = self._held(facts) if facts is not None else None
            if facts is not None and head is not None:
                return Served(facts, head, tenant)
        return await asyncio.to_thread(self._find, (tenant, reference.name), reference)

    def refresh(self) -> None:
        """Read what has changed since the last time, and load it before it replaces what was there."""
        with self._refreshing:
            new = [event for event in events.since(self._engine, self._newest) if event.seq not in self._seen]
            for key in dict.fromkeys((event.tenant, event.adapter) for event in new):
                if key in self._known:
                    self._replace_if_whole(key)
            if self._on_event is not None:
                for event in new:
                    self._on_event(event)
            self._seen.update(event.seq for event in new)
            self._newest = max([self._newest, *(event.seq for event in new)])
            self._seen = {seq for seq in self._seen if seq > self._newest - events.WINDOW}

    async def follow(self) -> None:
        """Refresh for ever; a database that is away is tried again, and what is held goes on answering."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                _logger.exception("the registry could not be followed; what is held goes on answering")
                await asyncio.sleep(4 * POLL_S)

    def _find(self, key: Key, reference: Reference) -> Served:
        """What `serve` did not find at hand."""
        known = self._known.get(key) or self._learn(key, None)
        try:
            number = reference.pick(known.aliases, known.numbers)
        except NotFound:  # it may have been made in this very moment
            known = self._learn(key, known)
            number = reference.pick(known.aliases, known.numbers)
        facts = known.of(number) or self._use(key, number)
        return Served(facts, self._held(facts) or self._load(facts), key[0])

    def _learn(self, key: Key, stale: Known | None) -> Known:
        """Read an adapter, unless another thread has just done so."""
        with self._refreshing:  # what is published between reading and noting it would be missed for good
            known = self._known.get(key)
            if known is None or known is stale:
                known = self._read(key, stale)
                self._note(key, known)
            return known

    def _use(self, key: Key, number: int) -> Facts:
        """Read a version's manifest, and remember it."""
        facts = self._facts(key, number)
        with self._refreshing:
            known = self._known.get(key)
            if known is not None and number in known.numbers:
                self._note(key, known.using(facts))
        return facts

    def _replace_if_whole(self, key: Key) -> None:
        """A version whose files are broken must not hold up every other adapter's news: the old state goes on."""
        try:
            self._replace(key)
        except SQLAlchemyError:  # the database is everybody's matter, and this event is read again
            raise
        except Exception:
            tenant, name = key
            _logger.exception("a new version cannot be loaded", extra={"tenant": tenant, "adapter": name})

    def _replace(self, key: Key) -> None:
        try:
            known = self._read(key, self._known.get(key))
        except NotFound:
            self._known.pop(key)
            return
        for number in dict.fromkeys(known.aliases[alias] for alias in (LIVE, LATEST) if alias in known.aliases):
            facts = known.of(number)
            if facts is None:
                facts = self._facts(key, number)
                known = known.using(facts)
            if self._held(facts) is None:
                self._load(facts)
            if self._prepare is not None:
                self._prepare(facts)
        self._note(key, known)

    def _read(self, key: Key, before: Known | None) -> Known:
        """An adapter as it is now, with the facts that were known of its versions: those never change."""
        now = outlines.outline(self._engine, *key)
        facts = () if before is None else tuple(facts for facts in before.facts if facts.number in now.numbers)
        return Known(self._aliases(now.aliases), self._shared(now.numbers), facts)

    def _facts(self, key: Key, number: int) -> Facts:
        return Facts.of(outlines.manifest(self._engine, *key, number), self._shared)

    def _note(self, key: Key, known: Known) -> None:
        tenant, name = key
        self._known.put((sys.intern(tenant), sys.intern(name)), known)

    def _held(self, facts: Facts) -> Head | None:
        if facts.kind == "graph":
            return self._graphs.get(facts.head)
        slot = self._heads.get(facts.head)
        if slot is None or not facts.map:
            return slot
        map_ = self._maps.get(facts.map)
        return None if map_ is None else MappedSlot(map_, slot)

    def _load(self, facts: Facts) -> Head:
        data = self._blobs.get(facts.head)
        if facts.kind == "graph":
            return self._graphs.put(facts.head, data, facts.tap)
        tables = read_tables(data)
        slot = self._heads.put(facts.head, tables.weight, tables.bias, tables.temperature)
        if not facts.map:
            return slot
        map_ = self._maps.get(facts.map) or self._maps.put(facts.map, self._blobs.get(facts.map))
        return MappedSlot(map_, slot)


def _itself(value: Any) -> Any:
    return value


def _aliases(pointers: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return dict(pointers)
