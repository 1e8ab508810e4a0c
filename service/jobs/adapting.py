"""Jobs of kind ``adapt``: a fit in the child, then a version in the registry."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from adapters.manifest import FileEntry, Manifest
from service.jobs.hosting import Hosts
from service.jobs.order import Order
from service.jobs.promotion import Promotion
from service.registry import datasets, jobs, publishing, signatures
from service.registry.adapters import get, get_version
from service.serving.choose import AUTO

FACTS = ("modality", "task", "schema", "width")
"""Of a dataset, what the child needs to know to read its items."""

_NOT_IN_MANIFEST = {"metrics", "seconds", "files", "torch"}
_TUPLES = ("classes", "columns", "thresholds", "parents", "backbones")

_logger = logging.getLogger(__name__)


class Adapting:
    """Fits adapters and publishes them."""

    given_up = "Send fewer rows or classes, or give the worker more memory (GRAFT_FIT_MEMORY_BYTES)."
    patience_s = math.inf

    def __init__(self, engine: Engine, home: Path, hosts: Hosts, limit_s: float = 3_600.0) -> None:
        self._engine = engine
        self._home = home
        self._hosts = hosts
        self._limit_s = limit_s

    def command(self, job: jobs.Job) -> dict[str, Any]:
        """The order of a fit.

        Raises:
            NotFound: The dataset, the signatures or a parent is gone.
            NotReady: The backbone is not hosted any more.
        """
        request, tenant = job.request, job.tenant
        dataset = datasets.get(self._engine, tenant, request["dataset"]) if request["dataset"] else None
        name = request["backbone"]
        candidates = self._hosts.candidates(tenant, request.get("candidates", ()))
        digest = request.get("backbone_digest", "")
        if name not in ("", AUTO) and not digest:
            digest = self._hosts.digest(tenant, name)
        members = [member_of(self._engine, tenant, **given) for given in request.get("members", ())]
        named = [*(candidates or [[name, digest]]), *([m["backbone"], m["backbone_digest"]] for m in members)]
        described = request.get("signatures", "")
        order = Order(
            job=job.id,
            dataset="" if dataset is None else dataset.id,
            dataset_sha256="" if dataset is None else dataset.sha256,
            blob="" if dataset is None else dataset.blob,
            facts=request["facts"] if dataset is None else facts_of(dataset),
            backbone=name,
            backbone_digest=digest,
            tenant=tenant,
            candidates=candidates,
            long=request.get("long", "truncate"),
            method=request["method"],
            seed=request["seed"],
            max_seconds=request["max_seconds"],
            limit_s=max(self._limit_s, request["max_seconds"]),
            tap=request.get("tap", "pooled"),
            entries=self._entries(tenant, named),
            parents=[parent_of(self._engine, tenant, reference) for reference in request.get("parents", ())],
            peft=request.get("peft", {}),
            signatures=described,
            signatures_blob=signatures.get(self._engine, tenant, described).blob if described else "",
            described=request.get("described", False),
            members=members,
        )
        return {"do": "fit", "order": asdict(order)}

    def _entries(self, tenant: str, named: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
        """What each backbone, given as name and digest, was made of; without those of which nobody knows."""
        found = {name: self._hosts.entry(tenant, name, digest) for name, digest in named}
        return {name: entry.to_dict() for name, entry in found.items() if entry is not None}

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


def parent_of(engine: Engine, tenant: str, reference: str) -> dict[str, Any]:
    """What the child needs to know of a version that another grows from; the request has checked that one can.

    Args:
        engine: Of the registry.
        tenant: Whose it is.
        reference: ``name:3``.

    Raises:
        NotFound: It is gone.
    """
    manifest = _manifest_of(engine, tenant, reference)
    return {
        "ref": reference,
        "blob": manifest.files["head.safetensors"].sha256,
        "classes": list(manifest.classes),
        "parts": [list(part) for part in manifest.parts],
    }


def member_of(engine: Engine, tenant: str, ref: str, labels: Mapping[str, str | None]) -> dict[str, Any]:
    """What the child needs to know of a version that is averaged; the request has checked that it can be.

    Args:
        engine: Of the registry.
        tenant: Whose it is.
        ref: ``name:3``.
        labels: What its labels are called in the average, where otherwise.

    Raises:
        NotFound: It is gone.
    """
    manifest = _manifest_of(engine, tenant, ref)
    return {
        "ref": ref,
        "blob": manifest.files["head.onnx"].sha256,
        "classes": list(manifest.classes),
        "method": dict(manifest.method),
        "backbone": manifest.backbone,
        "backbone_digest": manifest.backbone_digest,
        "tap": manifest.tap,
        "parts": [list(part) for part in manifest.parts],
        "long": manifest.long,
        "dataset": manifest.dataset,
        "labels": dict(labels),
    }


def _manifest_of(engine: Engine, tenant: str, reference: str) -> Manifest:
    name, _, number = reference.rpartition(":")
    return get_version(get(engine, tenant, name), int(number)).manifest


def _draft(job: jobs.Job, outcome: dict[str, Any]) -> publishing.Draft:
    facts = {key: value for key, value in outcome.items() if key not in _NOT_IN_MANIFEST}
    started_at = datetime.fromtimestamp(job.started_at or job.created_at, UTC).isoformat(timespec="seconds")
    tuples = {name: tuple(outcome[name]) for name in _TUPLES}

    def manifest(number: int) -> Manifest:
        return Manifest(
            **{
                **facts,
                **tuples,
                "name": job.adapter,
                "number": number,
                "job": job.id,
                "created_at": started_at,
                "parts": tuple((first, behind) for first, behind in outcome["parts"]),
                "files": {name: FileEntry(**file) for name, file in outcome["files"].items()},
            }
        )

    promotion = Promotion(job.request["promote"], outcome["dataset"], outcome["seed"], outcome["metrics"])
    return publishing.Draft(
        job.tenant, job.adapter, job.id, manifest, outcome["metrics"], outcome["seconds"], promotion.decide
    )
