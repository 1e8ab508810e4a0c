"""`client.backbones`: what is hosted, hosting more, and which fits some data best."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self, TypedDict, Unpack, overload

from graft._calls import Calls, Request
from graft._resources import Jobs, given, new_key, pages, segment
from graft._types import Dataset, Job, Json, ProblemDetails, Wire, fields_of


@dataclass(frozen=True)
class Backbone(Wire):
    """A backbone of the service.

    `taps` has the shape of one item's embedding at each tap; `state` is ready, preparing or failed (`error` says why,
    `job` is what hosts it); `own` says that it is the tenant's and not the operator's; `provider` is what runs it, such
    as ``cpu`` or ``cuda float16``, and `provider_why` the reason; `trained` is False where nothing was learned.
    """

    id: str
    modality: str = ""
    digest: str | None = None
    taps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    max_tokens: int | None = None
    state: str = ""
    own: bool = False
    trained: bool = True
    provider: str = ""
    provider_why: str = ""
    job: str | None = None
    error: ProblemDetails | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known["taps"] = {name: tuple(shape) for name, shape in (data.get("taps") or {}).items()}
        if "error" in known:
            known["error"] = ProblemDetails.from_json(known["error"])
        return cls(**known)


@dataclass(frozen=True)
class Ranked(Wire):
    """A backbone as it did on some data.

    `probe_accuracy` and `probe_log_loss` are of a quick linear probe on folds, `knn_accuracy` of nearest neighbours on
    the same; `logme` is the evidence of a linear model (larger is better); `ms_per_item` was measured on that service.
    """

    id: str
    rank: int = 0
    probe_accuracy: float | None = None
    probe_log_loss: float | None = None
    logme: float | None = None
    knn_accuracy: float | None = None
    ms_per_item: float | None = None
    width: int | None = None


@dataclass(frozen=True)
class Ranking(Wire):
    """Backbones by how well they suit a dataset, best first; `recommended` is the one to take, and `why` the reason."""

    backbones: tuple[Ranked, ...] = ()
    recommended: str = ""
    why: str = ""
    dataset: str = ""
    items: int = 0

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known["backbones"] = tuple(Ranked.from_json(one) for one in data.get("backbones") or ())
        return cls(**known)


class BackboneOptions(TypedDict, total=False):
    """What may be chosen of a backbone that is added; everything left out follows from its own files.

    `modality` (text, image, audio); `pooling` (mean, cls, last, pooler, projection); `normalise`; `tower` (text or
    vision, of two-tower ones); `prefix` (put before every text); `max_tokens`; `max_seconds`; `preprocess` (of images:
    size, resize, resample, mean, std, crop; of sounds: rate); `taps` (pooled, block<k>); `licence` (SPDX id). Of ONNX
    files also `input` and `output`, the names of the graph's.
    """

    modality: str
    pooling: str
    normalise: bool
    tower: str
    prefix: str
    max_tokens: int
    max_seconds: float
    preprocess: Mapping[str, Any]
    taps: Sequence[str]
    licence: str
    input: str
    output: str


Progress = Callable[[Job], None]


class Backbones:
    """Backbones of the service: the operator's, and the tenant's own."""

    def __init__(self, calls: Calls, jobs: Jobs) -> None:
        self._calls = calls
        self._jobs = jobs

    def list(self) -> Sequence[Backbone]:
        """Every backbone that the caller can use, and those that are being prepared."""
        return [Backbone.from_json(b) for b in pages(self._calls, "/v1/backbones")]

    def get(self, backbone: str) -> Backbone:
        """One backbone by its name. Raises NotFound."""
        return Backbone.from_json(self._calls.json("GET", f"/v1/backbones/{segment(backbone)}"))

    @overload
    def add(
        self,
        backbone: str,
        source: Mapping[str, Any] | None = None,
        *,
        onnx: str | Path | None = None,
        tokenizer: str | Path | None = None,
        wait: Literal[True] = ...,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[BackboneOptions],
    ) -> Backbone: ...

    @overload
    def add(
        self,
        backbone: str,
        source: Mapping[str, Any] | None = None,
        *,
        onnx: str | Path | None = None,
        tokenizer: str | Path | None = None,
        wait: bool,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[BackboneOptions],
    ) -> Backbone | Job: ...

    def add(
        self,
        backbone: str,
        source: Mapping[str, Any] | None = None,
        *,
        onnx: str | Path | None = None,
        tokenizer: str | Path | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[BackboneOptions],
    ) -> Backbone | Job:
        """Host a backbone: it is fetched, turned into ONNX, verified and kept.

        Args:
            backbone: What to call it; without `source` and `onnx`, one of the catalogue.
            source: ``{"hub": "owner/name", "revision": ...}``, ``{"path": "/srv/weights/..."}`` (of the service's own
                machine, in a folder that the operator allows; both also with ``timm`` and ``options``), ``{"words":
                "/srv/weights/...", "format": ...}``, ``{"adapter": "name:3"}`` or ``{"catalog": "resnet-50"}``.
            onnx: Path of an ONNX file here, to upload.
            tokenizer: Path of the ``tokenizer.json`` of an ONNX file for texts.
            wait: Wait for the end. Without, the job is returned.
            timeout_s: Longest wait for the end; None waits for as long as it takes.
            on_progress: Called with the job at each change.
            **options: See `BackboneOptions`.

        Raises:
            ApiError: The source or an option was refused.
            JobFailed, JobCancelled: How it ended instead; nothing is hosted then.
            Timeout: It was not done after `timeout_s`; it goes on in the service.
            TypeError: `source` and `onnx` together.
            OSError: A file cannot be read.
        """
        body = given({"id": backbone, "source": source, **options})
        started = self._added(body) if onnx is None else self._uploaded(body, Path(onnx), tokenizer)
        if "kind" not in started:  # it is hosted already
            return Backbone.from_json(started)
        job = Job.from_json(started)
        if not wait:
            return job
        self._wait(job, timeout_s, on_progress)
        return self.get(backbone)

    def remove(self, backbone: str) -> None:
        """Remove one of the tenant's own. Raises NotFound, and ApiError (409) while an adapter stands on it."""
        self._calls.send("DELETE", f"/v1/backbones/{segment(backbone)}")

    def rank(
        self,
        dataset: str | Dataset,
        *,
        backbones: Sequence[str] | None = None,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
    ) -> Ranking:
        """Find out which backbone suits a dataset best: a quick probe of each, on the same folds.

        Args:
            dataset: The dataset, or its id.
            backbones: Which to compare; all that fit the dataset where left out.
            timeout_s: Longest wait for the end; None waits for as long as it takes.
            on_progress: Called with the job at each change.

        Raises:
            ApiError: There is no such dataset or backbone, or nothing to rank by.
            JobFailed, JobCancelled, Timeout: As `add`.
        """
        body = given({"dataset": dataset if isinstance(dataset, str) else dataset.id, "backbones": backbones})
        started = self._calls.json("POST", "/v1/backbones:rank", repeatable=True, headers=new_key(), json=body)
        done = self._wait(Job.from_json(started), timeout_s, on_progress)
        return Ranking.from_json(done.result or {})

    def _wait(self, job: Job, timeout_s: float | None, on_progress: Progress | None) -> Job:
        if on_progress is not None:
            on_progress(job)
        return self._jobs.wait(job.id, timeout_s=timeout_s, on_progress=on_progress)

    def _added(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._calls.json("POST", "/v1/backbones", repeatable=True, headers=new_key(), json=body)

    def _uploaded(self, body: dict[str, Any], onnx: Path, tokenizer: str | Path | None) -> dict[str, Any]:
        if "source" in body:
            raise TypeError("source and onnx are two sources; give one of them.")
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        with ExitStack() as opened:
            files: dict[str, tuple[str, IO[bytes]]] = {"file": (onnx.name, opened.enter_context(onnx.open("rb")))}
            if tokenizer is not None:
                path = Path(tokenizer)
                files["tokenizer"] = (path.name, opened.enter_context(path.open("rb")))
            request: Request = {"headers": new_key(), "data": form, "files": files}
            return self._calls.json("POST", "/v1/backbones", repeatable=True, **request)
