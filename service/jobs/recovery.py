"""Jobs that nobody is working on are found and put back into the queue.

A job can be lost in three ways: its worker died (the queue says pending, held by an executor that is not alive), the
HTTP process died between storing and queueing it (the queue does not know it), or its workflow ended by an error of
ours (the queue says so). All three are one comparison of the registry with the queue, done under the registry's write
lock so that two workers never do it at once.
"""

import logging

from sqlalchemy import Engine

from models.errors import InternalError
from service.database.engine import writing
from service.errors import problem
from service.jobs.queue import PENDING, WAITING, Submitter
from service.registry import jobs

GRACE_S = 2.0
"""Age under which a job is left alone: the HTTP process may be about to queue it."""

_logger = logging.getLogger(__name__)


def recover(engine: Engine, queue: Submitter, alive: set[str], now_s: float) -> int:
    """Put lost jobs back; returns how many."""
    waiting = jobs.unfinished(engine, now_s - GRACE_S)
    if not waiting:
        return 0
    with writing(engine):
        known = queue.standings(waiting)
        lost = [job for job in waiting if job not in known]
        held = [job for job, (status, executor) in known.items() if status == PENDING and executor not in alive]
        for job in lost:
            queue.submit(job)
        if held:
            queue.resume(held)
    broken = [job for job, (status, _) in known.items() if status not in WAITING | {PENDING}]
    for job in broken:
        _end(engine, job, known[job][0], now_s)
    if lost or held:
        _logger.warning("jobs put back into the queue", extra={"jobs": [*lost, *held]})
    return len(lost) + len(held)


def _end(engine: Engine, job_id: str, status: str, now_s: float) -> None:
    """End a job whose workflow has ended without ending it."""
    if jobs.get(engine, None, job_id).cancel_at is not None:
        jobs.end_cancelled(engine, job_id, now_s)
    elif jobs.fail(engine, job_id, problem(InternalError(f"workflow ended as {status}"), ""), now_s):
        _logger.error("a workflow ended without ending its job", extra={"job": job_id, "status": status})
