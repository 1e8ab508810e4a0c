"""Heartbeats: which workers are alive."""

from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, insert, select, update

from service.database.engine import writing
from service.database.tables import workers
from service.processes import exists


@dataclass(frozen=True)
class Worker:
    """A worker process: its id, and where it runs."""

    id: str
    host: str
    pid: int


def arrive(engine: Engine, worker: Worker, now_s: float) -> None:
    """Register a worker."""
    with writing(engine) as connection:
        connection.execute(insert(workers).values(**vars(worker), seen_at=now_s))


def beat(engine: Engine, worker: Worker, now_s: float) -> None:
    """Say that a worker is alive; one that was silent for so long that it was forgotten arrives again."""
    with writing(engine) as connection:
        known = connection.execute(update(workers).where(workers.c.id == worker.id).values(seen_at=now_s)).rowcount
        if not known:
            connection.execute(insert(workers).values(**vars(worker), seen_at=now_s))


def leave(engine: Engine, worker: Worker, now_s: float) -> None:
    """Say that a worker stops; its job may move on at once."""
    with writing(engine) as connection:
        connection.execute(update(workers).where(workers.c.id == worker.id).values(stopped_at=now_s))


def alive(engine: Engine, host: str, now_s: float, timeout_s: float) -> set[str]:
    """Ids of the workers that live: they have been heard of lately, and on this host their process exists."""
    query = select(workers).where(workers.c.stopped_at.is_(None), workers.c.seen_at >= now_s - timeout_s)
    with engine.begin() as connection:
        return {row.id for row in connection.execute(query) if row.host != host or exists(row.pid)}


def heard_of(engine: Engine, host: str) -> float | None:
    """When a worker of a host that has not stopped was last heard of (seconds since the epoch); None without one."""
    query = select(func.max(workers.c.seen_at)).where(workers.c.host == host, workers.c.stopped_at.is_(None))
    with engine.begin() as connection:
        heard_s: float | None = connection.execute(query).scalar()
    return heard_s


def count(engine: Engine, now_s: float, timeout_s: float) -> int:
    """Workers that have been heard of lately and have not stopped."""
    query = select(func.count()).where(workers.c.stopped_at.is_(None), workers.c.seen_at >= now_s - timeout_s)
    with engine.begin() as connection:
        return int(connection.execute(query).scalar_one())


def forget(engine: Engine, before_s: float) -> None:
    """Drop workers that have not been heard of since a moment."""
    with writing(engine) as connection:
        connection.execute(delete(workers).where(workers.c.seen_at < before_s))
