"""Signatures: a table of classes x attributes, by which classes are told that nobody has an example of.

described (table, texts, mixtures) -> Signatures -> Task.signatures, in the order of Task.classes
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Mask
from adapters.errors import RequirementMissing
from models.errors import WeightsCorrupt


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
