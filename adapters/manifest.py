"""What serving needs to know of a version; written last, so that a version exists when its manifest does."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from adapters.errors import ManifestInvalid

FORMAT = 1
"""Raised when a reader of the older form could misread the newer one."""

KINDS = ("affine",)
"""How serving can run an adapter."""


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
        backbone: Id in the catalogue.
        backbone_digest: sha256 (hex) of the backbone it was fitted on; it is served on no other.
        tap: Which embedding of the backbone it takes.
        width: Length of that embedding.
        classes: Names, in the order of every answer.
        method: Name and all parameters, as JSON values.
        temperature: Positive; probabilities are softmax(scores / temperature).
        calibrated: Whether the temperature was measured on held-out rows.
        dataset: Id of the dataset.
        dataset_sha256: Of its content, hex.
        job: Id of the job that made it.
        created_at: ISO 8601 with zone.
        seed: Of everything random in the fit.
        files: By name.
        libraries: Versions that made it, by library.
        format: See `FORMAT`.
    """

    name: str
    number: int
    kind: Literal["affine"]
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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "classes": list(self.classes)}

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
        _check(given, {f.name for f in fields(cls)})
        files = {name: FileEntry(**entry) for name, entry in given["files"].items()}
        return cls(**(given | {"classes": tuple(given["classes"]), "files": files}))


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
}


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
    if given["kind"] not in KINDS:
        raise ManifestInvalid(f"The manifest has kind {given['kind']!r}; this version serves {', '.join(KINDS)}.")
    if not all(isinstance(name, str) for name in given["classes"]):
        raise ManifestInvalid("A class of the manifest is not a string.")
    if not given["temperature"] > 0:
        raise ManifestInvalid(f"The manifest has temperature {given['temperature']}; it must be positive.")
    for name, entry in given["files"].items():
        if not isinstance(entry, dict) or {key: type(value) for key, value in entry.items()} != _FILE:
            raise ManifestInvalid(
                f"File {name!r} of the manifest must have a sha256 (string) and size_bytes (integer)."
            )


_FILE: dict[str, type] = {"sha256": str, "size_bytes": int}
