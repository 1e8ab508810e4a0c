"""Keys: who may call, as which tenant, for what.

    graft_<id>_<secret>      id: public, 12 characters that sort by the moment; secret: 256 random bits
    stored                   id, tenant, name, scopes and HMAC-SHA256(pepper, the whole text); never the text

A hash meant for passwords is not needed: nobody can try 2^256 secrets. The pepper keeps a stolen database from being
enough to put a forged key into it.
"""

import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, inspect, select, update

from models.errors import Problem
from service.database.engine import writing
from service.database.tables import events, keys
from service.errors import BodyInvalid, Conflict, NotFound
from service.ids import base32
from service.registry.paging import Page, page_of

PREDICT, FIT, READ, ADMIN = SCOPES = ("predict", "fit", "read", "admin")

OPERATOR = "default"
"""The tenant whose admin keys may manage everybody's keys; also whose the open service is."""

CHANGED = "keys"
"""Kind of the events that say that a key was made or revoked."""

_CHARS = "[0-9a-hjkmnp-tv-z]"
_TEXT = re.compile(rf"graft_({_CHARS}{{12}})_{_CHARS}{{52}}")


@dataclass(frozen=True)
class Key:
    """A key, without its text.

    Attributes:
        id: Public.
        tenant: Whose calls it makes.
        name: What its owner calls it; may be empty.
        scopes: Some of `SCOPES`, as they were asked for.
        digest: HMAC-SHA256 of the text, hex.
        created_at: Seconds since the epoch.
        revoked_at: The same; None while it is good.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    digest: str
    created_at: float
    revoked_at: float | None = None


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """What scopes allow: `fit` includes `read`, and `admin` everything."""
    given = frozenset(scopes)
    if ADMIN in given:
        return frozenset(SCOPES)
    return given | {READ} if FIT in given else given


def digest_of(pepper: bytes, text: str) -> bytes:
    """HMAC-SHA256 of a key's text. Cost: 1 us."""
    return hmac.digest(pepper, text.encode(), "sha256")


def id_of(text: str) -> str:
    """The id within a key's text; empty where the text is none."""
    match = _TEXT.fullmatch(text)
    return match[1] if match else ""


def mint(pepper: bytes, tenant: str, name: str, scopes: Iterable[str], now_s: float) -> tuple[Key, str]:
    """A new key and its text, which is kept nowhere."""
    key_id = base32((int(now_s * 1000) << 18) | int.from_bytes(os.urandom(3)) >> 6, 12)
    text = f"graft_{key_id}_{base32(int.from_bytes(os.urandom(32)), 52)}"
    ordered = tuple(scope for scope in SCOPES if scope in frozenset(scopes))
    return Key(key_id, tenant, name, ordered, digest_of(pepper, text).hex(), now_s), text


def _key(row: Row[Any]) -> Key:
    return Key(**{**row._mapping, "scopes": tuple(row.scopes)})


def add(engine: Engine, key: Key, *, bootstrap: bool) -> None:
    """Store a key.

    Args:
        engine: Of the registry.
        key: What `mint` made.
        bootstrap: There is a bootstrap key, which can always make others.

    Raises:
        BodyInvalid: It is the first one, which locks the service, and with it nobody could make a second one.
    """
    with writing(engine) as connection:
        first = connection.execute(select(keys.c.id).limit(1)).one_or_none() is None
        if first and not bootstrap and not _is_operators(key):
            raise BodyInvalid(
                f"The first key locks the service, and with tenant {key.tenant!r} and the scopes "
                f"{', '.join(key.scopes)} nobody could make another one. Make one for the operator first: "
                f"graft keys create --scopes {ADMIN} (tenant {OPERATOR!r}).",
                problems=[Problem(f"the first key needs {ADMIN!r}", pointer="/scopes")],
            )
        connection.execute(insert(keys).values(vars(key) | {"scopes": list(key.scopes)}))
        _announce(connection, key.tenant, key.created_at)


def _is_operators(key: Key) -> bool:
    return key.tenant == OPERATOR and ADMIN in key.scopes


def _announce(connection: Connection, tenant: str, now_s: float) -> None:
    connection.execute(insert(events).values(tenant=tenant, adapter="", kind=CHANGED, at=now_s))


def revoke(engine: Engine, tenant: str | None, key_id: str, now_s: float, *, bootstrap: bool) -> None:
    """End a key; one that has ended already stays as it is.

    Args:
        engine: Of the registry.
        tenant: Whose key it must be; None takes any.
        key_id: Its id.
        now_s: Seconds since the epoch.
        bootstrap: As in `add`.

    Raises:
        NotFound: There is no such key.
        Conflict: It is the last one with which keys can be managed.
    """
    with writing(engine) as connection:
        key = _get(connection, tenant, key_id)
        if key.revoked_at is not None:
            return
        if not bootstrap and _is_operators(key) and not _others(connection, key):
            raise Conflict(
                f"{key_id} is the last {ADMIN} key of tenant {OPERATOR!r}: without it nobody could manage keys. "
                f"Make another one first (graft keys create --scopes {ADMIN}), or start with GRAFT_BOOTSTRAP_KEY."
            )
        connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=now_s))
        _announce(connection, key.tenant, now_s)


def _get(connection: Connection, tenant: str | None, key_id: str) -> Key:
    query = select(keys).where(keys.c.id == key_id)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no key {key_id[:12]!r}; GET /v1/keys lists those there are.")
    return _key(row)


def _others(connection: Connection, key: Key) -> bool:
    """Whether another key could manage keys."""
    query = select(keys).where(keys.c.tenant == OPERATOR, keys.c.revoked_at.is_(None), keys.c.id != key.id)
    return any(_is_operators(_key(row)) for row in connection.execute(query))


def page(engine: Engine, tenant: str | None, *, limit: int, after: str | None) -> Page[Key]:
    """Keys, newest first, revoked ones too; `tenant` None for everybody's."""
    query = select(keys).order_by(keys.c.id.desc()).limit(limit + 1)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    if after is not None:
        query = query.where(keys.c.id < after)
    with engine.begin() as connection:
        return page_of([_key(row) for row in connection.execute(query)], limit)


def everyone(engine: Engine) -> list[Key]:
    """Every key there ever was."""
    with engine.begin() as connection:
        return [_key(row) for row in connection.execute(select(keys))]


def exist(engine: Engine) -> bool:
    """Whether there ever was a key; also before the table is there."""
    if not inspect(engine).has_table(keys.name):
        return False
    with engine.begin() as connection:
        return connection.execute(select(keys.c.id).limit(1)).one_or_none() is not None
