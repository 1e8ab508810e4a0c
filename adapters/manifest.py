"""What serving needs to know of a version; written last, so that a version exists when its manifest does."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from adapters.errors import ManifestInvalid

FORMAT = 1
"""Raised when a reader of the older form could misread the newer one."""

KINDS = ("affine", "graph")
"""How serving can run an adapter: as rows of the shared head table, or its ONNX file as it is."""

MODALITIES = ("text", "image", "audio", "vector", "table")
"""What an item is."""

TASKS = ("classification", "multilabel", "regression")
"""What is asked of an item."""

LONG = ("truncate", "chunk")
"""What becomes of a text or sound longer than the backbone takes: its end is left out, or it is cut in pieces whose
embeddings are averaged."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a version.

    Attributes:
        sha256: Of its bytes, hex.
        size_bytes: Their number.
    """

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """One published version of an adapter.

    Attributes:
        name: Of the adapter.
        number: Of the version, from 1.
        kind: How serving runs it, one of `KINDS`.
        backbone: Id in the catalogue; empty for vectors and tables, which have none.
        backbone_digest: sha256 (hex) of the backbone it was fitted on; it is served on no other. Empty without one.
        tap: What its file takes: an embedding of the backbone, ``pooled`` or ``blocks`` (see `parts`); the activations
            behind a block, ``block<k>``; the backbone's own inputs, ``input``; of a vector itself ``vector``, of a
            table ``row``.
        width: Length of that embedding; of a row as the encoding makes it.
        classes: Names, in the order of every answer; none for regression.
        method: Name and all parameters, as JSON values.
        temperature: Positive; probabilities are softmax(scores / temperature). 1 for regression.
        calibrated: Whether the temperature was measured on held-out rows; False for regression.
        dataset: Id of the dataset.
        dataset_sha256: Of its content, hex.
        job: Id of the job that made it.
        created_at: ISO 8601 with zone.
        seed: Of everything random in the fit.
        files: By name.
        libraries: Versions that made it, by library.
        format: See `FORMAT`.
        modality: One of `MODALITIES`.
        task: One of `TASKS`.
        columns: That a row is made of, as `columns.Column.to_dict` gives them; none but for tables.
        long: One of `LONG`.
        thresholds: (k,) probability from which on an item has each class; none but where it may have several.
        parts: Of the tap's embedding the pieces that it takes, one after the other: first and behind the last number
            of each; none where it takes all of it.
        parents: References of the versions that it grew from, such as ``intents:3``.
        request: What was asked for, as the order of a fit says it: enough to fit it again.
        code: sha256 (hex) over the code that fits; the same code and request give the same bytes.
        signatures: Id of the signatures that tell its classes; empty without.
        backbones: Of an average over several backbones each of them, in the order in which their embeddings stand side
            by side: `backbone`, `backbone_digest`, `tap`, `parts` and `long`. None where `backbone` is the only one.

    Fields from `modality` on may be missing in what was stored before they existed.
    """

    name: str
    number: int
    kind: Literal["affine", "graph"]
    backbone: str
    backbone_digest: str
    tap: str
    width: int
    classes: tuple[str, ...]
    method: Mapping[str, Any]
    temperature: float
    calibrated: bool
    dataset: str
    dataset_sha256: str
    job: str
    created_at: str
    seed: int
    files: Mapping[str, FileEntry]
    libraries: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT
    modality: Literal["text", "image", "audio", "vector", "table"] = "text"
    task: Literal["classification", "multilabel", "regression"] = "classification"
    columns: tuple[Mapping[str, Any], ...] = ()
    long: Literal["truncate", "chunk"] = "truncate"
    thresholds: tuple[float, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    parents: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    signatures: str = ""
    backbones: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        lists: dict[str, Any] = {name: list(getattr(self, name)) for name in _TUPLES}
        return {**asdict(self), **lists, "parts": [list(part) for part in self.parts]}

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys: the same manifest gives the same bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
        return (text + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ManifestInvalid: Not JSON, another format or kind, a field missing, unknown or of another type.
        """
        try:
            given = json.loads(data)
        except ValueError as error:
            raise ManifestInvalid(f"The manifest ({len(data)} bytes) is not JSON: {error}.") from error
        if not isinstance(given, dict):
            raise ManifestInvalid(f"The manifest is a JSON {type(given).__name__}; expected an object.")
        return cls.from_dict(given)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ManifestInvalid: Another format or kind, a field missing, unknown or of another type.
        """
        complete = _LATER | given
        _check(complete, {f.name for f in fields(cls)})
        files = {name: FileEntry(**entry) for name, entry in complete["files"].items()}
        tuples: dict[str, Any] = {name: tuple(complete[name]) for name in _TUPLES}
        tuples["parts"] = tuple((first, behind) for first, behind in complete["parts"])
        return cls(**(complete | tuples | {"files": files}))


_TUPLES = ("classes", "columns", "thresholds", "parts", "parents", "backbones")
"""Fields that are lists in JSON."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "number": int,
    "kind": str,
    "backbone": str,
    "backbone_digest": str,
    "tap": str,
    "width": int,
    "classes": list,
    "method": dict,
    "temperature": (int, float),
    "calibrated": bool,
    "dataset": str,
    "dataset_sha256": str,
    "job": str,
    "created_at": str,
    "seed": int,
    "files": dict,
    "libraries": dict,
    "format": int,
    "modality": str,
    "task": str,
    "columns": list,
    "long": str,
    "thresholds": list,
    "parts": list,
    "parents": list,
    "request": dict,
    "code": str,
    "signatures": str,
    "backbones": list,
}

_LATER: dict[str, Any] = {
    "modality": "text",
    "task": "classification",
    "columns": [],
    "long": "truncate",
    "thresholds": [],
    "parts": [],
    "parents": [],
    "request": {},
    "code": "",
    "signatures": "",
    "backbones": [],
}
"""What a manifest means that was stored before these fields existed."""

_CHOICES = {"kind": KINDS, "modality": MODALITIES, "task": TASKS, "long": LONG}


def _check(given: dict[str, Any], known: set[str]) -> None:
    # The format first: of another one nothing else can be said.
    if given.get("format") != FORMAT:
        raise ManifestInvalid(f"The manifest has format {given.get('format')!r}; this version reads {FORMAT}.")
    if set(given) != known:
        missing, unknown = sorted(known - set(given)), sorted(set(given) - known)
        raise ManifestInvalid(f"The manifest lacks {missing or 'nothing'} and has unknown {unknown or 'nothing'}.")
    for name, expected in _TYPES.items():
        # To Python, true is an integer.
        if not isinstance(given[name], expected) or (isinstance(given[name], bool) and expected is not bool):
            raise ManifestInvalid(f"{name!r} of the manifest is a {type(given[name]).__name__}.")
    for name, choices in _CHOICES.items():
        if given[name] not in choices:
            raise ManifestInvalid(f"The manifest has {name} {given[name]!r}; this version serves {', '.join(choices)}.")
    if not given["temperature"] > 0:
        raise ManifestInvalid(f"The manifest has temperature {given['temperature']}; it must be positive.")
    _check_lists(given)
    _check_files(given["files"])


def _check_lists(given: dict[str, Any]) -> None:
    if not all(isinstance(name, str) for name in given["classes"]):
        raise ManifestInvalid("A class of the manifest is not a string.")
    if not all(isinstance(name, str) for name in given["parents"]):
        raise ManifestInvalid("A parent of the manifest is not a string.")
    if not all(_is_part(part) for part in given["parts"]):
        raise ManifestInvalid("A part of the manifest is not a pair of whole numbers, the second above the first.")
    _check_thresholds(given)
    if (given["task"] == "regression") == bool(given["classes"]):
        raise ManifestInvalid(f"The manifest has task {given['task']!r} and {len(given['classes'])} classes.")
    if not all(isinstance(column, dict) and isinstance(column.get("name"), str) for column in given["columns"]):
        raise ManifestInvalid("A column of the manifest is not an object with a name.")
    if (given["modality"] == "table") != bool(given["columns"]):
        raise ManifestInvalid(f"The manifest has modality {given['modality']!r} and {len(given['columns'])} columns.")


def _is_part(part: object) -> bool:
    if not isinstance(part, list | tuple) or len(part) != 2 or not all(type(end) is int for end in part):
        return False
    return bool(0 <= part[0] < part[1])


def _check_thresholds(given: dict[str, Any]) -> None:
    thresholds = given["thresholds"]
    wanted = len(given["classes"]) if given["task"] == "multilabel" else 0
    if len(thresholds) != wanted or not all(isinstance(t, int | float) and 0 <= t <= 1 for t in thresholds):
        raise ManifestInvalid(
            f"The manifest has task {given['task']!r} and {len(thresholds)} thresholds; expected {wanted} of 0 to 1."
        )


def _check_files(files: dict[str, Any]) -> None:
    for name, entry in files.items():
        if not isinstance(entry, dict) or {key: type(value) for key, value in entry.items()} != _FILE:
            raise ManifestInvalid(
                f"File {name!r} of the manifest must have a sha256 (string) and size_bytes (integer)."
            )


_FILE: dict[str, type] = {"sha256": str, "size_bytes": int}
