"""Signatures in the registry: facts in SQL, the table in a blob.

The id is a digest of what they say, so the same content is the same id: a fit that names one can be made again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, tuple_

from adapters.signature_problems import problems
from adapters.signatures import Signatures
from service.database.engine import writing
from service.database.tables import signatures
from service.errors import NotFound
from service.ids import base32
from service.registry import requests
from service.registry.jobs import refuse_if_asked
from service.registry.paging import Page, page_of
from service.store.blobs import Blobs

_ID_CHARS = 26
SHOWN = 20
"""Most names of classes and attributes in the facts; the blob has all."""


@dataclass(frozen=True)
class Record:
    """Signatures that are kept.

    Attributes:
        id: ``sig_...``, a digest of what they say.
        tenant: Who they belong to.
        name: Given by their owner, or the file's name.
        blob: Digest of the table (`Signatures.to_bytes`).
        facts: See `facts_of`, and what its maker adds.
        created_at: Seconds since the epoch.
    """

    id: str
    tenant: str
    name: str
    blob: str
    facts: dict[str, Any]
    created_at: float


def id_of(content: bytes) -> str:
    """The id of signatures, by what they say."""
    return f"sig_{base32(int.from_bytes(hashlib.sha256(content).digest()), _ID_CHARS)}"


def facts_of(table: Signatures) -> dict[str, Any]:
    """What lists show of signatures.

    Returns:
        `class_count`, `attribute_count`; the first `SHOWN` of `classes`, `attributes` and their `kinds`, both empty for
        embeddings; `groups` (names of attributes by group), `missing` (cells), `range` (least and largest value),
        `space`, `backbone` (empty; whoever embedded texts says which) and `notes` (what is odd).
    """
    known = table.values[~np.isnan(table.values)]
    named = not table.space
    return {
        "class_count": len(table.classes),
        "attribute_count": len(table.attributes),
        "classes": list(table.classes[:SHOWN]),
        "attributes": list(table.attributes[:SHOWN]) if named else [],
        "kinds": list(table.kinds[:SHOWN]) if named else [],
        "groups": {name: [table.attributes[column] for column in columns] for name, columns in table.groups},
        "missing": int(table.values.size - known.size),
        "range": [float(known.min()), float(known.max())] if known.size else None,
        "space": table.space,
        "backbone": "",
        "notes": problems(table),
    }


def keep(
    engine: Engine,
    blobs: Blobs,
    tenant: str,
    table: Signatures,
    *,
    name: str,
    facts_extra: Mapping[str, Any],
    now_s: float,
    key: requests.Key | None = None,
    content: bytes | None = None,
) -> tuple[Record, bool]:
    """Store signatures. Blocks.

    Args:
        engine: Of the registry.
        blobs: Where the table goes.
        tenant: Whose they are.
        table: The signatures.
        name: What to call them.
        facts_extra: Beside `facts_of`; its `notes` are put before those.
        now_s: Seconds since the epoch.
        key: Of the request that asked for them.
        content: What they say, where that is not their bytes: embeddings of the same texts differ in the last digits
            with whatever else was in the batch, and are to be the same signatures.

    Returns:
        The record, and whether it is new: the same content of one tenant is kept once, under its first name.
    """
    data = table.to_bytes()
    facts = facts_of(table)
    notes = [*facts_extra.get("notes", ()), *facts["notes"]]
    blob = blobs.put(data)
    record = Record(
        id_of(data if content is None else content),
        tenant,
        name,
        blob.digest,
        {**facts, **facts_extra, "notes": notes},
        now_s,
    )
    kept, new = add(engine, record, key)
    blobs.put(data)  # a deletion at the same moment may have taken it; from here on it is pointed to
    return kept, new


def add(engine: Engine, record: Record, key: requests.Key | None = None) -> tuple[Record, bool]:
    """Register signatures; those of the same id are returned instead. Says whether they are new."""
    with writing(engine) as connection:
        same = _row(connection, record.tenant, record.id)
        if same is None:
            connection.execute(insert(signatures).values(**vars(record)))
        if key is not None:
            requests.remember(connection, key, record.id)
        return (record, True) if same is None else (_record(same), False)


def find(engine: Engine, tenant: str, signatures_id: str) -> Record | None:
    """Signatures of that id, if the tenant has them."""
    with engine.begin() as connection:
        row = _row(connection, tenant, signatures_id)
    return None if row is None else _record(row)


def get(engine: Engine, tenant: str, signatures_id: str) -> Record:
    """Signatures of that id.

    Raises:
        NotFound: There are none, or they are another tenant's.
    """
    record = find(engine, tenant, signatures_id)
    if record is None:
        raise NotFound(f"There are no signatures {signatures_id[:100]!r}; GET /v1/signatures lists those there are.")
    return record


def load(blobs: Blobs, record: Record) -> Signatures:
    """The table of signatures. Blocks.

    Raises:
        ArtifactCorrupt: Its blob is gone or damaged.
    """
    return Signatures.from_bytes(blobs.get(record.blob))


def page(engine: Engine, tenant: str, *, limit: int, after: str | None) -> Page[Record]:
    """Signatures of a tenant, newest first; none behind an id that is not there."""
    newest_first = signatures.c.created_at.desc(), signatures.c.id.desc()
    query = select(signatures).where(signatures.c.tenant == tenant).order_by(*newest_first).limit(limit + 1)
    with engine.begin() as connection:
        if after is not None:
            last = _row(connection, tenant, after)
            if last is None:
                return Page((), has_more=False)
            query = query.where(tuple_(signatures.c.created_at, signatures.c.id) < (last.created_at, last.id))
        return page_of([_record(row) for row in connection.execute(query)], limit)


def remove(engine: Engine, blobs: Blobs, tenant: str, signatures_id: str) -> None:
    """Delete signatures. Versions made with them stay.

    Raises:
        NotFound: There are none of that id.
        Conflict: A job that has not ended needs them.
    """
    record = get(engine, tenant, signatures_id)
    with writing(engine) as connection:
        refuse_if_asked(connection, tenant, "signatures", record.id, f"The signatures {record.id} are")
        connection.execute(delete(signatures).where(signatures.c.tenant == tenant, signatures.c.id == signatures_id))
        requests.forget_resource(connection, signatures_id, tenant)
        shared = connection.execute(
            select(func.count()).select_from(signatures).where(signatures.c.blob == record.blob)
        ).scalar_one()
        if not shared:
            blobs.delete(record.blob)


def _row(connection: Connection, tenant: str, signatures_id: str) -> Row[Any] | None:
    query = select(signatures).where(signatures.c.tenant == tenant, signatures.c.id == signatures_id)
    return connection.execute(query).one_or_none()


def _record(row: Row[Any]) -> Record:
    return Record(**row._mapping)
