"""What the service answers.

Times are ISO 8601 in UTC. A list is ``{"data": [...], "has_more": bool}``.
"""

from datetime import UTC, datetime
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from service.registry import adapters as registry
from service.registry.datasets import Dataset
from service.registry.jobs import Job
from service.serving.standing import Standing

T = TypeVar("T")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Page(_Answer, Generic[T]):
    """A part of a list; ask for more with `after` set to the last item's id (adapters: name)."""

    data: list[T]
    has_more: bool


class RowProblem(_Answer):
    """A place in the caller's input that is wrong."""

    detail: str
    pointer: str | None = None
    """RFC 6901, into the JSON body."""
    row: int | None = None
    """1-based, the header not counted."""


class ProblemOut(_Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    """Stable word for programs."""
    detail: str
    """What was seen, the limit and the remedy."""
    request_id: str
    errors: list[RowProblem] = []


class BackboneOut(_Answer):
    """A hosted backbone."""

    id: str
    modality: Literal["text", "image", "audio"] | None
    """What an item is; null where that is known only once it is hosted."""
    state: Literal["ready", "preparing", "failed"]
    """`preparing`: a worker exports it; predictions answer 503 until it is ready. `failed`: see `error`; asking for it
    again replaces it."""
    own: bool
    """Yours, and nobody else sees it; the others are the operator's."""
    trained: bool
    """Whether anything was learned from data; a backbone of fixed transforms says false."""
    digest: str | None
    """Two backbones with one digest give the same embeddings."""
    taps: dict[str, list[int]]
    """Shape of one item's embedding at each tap; -1 is as long as the item."""
    max_tokens: int | None
    licence: str | None
    source: str | None
    provider: str | None
    """What runs it in the process that answers: `cpu` or `cuda`, with the precision where it is not float32."""
    provider_why: str | None
    job: str | None
    """The job that hosts yours, or has hosted it."""
    error: ProblemOut | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """From the serving side."""
        card, entry = standing.card, standing.entry
        return cls(
            id=standing.id,
            state=standing.state,
            own=standing.own,
            modality=standing.modality,
            trained=standing.trained,
            digest=card.digest if card else None,
            taps={tap: list(shape) for tap, shape in card.taps.items()} if card else {},
            max_tokens=card.max_tokens if card else None,
            licence=(card.licence if card else entry.licence if entry else "") or None,
            source=(card.source if card else entry.about if entry else "") or None,
            provider=standing.provider or None,
            provider_why=standing.provider_why or None,
            job=standing.job,
            error=ProblemOut(**standing.error) if standing.error else None,
        )


class ColumnOut(_Answer):
    """A column of a table, as predictions expect it."""

    name: str
    kind: Literal["number", "boolean", "date", "category"]
    low: float | str | None
    high: float | str | None
    """Range that was seen; dates as ISO 8601."""
    categories: list[str]
    """Those that are known, the commonest first."""
    missing: int
    """Rows without a value."""
    examples: list[Any]


class TargetOut(_Answer):
    """The numbers that a regression learns."""

    low: float
    high: float
    mean: float


class DatasetOut(_Answer):
    """An uploaded dataset."""

    id: str
    name: str
    modality: str
    items: int
    task: Literal["classification", "multilabel", "regression"] = "classification"
    classes: dict[str, int]
    """Items of each class; none for a regression."""
    target: TargetOut | None = None
    """Of a regression."""
    sha256: str
    size_bytes: int
    format: str
    columns: dict[str, str]
    """Column of each role: `text` and `label`, `target`, or `embedding` and `label`."""
    schema_: list[ColumnOut] = Field(default=[], serialization_alias="schema", validation_alias="schema")
    """Columns of a table."""
    width: int | None = None
    """Length of the vectors."""
    quality: dict[str, Any]
    """What was noticed: duplicates, conflicts, the smallest class, notes."""
    problems: list[RowProblem]
    """Rows that were left out, at most the first hundred."""
    created_at: str

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """From the registry."""
        return cls(
            id=dataset.id, name=dataset.name, sha256=dataset.sha256, created_at=iso(dataset.created_at), **dataset.facts
        )


class JobOut(_Answer):
    """A job."""

    id: str
    kind: Literal["adapt", "host", "rank", "refit", "version"]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    stage: str
    progress: float = Field(ge=0, le=1)
    adapter: str | None
    """Of `adapt`: the adapter that it makes a version of."""
    version: int | None
    """Number of the version that it published."""
    ref: str | None
    """The version's reference, `name:number`."""
    dataset: str | None
    """Of `adapt` and `rank`."""
    backbone: str | None
    """Of `host`: the backbone that it hosts; of `adapt`: the one asked for, or `auto`."""
    result: dict[str, Any] | None
    """Of `rank`: the backbones in their order with their figures; of `host`: what was hosted; of `refit`: whether the
    bytes are the `same`, the digests of all `files`, and what may explain a difference."""
    attempts: int
    cancelling: bool
    """Somebody asked it to stop, and it has not yet."""
    error: ProblemOut | None
    seconds: dict[str, float]
    created_at: str
    started_at: str | None
    finished_at: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """From the registry."""
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            stage=job.stage,
            progress=job.progress,
            adapter=job.adapter or None,
            version=job.version,
            ref=f"{job.adapter}:{job.version}" if job.version else None,
            dataset=job.request.get("dataset"),
            backbone=job.request.get("backbone") or None,
            result=job.result,
            attempts=job.attempts,
            cancelling=job.cancel_at is not None and not job.finished,
            error=ProblemOut(**job.error) if job.error else None,
            seconds=job.seconds,
            created_at=iso(job.created_at),
            started_at=iso(job.started_at) if job.started_at else None,
            finished_at=iso(job.finished_at) if job.finished_at else None,
        )


class BackboneRef(_Answer):
    """The backbone that a version was fitted on."""

    id: str
    digest: str


class FileOut(_Answer):
    """A file of a version."""

    sha256: str
    size_bytes: int


class VersionOut(_Answer):
    """A published version; it never changes."""

    adapter: str
    version: int
    ref: str
    modality: Literal["text", "image", "audio", "vector", "table"]
    task: Literal["classification", "multilabel", "regression"]
    """`multilabel`: an input has any number of classes."""
    backbone: BackboneRef | None
    """None for vectors and tables."""
    backbones: list[str]
    """Of an average over several backbones each of them, in the order in which their embeddings stand side by side;
    none where `backbone` is the only one."""
    tap: str
    """What it takes, and with it the inputs of `adapter.onnx`: an embedding of the backbone (`pooled`; `blocks`, all
    blocks' side by side), activations behind a block (`block4`), the backbone's own inputs (`input`), a `vector`, or a
    `row` of a table."""
    parts: list[tuple[int, int]]
    """Of the tap's embedding the pieces that it takes, first and behind the last number of each; none where it takes
    all of it."""
    width: int
    """Length of the embedding; of a row as it is encoded."""
    kind: Literal["affine", "graph"]
    """How it is served: `affine` heads from one table, a `graph` in a session of its own."""
    method: dict[str, Any]
    classes: list[str]
    columns: list[ColumnOut]
    """What a row is expected to have."""
    long: Literal["truncate", "chunk"]
    """What becomes of long texts."""
    temperature: float
    thresholds: list[float]
    """Probability from which on an input has each class, in the order of `classes`; none but for `multilabel`."""
    calibrated: bool
    parents: list[str]
    """Versions that it grew from or averages, such as `intents:3`."""
    signatures: str | None
    """Signatures that tell its classes, those included that nobody had an example of; none where examples tell all."""
    made_from: str | None
    """The version that it was made from without a fit, such as `animals:3`; none but for such."""
    dataset: str
    job: str
    seed: int
    created_at: str
    metrics: dict[str, Any]
    """Cross-validated; null where a figure has no meaning. Classification: accuracy with its 95% interval, macro-F1,
    log loss, expected calibration error, balanced accuracy, and of two classes ROC AUC and average precision of the
    rarer one. Regression: R², root mean squared error, mean absolute error."""
    aliases: list[str]
    live: bool
    """A bare name means this version now."""
    promoted: bool
    """`live` moved to it when it was published."""
    promotion: str
    """Why it did, or did not."""
    files: dict[str, FileOut]

    @classmethod
    def of(cls, adapter: registry.Adapter, number: int) -> Self:
        """From the registry.

        Raises:
            NotFound: The adapter has no such version.
        """
        version = registry.get_version(adapter, number)
        manifest = version.manifest
        names = sorted(alias.name for alias in adapter.aliases.values() if alias.version == number)
        return cls(
            adapter=adapter.name,
            version=number,
            ref=f"{adapter.name}:{number}",
            modality=manifest.modality,
            task=manifest.task,
            backbone=BackboneRef(id=manifest.backbone, digest=manifest.backbone_digest) if manifest.backbone else None,
            tap=manifest.tap,
            backbones=[space["backbone"] for space in manifest.backbones],
            parts=list(manifest.parts),
            width=manifest.width,
            kind=manifest.kind,
            method=manifest.method,
            classes=list(manifest.classes),
            columns=[ColumnOut.model_validate(column) for column in manifest.columns],
            long=manifest.long,
            temperature=manifest.temperature,
            thresholds=list(manifest.thresholds),
            calibrated=manifest.calibrated,
            parents=list(manifest.parents),
            signatures=manifest.signatures or None,
            made_from=manifest.request.get("from"),
            dataset=manifest.dataset,
            job=manifest.job,
            seed=manifest.seed,
            created_at=iso(version.created_at),
            metrics=version.metrics,
            aliases=names,
            live=registry.LIVE in names,
            promoted=version.promoted["live"],
            promotion=version.promoted["reason"],
            files={name: FileOut(**vars(file)) for name, file in manifest.files.items()},
        )


class AdapterSummary(_Answer):
    """An adapter in a list."""

    name: str
    versions: int
    latest: int
    live: int
    aliases: dict[str, int]
    backbone: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, adapter: registry.Adapter) -> Self:
        """From the registry."""
        aliases = {alias.name: alias.version for alias in adapter.aliases.values()}
        return cls(
            name=adapter.name,
            versions=len(adapter.versions),
            latest=aliases[registry.LATEST],
            live=aliases[registry.LIVE],
            aliases=aliases,
            backbone=adapter.versions[aliases[registry.LIVE]].manifest.backbone or None,
            created_at=iso(adapter.created_at),
            updated_at=iso(adapter.updated_at),
        )


class AdapterOut(_Answer):
    """An adapter with its versions, oldest first."""

    name: str
    versions: list[VersionOut]
    latest: int
    live: int
    aliases: dict[str, int]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, adapter: registry.Adapter) -> Self:
        """From the registry."""
        summary = AdapterSummary.of(adapter)
        return cls(
            name=summary.name,
            versions=[VersionOut.of(adapter, number) for number in adapter.versions],
            latest=summary.latest,
            live=summary.live,
            aliases=summary.aliases,
            created_at=summary.created_at,
            updated_at=summary.updated_at,
        )


class AliasOut(_Answer):
    """An alias; its ETag is in the header."""

    adapter: str
    alias: str
    version: int


class Neighbour(_Answer):
    """An item of the fit that is near an input."""

    id: str
    """In its dataset; the place of the item where it has no id."""
    label: str | None
    """None where an item has any number of labels."""
    similarity: float
    """Cosine of the two embeddings."""


class _Explained(_Answer):
    """What there is beside an answer where `explain` asks for it, as the version can tell; left out otherwise."""

    attributes: list[tuple[str, float]] = []
    """Zero-shot: what the input's attributes are taken to be, as probabilities or in the signatures' unit: those first
    that set it apart from the mean of the classes."""
    sources: list[tuple[str, float]] = []
    """The source classes that the answer is averaged over, and their weights."""
    neighbours: list[Neighbour] = []
    """The nearest items that the version was fitted to."""


class Prediction(_Explained):
    """The answer to one input."""

    id: str
    label: str
    probability: float
    top: list[tuple[str, float]]
    """The most probable labels, best first."""
    truncated: bool = False
    """The input was longer than the backbone takes, and its end was left out."""
    mixture: list[tuple[str, float]] = []
    """Of versions that average source classes (`conse`): what the input is made of, the largest share first."""
    entropy: float | None = None
    """Of all shares, in nats: 0 for one class, 0.69 for two alike."""
    second: tuple[str, float] | None = None
    """The class of the second mode with its share: the input is half one, half the other. Null where it is one class,
    or merely hard to tell."""


class Labelled(_Explained):
    """The answer to one input that has any number of labels."""

    id: str
    labels: list[tuple[str, float]]
    """Those whose probability reaches the threshold of their class (`thresholds` of the version), best first; perhaps
    none."""
    top: list[tuple[str, float]]
    """The most probable labels, best first, whether or not they reach it."""
    truncated: bool = False


class Estimate(_Explained):
    """The answer to one input of a regression."""

    id: str
    value: float
    """In the unit of the target."""
    truncated: bool = False


class Warned(_Answer):
    """Something odd about the inputs, which were answered all the same."""

    detail: str
    column: str | None = None
    inputs: list[int] = []
    """The first few that it is about, from 0."""
    count: int | None = None
    """All of them."""


class PredictOut(_Answer):
    """The answer to a call."""

    adapter: str
    """The version that answered, `name:number`."""
    backbone: str | None
    backbones: list[str] = []
    """Of an average over several backbones each of them; left out otherwise."""
    request_id: str
    calibrated: bool | None
    """False where there were too few examples to measure how sure the answers are; null for a regression."""
    predictions: list[Prediction | Labelled | Estimate]
    warnings: list[Warned] = []
    """Left out where there are none."""


class ReadyOut(_Answer):
    """Whether this process can answer predictions."""

    ready: bool
    reason: str


def iso(at_s: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
