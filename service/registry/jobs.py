"""Jobs in the registry: what was asked, how far it is, how it ended.

    queued -> running -> succeeded | failed | cancelled
    queued -> cancelled

Every change of state is one conditional UPDATE, so that a job ends once, whoever tries.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

from sqlalchemy import Connection, Engine, Row, case, func, insert, select, update

from service.database.engine import writing
from service.database.tables import jobs
from service.errors import Busy, Conflict, NotFound
from service.registry import requests
from service.registry.paging import Page, page_of

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = STATES = ("queued", "running", "succeeded", "failed", "cancelled")
UNFINISHED = (QUEUED, RUNNING)


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes:
        id: ``job_...``.
        tenant: Who asked.
        kind: ``adapt``, ``refit``, ``host``, ``rank``, or ``version`` of one that was made without a fit.
        adapter: Name of the adapter that it makes a version of; empty where it makes none.
        request: What was asked, validated.
        state: One of `STATES`.
        stage: What it is doing, or did last.
        progress: 0 to 1.
        attempts: How often a worker has begun it.
        version: Number that it published.
        error: Problem object when it failed.
        seconds: Seconds a stage.
        cancel_at: When somebody asked to stop it.
        created_at, started_at, finished_at: Seconds since the epoch.
        result: What it found, where that is no version.
    """

    id: str
    tenant: str
    kind: str
    adapter: str
    request: dict[str, Any]
    state: str
    stage: str
    progress: float
    attempts: int
    version: int | None
    error: dict[str, Any] | None
    seconds: dict[str, float]
    cancel_at: float | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    result: dict[str, Any] | None = None

    @classmethod
    def new(cls, id_: str, tenant: str, kind: str, request: dict[str, Any], now_s: float, adapter: str = "") -> Self:
        """A job that waits."""
        return cls(
            id=id_,
            tenant=tenant,
            kind=kind,
            adapter=adapter,
            request=request,
            state=QUEUED,
            stage="waiting",
            progress=0.0,
            attempts=0,
            version=None,
            error=None,
            seconds={},
            cancel_at=None,
            created_at=now_s,
            started_at=None,
            finished_at=None,
        )

    @property
    def finished(self) -> bool:
        """It will not change any more."""
        return self.state not in UNFINISHED


_COLUMNS = [jobs.c[field.name] for field in fields(Job)]


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)


def unfinished_of(connection: Connection, tenant: str) -> list[tuple[str, dict[str, Any]]]:
    """Jobs of a tenant that have not ended: id and request of each."""
    query = select(jobs.c.id, jobs.c.request).where(jobs.c.tenant == tenant, jobs.c.state.in_(UNFINISHED))
    return [(row.id, row.request) for row in connection.execute(query)]


def refuse_if_asked(connection: Connection, tenant: str, field: str, resource: str, words: str) -> None:
    """Refuse to delete what a job that has not ended needs.

    Args:
        connection: Of the transaction that deletes.
        tenant: Whose it is.
        field: Of requests, where jobs name it.
        resource: Its id.
        words: What it is called, with its verb: ``Dataset ds_1 is``.

    Raises:
        Conflict: There is such a job.
    """
    for job, request in unfinished_of(connection, tenant):
        if request.get(field) == resource:
            raise Conflict(
                f"{words} in use by {job}, which has not ended; wait for it, or POST /v1/jobs/{job}/cancel first."
            )


def add(engine: Engine, job: Job, key: requests.Key | None, max_queued: int) -> None:
    """Store a new job, with the key of the request that made it.

    Raises:
        Busy: Too many jobs wait already.
    """
    with writing(engine) as connection:
        add_in(connection, job, key, max_queued)


def add_in(connection: Connection, job: Job, key: requests.Key | None, max_queued: int) -> None:
    """The same inside the caller's transaction."""
    waiting = connection.execute(select(func.count()).select_from(jobs).where(jobs.c.state == QUEUED)).scalar_one()
    if waiting >= max_queued:
        raise Busy(f"{waiting} jobs are waiting, the limit is {max_queued}; send it again when some have ended.")
    if key is not None:
        requests.remember(connection, key, job.id)
    connection.execute(insert(jobs).values({column.name: getattr(job, column.name) for column in _COLUMNS}))


def get(engine: Engine, tenant: str | None, job_id: str) -> Job:
    """One job; `tenant` None is for the worker, which serves all of them.

    Raises:
        NotFound: There is none of that id, or it is another tenant's.
    """
    query = select(*_COLUMNS).where(jobs.c.id == job_id)
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)
    with engine.begin() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id!r}; GET /v1/jobs lists those there are.")
    return _job(row)


def page(engine: Engine, tenant: str, *, limit: int, after: str | None, state: str | None) -> Page[Job]:
    """Jobs of a tenant, newest first."""
    query = select(*_COLUMNS).where(jobs.c.tenant == tenant).order_by(jobs.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(jobs.c.id < after)
    if state is not None:
        query = query.where(jobs.c.state == state)
    with engine.begin() as connection:
        return page_of([_job(row) for row in connection.execute(query)], limit)


def counts(engine: Engine) -> list[tuple[str, str, int]]:
    """State, stage and number of all jobs of all tenants; the stage of those that have ended is empty."""
    stage = case((jobs.c.state.in_(UNFINISHED), jobs.c.stage), else_="")
    query = select(jobs.c.state, stage, func.count()).group_by(jobs.c.state, stage)
    with engine.begin() as connection:
        return [(state, at, int(count)) for state, at, count in connection.execute(query)]


def oldest_queued(engine: Engine) -> float | None:
    """When the job that has waited longest was made; None where none waits."""
    query = select(func.min(jobs.c.created_at)).where(jobs.c.state == QUEUED)
    with engine.begin() as connection:
        oldest: float | None = connection.execute(query).scalar_one()
    return oldest


def unfinished(engine: Engine, older_than: float) -> list[str]:
    """Ids of jobs made before a moment that have not ended."""
    query = select(jobs.c.id).where(jobs.c.state.in_(UNFINISHED), jobs.c.created_at < older_than)
    with engine.begin() as connection:
        return list(connection.execute(query).scalars())


def _change(engine: Engine, job_id: str, states: tuple[str, ...], **values: Any) -> bool:
    with writing(engine) as connection:
        done = connection.execute(update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(states)).values(**values))
        return bool(done.rowcount)


def begin(engine: Engine, job_id: str, now_s: float) -> bool:
    """Count an attempt and mark the job running; False when it has ended meanwhile (cancelled while it waited)."""
    return _change(
        engine,
        job_id,
        UNFINISHED,
        state=RUNNING,
        stage="starting",
        progress=0.0,
        attempts=jobs.c.attempts + 1,
        started_at=func.coalesce(jobs.c.started_at, now_s),
    )


def report(engine: Engine, job_id: str, stage: str, progress: float) -> None:
    """Note how far a running job is."""
    _change(engine, job_id, (RUNNING,), stage=stage, progress=progress)


def fail(engine: Engine, job_id: str, error: dict[str, Any], now_s: float) -> bool:
    """End a job that cannot be done."""
    return _change(engine, job_id, UNFINISHED, state=FAILED, error=error, finished_at=now_s)


def succeed(connection: Connection, job_id: str, result: dict[str, Any], now_s: float) -> bool:
    """End a job that is done, inside the caller's transaction; False when it has ended, or is asked to stop."""
    seconds = {"total": round(now_s - started, 3)} if (started := _started(connection, job_id)) else {}
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED), jobs.c.cancel_at.is_(None))
        .values(state=SUCCEEDED, stage="done", progress=1.0, result=result, seconds=seconds, finished_at=now_s)
    )
    return bool(ended.rowcount)


def _started(connection: Connection, job_id: str) -> float | None:
    started_s: float | None = connection.execute(select(jobs.c.started_at).where(jobs.c.id == job_id)).scalar()
    return started_s


def end_cancelled(engine: Engine, job_id: str, now_s: float) -> bool:
    """End a job that somebody asked to stop."""
    return _change(engine, job_id, UNFINISHED, state=CANCELLED, finished_at=now_s)


def ask_cancel(engine: Engine, tenant: str, job_id: str, now_s: float) -> Job:
    """Ask a job to stop: a waiting one ends at once, a running one as soon as the worker has stopped its fit.

    Raises:
        NotFound: There is none of that id.
        Conflict: It has ended already.
    """
    get(engine, tenant, job_id)  # it is this tenant's
    waited = _change(engine, job_id, (QUEUED,), state=CANCELLED, cancel_at=now_s, finished_at=now_s)
    asked = waited or _change(engine, job_id, (RUNNING,), cancel_at=now_s)
    job = get(engine, tenant, job_id)
    if not asked:
        raise Conflict(f"Job {job_id} has ended already ({job.state}); only a queued or running job can be cancelled.")
    return job


def give_back(engine: Engine, job_id: str) -> None:
    """Put a running job back into its queue without counting the attempt: its worker stops in good order."""
    _change(engine, job_id, (RUNNING,), state=QUEUED, stage="waiting", progress=0.0, attempts=jobs.c.attempts - 1)
