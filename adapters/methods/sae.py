"""Semantic autoencoder."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F64, Method, Need, Task
from adapters.gram import Spectrum
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.rows import SeenRows, say_left_out, seen_signatures

_LAMBDAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_UNMEASURED_LAMBDA = 10.0

_ROUNDING = 1e-12
"""Of the largest sum of eigenvalues: below it a direction is seen neither in rows nor in signatures."""


class Sae(Method):
    """One matrix that brings items to their signatures and, transposed, signatures back to their items.

    Minimises Σ w‖x - WᵀT‖² + λ·w‖Wx - t‖² over the centred rows x and the signatures t of their classes: the Sylvester
    equation TTᵀ·W + λ·W·XXᵀ = (1 + λ)·TXᵀ, solved by the eigenvectors of both symmetric matrices, which all λ share.
    Rows are in the unit in which their mean squared length is 1, as that of signatures is, so that λ has no unit; every
    seen class weighs the same. The score of a class with the signature t is (Wx)·t. Signatures are filled, centred and
    scaled as `eszsl` does it. Without λ, seven values are compared on classes that are set apart.

    Shapes: z (n, d) float32 → scores (n, k) float32 for the k classes of the signatures; not probabilities.
    Cost: O(n·d·min(n, d) + min(n, d)³ + a³) once, O(a·d·(a + d)) for each λ; float64 on the CPU. 10,000
        rows 2,048 wide, 1,000 classes of 312 attributes, one core: 5.5 s for seven λ.
    Raises: DatasetTooSmall: fewer than two classes have examples. RequirementMissing: no signatures, or such in which
        all seen classes are alike.
    Source: Kodirov, Xiang & Gong, Semantic Autoencoder for Zero-Shot Learning, CVPR 2017.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    source: ClassVar[str] = "Kodirov, Xiang & Gong, Semantic Autoencoder for Zero-Shot Learning, CVPR 2017"
    complexity: ClassVar[int] = 1
    default_temperature: ClassVar[float] = 0.06

    method: Literal["sae"] = "sae"
    lam: float | None = Field(None, ge=1e-6, le=1e6)
    """Weight λ of bringing items to signatures, over that of the way back. None: chosen."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes that are set apart."""

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002  # as `Method` has it
        """The grid of λ, smallest first."""
        return tuple(self._with(lam) for lam in (_LAMBDAS if self.lam is None else (self.lam,)))

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With a λ that does well where nothing can be measured."""
        return self._with(self._lambda())

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`; with the λ of `fallback` where it is open. Says which attributes are left out."""
        self.admit(task)
        say_left_out(task)
        return next(self.fit_each([self], task))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[SignatureHead]:
        """The same eigenvectors for all λ."""
        methods[0].admit(task)
        task.check()
        rows, described = SeenRows.of(task), seen_signatures(task)
        s, root = described.seen, np.sqrt(rows.unit)
        a, left = np.linalg.eigh((s.T * rows.masses) @ s)
        spectrum = Spectrum.of(rows.rows)
        task.check()
        b = spectrum.e / rows.unit
        inside = left.T @ (s.T @ rows.sums) @ spectrum.v / root
        for method in methods:
            task.check()
            lam = method._lambda()
            matrix = left @ _over(inside * (1 + lam), np.maximum(a, 0)[:, None] + lam * b) @ spectrum.v.T / root
            yield SignatureHead.of(described.front(matrix, rows, np.ones(len(a))), task, method.stacking)

    def _lambda(self) -> float:
        return _UNMEASURED_LAMBDA if self.lam is None else self.lam

    def _with(self, lam: float) -> Self:
        return self.model_copy(update={"lam": lam})


def _over(above: F64, below: F64) -> F64:
    """(a, r) over (a, r); zero where both are nothing but rounding."""
    there = below > _ROUNDING * below.max(initial=0.0)
    result: F64 = np.where(there, above / np.where(there, below, 1.0), 0.0)
    return result
