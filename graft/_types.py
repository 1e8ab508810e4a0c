"""What the service answers, as frozen values.

Every class has `from_json`, which ignores fields it does not know and fills in fields that are missing, so that a
client works with an older and a newer service. `raw` is the object as the service sent it. Times are RFC 3339, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

Json = Mapping[str, Any]

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
"""Job states that never change again."""


@dataclass(frozen=True)
class Wire:
    """A value that was sent as a JSON object."""

    raw: Json = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        return cls(**fields_of(cls, data))


def fields_of(cls: type[Wire], data: Json) -> dict[str, Any]:
    """The fields of `data` that `cls` has and that are not null, with `raw` beside them."""
    names = {f.name for f in fields(cls)} - {"raw"}
    return {"raw": data} | {name: data[name] for name in names if data.get(name) is not None}


@dataclass(frozen=True)
class Problem(Wire):
    """One place in the caller's input that is wrong: a JSON pointer, or a row (1-based, the header not counted)."""

    detail: str = ""
    pointer: str | None = None
    row: int | None = None


@dataclass(frozen=True)
class ProblemDetails(Wire):
    """What went wrong (RFC 9457). `code` is a stable word for programs; `problems` names places in the input."""

    detail: str = ""
    code: str = "unknown"
    status: int | None = None
    title: str = ""
    problems: tuple[Problem, ...] = ()
    request_id: str | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object; its list of problems is called ``errors``."""
        known = fields_of(cls, data)
        known["problems"] = tuple(Problem.from_json(p) for p in data.get("errors") or () if isinstance(p, Mapping))
        return cls(**known)


@dataclass(frozen=True)
class Column(Wire):
    """A column of a table, as predictions expect it.

    `kind` is number, boolean, date or category; `low` and `high` are the range that was seen (dates as ISO 8601);
    `categories` are the known ones, the commonest first; `missing` counts the rows without a value; `examples` are
    values as a row may have them.
    """

    name: str
    kind: str = ""
    low: float | str | None = None
    high: float | str | None = None
    categories: tuple[str, ...] = ()
    missing: int = 0
    examples: tuple[Any, ...] = ()

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        lists = {name: tuple(data.get(name) or ()) for name in ("categories", "examples")}
        return cls(**fields_of(cls, data) | lists)


@dataclass(frozen=True)
class Target(Wire):
    """The numbers that a regression learns."""

    low: float | None = None
    high: float | None = None
    mean: float | None = None


@dataclass(frozen=True)
class Dataset(Wire):
    """An uploaded dataset.

    `modality` is text, image, audio, table or vector, and `task` classification, multilabel or regression. `classes`
    counts items by label, `target` describes the numbers of a regression; `schema` are a table's columns, `width` is
    the length of vectors, `media` tells formats and sizes of images and sounds. `problems` lists the rows that were
    left out.
    """

    id: str
    name: str = ""
    modality: str = ""
    items: int = 0
    task: str = "classification"
    classes: Mapping[str, int] = field(default_factory=dict)
    target: Target | None = None
    sha256: str = ""
    size_bytes: int = 0
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    schema: tuple[Column, ...] = ()
    width: int | None = None
    quality: Json = field(default_factory=dict)
    media: Json | None = None
    problems: tuple[Problem, ...] = ()
    created_at: str = ""

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known["problems"] = tuple(Problem.from_json(p) for p in data.get("problems") or ())
        known["schema"] = tuple(Column.from_json(column) for column in data.get("schema") or ())
        if "target" in known:
            known["target"] = Target.from_json(known["target"])
        return cls(**known)


@dataclass(frozen=True)
class Job(Wire):
    """Work in the service's queue.

    `kind` is adapt, host (a backbone), rank or refit (a version fitted again); `progress` is in [0, 1]; `seconds` is
    the time spent in each stage so far; `ref` names what was published; `backbone` is what is hosted; `result` is what
    was found by a rank or a refit; `cancelling` says that somebody asked it to stop and it has not yet.
    """

    id: str
    kind: str = "adapt"
    state: str = "queued"
    stage: str = ""
    progress: float = 0.0
    adapter: str = ""
    version: int | None = None
    ref: str | None = None
    dataset: str = ""
    backbone: str | None = None
    cancelling: bool = False
    error: ProblemDetails | None = None
    attempts: int = 0
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    result: Json | None = None

    @property
    def finished(self) -> bool:
        """The state never changes again."""
        return self.state in FINISHED

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        if "error" in known:
            known["error"] = ProblemDetails.from_json(known["error"])
        return cls(**known)


@dataclass(frozen=True)
class Metrics(Wire):
    """Cross-validated figures; None where one was not measured or has no meaning.

    Classification: accuracies, ECE, F1, ROC AUC and average precision (of two classes) in [0, 1], log loss in nats.
    Any number of classes: micro-F1 (all marks together), macro-F1, the share of items all of whose classes are right
    (`exact_match`) and the mean average precision of the classes, in [0, 1]; log loss in nats a class.
    Regression: R2 at most 1; RMSE and MAE in the unit of the target.
    """

    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    log_loss: float | None = None
    ece: float | None = None
    macro_f1: float | None = None
    balanced_accuracy: float | None = None
    roc_auc: float | None = None
    average_precision: float | None = None
    micro_f1: float | None = None
    exact_match: float | None = None
    macro_average_precision: float | None = None
    r2: float | None = None
    rmse: float | None = None
    mae: float | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        if "accuracy_interval" in known:
            low, high = known["accuracy_interval"]
            known["accuracy_interval"] = (low, high)
        return cls(**known)


@dataclass(frozen=True)
class Version(Wire):
    """One immutable version of an adapter.

    `modality` is text, image, audio, table or vector, and `task` classification, multilabel or regression. `backbone`
    is None for tables and vectors; `tap` is what the adapter takes (an embedding such as ``pooled``, activations such
    as ``block4``, the backbone's ``input``, a ``vector``, a ``row``), and `parts` the pieces that it takes of an
    embedding. `thresholds` are those of each class where an input has any number of them, `parents` the versions that
    it grew from or averages, `signatures` the id of those that tell its classes, and `made_from` the version that it
    was made from without a fit. `columns` is what a row of a table is expected to have, `width` the length of a vector,
    `long` what becomes of long texts and sounds. `ref` (``name:number``) names it; `live` says that a bare name means
    it now; `promoted` that it went live when it was published, and `promotion` why it did or did not.
    """

    adapter: str
    version: int
    ref: str = ""
    modality: str = "text"
    task: str = "classification"
    backbone: Json | None = None
    tap: str = ""
    parts: tuple[tuple[int, int], ...] = ()
    width: int | None = None
    kind: str = ""
    method: Json = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    long: str = "truncate"
    temperature: float | None = None
    thresholds: tuple[float, ...] = ()
    calibrated: bool = False
    parents: tuple[str, ...] = ()
    signatures: str | None = None
    made_from: str | None = None
    dataset: str = ""
    job: str = ""
    seed: int | None = None
    created_at: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    aliases: tuple[str, ...] = ()
    live: bool = False
    promoted: bool = False
    promotion: str = ""
    files: Json = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known.setdefault("ref", f"{data['adapter']}:{data['version']}")
        known["metrics"] = Metrics.from_json(data.get("metrics") or {})
        known["columns"] = tuple(Column.from_json(column) for column in data.get("columns") or ())
        known["parts"] = tuple((first, behind) for first, behind in data.get("parts") or ())
        for name in ("classes", "aliases", "thresholds", "parents"):
            known[name] = tuple(data.get(name) or ())
        return cls(**known)


@dataclass(frozen=True)
class Adapter(Wire):
    """A named adapter: the count of its versions, the newest, the live one, and its aliases (name to version)."""

    name: str
    count: int = 0
    latest: int | None = None
    live: int | None = None
    aliases: Mapping[str, int] = field(default_factory=dict)
    backbone: str | None = None
    created_at: str = ""
    updated_at: str = ""
    versions: tuple[Version, ...] = ()
    """Filled by `client.adapters.get`, empty in a list."""

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value; ``versions`` is a count in a list and a list of versions in a single adapter."""
        known = fields_of(cls, data)
        versions = known.pop("versions", 0)
        if isinstance(versions, int):
            return cls(**known | {"count": versions})
        return cls(**known | {"count": len(versions), "versions": tuple(Version.from_json(v) for v in versions)})


@dataclass(frozen=True)
class Alias(Wire):
    """Where an alias points. `etag` goes into `if_match` of the next change, so that nobody's change is overwritten."""

    adapter: str
    alias: str
    version: int
    etag: str | None = None


@dataclass(frozen=True)
class Key(Wire):
    """A key: whose calls it makes (`tenant`) and what it may do (`scopes`); `revoked_at` is None while it is good.

    `key` is the text to send, there only in the answer that made it; it is left out of the value's repr.
    """

    id: str
    tenant: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ()
    created_at: str = ""
    revoked_at: str | None = None
    key: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        return cls(**fields_of(cls, data) | {"scopes": tuple(data.get("scopes") or ())})


@dataclass(frozen=True)
class Readiness(Wire):
    """Whether the service can answer; `reason` says what it waits for."""

    ready: bool = False
    reason: str = ""
