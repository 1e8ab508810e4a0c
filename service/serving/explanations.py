"""Why an answer is what it is, from what a version kept beside its head. numpy alone; what is large runs in a thread.

zero_shot.safetensors   attributes that it takes an item to have; source classes that it averages, and their mixture
items.safetensors       the items nearest to it, of those that the version was fitted to
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, I64
from adapters.linalg import unit_rows
from adapters.signatures import Signatures, read_described
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.mixtures import mixture_of
from models.errors import WeightsCorrupt
from service.serving.one_off import of_words

DIGITS = 7
ATTRIBUTES = 10
"""Most attributes that are listed of an input."""

SOURCES = 10
"""Most source classes that are listed of an input."""

NEIGHBOURS = 5
"""Items that are listed beside an input."""

_CHUNK_ROWS = 4096
"""Items that are compared at a time: kept in float16, they are multiplied in float32."""

Told = list[dict[str, Any]]
"""What is added to the answer of each input."""


@dataclass(frozen=True, eq=False)
class ZeroShotHead:
    """What a version can be given other classes by, and what its mixtures are told by.

    Attributes:
        head: From its file.
        similarity: (s, s) of the source classes that its first averaging front has; None where it averages none.
    """

    head: SignatureHead
    similarity: F64 | None

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the file of a version.

        Raises:
            WeightsCorrupt: It is no such file.
        """
        head = SignatureHead.from_bytes(data)
        averaging = next((front for front in head.fronts if isinstance(front, ConvexFront)), None)
        return cls(head, None if averaging is None else averaging.similarity)


@dataclass(frozen=True, eq=False)
class Items:
    """The items that a version was fitted to.

    Attributes:
        embedding: (n, d) float16 of length 1, as its head takes them.
        label: (n,) int32 into the version's classes; -1 where there is no single one.
        ids: Of each item; None where they have none.
    """

    embedding: npt.NDArray[np.float16]
    label: npt.NDArray[np.int32]
    ids: tuple[Any, ...] | None

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the file of a version.

        Raises:
            WeightsCorrupt: It is no such file.
        """
        arrays, about = read_described(data)
        try:
            ids = about["ids"]
            return cls(arrays["embedding"], arrays["label"], None if ids is None else tuple(ids))
        except (KeyError, TypeError) as error:
            raise WeightsCorrupt(f"The file of items ({len(data)} bytes) cannot be read: {error!r}.") from error


def neighbours(items: Items, classes: Sequence[str], z: F32) -> Told:
    """The items nearest to each input, by cosine, the nearest first.

    Args:
        items: Of the version.
        classes: Of the version.
        z: (n, d) float32.
    """
    query = unit_rows(z.astype(np.float64)).astype(np.float32)
    best = np.empty((len(z), 0), np.float32)
    places = np.empty((len(z), 0), np.int64)
    # Of each piece the best alone are kept: all similarities of a large call would be 160 MB.
    for begin in range(0, len(items.embedding), _CHUNK_ROWS):
        piece = items.embedding[begin : begin + _CHUNK_ROWS].astype(np.float32)
        similar = np.concatenate([best, query @ piece.T], axis=1)
        here = np.broadcast_to(np.arange(begin, begin + len(piece)), (len(z), len(piece)))
        order = _largest(similar, NEIGHBOURS)
        best = np.take_along_axis(similar, order, axis=1)
        places = np.take_along_axis(np.concatenate([places, here], axis=1), order, axis=1)
    return [
        {"neighbours": [_neighbour(items, classes, at, near) for at, near in zip(row, similarities, strict=True)]}
        for row, similarities in zip(places.tolist(), best.tolist(), strict=True)
    ]


def attributes(head: SignatureHead, z: F32) -> Told | None:
    """What each input's attributes are taken to be, those first that set it apart from the mean of the classes.

    Args:
        head: Of the version.
        z: (n, d) float32.

    Returns:
        At most `ATTRIBUTES` of each: probabilities, or values in the signatures' unit. None where none are predicted.
    """
    if of_words(head.signatures):
        return None
    predicted = next((p for front in head.fronts if (p := front.predicted(z)) is not None), None)
    if predicted is None:
        return None
    means, spreads = _of_classes(head.signatures)
    apart = np.abs(predicted - means) / spreads
    names = head.signatures.attributes
    return [
        {"attributes": [[names[at], round(float(row[at]), DIGITS)] for at in best.tolist()]}
        for row, best in zip(predicted, _largest(apart, ATTRIBUTES), strict=True)
    ]


def mixtures(held: ZeroShotHead, z: F32) -> Told | None:
    """What each input is made of, how far it is spread, and the second mode; see `adapters.zero_shot.mixtures`.

    Args:
        held: Of the version.
        z: (n, d) float32.
    """
    shared = _shares(held.head, z)
    if shared is None or held.similarity is None:
        return None
    return [
        {
            "mixture": [[name, round(share, DIGITS)] for name, share in made.parts],
            "entropy": round(made.entropy, DIGITS),
            "second": None if made.second is None else [made.second[0], round(made.second[1], DIGITS)],
        }
        for made in mixture_of(*shared, held.similarity)
    ]


def sources(head: SignatureHead, z: F32) -> Told | None:
    """The source classes that each input's answer is averaged over, and their weights; None where there are none.

    Args:
        head: Of the version.
        z: (n, d) float32.
    """
    shared = _shares(head, z)
    if shared is None:
        return None
    names, weights = shared
    return [
        {"sources": [[names[at], round(float(row[at]), DIGITS)] for at in best.tolist() if row[at] > 0]}
        for row, best in zip(weights, _largest(weights, SOURCES), strict=True)
    ]


def _shares(head: SignatureHead, z: F32) -> tuple[tuple[str, ...], F32] | None:
    return next((shared for front in head.fronts if (shared := front.shares(z)) is not None), None)


def _largest(values: F32, most: int) -> I64:
    """(n, m) places of the largest of each row, the largest first."""
    most = min(most, values.shape[1])
    if most == 0:
        return np.empty((len(values), 0), np.int64)
    some = np.argpartition(-values, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _neighbour(items: Items, classes: Sequence[str], at: int, similarity: float) -> dict[str, Any]:
    label = int(items.label[at])
    return {
        "id": items.ids[at] if items.ids is not None else str(at),
        "label": classes[label] if label >= 0 else None,
        "similarity": round(similarity, DIGITS),
    }


def _of_classes(signatures: Signatures) -> tuple[F32, F32]:
    """(a,) mean and spread of each attribute over the classes that have it; infinite where they do not differ."""
    there = ~np.isnan(signatures.values)
    known = np.where(there, signatures.values, 0).astype(np.float64)
    count = np.maximum(1, there.sum(axis=0))
    means = known.sum(axis=0) / count
    spreads = np.sqrt((np.where(there, known - means, 0) ** 2).sum(axis=0) / count)
    return means.astype(np.float32), np.where(spreads > 0, spreads, np.inf).astype(np.float32)
