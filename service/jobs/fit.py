"""One fit, from a dataset's items to the files of a version. Runs in the child process; knows neither SQL nor queues.

    items -> (rank ->) embed -> (features ->) compare -> calibrate -> fit -> evaluate -> export -> verify -> blobs

Two clocks run. When `Order.max_seconds` are over no further candidate is tried, and the best so far is fitted and
published; a quarter of them is for that at the least. When `Order.limit_s` are over the fit ends without a result; only
embedding can take that long.
"""

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from adapters.adapt import Adaptation, adapt
from adapters.base import Head, Need, Task, TaskKind
from adapters.errors import DeadlineExceeded
from adapters.manifest import FileEntry
from adapters.methods import parse_method
from adapters.zero_shot.head import SignatureHead
from models.warm import NO_LIMITS, Limits
from service.jobs.averaging import bring_members
from service.jobs.code import code_digest
from service.jobs.embedding import Embedder
from service.jobs.order import Order, Outcome
from service.jobs.progress import OnStage, Progress
from service.jobs.rank import RankOrder, rank_backbones
from service.jobs.shown import ITEMS_NAME, shown_items
from service.jobs.tapping import Means, Tapped, bring, choose
from service.registry.items import Packed, unpack
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache

COMPARING = 0.25
"""Share of `Order.max_seconds` that comparing and fitting have at the least, however long embedding took."""

LIBRARIES = ("numpy", "torch", "onnx")

WEIGHTS = {
    "rank": 0.2,
    "embed": 0.5,
    "features": 0.1,
    "compare": 0.3,
    "calibrate": 0.02,
    "fit": 0.05,
    "evaluate": 0.03,
    "export": 0.05,
    "verify": 0.05,
}
"""Time that each stage takes beside the others, roughly, in their order; the progress bar is made of it."""


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
        progress = Progress(on_stage, _stages(order))
        with progress.beating():
            return self._fit(order, progress.report)

    def _fit(self, order: Order, report: OnStage) -> Outcome:
        start = self._clock()
        ends = [start + order.max_seconds]
        said: list[str] = []
        means = Means(
            blobs=self._blobs,
            embedder=self._embedder,
            report=report,
            check=self._deadline(order.limit_s, "fit", "or send fewer rows"),
            left_s=lambda: ends[0] - self._clock(),
            say=said.append,
        )
        items = self._items(order)
        chosen = choose(order, items, means)
        seconds = {"rank": self._clock() - start} if chosen.table else {}
        tapped = bring_members(order, items, means) if order.members else bring(order, chosen, items, means)
        seconds["embed"] = self._clock() - start - sum(seconds.values())
        # Where embedding took it all, what follows still has a share: embeddings alone are worth nothing to anybody.
        ends[0] = max(ends[0], self._clock() + COMPARING * order.max_seconds)
        adaptation = adapt(tapped.task, parse_method(order.method), on_stage=report, clock=self._clock)
        seconds |= adaptation.seconds
        body = {
            **adaptation.report,
            "dataset": {"id": order.dataset, "sha256": order.dataset_sha256, "items": len(tapped.task.y)},
            "signatures": order.signatures or None,
            **tapped.facts,
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        }
        body["notes"] = list(dict.fromkeys([*body["notes"], *said, *_unlike_parent(order, adaptation)]))
        return self._store(order, tapped, adaptation, body)

    def _items(self, order: Order) -> Packed:
        if order.blob:
            return unpack(self._blobs.get(order.blob), order.facts)
        width = order.facts.get("width")
        return Packed() if width is None else Packed(vectors=np.empty((0, width), np.float32))

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
                    f"The {what} was given {max_seconds:g} s and had not finished; let the operator give it more "
                    f"(GRAFT_MAX_FIT_S), {remedy}."
                )

        return check

    def _store(self, order: Order, tapped: Tapped, adaptation: Adaptation, report: dict[str, Any]) -> Outcome:
        contents = {
            "head.onnx": adaptation.onnx,
            "report.json": json.dumps(report, ensure_ascii=False, allow_nan=False).encode(),
            **adaptation.files,
        }
        if adaptation.tables is not None:
            contents["head.safetensors"] = adaptation.tables
        if (shown := shown_items(tapped, adaptation)) is not None:
            contents[ITEMS_NAME] = shown
        stored = {name: self._blobs.put(data) for name, data in contents.items()}
        task = tapped.task
        parts = tapped.parts or adaptation.parts
        answered = answered_by(adaptation.head, task)
        return Outcome(
            kind=adaptation.kind,
            modality=order.facts["modality"],
            task=(TaskKind.CLASSIFICATION if isinstance(adaptation.head, SignatureHead) else task.kind).value,
            backbone=tapped.backbone,
            backbone_digest=tapped.digest,
            tap=adaptation.tap or tapped.name,
            width=sum(behind - first for first, behind in parts) or task.z.shape[1],
            columns=[column.to_dict() for column in task.schema],
            long=order.long,
            classes=list(answered),
            method=adaptation.method.model_dump(mode="json"),
            temperature=adaptation.temperature,
            calibrated=adaptation.calibrated,
            thresholds=list(adaptation.thresholds),
            parts=[list(part) for part in parts],
            parents=[given["ref"] for given in order.parents or order.members],
            signatures=order.signatures,
            backbones=tapped.backbones,
            request=_request(order, adaptation),
            code=code_digest(),
            dataset=order.dataset,
            dataset_sha256=order.dataset_sha256,
            seed=order.seed,
            files={name: asdict(FileEntry(blob.digest, blob.size_bytes)) for name, blob in stored.items()},
            libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
            metrics=_headline(report),
            seconds=report["seconds"],
            torch="torch" in sys.modules,
        )


def answered_by(head: Head, task: Task) -> tuple[str, ...]:
    """The classes that a head answers: those of the task, or of the signatures where the task's are attributes."""
    return head.classes if isinstance(head, SignatureHead) else task.classes


def _request(order: Order, adaptation: Adaptation) -> dict[str, Any]:
    """What is asked for when this version is fitted again: the same candidates, whatever the clock said then."""
    return {
        "method": adaptation.again,
        "tap": order.tap,
        "parents": order.parents,
        "peft": order.peft,
        "members": [{"ref": member["ref"], "labels": member["labels"]} for member in order.members],
        "described": order.described,
        "facts": {} if order.dataset else order.facts,
        "max_seconds": order.max_seconds,
        "early": adaptation.early,
    }


AVERAGING = frozenset({"conse", "iap"})
"""Methods that answer from the answers of the version that they are given, instead of learning any."""


def _unlike_parent(order: Order, adaptation: Adaptation) -> list[str]:
    """A note where what was fitted starts elsewhere than at the version that it was to grow from."""
    method = adaptation.method
    if not order.parents or Need.PARENT in method.requirements() or method.method in AVERAGING:
        return []
    return [
        f"{method.method!r} with these parameters does not start from {order.parents[0]['ref']}: it keeps "
        "its classes in their order, and learns from these rows alone. Method 'logistic' with prior 'parent' stays "
        "close to it."
    ]


HEADLINES = (
    *("accuracy", "accuracy_interval", "macro_f1", "log_loss", "ece", "balanced_accuracy", "roc_auc"),
    *("average_precision", "macro_average_precision", "micro_f1", "exact_match", "r2", "rmse", "mae"),
)
"""Figures of a report that lists show."""


def _headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report that lists show; None where they could not be measured."""
    return {name: report.get(name) for name in HEADLINES}


def _stages(order: Order) -> dict[str, float]:
    """The stages that a fit has, with their weights."""
    without = set() if len(order.candidates) > 1 else {"rank"}
    if order.tap == "pooled":
        without.add("features")
    return {stage: weight for stage, weight in WEIGHTS.items() if stage not in without}
