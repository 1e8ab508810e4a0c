"""Adapters, their versions and aliases. How a version comes to be is in ``publishing.py``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, String, cast, delete, func, insert, select, update

from adapters.manifest import Manifest
from service.database.engine import writing
from service.database.tables import adapters, aliases, events, versions
from service.errors import Conflict, NotFound, PreconditionFailed
from service.registry.jobs import unfinished_of
from service.registry.paging import Page, page_of
from service.store.blobs import Blobs

LIVE, LATEST = "live", "latest"


@dataclass(frozen=True)
class Version:
    """A published version.

    Attributes:
        manifest: What serving needs to know of it.
        metrics: The figures of its report that lists show.
        promoted: ``{"live": bool, "reason": sentence}``: whether `live` moved to it when it was published.
        created_at: Seconds since the epoch.
    """

    manifest: Manifest
    metrics: dict[str, Any]
    promoted: dict[str, Any]
    created_at: float


@dataclass(frozen=True)
class Alias:
    """A movable name of a version; `revision` grows by one at each switch."""

    name: str
    version: int
    revision: int

    @property
    def etag(self) -> str:
        """Changes whenever the alias is switched, even back to where it was."""
        return f'"{self.name}.{self.revision}"'


@dataclass(frozen=True)
class Adapter:
    """An adapter with all its versions (oldest first) and aliases."""

    tenant: str
    name: str
    versions: dict[int, Version]
    aliases: dict[str, Alias]
    created_at: float
    updated_at: float


def version_of(row: Row[Any]) -> Version:
    """A version from its row."""
    return Version(Manifest.from_dict(row.manifest), row.metrics, row.promoted, row.created_at)


def manifest_path(home: Path, tenant: str, name: str, number: int) -> Path:
    """Where a version's manifest lies."""
    return home / "adapters" / tenant / name / str(number) / "manifest.json"


def switch(connection: Connection, tenant: str, name: str, alias: str, number: int) -> Alias:
    """Point an alias to a version, inside the caller's transaction."""
    where = (aliases.c.tenant == tenant, aliases.c.name == name, aliases.c.alias == alias)
    revision = connection.execute(select(aliases.c.revision).where(*where)).scalar_one_or_none()
    if revision is None:
        row = {"tenant": tenant, "name": name, "alias": alias, "version": number, "revision": 1}
        connection.execute(insert(aliases).values(row))
        return Alias(alias, number, 1)
    connection.execute(update(aliases).where(*where).values(version=number, revision=revision + 1))
    return Alias(alias, number, revision + 1)


def announce(connection: Connection, tenant: str, name: str, kind: str, now_s: float) -> None:
    """Tell those who follow the events, inside the caller's transaction."""
    connection.execute(insert(events).values(tenant=tenant, adapter=name, kind=kind, at=now_s))


def get(engine: Engine, tenant: str, name: str) -> Adapter:
    """One adapter with its versions and aliases.

    Raises:
        NotFound: There is none of that name, or it is another tenant's.
    """
    with engine.begin() as connection:
        return _get(connection, tenant, name)


def _get(connection: Connection, tenant: str, name: str) -> Adapter:
    query = select(adapters).where(adapters.c.tenant == tenant, adapters.c.name == name)
    row = connection.execute(query).one_or_none()
    adapter = _load(connection, row) if row is not None else None
    if adapter is None or not adapter.versions:
        raise NotFound(f"There is no adapter {name!r}; GET /v1/adapters lists those there are.")
    return adapter


def _load(connection: Connection, row: Row[Any]) -> Adapter:
    found = connection.execute(
        select(versions).where(versions.c.tenant == row.tenant, versions.c.name == row.name).order_by(versions.c.number)
    )
    names = connection.execute(
        select(aliases).where(aliases.c.tenant == row.tenant, aliases.c.name == row.name).order_by(aliases.c.alias)
    )
    return Adapter(
        tenant=row.tenant,
        name=row.name,
        versions={item.number: version_of(item) for item in found},
        aliases={item.alias: Alias(item.alias, item.version, item.revision) for item in names},
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def page(engine: Engine, tenant: str, *, limit: int, after: str | None) -> Page[Adapter]:
    """Adapters of a tenant by name."""
    has_versions = (
        select(versions.c.number)
        .where(versions.c.tenant == adapters.c.tenant, versions.c.name == adapters.c.name)
        .exists()
    )
    query = select(adapters).where(adapters.c.tenant == tenant, has_versions).order_by(adapters.c.name).limit(limit + 1)
    if after is not None:
        query = query.where(adapters.c.name > after)
    with engine.begin() as connection:
        rows = connection.execute(query).all()
        return page_of([_load(connection, row) for row in rows], limit)


def get_version(adapter: Adapter, number: int) -> Version:
    """One version of an adapter.

    Raises:
        NotFound: It has no version of that number.
    """
    if number not in adapter.versions:
        there = ", ".join(map(str, adapter.versions))
        raise NotFound(f"Adapter {adapter.name!r} has no version {number}; it has {there}.")
    return adapter.versions[number]


def set_alias(
    engine: Engine, tenant: str, name: str, alias: str, number: int, *, if_match: str | None, now_s: float
) -> Alias:
    """Switch an alias to a version, or make it; atomic.

    Raises:
        NotFound: There is no such adapter or version.
        Conflict: The alias is `latest`, which follows by itself.
        PreconditionFailed: `if_match` is not the alias's ETag.
    """
    if alias == LATEST:
        raise Conflict("The alias 'latest' always names the newest version and cannot be set; set 'live' or your own.")
    with writing(engine) as connection:
        adapter = _get(connection, tenant, name)
        get_version(adapter, number)
        now = adapter.aliases.get(alias)
        if if_match is not None and (now is None or if_match not in ("*", now.etag)):
            seen = "does not exist" if now is None else f"is at {now.etag} (version {now.version})"
            raise PreconditionFailed(f"If-Match is {if_match}, and alias {alias!r} {seen}; read it and decide again.")
        switched = switch(connection, tenant, name, alias, number)
        connection.execute(
            update(adapters).where(adapters.c.tenant == tenant, adapters.c.name == name).values(updated_at=now_s)
        )
        announce(connection, tenant, name, "alias", now_s)
        return switched


def remove_version(engine: Engine, home: Path, blobs: Blobs, tenant: str, name: str, number: int, now_s: float) -> None:
    """Delete a version, its manifest and its files. The last version takes the adapter with it.

    Raises:
        NotFound: There is no such adapter or version.
        Conflict: An alias other than `latest` points to it, and there is another version to point to; or another
            version was made of it, or is being made.
    """
    with writing(engine) as connection:
        adapter = _get(connection, tenant, name)
        version = get_version(adapter, number)
        others = [n for n in adapter.versions if n != number]
        _refuse_if_held(adapter, number, others)
        _refuse_if_parent(connection, tenant, f"{name}:{number}")
        if others and adapter.aliases[LATEST].version == number:
            switch(connection, tenant, name, LATEST, max(others))
        mine = (aliases.c.tenant == tenant, aliases.c.name == name)
        connection.execute(delete(aliases).where(*mine, aliases.c.version == number))
        connection.execute(
            delete(versions).where(versions.c.tenant == tenant, versions.c.name == name, versions.c.number == number)
        )
        announce(connection, tenant, name, "deleted", now_s)
        orphaned = [file.sha256 for file in version.manifest.files.values() if not _in_use(connection, file.sha256)]
        manifest_path(home, tenant, name, number).unlink(missing_ok=True)
        for digest in orphaned:
            blobs.delete(digest)


def _refuse_if_held(adapter: Adapter, number: int, others: list[int]) -> None:
    held = [a.name for a in adapter.aliases.values() if a.version == number and a.name != LATEST]
    if others and held:
        raise Conflict(
            f"Version {adapter.name}:{number} is what alias {', '.join(held)} points to; PUT another version "
            f"to /v1/adapters/{adapter.name}/aliases/{held[0]} first (there are {', '.join(map(str, others))})."
        )


def _refuse_if_parent(connection: Connection, tenant: str, reference: str) -> None:
    """A version that others were made of stays: without it nobody could say, or fit again, what they are."""
    mentions = cast(versions.c.manifest, String).contains(f'"{reference}"')
    query = select(versions).where(versions.c.tenant == tenant, mentions).order_by(versions.c.name, versions.c.number)
    manifests = [version_of(row).manifest for row in connection.execute(query)]
    holders = [f"{held.name}:{held.number}" for held in manifests if reference in held.parents]
    if holders:
        were = "was" if len(holders) == 1 else f"and {len(holders) - 1} more were"
        raise Conflict(
            f"Version {reference} cannot be deleted, as {holders[0]} {were} made of it; delete what was made of it "
            "first, or point the alias elsewhere and keep it."
        )
    for job, request in unfinished_of(connection, tenant):
        if reference in _started_from(request):
            raise Conflict(
                f"Version {reference} cannot be deleted, as {job} makes another of it and has not ended; wait for it, "
                f"or POST /v1/jobs/{job}/cancel first."
            )


def _started_from(request: Mapping[str, Any]) -> list[str]:
    """The versions that a job starts from, or averages."""
    return [*request.get("parents", ()), *(member["ref"] for member in request.get("members", ()))]


def _in_use(connection: Connection, digest: str) -> bool:
    """Whether a manifest names the blob."""
    query = select(func.count()).select_from(versions).where(cast(versions.c.manifest, String).contains(digest))
    return bool(connection.execute(query).scalar_one())
