"""One fit, from a dataset's items to the files of a version. Runs in the child process; knows neither SQL nor queues.

    items -> embed -> compare -> fit -> calibrate -> evaluate -> export -> verify -> blobs

`Order` and `Outcome` cross process borders as JSON, so both hold plain values only.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.adapt import Adaptation, adapt
from adapters.base import Task
from adapters.dataset import encode_labels, groups_of, groups_of_rows, groups_of_vectors, humanise
from adapters.errors import DeadlineExceeded
from adapters.manifest import FileEntry
from adapters.methods import parse_method
from models.base import Backbone
from models.batching import embed
from models.hosted import hosted, open_backbone
from service.errors import NotReady
from service.registry.items import Packed, unpack
from service.store.blobs import Blobs

LIBRARIES = ("numpy", "torch", "onnx")

OnStage = Callable[[str, float], None]

WEIGHTS = {
    "embed": 0.5,
    "compare": 0.3,
    "calibrate": 0.02,
    "fit": 0.05,
    "evaluate": 0.03,
    "export": 0.05,
    "verify": 0.05,
}
"""Share of the whole that each stage takes, roughly, in their order; the progress bar is made of it."""


@dataclass(frozen=True)
class Order:
    """What to fit.

    Attributes:
        job: The job's id.
        dataset, dataset_sha256, blob: What to fit to, and the digest of its items.
        facts: Of the dataset: `modality`, `task` and, for tables, `schema`.
        backbone: Name of the backbone; empty where there is none.
        long: What becomes of long texts.
        method: The method with its parameters, as JSON.
        seed: Source of all randomness.
        max_seconds: Time that the fit may take.
    """

    job: str
    dataset: str
    dataset_sha256: str
    blob: str
    facts: dict[str, Any]
    backbone: str
    long: Literal["truncate", "chunk"]
    method: dict[str, Any]
    seed: int
    max_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a fit made: the manifest's fields but for name and number, and figures for lists."""

    kind: str
    modality: str
    task: str
    backbone: str
    backbone_digest: str
    tap: str
    width: int
    columns: list[dict[str, Any]]
    long: str
    classes: list[str]
    method: dict[str, Any]
    temperature: float
    calibrated: bool
    dataset: str
    dataset_sha256: str
    seed: int
    files: dict[str, dict[str, Any]]
    libraries: dict[str, str]
    metrics: dict[str, Any]
    seconds: dict[str, float]


class Fitting:
    """Fits, one after the other, with the backbones kept open between them."""

    def __init__(self, blobs: Blobs, folder: Path, threads: int, clock: Callable[[], float]) -> None:
        self._blobs = blobs
        self._folder = folder
        self._threads = threads
        self._clock = clock
        self._open: dict[str, Backbone] = {}

    def warm(self) -> None:
        """Import what a fit needs, once."""
        for name in ("onnx", "onnxruntime"):
            importlib.import_module(name)

    def run(self, order: Order, on_stage: OnStage) -> Outcome:
        """Fit.

        Raises:
            InputError: The data or the method do not allow it.
            InternalError: The export does not match, or a stored file is corrupt.
        """
        self.warm()
        start = self._clock()

        def check() -> None:
            if self._clock() - start > order.max_seconds:
                raise DeadlineExceeded(
                    f"The fit was given {order.max_seconds:g} s and had not finished; "
                    "give it more with max_seconds, choose a faster method, or send fewer rows."
                )

        report = _overall(on_stage)
        items = unpack(self._blobs.get(order.blob), order.facts)
        tapped = self._tap(order, items, report, check)
        seconds = {"embed": self._clock() - start}
        adaptation = adapt(tapped.task, parse_method(order.method), on_stage=report, clock=self._clock)
        seconds |= adaptation.seconds
        body = {
            **adaptation.report,
            "dataset": {"id": order.dataset, "sha256": order.dataset_sha256, "items": len(tapped.task.y)},
            "backbone": {"id": order.backbone, "digest": tapped.digest, "tap": tapped.name} if tapped.digest else None,
            **tapped.facts,
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        }
        return self._store(order, tapped, adaptation, body)

    def _tap(self, order: Order, items: Packed, report: OnStage, check: Callable[[], None]) -> "_Tapped":
        """The items at the tap that their modality has."""
        classes, y = ((), items.targets) if items.targets is not None else encode_labels(items.labels)
        if items.table is not None:
            groups = groups_of_rows(items.table)
            task = Task.of_rows(items.schema, items.table, y, classes, groups, seed=order.seed, check=check)
            return _Tapped(task, "row", "", {})
        if items.vectors is not None:
            groups = groups_of_vectors(items.vectors)
            return _Tapped(Task(items.vectors, y, classes, groups, None, order.seed, check), "vector", "", {})
        backbone = self._backbone(order.backbone)
        z, cut = embed(
            backbone,
            items.texts,
            long=order.long,
            on_progress=lambda share: report("embed", share),
            check=check,
        )
        names, _ = embed(backbone, [humanise(name) for name in classes], check=check)
        task = Task(z, y, classes, groups_of(items.texts), names if classes else None, order.seed, check)
        return _Tapped(task, "pooled", backbone.card.digest, {"long": order.long, "truncated_items": int(cut.sum())})

    def _backbone(self, name: str) -> Backbone:
        cards = hosted(self._folder)
        if name not in cards:
            raise NotReady(f"Backbone {name!r} is not hosted yet.")
        digest = cards[name].digest
        if digest not in self._open:
            self._open[digest] = open_backbone(self._folder, digest, threads=self._threads)
        return self._open[digest]

    def _store(self, order: Order, tapped: "_Tapped", adaptation: Adaptation, report: dict[str, Any]) -> Outcome:
        contents = {
            "head.onnx": adaptation.onnx,
            "report.json": json.dumps(report, ensure_ascii=False, allow_nan=False).encode(),
        }
        if adaptation.tables is not None:
            contents["head.safetensors"] = adaptation.tables
        stored = {name: self._blobs.put(data) for name, data in contents.items()}
        task = tapped.task
        return Outcome(
            kind=adaptation.kind,
            modality=order.facts["modality"],
            task=task.kind.value,
            backbone=order.backbone,
            backbone_digest=tapped.digest,
            tap=tapped.name,
            width=task.z.shape[1],
            columns=[column.to_dict() for column in task.schema],
            long=order.long,
            classes=list(task.classes),
            method=adaptation.method.model_dump(mode="json"),
            temperature=adaptation.temperature,
            calibrated=adaptation.calibrated,
            dataset=order.dataset,
            dataset_sha256=order.dataset_sha256,
            seed=order.seed,
            files={name: asdict(FileEntry(blob.digest, blob.size_bytes)) for name, blob in stored.items()},
            libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
            metrics=_headline(report),
            seconds=report["seconds"],
        )


@dataclass(frozen=True)
class _Tapped:
    """The items of a dataset at their tap.

    Attributes:
        task: What is learned from.
        name: Of the tap.
        digest: Of the backbone; empty where there is none.
        facts: What the report says of it.
    """

    task: Task
    name: str
    digest: str
    facts: dict[str, Any]


HEADLINES = (
    *("accuracy", "accuracy_interval", "macro_f1", "log_loss", "ece", "balanced_accuracy", "roc_auc"),
    *("average_precision", "r2", "rmse", "mae"),
)
"""Figures of a report that lists show."""


def _headline(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report that lists show; None where they could not be measured."""
    return {name: report.get(name) for name in HEADLINES}


def _overall(on_stage: OnStage) -> OnStage:
    """Turn a stage's own share into the share of the whole."""
    stages = list(WEIGHTS)

    def report(stage: str, share: float) -> None:
        before = sum(WEIGHTS[name] for name in stages[: stages.index(stage)]) if stage in WEIGHTS else 0.0
        on_stage(stage, min(1.0, before + WEIGHTS.get(stage, 0.0) * float(np.clip(share, 0, 1))))

    return report
