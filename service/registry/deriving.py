"""Versions that need no fit: what was fitted before, or nothing but words, with classes told by other signatures.

head + signatures -> ONNX -> checked -> blobs -> published, in one call
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from adapters.base import Task
from adapters.heads import tables_bytes
from adapters.manifest import FileEntry, Manifest
from adapters.signatures import Signatures
from adapters.verify import verify
from adapters.zero_shot.head import SignatureHead
from service.ids import new_id
from service.registry.adapters import Version
from service.registry.jobs import Job
from service.registry.publishing import Draft, publish
from service.registry.requests import Key
from service.store.blobs import Blobs

KIND = "version"
"""Of the jobs that stand for such versions: they have ended when they are stored."""


@dataclass(frozen=True)
class Derived:
    """A version that is to be made.

    Attributes:
        tenant: Whose it is.
        head: What it computes.
        manifest: As it will be, but for its number, job, date and files.
        request: What was asked for.
        notes: What the report says.
        promote: Whether `live` may move: ``auto``, ``always`` or ``never``.
    """

    tenant: str
    head: SignatureHead
    manifest: Manifest
    request: Mapping[str, Any]
    notes: tuple[str, ...]
    promote: str


def make(engine: Engine, home: Path, blobs: Blobs, derived: Derived, now_s: float, key: Key | None = None) -> int:
    """Write and publish a version; blocks.

    Returns:
        Its number.

    Raises:
        ExportMismatch: The file does not compute what the head does.

    Cost: 36 ms for 51 to 70 classes of 512 numbers over HTTP, and 80 ms for the first of a process, which imports onnx.
    """
    files = {name: blobs.put(data) for name, data in files_of(derived).items()}
    entries = {name: FileEntry(blob.digest, blob.size_bytes) for name, blob in files.items()}
    job = Job.new(new_id("job", now_s), derived.tenant, KIND, dict(derived.request), now_s, derived.manifest.name)
    job = replace(job, started_at=now_s)
    manifest = replace(
        derived.manifest,
        job=job.id,
        created_at=datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds"),
        files=entries,
    )

    def decide(live: Version | None) -> tuple[bool, str]:
        if live is None:
            return True, "It is the first version."
        if derived.promote == "never":
            return False, "The request said promote: never."
        return True, "Other classes are answered, so it is not compared with what was live."

    draft = Draft(
        derived.tenant,
        manifest.name,
        job.id,
        lambda number: replace(manifest, number=number),
        {},
        {},
        decide,
        at_once=job,
        key=key,
    )
    number = publish(engine, home, draft, now_s)
    if number is None:
        raise AssertionError("a job that nobody knows of was cancelled")
    return number


def files_of(derived: Derived) -> dict[str, bytes]:
    """The files of a version, by name, checked against the head."""
    head, temperature = derived.head, derived.manifest.temperature
    onnx, affine = head.onnx(temperature), head.affine
    tables = None if affine is None else tables_bytes(affine, temperature)
    verify(head, temperature, onnx=onnx, tables=tables, task=nothing_of(head.signatures, derived.manifest.width))
    report = {
        "format": 1,
        "task": derived.manifest.task,
        "items": 0,
        "evaluated": 0,
        "classes": list(head.classes),
        "method": dict(derived.manifest.method),
        "temperature": temperature,
        "calibrated": False,
        "made": dict(derived.request),
        "notes": list(derived.notes),
    }
    files = {"head.onnx": onnx, "report.json": json.dumps(report, ensure_ascii=False).encode(), **head.files()}
    return files if tables is None else files | {"head.safetensors": tables}


def nothing_of(signatures: Signatures, width: int) -> Task:
    """A task of classes that signatures tell, without a row; of signatures made of texts these are their names."""
    nothing = np.empty(0, np.int64)
    names = signatures.values if signatures.space else None
    return Task(np.empty((0, width), np.float32), nothing, signatures.classes, nothing, names, signatures=signatures)


def retold(manifest: Manifest, head: SignatureHead, signatures: str, request: Mapping[str, Any]) -> Manifest:
    """The manifest of a version with other classes."""
    return replace(
        manifest,
        kind="graph" if head.affine is None else "affine",
        classes=head.classes,
        calibrated=False,
        signatures=signatures,
        parents=(),
        request=request,
    )
