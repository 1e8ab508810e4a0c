"""Jobs of kind ``refit``: a version is fitted again in the child, and the bytes are compared. Nothing is published."""

import math
from typing import Any

from sqlalchemy import Engine

from adapters.manifest import Manifest
from service.database.engine import writing
from service.errors import NotFound, NotReproducible, problem
from service.jobs.adapting import Adapting
from service.registry import datasets, jobs
from service.registry.adapters import get, get_version
from service.registry.refits import request_of

_FREE = {"report.json"}
"""Files that tell the seconds that a fit took."""


class Refitting:
    """Fits versions again."""

    given_up = Adapting.given_up
    patience_s = math.inf

    def __init__(self, engine: Engine, adapting: Adapting) -> None:
        self._engine = engine
        self._adapting = adapting

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """The order that made the version.

        Raises:
            NotFound: The version, its dataset or its parent is gone.
            NotReproducible: It was made before such orders were kept, or of items that are not the same any more.
        """
        manifest = _manifest(self._engine, job)
        request = request_of(manifest)
        if manifest.dataset:
            dataset = datasets.get(self._engine, job.tenant, manifest.dataset)
            if dataset.sha256 != manifest.dataset_sha256:
                raise NotReproducible(f"Dataset {dataset.id} holds other items than {_reference(job)} was fitted to.")
        again = jobs.Job.new(job.id, job.tenant, "adapt", request, job.created_at, adapter=job.adapter)
        return self._adapting.command(again)

    def keep(self, job: jobs.Job, outcome: dict[str, Any], now_s: float) -> bool:
        """Whether the bytes are the same is the job's result."""
        try:
            result = compared(_manifest(self._engine, job), outcome)
        except NotFound as error:  # it has been deleted meanwhile
            jobs.fail(self._engine, job.id, problem(error, ""), now_s)
            return True
        with writing(self._engine) as connection:
            return jobs.succeed(connection, job.id, {"adapter": _reference(job), **result}, now_s)


def compared(manifest: Manifest, outcome: dict[str, Any]) -> dict[str, Any]:
    """Digests of a version's files and of the same files fitted again, and what may explain a difference.

    Returns:
        ``same``; ``files`` by name with ``before`` and ``after``; ``differs_because`` sentences, none where all is the
        same.
    """
    names = sorted((manifest.files.keys() | outcome["files"].keys()) - _FREE)
    files = {
        name: {
            "before": manifest.files[name].sha256 if name in manifest.files else None,
            "after": outcome["files"].get(name, {}).get("sha256"),
        }
        for name in names
    }
    same = all(file["before"] == file["after"] for file in files.values())
    return {"same": same, "files": files, "differs_because": [] if same else _reasons(manifest, outcome)}


def _reasons(manifest: Manifest, outcome: dict[str, Any]) -> list[str]:
    reasons = []
    if manifest.code != outcome["code"]:
        reasons.append("The code that fits is another one than when the version was made.")
    for name, version in outcome["libraries"].items():
        if (before := manifest.libraries.get(name)) != version:
            reasons.append(f"{name} is {version} now and was {before}.")
    if manifest.request["early"]:
        reasons.append("The fit that made the version was ended early by its max_seconds.")
    if manifest.method != outcome["method"]:
        reasons.append("Another method or other parameters were chosen.")
    return reasons or ["Code and libraries are the same; the machine computes otherwise (processor, threads or GPU)."]


def _manifest(engine: Engine, job: jobs.Job) -> Manifest:
    return get_version(get(engine, job.tenant, job.request["adapter"]), job.request["version"]).manifest


def _reference(job: jobs.Job) -> str:
    return f"{job.request['adapter']}:{job.request['version']}"
