"""Signatures in one unit, as far as the seen classes show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Mask
from adapters.signatures import Signatures, listed


@dataclass(frozen=True, eq=False)
class Scale:
    """From the signatures' unit to one that all attributes share, and back.

    Attributes:
        low: (a,) float32 that becomes 0.
        span: (a,) float32, positive: what is as far above it becomes 1.
        varies: (a,) attributes in which seen classes differ: nothing can be learned of the others.
    """

    low: F32
    span: F32
    varies: Mask

    @classmethod
    def of(cls, signatures: Signatures, seen: Mask) -> Self:
        """Such that the classes `seen` (k,) reach from 0 to 1.

        Half way up in any unit is a mark of a half, and attributes of 0 and 1 stay as they are. Other classes have no
        say.
        """
        rows = signatures.values[seen]
        there = ~np.isnan(rows)
        low = np.where(there, rows, np.inf).min(axis=0, initial=np.inf)
        high = np.where(there, rows, -np.inf).max(axis=0, initial=-np.inf)
        varies = high > low
        low = np.where(np.isfinite(low), low, 0)
        span = np.ones_like(low)
        np.subtract(high, low, out=span, where=varies)
        return cls(low.astype(np.float32), span.astype(np.float32), varies)

    @classmethod
    def standard(cls, signatures: Signatures) -> Self:
        """Such that classes without missing values have mean 0 and, but for embeddings, standard deviation 1."""
        values = signatures.values.astype(np.float64)
        varies = values.max(axis=0) > values.min(axis=0)
        deviation = values.std(axis=0) if not signatures.space else np.ones(values.shape[1])
        span = np.where(varies & (deviation > 0), deviation, 1)
        return cls(values.mean(axis=0).astype(np.float32), span.astype(np.float32), varies)

    def left_out(self, signatures: Signatures) -> str | None:
        """What a report is to say of attributes that nothing can be learned of; None where there are none."""
        names = [name for name, varies in zip(signatures.attributes, self.varies, strict=True) if not varies]
        if not names:
            return None
        return (
            f"Nothing can be learned of {len(names)} attribute(s), in which all that was seen is alike: "
            f"{listed(names)}. They are left out."
        )

    def apply(self, signatures: Signatures) -> F32:
        """(k, a) float32, NaN where nothing is known; classes that go beyond the seen ones leave 0..1."""
        return np.asarray((signatures.values - self.low) / self.span, dtype=np.float32)

    def marks(self, signatures: Signatures) -> F32:
        """The same, kept within 0..1."""
        return np.clip(self.apply(signatures), np.float32(0), np.float32(1))

    def back(self, values: F32) -> F32:
        """(n, a) float32 in the signatures' unit."""
        return np.asarray(values * self.span + self.low, dtype=np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """By name."""
        return {"low": self.low, "span": self.span, "varies": self.varies}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """What `arrays` gave, back again."""
        return cls(arrays["low"], arrays["span"], arrays["varies"])
