"""The half of a zero-shot head that knows no classes: g(z), and how a class's signature becomes a row to meet it.

scores (n, k) = g(z) (n, m) · encode(signatures) (k, m)ᵀ + bias (k,)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy.typing as npt

from adapters.base import F32
from adapters.graphs import Graph
from adapters.signatures import Signatures


class Front(ABC):
    """What was learned of items. Immutable."""

    kind: ClassVar[str]
    """Its name in files."""

    @property
    @abstractmethod
    def first(self) -> tuple[F32, F32]:
        """Weight (h, d) and bias (h,) of the affine layer that it begins with."""

    @abstractmethod
    def features(self, z: F32) -> F32:
        """(n, d) float32 embeddings to (n, m) float32."""

    def rest(self, graph: Graph, first: str) -> str:  # noqa: ARG002  # fronts that are more than affine write to it
        """Write what follows the first layer: from the name of its result (n, h) to that of the features (n, m)."""
        return first

    @abstractmethod
    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """Classes as this front meets them: (k, m) and (k,) float32."""

    @property
    def affine(self) -> bool:
        """Whether the features are the first layer alone, so that all is one affine head."""
        return False

    def predicted(self, z: F32) -> F32 | None:  # noqa: ARG002  # those that predict attributes look at it
        """(n, a) what it takes an item's attributes to be: probabilities, or values in the signatures' unit.

        None where it does not predict attributes.
        """
        return None

    def shares(self, z: F32) -> tuple[tuple[str, ...], F32] | None:  # noqa: ARG002  # as above
        """Source classes, and (n, s) the weight of each in an item; None where it averages none."""
        return None

    @abstractmethod
    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Everything it is made of: arrays, and plain JSON values."""

    @classmethod
    @abstractmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:
        """What `arrays` gave, back again."""
