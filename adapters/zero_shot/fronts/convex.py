"""Items as mixtures of known classes; a class is near where its signature points the same way as the mixture's."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, I64
from adapters.graphs import Graph
from adapters.linalg import log_softmax, unit_rows
from adapters.signatures import Signatures
from adapters.zero_shot.fronts.base import Front
from adapters.zero_shot.fronts.scale import Scale

_SHORTEST = 1e-2
"""A mixture of signatures shorter than this has no direction: what is left of it is rounding."""


@dataclass(frozen=True, eq=False)
class ConvexFront(Front):
    """g(z) = Σ shareᵧ · signatureᵧ over the likeliest source classes, brought to length 1.

    Shares are softmax(z · weightᵀ + bias) over the `top` largest; of equal ones the first counts. Signatures are
    scaled and brought to length 1 before.

    Attributes:
        weight: (s, d) float32 of the s source classes.
        bias: (s,) float32.
        top: How many sources are averaged; all of them where there are fewer.
        scale: Of the signatures, such that the sources' mean is 0: else all point the way that every class does.
        sources: Names and signatures of the source classes, nothing missing.

    Source: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014.
    """

    kind: ClassVar[str] = "convex"

    weight: F32
    bias: F32
    top: int
    scale: Scale
    sources: Signatures

    @property
    def first(self) -> tuple[F32, F32]:
        """The classifier of the sources."""
        return self.weight, self.bias

    @cached_property
    def _table(self) -> F32:
        return self.encode(self.sources)[0]

    def encode(self, signatures: Signatures) -> tuple[F32, F32]:
        """Scaled, without attributes that no source varies in, of length 1; what is missing at the mean."""
        rows = np.where(self.scale.varies, self.scale.apply(signatures), 0).astype(np.float64)
        table = unit_rows(np.where(np.isnan(rows), 0, rows))
        return table.astype(np.float32), np.zeros(len(table), dtype=np.float32)

    @property
    def similarity(self) -> F64:
        """(s, s) cosines of the sources' signatures; see `mixtures.mixture_of`."""
        table = self._table.astype(np.float64)
        result: F64 = table @ table.T
        return result

    def shares(self, z: F32) -> tuple[tuple[str, ...], F32]:
        """Source classes, and (n, s) float32 the share of each in an item: of the `top` likeliest, summing to one."""
        logits = z @ self.weight.T + self.bias
        at = self._likeliest(logits)
        found = np.zeros(logits.shape, dtype=np.float32)
        np.put_along_axis(found, at, np.exp(log_softmax(np.take_along_axis(logits, at, 1))).astype(np.float32), 1)
        return self.sources.classes, found

    def _likeliest(self, logits: F32) -> I64:
        return np.argsort(-logits, axis=1, kind="stable")[:, : self.top]

    def features(self, z: F32) -> F32:
        """See `Front.features`."""
        mixed = self.shares(z)[1] @ self._table
        length = np.linalg.norm(mixed, axis=1, keepdims=True)
        return np.asarray(mixed / np.maximum(length, np.float32(_SHORTEST)), dtype=np.float32)

    def rest(self, graph: Graph, first: str) -> str:
        """See `Front.rest`."""
        table = graph.constant(f"{first}_sources", self._table)
        mixed = graph("MatMul", self._graph_shares(graph, first), table)
        length = graph("ReduceL2", mixed, axes=[1], keepdims=1)
        return graph("Div", mixed, graph("Max", length, graph.constant(f"{first}_shortest", np.float32(_SHORTEST))))

    def _graph_shares(self, graph: Graph, first: str) -> str:
        if self.top >= len(self.bias):
            return graph("Softmax", first, axis=-1)
        count = graph.constant(f"{first}_top", np.array([self.top], np.int64))
        # Of equal values ONNX takes the one with the lower index, as a stable sort does.
        values, at = graph.several("TopK", first, count, outputs=2, axis=1)
        nothing = graph("ConstantOfShape", graph("Shape", first))
        return graph("ScatterElements", nothing, at, graph("Softmax", values, axis=-1), axis=1)

    def predicted(self, z: F32) -> F32 | None:
        """The averaged signature in the signatures' unit; None of embeddings of texts."""
        if self.sources.space:
            return None
        return np.asarray(self.shares(z)[1] @ self.sources.values, dtype=np.float32)

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Front.arrays`."""
        sources = np.frombuffer(self.sources.to_bytes(), dtype=np.uint8)
        arrays: dict[str, npt.NDArray[Any]] = {
            "weight": self.weight,
            "bias": self.bias,
            "sources": sources,
            **self.scale.arrays(),
        }
        return arrays, {"top": self.top}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Self:
        """See `Front.of_arrays`."""
        sources = Signatures.from_bytes(arrays["sources"].tobytes())
        return cls(arrays["weight"], arrays["bias"], int(about["top"]), Scale.of_arrays(arrays), sources)
