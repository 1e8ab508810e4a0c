"""Jobs of kind ``adapt``: a fit in the child, then a version in the registry."""

import logging
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from adapters.manifest import FileEntry, Manifest
from service.jobs.fit import Order
from service.jobs.hosting import Hosts
from service.jobs.promotion import Promotion
from service.registry import datasets, jobs, publishing

FACTS = ("modality", "task", "schema", "width")
"""Of a dataset, what the child needs to know to read its items."""


_logger = logging.getLogger(__name__)


class Adapting:
    """Fits adapters and publishes them."""

    given_up = "Send fewer rows or classes, or give the worker more memory (GRAFT_FIT_MEMORY_BYTES)."
    patience_s = math.inf

    def __init__(self, engine: Engine, home: Path, hosts: Hosts) -> None:
        self._engine = engine
        self._home = home
        self._hosts = hosts

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """The order of a fit.

        Raises:
            NotFound: The dataset is gone.
            NotReady: The backbone is not hosted any more.
        """
        request = job.request
        dataset = datasets.get(self._engine, job.tenant, request["dataset"])
        name = request["backbone"]
        order = Order(
            job=job.id,
            dataset=dataset.id,
            dataset_sha256=dataset.sha256,
            blob=dataset.blob,
            facts=facts_of(dataset),
            backbone=name,
            backbone_digest="" if name in ("", "auto") else self._hosts.digest(job.tenant, name),
            tenant=job.tenant,
            candidates=self._hosts.candidates(job.tenant, request.get("candidates", ())),
            long=request.get("long", "truncate"),
            method=request["method"],
            seed=request["seed"],
            max_seconds=request["max_seconds"],
        )
        return {"do": "fit", "order": asdict(order)}

    def keep(self, job: jobs.Job, outcome: dict[str, Any], now_s: float) -> bool:
        """Give the version a number and make it visible."""
        number = publishing.publish(self._engine, self._home, _draft(job, outcome), now_s)
        if number is None:
            return False
        context = {"job": job.id, "tenant": job.tenant, "adapter": job.adapter, "version": number}
        _logger.info("published", extra=context)
        return True


def facts_of(dataset: datasets.Dataset) -> dict[str, Any]:
    """What the child needs to know of a dataset."""
    return {name: dataset.facts[name] for name in FACTS if name in dataset.facts}


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
