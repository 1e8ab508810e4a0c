"""Indirect attribute prediction: the attributes of the seen classes that an item is like."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import Method, Need, Task
from adapters.zero_shot.fronts.attributes import IndirectAttributeFront
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.sources import Known, admitted, sources_of

_SHARPNESS = (0.25, 0.5, 1.0)
_UNMEASURED_SHARPNESS = 0.5


class Iap(Method):
    """One softmax over the seen classes; an attribute is as likely as the classes that have it.

    p(a|x) = Σᵧ p(y|x)·s(y,a), then as ``dap``: the score of class c is Σₐ s·log pₐ + (1-s)·log(1-pₐ) over what is known
    of it, less the same of the prior. Attributes that are not 0 and 1 are brought to 0..1 by the range of the seen
    classes; what is missing in a seen class is the mean of the others; what all of them share is left out, which the
    report says. A task that grows from a parent takes that one's probabilities instead of fitting any: its classes are
    the seen ones, and no rows are needed.

    Shapes: z (n, d) float32 → scores (n, k) float32, log likelihood ratios up to a constant of each row.
    Cost: one fit of softmax regression for all parameters; 2,400 rows, 2,500 wide, 40 classes: 0.8 s on one core.
    Raises: DatasetTooSmall: fewer than two classes have rows, and there is no parent. RequirementMissing: no
        signatures; a class of the parent is not described; no attribute varies over the seen classes. TaskUnsupported:
        any number of labels a row, or regression.
    Source: Lampert, Nickisch & Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization,
        TPAMI 36(3), 2014.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    source: ClassVar[str] = (
        "Lampert, Nickisch & Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization, "
        "TPAMI 36(3), 2014"
    )
    complexity: ClassVar[int] = 2
    default_temperature: ClassVar[float] = 4.0

    method: Literal["iap"] = "iap"
    c: float = Field(10.0, ge=1e-6, le=1e6)
    """Inverse penalty of the softmax, as of ``logistic``; without effect where a parent's is taken."""
    sharpness: float | None = Field(None, ge=1e-3, le=1e3)
    """What its log odds are multiplied by: below 1 more classes have a say. None: chosen on classes set apart."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes set apart."""

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002  # as `Method` has it
        """The grid of `sharpness`, softest first."""
        grid = _SHARPNESS if self.sharpness is None else (self.sharpness,)
        return tuple(self.model_copy(update={"sharpness": sharpness}) for sharpness in grid)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """Softer than the softmax has it: what classes share shows in those that come second."""
        return self.model_copy(update={"sharpness": self.sharpness or _UNMEASURED_SHARPNESS})

    def admit(self, task: Task) -> None:
        """See `Method.admit`; the classes of a parent need no rows."""
        super().admit(admitted(task))

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`; with `sharpness` of `fallback` where it is open. Says which attributes are left out."""
        self.admit(task)
        known = Known.of(task)
        known.say(task)
        return next(_heads([self], task, known))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[SignatureHead]:
        """One fit of each c, whatever else differs."""
        for method in methods:
            method.admit(task)
        yield from _heads(methods, task, Known.of(task))


def _heads(methods: Sequence[Iap], task: Task, known: Known) -> Iterator[SignatureHead]:
    assert task.signatures is not None  # noqa: S101  # `Known.of` has refused what has none
    marks = known.scale.marks(known.signatures)
    half = np.float32(0.5)
    prior = np.log(marks.sum(axis=0) + half) - np.log((1 - marks).sum(axis=0) + half)
    found = sources_of(task, [method.c for method in methods])
    for method in methods:
        task.check()
        sources = found[method.c].sharper(method.sharpness or _UNMEASURED_SHARPNESS)
        front = IndirectAttributeFront(sources.weight, sources.bias, known.scale, prior, marks)
        yield SignatureHead((front,), (1.0,), task.signatures, known.among, method.stacking or 0.0)
