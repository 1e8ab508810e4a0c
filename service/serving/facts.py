"""What a serving process remembers of an adapter: little, because there are thousands."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from adapters.columns import Column, Schema
from adapters.heads import MAP_NAME
from adapters.manifest import Manifest
from adapters.zero_shot.head import FILE_NAME as ZERO_SHOT_NAME
from service.errors import ArtifactCorrupt

Names = tuple[str, ...]

KEPT = 32
"""Versions of an adapter that are remembered: those that were asked for last."""

_ADAPTER_BYTES, _VERSION_BYTES, _COLUMN_BYTES, _NAME_BYTES, _NUMBER_BYTES = 500, 700, 1000, 100, 40
_HEADS = {"affine": "head.safetensors", "graph": "head.onnx"}
_EMBEDDINGS = frozenset({"pooled", "blocks", "vector", "row"})
"""Taps at which an item is one embedding, or a row that the head itself makes one of."""

ITEMS_NAME = "items.safetensors"
"""File of a version: embeddings of the items that it was fitted to, with their labels and ids."""

_MIXING = frozenset({"conse"})
"""Methods whose every answer is an average of source classes."""


@dataclass(frozen=True, slots=True)
class BackboneTap:
    """One of several backbones whose embeddings a head takes side by side.

    Attributes:
        backbone: Its name.
        digest: Of the very backbone.
        tap: Which of its embeddings; never one within the backbone.
        parts: Of that embedding the pieces that are taken; () where all of it is.
        long: What happens to a text or sound that it cannot take whole.
    """

    backbone: str
    digest: str
    tap: str
    parts: tuple[tuple[int, int], ...]
    long: str

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """One of `Manifest.backbones`."""
        return cls(
            sys.intern(given["backbone"]),
            sys.intern(given["backbone_digest"]),
            sys.intern(given["tap"]),
            tuple((first, behind) for first, behind in given["parts"]),
            sys.intern(given["long"]),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """A version's manifest, as far as an answer needs it.

    Attributes:
        name: Of the adapter.
        number: Of the version.
        kind: "affine": rows of the head table; "graph": an ONNX file.
        modality: "text", "image", "audio", "vector" or "table".
        task: "classification", "multilabel" or "regression".
        backbone: Id in the catalogue; "" where there is none.
        backbone_digest: Of the very backbone it was fitted on; "" where there is none.
        width: Length of the embedding, or of the encoded row.
        classes: Names, in the order of every answer; () for a regression.
        calibrated: Whether its probabilities were calibrated on held-out rows.
        columns: What a row is expected to have, for tables.
        long: What happens to a text or sound that the backbone cannot take whole: "truncate" or "chunk".
        head: sha256 (hex) of the blob that serving runs.
        tap: What the head takes; see `Manifest.tap`.
        parts: Of the tap's embedding the pieces that the head takes; () where it takes all of it.
        thresholds: Probability from which on an input has each class; () but where it may have several.
        map: sha256 (hex) of the map that stands between the embedding and an affine head; "" where there is none.
        backbones: Of a head over several backbones each of them, in the order of its input; () where `backbone` is all.
        temperature: That scores are divided by.
        zero_shot: sha256 (hex) of the file from which a head for other classes is made; "" where there is none.
        items: sha256 (hex) of the file with the items that it was fitted to; "" where there is none.
        mixes: Whether every answer is an average of source classes.
    """

    name: str
    number: int
    kind: str
    modality: str
    task: str
    backbone: str
    backbone_digest: str
    width: int
    classes: Names
    calibrated: bool
    columns: Schema
    long: str
    head: str
    tap: str = "pooled"
    parts: tuple[tuple[int, int], ...] = ()
    thresholds: tuple[float, ...] = ()
    map: str = ""
    backbones: tuple[BackboneTap, ...] = ()
    temperature: float = 1.0
    zero_shot: str = ""
    items: str = ""
    mixes: bool = False

    @classmethod
    def of(cls, manifest: Manifest, shared: Callable[[Names], Names]) -> Self:
        """Take them from a manifest.

        Args:
            manifest: Of the version.
            shared: Gives an equal tuple that is there already: thousands of adapters may have the same classes.

        Raises:
            ArtifactCorrupt: The manifest names no file that its kind can be served from.
        """
        file = manifest.files.get(_HEADS[manifest.kind])
        if file is None:
            raise ArtifactCorrupt(f"the manifest of {manifest.name}:{manifest.number} has no {_HEADS[manifest.kind]}")
        zero_shot = _digest_of(manifest, ZERO_SHOT_NAME)
        return cls(
            name=sys.intern(manifest.name),
            number=manifest.number,
            kind=sys.intern(manifest.kind),
            modality=sys.intern(manifest.modality),
            task=sys.intern(manifest.task),
            backbone=sys.intern(manifest.backbone),
            backbone_digest=sys.intern(manifest.backbone_digest),
            width=manifest.width,
            classes=shared(tuple(map(sys.intern, manifest.classes))),
            calibrated=manifest.calibrated,
            columns=tuple(Column.from_dict(column) for column in manifest.columns),
            long=sys.intern(manifest.long),
            head=file.sha256,
            tap=sys.intern(manifest.tap),
            parts=manifest.parts,
            thresholds=manifest.thresholds,
            map=_map_of(manifest),
            backbones=tuple(map(BackboneTap.of, manifest.backbones)),
            temperature=manifest.temperature,
            zero_shot=zero_shot,
            items=_digest_of(manifest, ITEMS_NAME),
            mixes=bool(zero_shot) and manifest.method.get("method") in _MIXING,
        )

    @property
    def multilabel(self) -> bool:
        """Whether an input has any number of classes."""
        return self.task == "multilabel"

    @property
    def tuned(self) -> bool:
        """Whether the head is a part of the backbone: it takes activations behind a block, or the backbone's inputs."""
        return self.tap not in _EMBEDDINGS and not self.backbones

    @property
    def size_bytes(self) -> int:
        """Memory that it takes at most, about."""
        numbers = _NUMBER_BYTES * (len(self.thresholds) + 2 * len(self.parts))
        names = len(self.classes) + sum(len(column.categories) for column in self.columns)
        rows = _COLUMN_BYTES * (len(self.columns) + len(self.backbones))
        return _VERSION_BYTES + rows + _NAME_BYTES * names + numbers


def _map_of(manifest: Manifest) -> str:
    """The map of an affine head; a graph holds its own."""
    return _digest_of(manifest, MAP_NAME) if manifest.kind == "affine" else ""


def _digest_of(manifest: Manifest, name: str) -> str:
    """The digest of a file that versions may have in common; "" where there is none."""
    file = manifest.files.get(name)
    return sys.intern(file.sha256) if file is not None else ""


@dataclass(frozen=True, slots=True)
class Known:
    """An adapter: which versions there are, where its aliases point, and the facts of versions that are in use."""

    aliases: Mapping[str, int]
    numbers: tuple[int, ...]
    facts: tuple[Facts, ...]

    def of(self, number: int | None) -> Facts | None:
        """The facts of a version, where they are here."""
        for facts in self.facts:
            if facts.number == number:
                return facts
        return None

    def using(self, facts: Facts) -> "Known":
        """The same with a version that is used from now on."""
        others = tuple(other for other in self.facts if other.number != facts.number)
        return Known(self.aliases, self.numbers, (*others[1 - KEPT :], facts))

    @property
    def size_bytes(self) -> int:
        """Memory that it takes at most, about."""
        rest = _ADAPTER_BYTES + _NAME_BYTES * (len(self.aliases) + len(self.numbers) // 2)
        return rest + sum(facts.size_bytes for facts in self.facts)
