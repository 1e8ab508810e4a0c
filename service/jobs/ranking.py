"""Jobs of kind ``rank``: backbones are compared on a dataset in the child; the job itself holds the table."""

import math
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from service.database.engine import writing
from service.jobs.adapting import facts_of
from service.jobs.hosting import Hosts
from service.jobs.rank import RankOrder
from service.registry import datasets, jobs


class Rankings:
    """Ranks backbones for a dataset."""

    given_up = "Name fewer or smaller backbones, or give the worker more memory (GRAFT_FIT_MEMORY_BYTES)."
    patience_s = math.inf

    def __init__(self, engine: Engine, hosts: Hosts, max_seconds: float) -> None:
        self._engine = engine
        self._hosts = hosts
        self._max_seconds = max_seconds

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """What is to be ranked.

        Raises:
            NotFound: The dataset is gone.
            NotReady: None of the backbones is hosted any more.
        """
        dataset = datasets.get(self._engine, job.tenant, job.request["dataset"])
        order = RankOrder(
            job=job.id,
            dataset=dataset.id,
            blob=dataset.blob,
            facts=facts_of(dataset),
            tenant=job.tenant,
            candidates=self._hosts.candidates(job.tenant, job.request["candidates"]),
            seed=job.request["seed"],
            max_seconds=self._max_seconds,
        )
        return {"do": "rank", "order": asdict(order)}

    def keep(self, job: jobs.Job, outcome: dict[str, Any], now_s: float) -> bool:
        """The table is the job's result."""
        with writing(self._engine) as connection:
            return jobs.succeed(connection, job.id, outcome, now_s)
