"""Many adapters at once: heads put straight into the home of a service that does not run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, event

from adapters.heads import AffineHead, AffineTable, read_tables, tables_bytes
from adapters.manifest import FileEntry, Manifest
from service.database.engine import migrate, open_engine
from service.registry import jobs, publishing
from service.registry.adapters import manifest_path
from service.store.blobs import Blobs

TENANT = "default"
TABLES = "head.safetensors"
ONNX = "head.onnx"


def read_manifest(home: Path, name: str, number: int = 1) -> Manifest:
    """The manifest of a published version."""
    return Manifest.from_json(manifest_path(home, TENANT, name, number).read_bytes())


def file_of(home: Path, manifest: Manifest, name: str) -> Path:
    """Where a version's file lies."""
    return Blobs(home).path(manifest.files[name].sha256)


def copies(home: Path, manifest: Manifest, count: int, *, seed: int = 0) -> Iterator[AffineTable]:
    """A version's head again and again, each with a little noise of its own, so that no two are one blob."""
    table = read_tables(file_of(home, manifest, TABLES).read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(count):
        noise = rng.normal(0, 1e-3, table.bias.shape).astype(np.float32)
        yield AffineTable(table.weight, table.bias + noise, table.temperature)


def random_heads(classes: int, width: int, count: int, *, seed: int = 0) -> Iterator[AffineTable]:
    """Heads of random numbers."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        weight = rng.normal(0, 1, (classes, width)).astype(np.float32)
        yield AffineTable(weight, np.zeros(classes, np.float32), 1.0)


def publish(home: Path, like: Manifest, heads: Iterator[AffineTable], prefix: str) -> list[str]:
    """Publish heads as adapters ``<prefix>0``, ``<prefix>1``, ...

    Args:
        home: Of a service that does not run.
        like: What their manifests say apart from name, classes, job and files.
        heads: Each of any number of classes.
        prefix: Of their names.

    Returns:
        The names.
    """
    names = []
    with _registry(home) as engine:
        blobs = Blobs(home)
        for number, table in enumerate(heads):
            name = f"{prefix}{number}"
            _publish_one(engine, home, blobs, replace(like, name=name), table)
            names.append(name)
    return names


def _publish_one(engine: Engine, home: Path, blobs: Blobs, like: Manifest, table: AffineTable) -> None:
    classes = like.classes if len(like.classes) == len(table.bias) else _names(len(table.bias))
    blob = blobs.put(tables_bytes(AffineHead(table.weight, table.bias, tuple(classes)), table.temperature))
    files = {TABLES: FileEntry(blob.digest, blob.size_bytes)}
    manifest = replace(like, job=f"job_{like.name}", classes=tuple(classes), files=files)
    jobs.add(engine, _job(manifest), None, max_queued=10)
    draft = publishing.Draft(
        TENANT, like.name, manifest.job, lambda n: replace(manifest, number=n), {}, {}, lambda _: (True, "benchmark")
    )
    publishing.publish(engine, home, draft, 1.0)


def _names(count: int) -> Sequence[str]:
    return [f"class {number}" for number in range(count)]


def _job(manifest: Manifest) -> jobs.Job:
    """A job that runs: what publishing ends."""
    fields: dict[str, Any] = dict.fromkeys(("version", "error", "cancel_at", "started_at", "finished_at"))
    fields |= {"id": manifest.job, "tenant": TENANT, "kind": "adapt", "adapter": manifest.name}
    fields |= {"state": jobs.RUNNING, "stage": "publish", "progress": 0.0, "attempts": 1, "created_at": 1.0}
    request = {"dataset": manifest.dataset, "backbone": manifest.backbone, "method": dict(manifest.method), "seed": 0}
    return jobs.Job(request=request | {"max_seconds": 60.0, "promote": "auto"}, seconds={}, **fields)


@contextmanager
def _registry(home: Path) -> Iterator[Engine]:
    """The registry, made where it is missing; what is published need not survive a power cut."""
    url = f"sqlite:///{home}/registry.sqlite"
    migrate(url)
    engine = open_engine(url)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close())
    try:
        yield engine
    finally:
        engine.dispose()
