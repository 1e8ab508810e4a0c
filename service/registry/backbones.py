"""What tenants host beside the operator's backbones: who asked for which source, and what came of it.

A row says what was asked for and which job hosts it. Where that stands follows from the row and its job together, so
that whatever ends the job (a cancel, a crash, a full disk) ends the hosting:

    card             ready
    job unfinished   preparing
    job failed       failed; asking again replaces the row
    job cancelled    as if it had never been asked for
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from models.base import Card
from models.catalog import Entry
from models.hosted import named
from service.database.engine import writing
from service.database.tables import backbones, events, jobs, versions
from service.errors import Conflict, NotFound
from service.registry import jobs as job_registry
from service.registry import requests
from service.registry.jobs import CANCELLED, FAILED, UNFINISHED, Job, unfinished_of

CHANGED = "backbone"
"""Kind of the events that say that a backbone has been hosted or deleted."""

READY, PREPARING = "ready", "preparing"


@dataclass(frozen=True)
class Own:
    """A backbone of a tenant.

    Attributes:
        tenant: Whose it is.
        entry: What was asked for; its `id` is the backbone's.
        blobs: Digests of what was uploaded for it.
        job: The job that hosts it.
        card: What is known once it is hosted, under the names that this tenant gave.
        created_at: Seconds since the epoch.
        state: ``ready``, ``preparing`` or ``failed``.
        error: Problem object when it failed.
    """

    tenant: str
    entry: Entry
    blobs: tuple[str, ...]
    job: str
    card: Card | None
    created_at: float
    state: str = PREPARING
    error: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """Its name."""
        return self.entry.id


_QUERY = (
    select(backbones, jobs.c.state.label("job_state"), jobs.c.error.label("job_error"))
    .join(jobs, jobs.c.id == backbones.c.job)
    .where(jobs.c.state != CANCELLED)
    .order_by(backbones.c.created_at, backbones.c.id)
)

_SEVERAL = select(versions.c.name, versions.c.number, versions.c.manifest["backbones"].label("backbones")).where(
    func.json_array_length(versions.c.manifest["backbones"]) > 0
)
"""Versions over several backbones; manifests of before there were any have no such field, which is no length."""


def card_of(fields: Mapping[str, Any]) -> Card:
    """A card from its JSON."""
    return Card(**{**fields, "taps": {tap: tuple(shape) for tap, shape in fields["taps"].items()}})


def _own(row: Row[Any]) -> Own:
    failed = row.card is None and row.job_state not in UNFINISHED
    return Own(
        tenant=row.tenant,
        entry=Entry.from_dict(row.entry),
        blobs=tuple(row.blobs),
        job=row.job,
        card=card_of(row.card) if row.card else None,
        created_at=row.created_at,
        state=READY if row.card else FAILED if failed else PREPARING,
        error=row.job_error if failed else None,
    )


def everyones(engine: Engine) -> list[Own]:
    """Backbones of all tenants, the oldest first."""
    with engine.begin() as connection:
        return [_own(row) for row in connection.execute(_QUERY)]


def find(engine: Engine, tenant: str, id_: str) -> Own | None:
    """One backbone of a tenant; None where it has none of that name."""
    with engine.begin() as connection:
        return _find(connection, tenant, id_)


def _find(connection: Connection, tenant: str, id_: str) -> Own | None:
    row = connection.execute(_QUERY.where(*_where(tenant, id_))).one_or_none()
    return None if row is None else _own(row)


def _where(tenant: str, id_: str) -> tuple[Any, Any]:
    return backbones.c.tenant == tenant, backbones.c.id == id_


def add(engine: Engine, own: Own, job: Job, key: requests.Key | None, max_queued: int) -> None:
    """Store what was asked for together with its job, in place of what failed or was cancelled under that name.

    Raises:
        Conflict: The name is taken, or the same request is under way.
        Busy: Too many jobs wait already.
    """
    with writing(engine) as connection:
        if key is not None:  # first: the same request twice at once is no other one that takes the name
            requests.remember(connection, key, job.id)
        _refuse_if_taken(_find(connection, own.tenant, own.id))
        job_registry.add_in(connection, job, key, max_queued)
        connection.execute(delete(backbones).where(*_where(own.tenant, own.id)))
        connection.execute(
            insert(backbones).values(
                tenant=own.tenant,
                id=own.id,
                entry=own.entry.to_dict(),
                blobs=list(own.blobs),
                job=own.job,
                card=None,
                created_at=own.created_at,
            )
        )


def _refuse_if_taken(there: Own | None) -> None:
    if there is None or there.state == FAILED:
        return
    if there.state == PREPARING:
        raise Conflict(
            f"Backbone {there.id!r} is being hosted by {there.job}; wait for it, or POST /v1/jobs/{there.job}/cancel."
        )
    raise Conflict(
        f"There is a backbone {there.id!r} already; choose another id, or DELETE /v1/backbones/{there.id} first."
    )


def publish(engine: Engine, job: Job, card: Card, now_s: float) -> bool:
    """Note that a job has hosted its backbone, and end the job, once.

    Returns:
        False when the job has ended before (it may have been cancelled); nothing is changed then.
    """
    with writing(engine) as connection:
        own = _find(connection, job.tenant, job.request["backbone"])
        if own is None:
            return False
        result = {"backbone": own.id, "digest": card.digest, "modality": card.modality, "taps": asdict(card)["taps"]}
        if not job_registry.succeed(connection, job.id, result, now_s):
            return False
        connection.execute(
            update(backbones).where(*_where(job.tenant, own.id)).values(card=asdict(named(card, own.entry)))
        )
        _announce(connection, job.tenant, own.id, now_s)
        return True


def remove(engine: Engine, tenant: str, id_: str, now_s: float) -> None:
    """Delete a backbone.

    Raises:
        NotFound: The tenant has none of that name.
        Conflict: It is still being hosted, or a version or an unfinished job needs it.
    """
    with writing(engine) as connection:
        own = _find(connection, tenant, id_)
        if own is None:
            raise NotFound(f"There is no backbone {id_!r} of yours; GET /v1/backbones lists those there are.")
        if own.state == PREPARING:
            raise Conflict(f"Backbone {id_!r} is being hosted by {own.job}; POST /v1/jobs/{own.job}/cancel first.")
        _refuse_if_fitted(connection, own)
        _refuse_if_asked(connection, own)
        connection.execute(delete(backbones).where(*_where(tenant, id_)))
        requests.forget_resource(connection, own.job)
        _announce(connection, tenant, id_, now_s)


def _refuse_if_fitted(connection: Connection, own: Own) -> None:
    digest = own.card.digest if own.card else ""
    on_it_alone = connection.execute(
        select(versions.c.name, versions.c.number)
        .where(
            versions.c.tenant == own.tenant,
            versions.c.manifest["backbone"].as_string() == own.id,
            versions.c.manifest["backbone_digest"].as_string() == digest,
        )
        .limit(4)
    ).all()
    averaging = connection.execute(_SEVERAL.where(versions.c.tenant == own.tenant))
    among = [row for row in averaging if any(_is_of(one, own.id, digest) for one in row.backbones)]
    users = list(dict.fromkeys((row.name, row.number) for row in (*on_it_alone, *among)))
    if users:
        listed = ", ".join(f"{name}:{number}" for name, number in users[:3]) + (" and more" if len(users) > 3 else "")
        name, number = users[0]
        raise Conflict(
            f"Backbone {own.id!r} is what {listed} is fitted on and needs to answer; delete those versions first "
            f"(DELETE /v1/adapters/{name}/versions/{number})."
        )


def _is_of(one: Mapping[str, Any], id_: str, digest: str) -> bool:
    return bool(one["backbone"] == id_ and one["backbone_digest"] == digest)


def _refuse_if_asked(connection: Connection, own: Own) -> None:
    for job_id, request in unfinished_of(connection, own.tenant):
        if own.id == request.get("backbone") or own.id in request.get("candidates", ()):
            raise Conflict(
                f"Backbone {own.id!r} is in use by {job_id}, which has not ended; wait for it, or "
                f"POST /v1/jobs/{job_id}/cancel first."
            )


def digests(engine: Engine) -> set[str]:
    """Digests of the backbones that a tenant hosts or a version was fitted on."""
    with engine.begin() as connection:
        cards = connection.execute(select(backbones.c.card)).scalars()
        fitted = connection.execute(select(versions.c.manifest["backbone_digest"].as_string()).distinct()).scalars()
        averaged = {one["backbone_digest"] for row in connection.execute(_SEVERAL) for one in row.backbones}
        return {card["digest"] for card in cards if card} | {digest for digest in fitted if digest} | averaged


def _announce(connection: Connection, tenant: str, id_: str, now_s: float) -> None:
    connection.execute(insert(events).values(tenant=tenant, adapter=id_, kind=CHANGED, at=now_s))
