"""Idempotency-Keys: which resource a request made, so that the same request again makes nothing new.

The key is stored in the very transaction that makes the resource. There is no half-done state: either both are there,
or neither is.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select

from service.database.engine import writing
from service.database.tables import requests
from service.errors import BodyInvalid, Conflict, KeyReused

MAX_KEY_CHARS = 255


@dataclass(frozen=True)
class Key:
    """An Idempotency-Key with what was asked under it."""

    tenant: str
    key: str
    fingerprint: str
    now_s: float


def key_of(tenant: str, header: str | None, now_s: float, *asked: str | bytes) -> Key | None:
    """The key of a request, or None where the header is absent.

    Args:
        tenant: Whose key it is.
        header: The header's value.
        now_s: Seconds since the epoch.
        asked: What makes the request this one: route, options, body or its digest.

    Raises:
        BodyInvalid: The key is empty or too long.
    """
    if header is None:
        return None
    if not 0 < len(header) <= MAX_KEY_CHARS:
        raise BodyInvalid(
            f"The Idempotency-Key has {len(header)} characters; it takes 1 to {MAX_KEY_CHARS}. A UUID is a good one."
        )
    digest = hashlib.sha256()
    for part in asked:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8) + data)
    return Key(tenant, header, digest.hexdigest(), now_s)


def recall(engine: Engine, key: Key | None) -> str | None:
    """The resource that the same request made before.

    Raises:
        KeyReused: The key was used with another request.
    """
    if key is None:
        return None
    query = select(requests).where(requests.c.tenant == key.tenant, requests.c.key == key.key)
    with engine.begin() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        raise KeyReused(
            f"The Idempotency-Key {key.key!r} was used before with another request, which made {row.resource}; "
            "send a new key with a new request."
        )
    return str(row.resource)


def remember(connection: Connection, key: Key, resource: str) -> None:
    """Store a key with its resource, inside the transaction that makes the resource.

    Raises:
        Conflict: The same key arrived twice at the same moment; the other one won.
    """
    taken = connection.execute(
        select(requests.c.resource).where(requests.c.tenant == key.tenant, requests.c.key == key.key)
    ).scalar_one_or_none()
    if taken is not None and taken != resource:
        raise Conflict(f"The Idempotency-Key {key.key!r} is in use by a request under way; send it again in a second.")
    if taken is None:
        connection.execute(
            insert(requests).values(
                tenant=key.tenant, key=key.key, fingerprint=key.fingerprint, resource=resource, created_at=key.now_s
            )
        )


def forget_resource(connection: Connection, resource: str, tenant: str | None = None) -> None:
    """Drop the keys of a resource that is deleted, inside that transaction: the same request may make it anew.

    Args:
        connection: Of the transaction.
        resource: Its id.
        tenant: Whose it is, where the same id may be another tenant's as well.
    """
    dropped = delete(requests).where(requests.c.resource == resource)
    connection.execute(dropped if tenant is None else dropped.where(requests.c.tenant == tenant))


def forget(engine: Engine, before_s: float) -> None:
    """Drop keys stored before a moment."""
    with writing(engine) as connection:
        connection.execute(delete(requests).where(requests.c.created_at < before_s))
