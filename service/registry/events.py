"""The append-only list of what changed, which serving processes follow.

Numbers are given in order but may become visible out of order where several writers commit at once, so a reader looks
again at a trailing window.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from service.database.tables import events

WINDOW = 100


@dataclass(frozen=True)
class Event:
    """Something changed about an adapter."""

    seq: int
    tenant: str
    adapter: str
    kind: str


def newest(engine: Engine) -> int:
    """Number of the newest event, 0 where there is none."""
    with engine.begin() as connection:
        return int(connection.execute(select(func.coalesce(func.max(events.c.seq), 0))).scalar_one())


def since(engine: Engine, seq: int) -> list[Event]:
    """Events after `seq`, and the window before it; the reader drops those it has seen."""
    query = (
        select(events.c.seq, events.c.tenant, events.c.adapter, events.c.kind)
        .where(events.c.seq > seq - WINDOW)
        .order_by(events.c.seq)
    )
    with engine.begin() as connection:
        return [Event(*row) for row in connection.execute(query)]
