"""One fit, from a dataset's items to the files of a version. Runs in the child process; knows neither SQL nor queues.

    items -> (rank ->) embed -> compare -> fit -> calibrate -> evaluate -> export -> verify -> blobs

`Order` and `Outcome` cross process borders as JSON, so both hold plain values only.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.adapt import Adaptation, adapt
from adapters.errors import DeadlineExceeded
from adapters.manifest import FileEntry
from adapters.methods import parse_method
from models.warm import NO_LIMITS, Limits
from service.jobs.embedding import Embedder
from service.jobs.rank import RankOrder, rank_backbones
from service.jobs.tapping import Tapped, bring, choose
from service.registry.items import unpack
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache

LIBRARIES = ("numpy", "torch", "onnx")

OnStage = Callable[[str, float], None]

WEIGHTS = {
    "rank": 0.2,
    "embed": 0.5,
    "compare": 0.3,
    "calibrate": 0.02,
    "fit": 0.05,
    "evaluate": 0.03,
    "export": 0.05,
    "verify": 0.05,
}
"""Time that each stage takes beside the others, roughly, in their order; the progress bar is made of it."""


@dataclass(frozen=True)
class Order:
    """What to fit.

    Attributes:
        job: The job's id.
        dataset, dataset_sha256, blob: What to fit to, and the digest of its items.
        facts: Of the dataset: `modality`, `task` and, for tables, `schema`.
        backbone: Name of the backbone; empty where there is none, ``auto`` where it is chosen among `candidates`.
        long: What becomes of long texts.
        method: The method with its parameters, as JSON.
        seed: Source of all randomness.
        max_seconds: Time that the fit may take.
        backbone_digest: Digest of the backbone; that which its name has here where empty.
        tenant: Whose items they are.
        candidates: Name and digest of each backbone to choose from; empty where one is named.
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
    backbone_digest: str = ""
    tenant: str = ""
    candidates: list[list[str]] = field(default_factory=list)


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
    """Fits and ranks, one after the other, with the backbones kept open between them."""

    def __init__(
        self,
        blobs: Blobs,
        folder: Path,
        threads: int,
        clock: Callable[[], float],
        cache: EmbeddingCache | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._blobs = blobs
        self._clock = clock
        self._embedder = Embedder(folder, threads, clock, cache, limits)

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
        check = self._deadline(order.max_seconds, "fit", "choose a faster method, or send fewer rows")
        report = _overall(on_stage, ranks=len(order.candidates) > 1)
        items = unpack(self._blobs.get(order.blob), order.facts)
        chosen = choose(order, items, self._embedder, report, check)
        seconds = {"rank": self._clock() - start} if chosen.table else {}
        tapped = bring(order, chosen, items, self._embedder, report, check)
        seconds["embed"] = self._clock() - start - sum(seconds.values())
        adaptation = adapt(tapped.task, parse_method(order.method), on_stage=report, clock=self._clock)
        seconds |= adaptation.seconds
        body = {
            **adaptation.report,
            "dataset": {"id": order.dataset, "sha256": order.dataset_sha256, "items": len(tapped.task.y)},
            **tapped.facts,
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        }
        return self._store(order, tapped, adaptation, body)

    def rank(self, order: RankOrder, on_stage: OnStage) -> dict[str, Any]:
        """Compare backbones on a dataset; see `rank_backbones` for what is returned.

        Raises:
            InputError: The data do not allow it.
            InternalError: A stored file is corrupt.
        """
        self.warm()
        check = self._deadline(order.max_seconds, "ranking", "or name fewer backbones")
        items = unpack(self._blobs.get(order.blob), order.facts)
        return rank_backbones(order, items, self._embedder, lambda share: on_stage("rank", share), check)

    def _deadline(self, max_seconds: float, what: str, remedy: str) -> Callable[[], None]:
        """A check that raises once that much time has passed since now."""
        start = self._clock()

        def check() -> None:
            if self._clock() - start > max_seconds:
                raise DeadlineExceeded(
                    f"The {what} was given {max_seconds:g} s and had not finished; "
                    f"give it more with max_seconds, {remedy}."
                )

        return check

    def _store(self, order: Order, tapped: Tapped, adaptation: Adaptation, report: dict[str, Any]) -> Outcome:
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
            backbone=tapped.backbone,
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


HEADLINES = (
    *("accuracy", "accuracy_interval", "macro_f1", "log_loss", "ece", "balanced_accuracy", "roc_auc"),
    *("average_precision", "r2", "rmse", "mae"),
)
"""Figures of a report that lists show."""


def _headline(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report that lists show; None where they could not be measured."""
    return {name: report.get(name) for name in HEADLINES}


def _overall(on_stage: OnStage, *, ranks: bool) -> OnStage:
    """Turn a stage's own share into the share of the whole."""
    weights = {stage: weight for stage, weight in WEIGHTS.items() if ranks or stage != "rank"}
    stages, total = list(weights), sum(weights.values())

    def report(stage: str, share: float) -> None:
        before = sum(weights[name] for name in stages[: stages.index(stage)]) if stage in weights else 0.0
        on_stage(stage, min(1.0, (before + weights.get(stage, 0.0) * float(np.clip(share, 0, 1))) / total))

    return report
