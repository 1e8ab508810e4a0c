"""Signatures: a table of classes x attributes, by which classes are told that nobody has an example of.

described (table, texts, mixtures) -> Signatures -> Task.signatures, in the order of Task.classes
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from math import isfinite
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Mask
from adapters.errors import ParameterInvalid, RequirementMissing
from models.errors import InputError, Problem, WeightsCorrupt

Kind = Literal["binary", "continuous", "embedding"]
"""What the values of an attribute are: 0 and 1 alone, any numbers, or one dimension of an embedding."""

Mixture = Sequence[tuple[str, float]]
"""Classes, each with its weight: positive; only their proportions count."""

_LISTED = 5
_UNIT = 1e-3
"""How far the length of an embedding may be from 1: those in half precision are off by less."""


@dataclass(frozen=True, eq=False)
class Signatures:
    """What is known of classes without looking at an item.

    Attributes:
        classes: k different names.
        attributes: a different names; of the embeddings of texts ``0``, ``1``, ...
        values: (k, a) float32; NaN where nothing is known. Binary (0 and 1), continuous in any unit, or embeddings.
        space: Digest of the backbone whose embeddings `values` are; "" for attributes that have names.
        groups: Attributes of which a class has one (``legs: 0, 2, 4, 8``): a name, and the columns.
    """

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    values: F32
    space: str = ""
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def binary(self) -> Mask:
        """(a,) attributes whose known values are 0 and 1 alone."""
        known = np.where(np.isnan(self.values), 0, self.values)
        result: Mask = ((known == 0) | (known == 1)).all(axis=0)
        return result

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """One an attribute; one of which nothing is known counts as binary."""
        if self.space:
            return tuple("embedding" for _ in self.attributes)
        return tuple("binary" if is_binary else "continuous" for is_binary in self.binary)

    def of(self, classes: Sequence[str]) -> Self:
        """The rows of these classes, in this order.

        Raises:
            RequirementMissing: A class has no row.
        """
        place = {name: row for row, name in enumerate(self.classes)}
        lacking = [name for name in classes if name not in place]
        if lacking:
            shown = ", ".join(repr(name[:60]) for name in lacking[:5])
            raise RequirementMissing(
                f"The signatures have no row for {len(lacking)} class(es): {shown}{', ...' if lacking[5:] else ''}. "
                f"Add the row(s); there are {len(self.classes)} classes."
            )
        rows = [place[name] for name in classes]
        return replace(self, classes=tuple(classes), values=self.values[rows])

    def reordered(self, attributes: Sequence[str]) -> Self:
        """The columns of these attributes, in this order; groups keep theirs.

        Args:
            attributes: The names there are, each once.

        Raises:
            RequirementMissing: They are not the same names.
        """
        if tuple(attributes) == self.attributes:
            return self
        place = {name: column for column, name in enumerate(self.attributes)}
        if len(attributes) != len(place) or set(attributes) != set(place):
            raise RequirementMissing(_other_attributes(attributes, self.attributes))
        columns = [place[name] for name in attributes]
        now_at = {column: at for at, column in enumerate(columns)}
        groups = tuple((name, tuple(sorted(now_at[column] for column in group))) for name, group in self.groups)
        return replace(self, attributes=tuple(attributes), values=self.values[:, columns], groups=groups)

    def filled(self, known: Mask) -> F32:
        """(k, a) with what is missing replaced by the attribute's mean over some classes.

        Args:
            known: (k,) classes to take the means over; 0 where none of them has the attribute.
        """
        rows = self.values[known]
        there = ~np.isnan(rows)
        means = np.where(there, rows, 0).sum(axis=0) / np.maximum(1, there.sum(axis=0))
        return np.where(np.isnan(self.values), means.astype(np.float32), self.values).astype(np.float32)

    def to_bytes(self) -> bytes:
        """A safetensors file: ``values`` (k, a) float32, names in the metadata; the same signatures, the same bytes."""
        about = {
            "classes": list(self.classes),
            "attributes": list(self.attributes),
            "space": self.space,
            "groups": [[name, list(columns)] for name, columns in self.groups],
        }
        return write_described({"values": self.values.astype(np.float32, copy=False)}, about)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Needs numpy and safetensors only.

        Raises:
            WeightsCorrupt: It is no such file.
        """
        arrays, about = read_described(data)
        try:
            groups = tuple((name, tuple(columns)) for name, columns in about["groups"])
            found = cls(tuple(about["classes"]), tuple(about["attributes"]), arrays["values"], about["space"], groups)
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsCorrupt(f"The signatures ({len(data)} bytes) cannot be read: {error}.") from error
        if found.values.shape != (len(found.classes), len(found.attributes)):
            raise WeightsCorrupt(f"The signatures' table is {found.values.shape}; the names say otherwise.")
        return found


def mixed(signatures: Signatures, mixtures: Mapping[str, Mixture]) -> Signatures:
    """The same with more classes, each the weighted mean of others: (k + number of mixtures, a).

    A value is missing where one of the classes that are mixed has none. Embeddings that all have length 1 give a
    mixture of length 1.

    Args:
        signatures: Of k classes.
        mixtures: By the new class's name, in the order in which they are put behind the k; one may be made of others.

    Raises:
        RequirementMissing: A mixture names a class that is not there.
        ParameterInvalid: A mixture has the name of a class that is there, names none, or one twice; a weight is not
            positive; or mixtures are made of one another in a circle. `problems` point into `mixtures`.
    """
    rows = {name: signatures.values[at] for at, name in enumerate(signatures.classes)}
    for name, mixture in mixtures.items():
        _check_mixture(name, mixture, rows, mixtures)
    for name in _parts_first(mixtures):
        if name in mixtures:
            parts, weights = zip(*mixtures[name], strict=True)
            rows[name] = _mean([rows[part] for part in parts], weights, embedded=bool(signatures.space))
    classes = (*signatures.classes, *mixtures)
    values = np.stack([rows[name] for name in classes]) if classes else signatures.values
    return replace(signatures, classes=classes, values=values)


def _check_mixture(name: str, mixture: Mixture, known: Mapping[str, F32], mixtures: Mapping[str, Mixture]) -> None:
    parts = [part for part, _ in mixture]
    if name in known:
        raise _wrong_mixture(name, "is a class with a row of its own; give it another name")
    if not parts:
        raise _wrong_mixture(name, "names no class; name one or more, each with a weight")
    if lacking := [part for part in parts if part not in known and part not in mixtures]:
        sentence = (
            f"names {lacking[0][:60]!r}, which is not there; add its row, or name one of the {len(known)} classes"
        )
        raise _wrong_mixture(name, sentence, RequirementMissing)
    if len(set(parts)) < len(parts):
        twice = next(part for part in parts if parts.count(part) > 1)
        raise _wrong_mixture(name, f"names {twice[:60]!r} twice; name it once, with the sum of its weights")
    for part, weight in mixture:
        if not (isfinite(weight) and weight > 0):
            sentence = (
                f"gives {part[:60]!r} the weight {weight:g}; a weight is finite and above 0, or the class left out"
            )
            raise _wrong_mixture(name, sentence)


def _parts_first(mixtures: Mapping[str, Mixture]) -> Iterator[str]:
    """Names such that whatever a mixture is made of comes before it."""
    try:
        yield from TopologicalSorter(
            {name: [part for part, _ in parts] for name, parts in mixtures.items()}
        ).static_order()
    except CycleError as error:
        circle = error.args[1]
        shown = " of ".join(repr(name[:60]) for name in circle[:_LISTED])
        sentence = f"is made of itself ({shown}); describe one of them by attributes"
        raise _wrong_mixture(next(name for name in mixtures if name in circle), sentence) from None


def _mean(rows: Sequence[F32], weights: Sequence[float], *, embedded: bool) -> F32:
    # Shares first: the sum of weights near the largest float is infinite.
    shares = np.asarray(weights, dtype=np.float64) / max(weights)
    stacked = np.stack(rows)
    mean: F32 = (shares @ stacked.astype(np.float64) / shares.sum()).astype(np.float32)
    length = float(np.linalg.norm(mean))
    if embedded and length > 0 and (np.abs(np.linalg.norm(stacked, axis=1) - 1) <= _UNIT).all():
        return (mean / np.float32(length)).astype(np.float32)
    return mean


def _wrong_mixture(name: str, sentence: str, error: type[InputError] = ParameterInvalid) -> InputError:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return error(f"The mixture {name[:60]!r} {sentence}.", problems=[Problem(sentence, pointer=pointer)])


def _other_attributes(wanted: Sequence[str], there: Sequence[str]) -> str:
    lacking, more = sorted(set(wanted) - set(there)), sorted(set(there) - set(wanted))
    return (
        f"{len(wanted)} attributes were asked for and the signatures have {len(there)}: they lack "
        f"{listed(lacking) or 'none'}, and {listed(more) or 'none'} of theirs was not asked for. Describe the "
        "classes by the same attributes."
    )


def listed(names: Sequence[str], most: int = _LISTED) -> str:
    """The first names in quotes, cut, and how many more there are."""
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


_ABOUT = "about"


def write_described(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """Arrays and plain JSON values as one safetensors file; the same content gives the same bytes."""
    from safetensors.numpy import save

    # One entry: safetensors writes several in the order of a hash that differs from process to process.
    metadata = {_ABOUT: json.dumps(about, ensure_ascii=False, sort_keys=True, allow_nan=False)}
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)


def read_described(data: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """What `write_described` wrote. Needs numpy and safetensors only.

    Raises:
        WeightsCorrupt: It is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, npt.NDArray[Any]] = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about: dict[str, Any] = json.loads(header["__metadata__"][_ABOUT])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsCorrupt(f"The file ({len(data)} bytes) cannot be read: {error}.") from error
    return arrays, about
