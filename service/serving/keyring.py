"""The keys as this process holds them: no request waits for the database to know who calls.

The directory passes the registry's events on: a key that is made or revoked in one process is known to all within
`service.serving.directory.POLL_S`, and at once in the process that served the change. A database that is away changes
nothing: the keys that are held go on being good.
"""

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from service.registry import keys
from service.registry.events import Event
from service.registry.keys import CHANGED, OPERATOR, SCOPES, Key, digest_of, granted, id_of
from service.settings import Settings
from service.store.pepper import read_pepper

LOOK_AGAIN_S = 0.25
"""Least time between two readings of the registry that unknown keys cause."""

_NOBODY = bytes(32)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        tenant: Whose things the call sees.
        key: Id of the key, or how it comes without one: ``bootstrap``, ``open``.
        scopes: What it may do, included scopes written out.
    """

    tenant: str
    key: str
    scopes: frozenset[str]


ANYBODY = Principal(OPERATOR, "open", frozenset(SCOPES))
"""Whoever calls a service that has no keys."""

BOOTSTRAP = Principal(OPERATOR, "bootstrap", frozenset(SCOPES))
"""Who has the key from the environment."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known of the keys; replaced as a whole, so that a request sees one state."""

    any: bool = False
    good: Mapping[str, tuple[bytes, Principal]] = field(default_factory=dict)


class Keyring:
    """Keys, held in memory.

    Cost: a check takes 3 us, whatever is wrong with the key; about 600 bytes a key.
    """

    def __init__(
        self, engine: Engine, pepper: bytes, bootstrap: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Hold nothing yet; `refresh` reads.

        Args:
            engine: Of the registry.
            pepper: Under which keys are hashed.
            bootstrap: Text of the bootstrap key; None where there is none.
            clock: Seconds, for the pause between readings.
        """
        self._pepper = pepper
        self.has_bootstrap = bootstrap is not None
        self._bootstrap = _NOBODY if bootstrap is None else digest_of(pepper, bootstrap)
        self._engine = engine
        self._clock = clock
        self._held = _Held()
        self._reading = threading.Lock()
        self._looked_at_s = -LOOK_AGAIN_S

    @classmethod
    def open(cls, engine: Engine, settings: Settings) -> Self:
        """The keyring of a service, with the keys that there are now.

        Raises:
            PepperLost: There are keys, and what they were hashed under is gone.
        """
        bootstrap = None if settings.bootstrap_key is None else settings.bootstrap_key.get_secret_value()
        ring = cls(engine, pepper_of(engine, settings), bootstrap)
        ring.refresh()
        return ring

    @property
    def locked(self) -> bool:
        """A key is needed: there is a bootstrap key, or there was ever another one."""
        return self.has_bootstrap or self._held.any

    def principal(self, text: str) -> Principal | None:
        """Who has the key with this text; None for one that is unknown, wrong or revoked.

        Every text takes the same work, and digests are compared in constant time.
        """
        digest = digest_of(self._pepper, text)
        expected, owner = self._held.good.get(id_of(text), (_NOBODY, None))
        is_bootstrap = hmac.compare_digest(digest, self._bootstrap)
        is_key = hmac.compare_digest(digest, expected)
        if is_bootstrap:
            return BOOTSTRAP
        return owner if is_key else None

    def mint(self, tenant: str, name: str, scopes: Iterable[str], now_s: float) -> tuple[Key, str]:
        """A new key, which is not stored yet, and its text, which never is."""
        return keys.mint(self._pepper, tenant, name, scopes, now_s)

    async def look_again(self) -> None:
        """Read the registry for a key that was made elsewhere in this very moment, at most each `LOOK_AGAIN_S`."""
        now_s = self._clock()
        if now_s - self._looked_at_s < LOOK_AGAIN_S:
            return
        self._looked_at_s = now_s
        try:
            await asyncio.to_thread(self.refresh)
        except SQLAlchemyError:
            _logger.exception("the keys could not be read; what is held goes on being good")

    def refresh(self) -> None:
        """Read every key."""
        with self._reading:
            found = keys.everyone(self._engine)
            good = {
                key.id: (bytes.fromhex(key.digest), Principal(key.tenant, key.id, granted(key.scopes)))
                for key in found
                if key.revoked_at is None
            }
            self._held = _Held(bool(found), good)

    def notice(self, event: Event) -> None:
        """Follow the registry's events."""
        if event.kind == CHANGED:
            self.refresh()


def pepper_of(engine: Engine, settings: Settings) -> bytes:
    """What keys are hashed under: from the environment, or from the home's file, which is made when it is needed.

    Raises:
        PepperLost: There are keys, and the file is gone.
    """
    if settings.key_pepper is not None:
        return settings.key_pepper.get_secret_value().encode()
    may_make = settings.bootstrap_key is not None or not keys.exist(engine)
    return read_pepper(settings.home.resolve(), may_make=may_make)
