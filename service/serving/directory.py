"""What this process knows of the registry, and the heads it holds ready.

The directory follows the events: when an adapter changes, its new state is read and its heads are loaded before the old
state is let go. A request therefore never waits for a new version and never finds a gap. What has not been asked for
yet is read when it is.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from adapters.heads import read_tables
from adapters.manifest import Manifest
from models.errors import GraftError
from service.errors import NotFound
from service.registry import adapters as registry
from service.registry import events
from service.registry.adapters import LATEST, LIVE, Adapter
from service.serving.heads import HeadTable, Slot
from service.serving.references import Reference
from service.store.blobs import Blobs

POLL_S = 0.25

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A version, ready to answer."""

    manifest: Manifest
    head: Slot


class Directory:
    """Adapters as this process sees them, at most `POLL_S` behind the registry."""

    def __init__(self, engine: Engine, blobs: Blobs, table_of: Callable[[int], HeadTable]) -> None:
        self._engine = engine
        self._blobs = blobs
        self._table_of = table_of
        self._known: dict[tuple[str, str], Adapter] = {}
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
        adapter = self._known.get((tenant, reference.name))
        if adapter is None:
            adapter = await asyncio.to_thread(self._learn, tenant, reference.name)
        try:
            _, version = reference.pick(adapter)
        except NotFound:  # it may have been made in this very moment
            await asyncio.to_thread(self.refresh)
            _, version = reference.pick(await asyncio.to_thread(self._learn, tenant, reference.name))
        head = self._held(version.manifest)
        if head is None:
            head = await asyncio.to_thread(self._load, version.manifest)
        return Served(version.manifest, head)

    def refresh(self) -> None:
        """Read what has changed since the last time, and load it before it replaces what was there."""
        with self._refreshing:
            new = [event for event in events.since(self._engine, self._newest) if event.seq not in self._seen]
            for tenant, name in dict.fromkeys((event.tenant, event.adapter) for event in new):
                if (tenant, name) in self._known:
                    self._replace_if_whole(tenant, name)
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

    def _learn(self, tenant: str, name: str) -> Adapter:
        with self._refreshing:  # what is published between reading and noting it would be missed for good
            adapter = registry.get(self._engine, tenant, name)
            self._known[tenant, name] = adapter
            return adapter

    def _replace_if_whole(self, tenant: str, name: str) -> None:
        """A version whose files are broken must not hold up every other adapter's news: the old state goes on."""
        try:
            self._replace(tenant, name)
        except GraftError:
            _logger.exception("a new version cannot be loaded", extra={"tenant": tenant, "adapter": name})

    def _replace(self, tenant: str, name: str) -> None:
        try:
            adapter = registry.get(self._engine, tenant, name)
        except NotFound:
            self._known.pop((tenant, name), None)
            return
        for alias in (LIVE, LATEST):
            if alias in adapter.aliases:
                manifest = adapter.versions[adapter.aliases[alias].version].manifest
                if self._held(manifest) is None:
                    self._load(manifest)
        self._known[tenant, name] = adapter

    def _held(self, manifest: Manifest) -> Slot | None:
        return self._table_of(manifest.width).get(manifest.files["head.safetensors"].sha256)

    def _load(self, manifest: Manifest) -> Slot:
        digest = manifest.files["head.safetensors"].sha256
        tables = read_tables(self._blobs.get(digest))
        return self._table_of(manifest.width).put(digest, tables.weight, tables.bias, tables.temperature)
