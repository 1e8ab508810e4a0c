"""One job from claim to publish, as the worker sees it: `fit` in the child, then `publish` in the registry."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from adapters.manifest import FileEntry, Manifest
from models.errors import InternalError
from service.errors import NotFound, problem
from service.jobs.fit import Order
from service.jobs.fitter import ChildDied, Failed, Fitter, Stopped
from service.jobs.promotion import Promotion
from service.registry import datasets, jobs, publishing

MAX_ATTEMPTS = 3
"""Times that a job may take its process down before it is given up."""

REPORT_EVERY_S = 0.1

_logger = logging.getLogger(__name__)


class Adapting:
    """Runs jobs of kind ``adapt``."""

    def __init__(self, engine: Engine, home: Path, fitter: Fitter, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._home = home
        self._fitter = fitter
        self._clock = clock
        self.stopping = False
        self.job: str | None = None

    def fit(self, job_id: str) -> dict[str, Any] | None:
        """The first step: fit in the child.

        Returns:
            The outcome, or None when the job has ended without one.
        """
        self.job = job_id
        try:
            while True:
                job = jobs.get(self._engine, None, job_id)
                if job.attempts >= MAX_ATTEMPTS:
                    self._give_up(job)
                    return None
                if job.cancel_at is not None:
                    jobs.end_cancelled(self._engine, job_id, self._clock())
                    return None
                if not jobs.begin(self._engine, job_id, self._clock()):
                    return None
                _logger.info("a fit begins", extra={"job": job_id, "tenant": job.tenant, "adapter": job.adapter})
                try:
                    return self._attempt(job)
                except ChildDied as error:
                    self._end_here_if_stopping()
                    _logger.warning("a fit died", extra={"job": job_id, "tenant": job.tenant, "reason": str(error)})
        finally:
            self.job = None

    def publish(self, job_id: str, outcome: dict[str, Any]) -> None:
        """The second step: give the version a number and make it visible. Runs again harmlessly."""
        job = jobs.get(self._engine, None, job_id)
        draft = _draft(job, outcome)
        number = publishing.publish(self._engine, self._home, draft, self._clock())
        if number is None:
            jobs.end_cancelled(self._engine, job_id, self._clock())
            return
        _logger.info(
            "published", extra={"job": job_id, "tenant": job.tenant, "adapter": job.adapter, "version": number}
        )

    def _attempt(self, job: jobs.Job) -> dict[str, Any] | None:
        try:
            order = self._order(job)
            return self._fitter.run(
                {"do": "fit", "order": asdict(order)}, self._reporter(job.id), lambda: self._why_stop(job.id)
            )
        except Stopped:
            self._end_here_if_stopping()
            jobs.end_cancelled(self._engine, job.id, self._clock())
        except Failed as error:
            self._fail(job, error.problem)
        except NotFound as error:
            self._fail(job, problem(error, ""))
        return None

    def _fail(self, job: jobs.Job, body: dict[str, Any]) -> None:
        """End a job that cannot be done; its message may quote the data, so the log has the code alone."""
        jobs.fail(self._engine, job.id, body, self._clock())
        _logger.info("a fit failed", extra={"job": job.id, "tenant": job.tenant, "code": body["code"]})

    def _order(self, job: jobs.Job) -> Order:
        request = job.request
        dataset = datasets.get(self._engine, job.tenant, request["dataset"])
        return Order(
            job=job.id,
            dataset=dataset.id,
            dataset_sha256=dataset.sha256,
            blob=dataset.blob,
            facts={
                name: dataset.facts[name] for name in ("modality", "task", "schema", "width") if name in dataset.facts
            },
            backbone=request["backbone"],
            long=request.get("long", "truncate"),
            method=request["method"],
            seed=request["seed"],
            max_seconds=request["max_seconds"],
        )

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

    def _give_up(self, job: jobs.Job) -> None:
        error = InternalError(f"job {job.id} took its process down {job.attempts} times")
        _logger.error("a job is given up", extra={"job": job.id, "tenant": job.tenant, "attempts": job.attempts})
        body = problem(error, "") | {
            "detail": f"The fit ended its process {job.attempts} times, by its memory or a crash, and was given up. "
            "Send fewer rows or classes, or give the worker more memory (GRAFT_FIT_MEMORY_BYTES)."
        }
        jobs.fail(self._engine, job.id, body, self._clock())


def _draft(job: jobs.Job, outcome: dict[str, Any]) -> publishing.Draft:
    facts = {
        key: value for key, value in outcome.items() if key not in {"metrics", "seconds", "files", "classes", "columns"}
    }
    started_at = datetime.fromtimestamp(job.started_at or job.created_at, UTC).isoformat(timespec="seconds")

    def manifest(number: int) -> Manifest:
        return Manifest(
            name=job.adapter,
            number=number,
            job=job.id,
            created_at=started_at,
            classes=tuple(outcome["classes"]),
            columns=tuple(outcome["columns"]),
            files={name: FileEntry(**file) for name, file in outcome["files"].items()},
            **facts,
        )

    promotion = Promotion(job.request["promote"], outcome["dataset"], outcome["seed"], outcome["metrics"])
    return publishing.Draft(
        job.tenant, job.adapter, job.id, manifest, outcome["metrics"], outcome["seconds"], promotion.decide
    )
