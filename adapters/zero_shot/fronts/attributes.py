"""Items told by the probability of each attribute; a class is as likely as its attributes together.

direct      a classifier for each attribute
indirect    a classifier of the seen classes, and which of these have each attribute

Both end in the log odds u of the attributes. With s the marks of a class, 0..1, and q the log odds of each attribute
before anything is seen, the class's score is Σ s·log p + (1-s)·log(1-p) over what is known of it, less the same of q.
What all classes have in common changes nothing: without Σ log(1-p) over all attributes a known one adds s·(u - q), and
an unknown one log(1+exp u) - log(1+exp q). So numbers stay small, and of attributes of which a class has exactly one
(``legs: 0, 2, 4, 8``) the sum of u is the log of their softmax, up to what all classes have in common.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.graphs import Graph
from adapters.linalg import log_softmax
from adapters.signatures import Signatures
from adapters.zero_shot.fronts.base import Front
from adapters.zero_shot.fronts.scale import Scale

SUREST = 5.0
"""Log odds beyond which nothing is believed: a single attribute must not outvote all others, and float32 must hold the
sums. On AwA 4 and 6 did as well within 0.2 points."""

_LEAST = float(1 / (1 + np.exp(SUREST)))


@dataclass(frozen=True, eq=False)
class AttributeFront(Front):
    """Features (n, 2a): log odds u of the attributes, and log(1 + exp u) for classes of which one is not known.

    Attributes:
        weight: (h, d) float32 of the first layer.
        bias: (h,) float32.
        scale: Of the signatures.
        prior: (a,) float32 log odds of each attribute before anything is seen: as the seen classes have it.
    """

    weight: F32
    bias: F32
    scale: Scale
    prior: F32

    @property
    def first(self) -> tuple[F32, F32]:
        """The classifier."""
        return self.weight, self.bias

    @abstractmethod
    def log_odds(self, z: F32) -> F32:
        """(n, d) float32 embeddings to (n, a) float32 log odds, within ±`SUREST`."""

    def features(self, z: F32) -> F32:
        """See `Front.features`."""
        odds = self.log_odds(z)
        return np.concatenate([odds, _softplus(odds)], axis=1)

    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """(k, 2a): the marks, and which are missing; the bias takes off what the prior alone says of these."""
        marks = self.scale.marks(signatures)
        missing = np.isnan(marks)
        table = np.concatenate([np.where(missing, 0, marks), missing], axis=1) * np.tile(self.scale.varies, 2)
        prior = np.concatenate([self.prior, _softplus(self.prior)]).astype(np.float64)
        return table.astype(np.float32), (-(table @ prior)).astype(np.float32)

    def predicted(self, z: F32) -> F32:
        """Probabilities, in the signatures' unit where that is not 0 and 1; what never varies as it always is."""
        p = np.where(self.scale.varies, 1 / (1 + np.exp(-self.log_odds(z))), 0)
        return self.scale.back(np.asarray(p, dtype=np.float32))

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"weight": self.weight, "bias": self.bias, "prior": self.prior, **self.scale.arrays()}


@dataclass(frozen=True, eq=False)
class DirectAttributeFront(AttributeFront):
    """u = z · weightᵀ + bias: a logistic classifier for each attribute, weight (a, d).

    Source: Lampert, Nickisch & Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization,
        TPAMI 36(3), 2014.
    """

    kind: ClassVar[str] = "direct_attributes"

    def log_odds(self, z: F32) -> F32:
        """See `AttributeFront.log_odds`."""
        odds = np.clip(z @ self.weight.T + self.bias, np.float32(-SUREST), np.float32(SUREST))
        return np.asarray(odds, dtype=np.float32)

    def rest(self, graph: Graph, first: str) -> str:
        """See `Front.rest`."""
        limits = (graph.constant(f"{first}_{name}", np.float32(v)) for name, v in (("low", -SUREST), ("top", SUREST)))
        odds = graph("Clip", first, *limits)
        return graph("Concat", odds, graph("Softplus", odds), axis=1)

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        return self._arrays(), {}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """See `Front.of_arrays`."""
        return cls(arrays["weight"], arrays["bias"], Scale.of_arrays(arrays), arrays["prior"])


@dataclass(frozen=True, eq=False)
class IndirectAttributeFront(AttributeFront):
    """p = softmax(z · weightᵀ + bias) · marks: weight (s, d) of the s seen classes, u = log p - log(1-p).

    Attributes:
        marks: (s, a) float32 of the seen classes, 0..1, nothing missing.

    Source: as `DirectAttributeFront`.
    """

    kind: ClassVar[str] = "indirect_attributes"

    marks: F32

    def log_odds(self, z: F32) -> F32:
        """See `AttributeFront.log_odds`."""
        shares = np.exp(log_softmax(z @ self.weight.T + self.bias)).astype(np.float32)
        p = np.clip(shares @ self.marks, np.float32(_LEAST), np.float32(1 - _LEAST))
        result: F32 = np.log(p) - np.log(1 - p)
        return result

    def rest(self, graph: Graph, first: str) -> str:
        """See `Front.rest`."""
        marks = graph.constant(f"{first}_marks", self.marks)
        low, top, one = (
            graph.constant(f"{first}_{name}", np.float32(value))
            for name, value in (("low", _LEAST), ("top", 1 - _LEAST), ("one", 1))
        )
        p = graph("Clip", graph("MatMul", graph("Softmax", first, axis=-1), marks), low, top)
        without = graph("Log", graph("Sub", one, p))
        # log(1 + exp u) is -log(1 - p).
        return graph("Concat", graph("Sub", graph("Log", p), without), graph("Neg", without), axis=1)

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        return self._arrays() | {"marks": self.marks}, {}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """See `Front.of_arrays`."""
        return cls(arrays["weight"], arrays["bias"], Scale.of_arrays(arrays), arrays["prior"], arrays["marks"])


def _softplus(odds: F32) -> F32:
    return np.log1p(np.exp(odds))
