"""How a version comes to be: one transaction.

Number given, manifest written create-only and fsynced, row, aliases, event and the job's end committed together. A
version exists when its manifest and its row do; a manifest without a row is what a crash left behind and is never read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from adapters.manifest import Manifest
from service.database.engine import writing
from service.database.tables import adapters, aliases, jobs, versions
from service.errors import ArtifactCorrupt
from service.registry import requests
from service.registry.adapters import LATEST, LIVE, Version, announce, manifest_path, switch, version_of
from service.registry.jobs import SUCCEEDED, UNFINISHED, Job
from service.store.blobs import Blobs, create_only


@dataclass(frozen=True)
class Draft:
    """A fitted adapter that waits to be published.

    Attributes:
        tenant, name, job: Whose, which, and the job that made it.
        manifest: Manifest for a given number.
        metrics: Figures for lists.
        seconds: Seconds a stage, for the job.
        decide: Says whether `live` moves, given the version that is live now: (moves, reason).
        at_once: The job itself, where there was nothing to wait for: it is stored in the same transaction. None where
            it is stored already.
        key: Of the request that made such a job.
    """

    tenant: str
    name: str
    job: str
    manifest: Callable[[int], Manifest]
    metrics: dict[str, Any]
    seconds: dict[str, float]
    decide: Callable[[Version | None], tuple[bool, str]]
    at_once: Job | None = None
    key: requests.Key | None = None


def publish(engine: Engine, home: Path, draft: Draft, now_s: float) -> int | None:
    """Publish a draft, once: a job that has a version already is answered with that version's number.

    Returns:
        The number, or None when the job has been cancelled meanwhile.
    """
    with writing(engine) as connection:
        done = connection.execute(select(versions.c.number).where(versions.c.job == draft.job)).scalar_one_or_none()
        if done is not None:
            return int(done)
        if draft.at_once is not None:
            connection.execute(insert(jobs).values(**vars(draft.at_once)))
        if draft.key is not None:
            requests.remember(connection, draft.key, draft.job)
        if not _end_job(connection, draft, now_s):
            return None
        number, manifest = _write_manifest(connection, home, draft, now_s)
        _check_files(home, manifest)
        live = _live_version(connection, draft)
        moves, reason = draft.decide(live)
        connection.execute(
            insert(versions).values(
                tenant=draft.tenant,
                name=draft.name,
                number=number,
                job=draft.job,
                manifest=manifest.to_dict(),
                metrics=draft.metrics,
                promoted={"live": moves, "reason": reason},
                created_at=now_s,
            )
        )
        connection.execute(update(jobs).where(jobs.c.id == draft.job).values(version=number))
        for alias in (LATEST, LIVE) if moves else (LATEST,):
            switch(connection, draft.tenant, draft.name, alias, number)
        announce(connection, draft.tenant, draft.name, "published", now_s)
        return number


def _check_files(home: Path, manifest: Manifest) -> None:
    """Under the write lock: a deletion of a version with the same content may just have taken a file."""
    blobs = Blobs(home)
    gone = [name for name, file in manifest.files.items() if not blobs.path(file.sha256).exists()]
    if gone:
        raise ArtifactCorrupt(f"{', '.join(gone)} of {manifest.name}:{manifest.number} are not in the store")


def _end_job(connection: Connection, draft: Draft, now_s: float) -> bool:
    """End the job, unless it has ended. A worker that stops may have given it back just after the fit was done."""
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id == draft.job, jobs.c.state.in_(UNFINISHED), jobs.c.cancel_at.is_(None))
        .values(state=SUCCEEDED, stage="published", progress=1.0, seconds=draft.seconds, finished_at=now_s)
    )
    return bool(ended.rowcount)


def _write_manifest(connection: Connection, home: Path, draft: Draft, now_s: float) -> tuple[int, Manifest]:
    """Give the next number and write its manifest; a number that a crashed publish left a manifest for is skipped."""
    where = (adapters.c.tenant == draft.tenant, adapters.c.name == draft.name)
    made = connection.execute(select(adapters.c.versions_made).where(*where)).scalar_one_or_none()
    if made is None:
        made = 0
        row = {"tenant": draft.tenant, "name": draft.name, "versions_made": 0, "created_at": now_s, "updated_at": now_s}
        connection.execute(insert(adapters).values(row))
    while True:
        made += 1
        manifest = draft.manifest(made)
        path = manifest_path(home, draft.tenant, draft.name, made)
        if create_only(path, manifest.to_json(), home / "staging"):
            break
        if path.read_bytes() == manifest.to_json():
            break
    connection.execute(update(adapters).where(*where).values(versions_made=made, updated_at=now_s))
    return made, manifest


def _live_version(connection: Connection, draft: Draft) -> Version | None:
    query = (
        select(versions)
        .join(
            aliases,
            (aliases.c.tenant == versions.c.tenant)
            & (aliases.c.name == versions.c.name)
            & (aliases.c.version == versions.c.number),
        )
        .where(aliases.c.tenant == draft.tenant, aliases.c.name == draft.name, aliases.c.alias == LIVE)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else version_of(row)
