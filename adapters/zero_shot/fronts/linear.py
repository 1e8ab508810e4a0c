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

_ARRAYS = ("weight", "bias", "fill", "centre")
_OPTIONAL_ARRAYS = ("scale", "readout")


@dataclass(frozen=True, eq=False)
class LinearFront(Front):
    """g(z) = z · weightᵀ + bias.

    Attributes:
        weight: (a, d) float32.
        bias: (a,) float32.
        fill: (a,) float32 that stands for what is missing in a signature.
        centre: (a,) float32 that is taken from a signature.
        unit: Whether signatures are brought to length 1 then.
        scale: (a,) float32 that a signature is multiplied by before that; 0 for an attribute that says nothing. None:
            as it is.
        readout: (a, a) float32, or (a,) of a diagonal: from g(z) to an item's attributes less `centre`. None where they
            are not predicted.
    """

    kind: ClassVar[str] = "linear"

    weight: F32
    bias: F32
    fill: F32
    centre: F32
    unit: bool = True
    scale: F32 | None = None
    readout: F32 | None = None

    @property
    def first(self) -> tuple[F32, F32]:
        """All of it."""
        return self.weight, self.bias

    def features(self, z: F32) -> F32:
        """See `Front.features`."""
        return np.asarray(z @ self.weight.T + self.bias, dtype=np.float32)

    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """Filled, centred, scaled and, with `unit`, of length 1; no bias.

        Nothing of it is learned from these signatures: a class is encoded alike whatever stands beside it.
        """
        filled = np.where(np.isnan(signatures.values), self.fill, signatures.values)
        rows = filled.astype(np.float64) - self.centre
        if self.scale is not None:
            rows *= self.scale
        table = unit_rows(rows) if self.unit else rows
        return table.astype(np.float32), np.zeros(len(table), dtype=np.float32)

    @property
    def affine(self) -> bool:
        """It is."""
        return True

    def predicted(self, z: F32) -> F32 | None:
        """(n, a) attributes in the signatures' unit, as regression expects them: drawn toward the mean of classes."""
        if self.readout is None:
            return None
        g = self.features(z)
        away = g * self.readout if self.readout.ndim == 1 else g @ self.readout.T
        return np.asarray(self.centre + away, dtype=np.float32)

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        there = {name: getattr(self, name) for name in _ARRAYS}
        there |= {name: value for name in _OPTIONAL_ARRAYS if (value := getattr(self, name)) is not None}
        return there, {"unit": self.unit}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:
        """See `Front.of_arrays`."""
        there = {name: arrays[name] for name in _ARRAYS}
        there |= {name: arrays[name] for name in _OPTIONAL_ARRAYS if name in arrays}
        return cls(**there, unit=bool(about["unit"]))
