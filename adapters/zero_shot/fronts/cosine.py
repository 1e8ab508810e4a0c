"""Items and classes in one space: a class meets an item by the cosine of their angle. Nothing is learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.graphs import Graph
from adapters.linalg import unit_rows
from adapters.signatures import Signatures
from adapters.zero_shot.fronts.base import Front

_SHORTEST = np.float32(1e-12)
"""An item that is shorter has no direction; its cosines are all about zero."""


@dataclass(frozen=True, eq=False)
class CosineFront(Front):
    """g(z) = z/‖z‖.

    Attributes:
        width: d of an embedding, and of a class.
        unit: Whether embeddings have length 1 as they come, so that g(z) = z and all is one affine head.
    """

    kind: ClassVar[str] = "cosine"

    width: int
    unit: bool

    @property
    def first(self) -> tuple[F32, F32]:
        """Nothing is done to an embedding: the identity."""
        return np.eye(self.width, dtype=np.float32), np.zeros(self.width, dtype=np.float32)

    def features(self, z: F32) -> F32:
        """See `Front.features`."""
        if self.unit:
            return z
        lengths = np.sqrt((z * z).sum(axis=1, keepdims=True))
        return np.asarray(z / np.maximum(lengths, _SHORTEST), dtype=np.float32)

    def rest(self, graph: Graph, first: str) -> str:
        """Divide by the length."""
        if self.unit:
            return first
        axis = graph.constant(f"{first}_axis", np.array([1], np.int64))
        length = graph("Sqrt", graph("ReduceSum", graph("Mul", first, first), axis, keepdims=1))
        return graph("Div", first, graph("Max", length, graph.constant(f"{first}_shortest", _SHORTEST)))

    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """Of length 1, what is missing as 0; no bias."""
        table = unit_rows(np.nan_to_num(signatures.values.astype(np.float64), nan=0.0))
        return table.astype(np.float32), np.zeros(len(table), dtype=np.float32)

    @property
    def affine(self) -> bool:
        """Where embeddings have length 1."""
        return self.unit

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        return {}, {"width": self.width, "unit": self.unit}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:  # noqa: ARG003  # as `Front` has it
        """See `Front.of_arrays`."""
        return cls(int(about["width"]), bool(about["unit"]))
