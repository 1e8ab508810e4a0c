"""Jobs of kind ``host``: a source becomes a backbone in the child, then a row of the registry says that it is there.

`Hosts` answers what a name means for a tenant when a job begins: a fit and a ranking work with digests alone.
"""

import logging
import shutil
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from models.catalog import Entry, catalog
from models.durable import remove_abandoned
from models.hosted import hosted
from service.errors import NotReady
from service.registry import backbones, jobs
from service.registry.backbones import card_of

_logger = logging.getLogger(__name__)


class Hosting:
    """Hosts what a tenant asked for: somebody's graph is run here for the first time, and may never end."""

    given_up = (
        "Host a smaller backbone, or a smaller input size or fewer taps of it, or give the worker more memory "
        "(GRAFT_FIT_MEMORY_BYTES) or time (GRAFT_MAX_HOST_STEP_S)."
    )

    def __init__(self, engine: Engine, patience_s: float) -> None:
        self._engine = engine
        self.patience_s = patience_s

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """What is to be hosted; its name here is the tenant's own, so that nothing points to it by name."""
        return {"do": "host", "entry": job.request["entry"], "pointer": False}

    def keep(self, job: jobs.Job, outcome: dict[str, Any], now_s: float) -> bool:
        """The tenant has it from here on."""
        return backbones.publish(self._engine, job, card_of(outcome["card"]), now_s)


class Hosts:
    """What names of backbones mean now."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder

    def digest(self, tenant: str, name: str) -> str:
        """Digest of the backbone that a tenant calls by a name: its own one, or the operator's.

        Raises:
            NotReady: It is not hosted (any more, or yet).
        """
        own = backbones.find(self._engine, tenant, name)
        card = own.card if own is not None else hosted(self._folder).get(name)
        if card is None:
            raise NotReady(f"Backbone {name!r} is not hosted yet; see GET /v1/backbones/{name}, then send it again.")
        return card.digest

    def entry(self, tenant: str, name: str, digest: str) -> Entry | None:
        """What the backbone that a tenant calls by a name was made of.

        Returns:
            None where nobody knows: nothing is hosted under that name any more, or something else than the digest.
        """
        own = backbones.find(self._engine, tenant, name)
        card = hosted(self._folder).get(name) if own is None else own.card
        if card is None or card.digest != digest:
            return None
        return catalog().get(name) if own is None else own.entry

    def candidates(self, tenant: str, names: Sequence[str]) -> list[list[str]]:
        """Name and digest of each; one that has been deleted meanwhile is left out.

        Raises:
            NotReady: None of them is hosted.
        """
        found: list[list[str]] = []
        for name in names:
            try:
                found.append([name, self.digest(tenant, name)])
            except NotReady:
                _logger.info("a candidate is gone", extra={"tenant": tenant, "backbone": name})
        if names and not found:
            raise NotReady(f"None of the backbones {', '.join(names)} is hosted any more; see GET /v1/backbones.")
        return found


def sweep_hosted(folder: Path, keep: Container[str], older_than_s: float, now_s: float) -> int:
    """Remove hosted folders that no name, no tenant and no version needs, and what killed processes left half-made.

    Args:
        folder: The folder of hosted backbones.
        keep: Digests that a tenant hosts or a version was fitted on.
        older_than_s: Younger ones stay: a job may be about to point to them.
        now_s: Seconds since the epoch.

    Returns:
        How many hosted ones were removed.
    """
    remove_abandoned(folder)
    pointed = {card.digest for card in hosted(folder).values()}
    removed = 0
    for home in folder.glob("?" * 64):
        old = now_s - home.stat().st_mtime > older_than_s
        if old and home.name not in pointed and home.name not in keep:
            shutil.rmtree(home, ignore_errors=True)
            removed += 1
    return removed
