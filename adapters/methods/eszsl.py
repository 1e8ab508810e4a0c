"""Embarrassingly simple zero-shot learning."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import Method, Need, Task
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.rows import SeenRows, say_left_out, seen_signatures

_GAMMAS = (100.0, 30.0, 10.0, 3.0, 1.0)
_LAMBDAS = (10.0, 3.0, 1.0, 0.3, 0.1)
_UNMEASURED_GAMMA = 3.0
_UNMEASURED_LAMBDA = 1.0


class Eszsl(Method):
    """A ridge on both sides: items are regressed on classes, and these on their signatures, in closed form.

    V = (XᵀX + γs·I)⁻¹ XᵀY S (SᵀS + λ·I)⁻¹ with the centred rows X (n, d), Y (n, c) in {-1, 1} and the signatures S
    (c, a) of seen classes; the score of a class with the signature t is (z - μ)·V·t. Every seen class weighs the same;
    s is the mean squared length of a centred row. Signatures are filled, centred and scaled by what seen classes show,
    and brought to length 1, see `adapters.zero_shot.rows`. Y is never written out: of centred rows XᵀY is twice the
    sum of each class. Without γ and λ, five values of each are compared on classes that are set apart.

    Shapes: z (n, d) float32 → scores (n, k) float32 for the k classes of the signatures; not probabilities.
    Cost: O(n·d·min(n, d) + min(n, d)³) once, on the GPU where there is one, for all γ; O(d·a·(d + a)) for each pair;
        float64, memory min(n, d)² numbers. 10,000 rows 2,048 wide, 1,000 classes of 312 attributes, two cores: 1.9 s
        for one pair, 3.4 s for 25.
    Raises: DatasetTooSmall: fewer than two classes have examples. RequirementMissing: no signatures, or such in which
        all seen classes are alike.
    Source: Romera-Paredes & Torr, An Embarrassingly Simple Approach to Zero-shot Learning, ICML 2015.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    source: ClassVar[str] = "Romera-Paredes & Torr, An Embarrassingly Simple Approach to Zero-shot Learning, ICML 2015"
    complexity: ClassVar[int] = 1
    default_temperature: ClassVar[float] = 0.04

    method: Literal["eszsl"] = "eszsl"
    gamma: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty γ on the side of items, in units of the mean squared length of a centred row. None: chosen."""
    lam: float | None = Field(None, ge=1e-6, le=1e6)
    """Penalty λ on the side of signatures, which have length 1. None: chosen."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes that are set apart."""

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002  # as `Method` has it
        """The grid of γ and λ, strongest first."""
        gammas = _GAMMAS if self.gamma is None else (self.gamma,)
        lambdas = _LAMBDAS if self.lam is None else (self.lam,)
        return tuple(self._with(gamma, lam) for gamma in gammas for lam in lambdas)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With penalties that do well where nothing can be measured."""
        return self._with(*self._pair())

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`; with γ and λ of `fallback` where they are open. Says which attributes are left out."""
        self.admit(task)
        say_left_out(task)
        return next(self.fit_each([self], task))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[SignatureHead]:
        """One factorisation for all penalties."""
        methods[0].admit(task)
        task.check()
        pairs = [method._pair() for method in methods]
        rows, described = SeenRows.of(task), seen_signatures(task)
        s = described.seen
        gram = s.T @ s
        values, vectors = np.linalg.eigh(gram)
        right = 2 * rows.sums.T @ s @ vectors
        gammas = list(dict.fromkeys(gamma for gamma, _ in pairs))
        left = dict(zip(gammas, rows.ridge_each(task, right, gammas), strict=True))
        for method, (gamma, lam) in zip(methods, pairs, strict=True):
            task.check()
            matrix = vectors / (np.maximum(values, 0) + lam) @ left[gamma].T
            # (SᵀS + λI)·g/2 is the ridge of the signatures themselves on the rows.
            front = described.front(matrix, rows, (gram + lam * np.eye(len(gram))) / 2)
            yield SignatureHead.of(front, task, method.stacking)

    def _pair(self) -> tuple[float, float]:
        return (
            _UNMEASURED_GAMMA if self.gamma is None else self.gamma,
            _UNMEASURED_LAMBDA if self.lam is None else self.lam,
        )

    def _with(self, gamma: float, lam: float) -> Self:
        return self.model_copy(update={"gamma": gamma, "lam": lam})
