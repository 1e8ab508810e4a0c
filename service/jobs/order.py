"""What a fit is told and what it answers. Both cross process borders as JSON, so they hold plain values only."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Order:
    """What to fit.

    Attributes:
        job: The job's id.
        dataset, dataset_sha256, blob: What to fit to, and the digest of its items; empty where there are no rows.
        facts: Of the dataset: `modality`, `task` and, for tables, `schema`.
        backbone: Name of the backbone; empty where there is none, ``auto`` where it is chosen among `candidates`.
        long: What becomes of long texts.
        method: The method with its parameters, as JSON.
        seed: Source of all randomness.
        max_seconds: Time after which no further candidate is tried, and the best so far is fitted.
        backbone_digest: Digest of the backbone; that which its name has here where empty.
        tenant: Whose items they are.
        candidates: Name and digest of each backbone to choose from; empty where one is named.
        limit_s: Time after which the fit is ended without a result.
        tap: ``pooled``, or ``blocks`` to choose among the backbone's blocks as well.
        entries: What each backbone of the order was made of, as `models.catalog.Entry.to_dict` gives it, by name.
        parents: Versions to grow from: `ref`, `blob` of the head's table, `classes`, `temperature`, `tap`, `parts`.
        peft: Blobs of a LoRA adapter in PEFT's format to start from, by file name.
        signatures: Id of the signatures that tell the classes; empty where there are none.
        signatures_blob: Their digest.
        described: Whether they are embeddings of texts in the backbone's own space, and stand for the classes' names.
        members: Versions to average: `ref`, `blob` of the ONNX file, `classes`, `method`, `backbone`,
            `backbone_digest`, `tap`, `parts`, `long`, `dataset` and `labels` (what its labels are called here).
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
    limit_s: float = 3_600.0
    tap: Literal["pooled", "blocks"] = "pooled"
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    parents: list[dict[str, Any]] = field(default_factory=list)
    peft: dict[str, str] = field(default_factory=dict)
    signatures: str = ""
    signatures_blob: str = ""
    described: bool = False
    members: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What a fit made: the manifest's fields but for name and number, and figures for lists.

    Attributes:
        metrics: Figures of the report that lists show.
        seconds: By stage.
        torch: Whether torch was loaded for it.
    """

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
    thresholds: list[float]
    parts: list[list[int]]
    parents: list[str]
    signatures: str
    backbones: list[dict[str, Any]]
    request: dict[str, Any]
    code: str
    dataset: str
    dataset_sha256: str
    seed: int
    files: dict[str, dict[str, Any]]
    libraries: dict[str, str]
    metrics: dict[str, Any]
    seconds: dict[str, float]
    torch: bool = False
