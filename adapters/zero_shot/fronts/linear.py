"""Items brought into the signatures' space by one matrix; a class meets them there by a product."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.linalg import unit_rows
from adapters.signatures import Signatures
from adapters.zero_shot.fronts.base import Front


@dataclass(frozen=True, eq=False)
class LinearFront(Front):
    """g(z) = z · weightᵀ + bias.

    Attributes:
        weight: (a, d) float32.
        bias: (a,) float32.
        fill: (a,) float32 that stands for what is missing in a signature.
        centre: (a,) float32 that is taken from a signature.
        unit: Whether signatures are brought to length 1 then.
    """

    kind: ClassVar[str] = "linear"

    weight: F32
    bias: F32
    fill: F32
    centre: F32
    unit: bool = True

    @property
    def first(self) -> tuple[F32, F32]:
        """All of it."""
        return self.weight, self.bias

    def features(self, z: F32) -> F32:
        """See `Front.features`."""
        return np.asarray(z @ self.weight.T + self.bias, dtype=np.float32)

    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """Filled, centred and, with `unit`, of length 1; no bias."""
        filled = np.where(np.isnan(signatures.values), self.fill, signatures.values)
        rows = (filled - self.centre).astype(np.float64)
        table = unit_rows(rows) if self.unit else rows
        return table.astype(np.float32), np.zeros(len(table), dtype=np.float32)

    @property
    def affine(self) -> bool:
        """It is."""
        return True

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        names = ("weight", "bias", "fill", "centre")
        return {name: getattr(self, name) for name in names}, {"unit": self.unit}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:
        """See `Front.of_arrays`."""
        return cls(arrays["weight"], arrays["bias"], arrays["fill"], arrays["centre"], about["unit"])
