"""The backbones that this process serves: opened when a worker has hosted them, and from then on kept."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from models.base import Card
from models.catalog import catalog
from models.errors import BackboneUnknown
from models.hosted import hosted, open_backbone
from service.errors import NotReady
from service.serving.encoder import Encoder, Watcher

POLL_S = 0.25
RETRY_S = 5.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """A backbone and where it stands: `ready` to embed, or still `preparing` (a worker exports it)."""

    id: str
    card: Card | None
    state: str


class Backbones:
    """Encoders of the hosted backbones, by digest."""

    def __init__(
        self, names: tuple[str, ...], folder: Path, *, lanes: int, max_waiting: int, watcher: Watcher | None = None
    ) -> None:
        known = catalog()
        for name in names:
            if name not in known:
                raise BackboneUnknown(f"GRAFT_BACKBONES names {name!r}; the catalogue has {', '.join(sorted(known))}.")
        self.names = names
        self._folder = folder
        self._lanes = lanes
        self._max_waiting = max_waiting
        self._watcher = watcher
        self._encoders: dict[str, Encoder] = {}
        self._cards: dict[str, Card] = {}
        self._opening = asyncio.Lock()

    def standings(self) -> list[Standing]:
        """Every backbone of this service, by name."""
        return [
            Standing(name, self._cards.get(name), "ready" if name in self._cards else "preparing")
            for name in sorted(self.names)
        ]

    @property
    def waiting(self) -> int:
        """Items that wait for any of them."""
        return sum(encoder.waiting for encoder in self._encoders.values())

    def waiting_for(self) -> list[str]:
        """Names of the backbones that are not ready."""
        return [standing.id for standing in self.standings() if standing.state != "ready"]

    def check_known(self, name: str) -> None:
        """Refuse a backbone that this service does not host.

        Raises:
            BackboneUnknown: It is not hosted here.
        """
        if name not in self.names:
            raise BackboneUnknown(
                f"There is no backbone {name!r} here; hosted are {', '.join(sorted(self.names))} (GET /v1/backbones)."
            )

    async def encoder(self, name: str, digest: str) -> Encoder:
        """The encoder that an adapter was fitted on.

        Raises:
            NotReady: It is still being prepared, or this service has another build of that backbone.
        """
        if digest not in self._encoders:
            if not (self._folder / digest).is_dir():
                raise NotReady(
                    f"The adapter was fitted on backbone {name} with digest {digest[:12]}..., which is not here yet; "
                    "try again in some seconds, or restore the folder 'backbones' from a backup."
                )
            await self._open(digest)
        return self._encoders[digest]

    async def prepare(self) -> None:
        """Open each backbone as soon as it is hosted; returns when all are ready. One that is broken is tried again."""
        while self.waiting_for():
            cards = await asyncio.to_thread(hosted, self._folder)
            for name in self.waiting_for():
                if name in cards:
                    await self._make_ready(cards[name])
            await asyncio.sleep(POLL_S if self.waiting_for() else 0)

    def close(self) -> None:
        """Stop all encoders."""
        for encoder in self._encoders.values():
            encoder.close()

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
        narrow = open_backbone(self._folder, digest, threads=1)
        wide = open_backbone(self._folder, digest, threads=self._lanes) if self._lanes > 1 else None
        return Encoder(narrow, max_waiting=self._max_waiting, lanes=self._lanes, wide=wide, watcher=self._watcher)
