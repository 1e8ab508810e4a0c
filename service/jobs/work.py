"""One job from claim to end, whatever its kind: `run` in the child, then `keep` in the registry.

What a kind of job adds is what the child is told, and what becomes of the child's answer: see `Kind`.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy import Engine

from models.errors import InputError, InternalError
from service.errors import JobStalled, problem
from service.jobs.fitter import ChildDied, Exceeded, Failed, Fitter, Stopped
from service.registry import jobs

MAX_ATTEMPTS = 3
"""Times that a job may take its process down before it is given up."""

REPORT_EVERY_S = 0.1

_logger = logging.getLogger(__name__)


class Kind(Protocol):
    """What is done for the jobs of one kind."""

    given_up: str
    """What to do when a job took its process down again and again, or stood still: a sentence."""

    patience_s: float
    """Longest that a job may go without progress before it is ended."""

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """What the child is told.

        Raises:
            InputError: The job cannot be done; what it needs is gone.
        """
        ...

    def keep(self, job: jobs.Job, outcome: dict[str, Any], now_s: float) -> bool:
        """Note what came of it, and end the job, in one transaction. Runs again harmlessly.

        Returns:
            False when the job has ended before, or was asked to stop.
        """
        ...


class Work:
    """Runs jobs, one at a time."""

    def __init__(self, engine: Engine, fitter: Fitter, kinds: Mapping[str, Kind], clock: Callable[[], float]) -> None:
        self._engine = engine
        self._fitter = fitter
        self._kinds = kinds
        self._clock = clock
        self.stopping = False
        self.job: str | None = None

    def run(self, job_id: str) -> dict[str, Any] | None:
        """The first step: the work itself, in the child.

        Returns:
            The outcome, or None when the job has ended without one.
        """
        self.job, died = job_id, ""
        try:
            while True:
                job = jobs.get(self._engine, None, job_id)
                if job.attempts >= MAX_ATTEMPTS:
                    self._give_up(job, died)
                    return None
                if job.cancel_at is not None:
                    jobs.end_cancelled(self._engine, job_id, self._clock())
                    return None
                if not jobs.begin(self._engine, job_id, self._clock()):
                    return None
                _logger.info("a job begins", extra=_context(job))
                try:
                    return self._attempt(job)
                except ChildDied as error:
                    self._end_here_if_stopping()
                    died = str(error)
                    _logger.warning("a job's process died", extra=_context(job) | {"reason": str(error)})
        finally:
            self.job = None

    def keep(self, job_id: str, outcome: dict[str, Any]) -> None:
        """The second step: make the outcome visible. Runs again harmlessly."""
        job = jobs.get(self._engine, None, job_id)
        if self._kinds[job.kind].keep(job, outcome, self._clock()):
            _logger.info("a job is done", extra=_context(job))
        else:
            jobs.end_cancelled(self._engine, job_id, self._clock())

    def _attempt(self, job: jobs.Job) -> dict[str, Any] | None:
        kind = self._kinds[job.kind]
        try:
            outcome = self._fitter.run(
                kind.command(job), self._reporter(job.id), lambda: self._why_stop(job.id), kind.patience_s
            )
        except Stopped:
            self._end_here_if_stopping()
            jobs.end_cancelled(self._engine, job.id, self._clock())
            return None
        except Exceeded as error:
            stalled = JobStalled(f"The job was ended, as {error}, which is the limit. {kind.given_up}")
            self._fail(job, problem(stalled, ""))
            return None
        except Failed as error:
            self._fail(job, error.problem)
            return None
        except InputError as error:
            self._fail(job, problem(error, ""))
            return None
        if outcome.get("torch"):  # an export leaves torch in memory, which no fit needs
            self._fitter.kill()
            self._fitter.warm()
        return outcome

    def _fail(self, job: jobs.Job, body: dict[str, Any]) -> None:
        """End a job that cannot be done; its message may quote the data, so the log has the code alone."""
        jobs.fail(self._engine, job.id, body, self._clock())
        _logger.info("a job failed", extra=_context(job) | {"code": body["code"]})

    def _end_here_if_stopping(self) -> None:
        """Wait for the end of the process: returning or raising would checkpoint a step that was cut off."""
        while self.stopping:
            time.sleep(1)

    def _reporter(self, job_id: str) -> Callable[[str, float], None]:
        """Note progress, at most every `REPORT_EVERY_S` within one stage: each note is a durable write."""
        last_stage, last_s = "", 0.0

        def report(stage: str, progress: float) -> None:
            nonlocal last_stage, last_s
            now_s = self._clock()
            if stage != last_stage or now_s - last_s >= REPORT_EVERY_S:
                last_stage, last_s = stage, now_s
                jobs.report(self._engine, job_id, stage, round(progress, 3))

        return report

    def _why_stop(self, job_id: str) -> str | None:
        if self.stopping:
            return "the worker stops"
        return "cancelled" if jobs.get(self._engine, None, job_id).cancel_at is not None else None

    def _give_up(self, job: jobs.Job, died: str) -> None:
        error = InternalError(f"job {job.id} took its process down {job.attempts} times")
        _logger.error("a job is given up", extra=_context(job) | {"attempts": job.attempts})
        body = problem(error, "") | {
            "detail": f"The job ended its process {job.attempts} times, by its memory or a crash, and was given up"
            f"{f' ({died})' if died else ''}. {self._kinds[job.kind].given_up}"
        }
        jobs.fail(self._engine, job.id, body, self._clock())


def _context(job: jobs.Job) -> dict[str, Any]:
    return {"job": job.id, "tenant": job.tenant, "kind": job.kind, "adapter": job.adapter}
