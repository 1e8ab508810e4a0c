"""A head whose classes are rows of signatures: it can be given others without a fit."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, Mask, Task
from adapters.errors import RequirementMissing
from adapters.graphs import Graph
from adapters.heads import AffineHead, LayeredHead
from adapters.signatures import Signatures, read_described, write_described
from adapters.zero_shot.fronts import FRONTS, Front
from models.errors import WeightsCorrupt

FILE_NAME = "zero_shot.safetensors"
"""File of a version: the head without its ONNX form, from which one for other classes is made."""


@dataclass(frozen=True, eq=False)
class SignatureHead(LayeredHead):
    """scores = Σ share · (g(z) · encode(signatures)ᵀ + bias), less `stacking` for classes that were seen.

    Attributes:
        fronts: One, or those of a blend.
        shares: One a front: what its scores are multiplied by.
        signatures: Of the k classes.
        seen: (k,) classes that the rows showed.
        stacking: What is taken from the scores of seen classes, which come out too high ("calibrated stacking").

    Source: Chao, Changpinyo, Gong & Sha, An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object
        Recognition in the Wild, ECCV 2016.
    """

    fronts: tuple[Front, ...]
    shares: tuple[float, ...]
    signatures: Signatures
    seen: Mask
    stacking: float = 0.0

    multilabel = False

    @classmethod
    def of(cls, front: Front, task: Task, stacking: float | None, signatures: Signatures | None = None) -> Self:
        """A head with one front.

        Args:
            front: Fitted to the task.
            task: Says which classes were seen.
            stacking: None for nothing.
            signatures: Of the task's classes; None for the task's own.

        Raises:
            RequirementMissing: There are no signatures at all.
        """
        described = task.signatures if signatures is None else signatures
        if described is None:
            raise RequirementMissing("A head that tells classes by signatures needs some. Give the task signatures.")
        return cls((front,), (1.0,), described, ~task.absent, 0.0 if stacking is None else stacking)

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the signatures."""
        return self.signatures.classes

    @cached_property
    def table(self) -> tuple[F32, F32]:
        """Classes as the features of all fronts, side by side, meet them: (k, Σm) and (k,) float32."""
        encoded = [front.encode(self.signatures) for front in self.fronts]
        weight = np.concatenate([s * w for s, (w, _) in zip(self.shares, encoded, strict=True)], axis=1)
        bias = np.sum([s * b for s, (_, b) in zip(self.shares, encoded, strict=True)], axis=0)
        return weight.astype(np.float32), (bias - self.stacking * self.seen).astype(np.float32)

    @cached_property
    def affine(self) -> AffineHead | None:
        """All in one layer, where every front is one."""
        if not all(front.affine for front in self.fronts):
            return None
        table, bias = self.table
        firsts = [front.first for front in self.fronts]
        ends = np.cumsum([len(b) for _, b in firsts])[:-1]
        pieces = np.split(table.astype(np.float64), ends, axis=1)
        weight = np.sum([_through(piece, w) for piece, (w, _) in zip(pieces, firsts, strict=True)], axis=0)
        shift = np.sum([piece @ b for piece, (_, b) in zip(pieces, firsts, strict=True)], axis=0)
        return AffineHead(weight.astype(np.float32), (shift + bias).astype(np.float32), self.classes)

    @cached_property
    def first(self) -> tuple[F32, F32]:
        """Those of all fronts, one below the other; of fronts that are affine the scores themselves."""
        if (affine := self.affine) is not None:
            return affine.first
        weights, biases = zip(*(front.first for front in self.fronts), strict=True)
        return np.concatenate(weights, axis=0), np.concatenate(biases)

    def rest(self, graph: Graph, first: str) -> str:
        """What each front makes of its own part of the first layer, and the classes that meet it."""
        if self.affine is not None:
            return first
        begin, features = 0, []
        for index, front in enumerate(self.fronts):
            behind = begin + len(front.first[1])
            ends = [
                graph.constant(f"{name}_{index}", np.array([value], np.int64))
                for name, value in (("begin", begin), ("behind", behind), ("axis", 1))
            ]
            features.append(front.rest(graph, graph("Slice", first, *ends)))
            begin = behind
        weight, bias = self.table
        met = features[0] if len(features) == 1 else graph("Concat", *features, axis=1)
        return graph(
            "Gemm", met, graph.constant("classes_weight", weight), graph.constant("classes_bias", bias), transB=1
        )

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        if (affine := self.affine) is not None:
            return affine.scores(z)
        weight, bias = self.table
        features = np.concatenate([front.features(z) for front in self.fronts], axis=1)
        return np.asarray(features @ weight.T + bias, dtype=np.float32)

    def with_signatures(self, signatures: Signatures) -> Self:
        """The same for other classes; those of the same name stay seen, in value and order as `signatures` has them.

        Attributes may stand in another order. A head that does not know the backbone of its embeddings takes any.

        Raises:
            RequirementMissing: They have other attributes, or are embeddings of another backbone.
        """
        ours = self.signatures
        if set(signatures.attributes) != set(ours.attributes) or (ours.space and signatures.space != ours.space):
            raise RequirementMissing(self._unlike(signatures))
        signatures = signatures.reordered(ours.attributes)
        names = {name for name, seen in zip(self.classes, self.seen, strict=True) if seen}
        seen = np.array([name in names for name in signatures.classes], dtype=np.bool_)
        return replace(self, signatures=signatures, seen=seen)

    def _unlike(self, signatures: Signatures) -> str:
        ours, theirs = set(self.signatures.attributes), set(signatures.attributes)
        if ours == theirs:
            return (
                "These signatures are embeddings of another backbone than those that it was fitted with, or of none. "
                "Embed the descriptions of the classes by the same backbone."
            )
        sides = (("they lack", ours - theirs), ("it does not know", theirs - ours))
        odd = " and ".join(f"{words} {', '.join(map(repr, sorted(names)[:3]))}" for words, names in sides if names)
        return (
            f"These signatures have {len(theirs)} attributes and the version was fitted with {len(ours)}: {odd}. "
            "Describe the classes by the same attributes."
        )

    def predicted(self, z: F32) -> F32 | None:
        """(n, a) what it takes an item's attributes to be, by the first front that says; see `Front.predicted`."""
        return next((found for front in self.fronts if (found := front.predicted(z)) is not None), None)

    def files(self) -> dict[str, bytes]:
        """Itself, so that it can be given other classes."""
        return {FILE_NAME: self.to_bytes()}

    def to_bytes(self) -> bytes:
        """A safetensors file; the same head, the same bytes."""
        arrays: dict[str, npt.NDArray[Any]] = {"seen": self.seen}
        abouts = []
        for index, (front, share) in enumerate(zip(self.fronts, self.shares, strict=True)):
            own, about = front.arrays()
            arrays |= {f"{index}.{name}": array for name, array in own.items()}
            abouts.append({"kind": front.kind, "share": share, "about": about})
        arrays["signatures"] = np.frombuffer(self.signatures.to_bytes(), dtype=np.uint8)
        return write_described(arrays, {"fronts": abouts, "stacking": self.stacking})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Needs numpy and safetensors only.

        Raises:
            WeightsCorrupt: It is no such file.
        """
        arrays, about = read_described(data)
        try:
            fronts = tuple(
                FRONTS[front["kind"]].of_arrays(_of_front(arrays, index), front["about"])
                for index, front in enumerate(about["fronts"])
            )
            shares = tuple(float(front["share"]) for front in about["fronts"])
            signatures = Signatures.from_bytes(arrays["signatures"].tobytes())
            return cls(fronts, shares, signatures, arrays["seen"], float(about["stacking"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsCorrupt(f"The zero-shot head ({len(data)} bytes) cannot be read: {error!r}.") from error


def _of_front(arrays: dict[str, npt.NDArray[Any]], index: int) -> dict[str, npt.NDArray[Any]]:
    mine = f"{index}."
    return {name.removeprefix(mine): array for name, array in arrays.items() if name.startswith(mine)}


def _through(table: F64, weight: F32) -> F64:
    """Classes (k, m) through the first layer (m, d): classes as an embedding meets them."""
    if weight.shape[0] == weight.shape[1] and np.array_equal(weight, np.eye(len(weight), dtype=np.float32)):
        # Thousands of names times an identity would cost a second.
        return table
    result: F64 = table @ weight
    return result
