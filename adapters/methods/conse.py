"""Convex combination of semantic embeddings: an item as a mixture of classes that are known."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import ClassVar, Literal, Self

from pydantic import Field

from adapters.base import Method, Need, Task
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.sources import Known, admitted, sources_of

_TOPS = (1, 3, 5, 10)
_UNMEASURED_TOP = 10
_SHARPNESS = (0.25, 0.5, 1.0)
_UNMEASURED_SHARPNESS = 0.5


class Conse(Method):
    """The likeliest known classes, each with its probability; the mean of their signatures, and what is nearest to it.

    The score of class c is the cosine between its signature and Σᵧ p(y|x)·signature(y) over the `top` likeliest known
    classes y. Signatures are centred at the mean of the known classes first, without which AwA's animals (seen ones,
    set apart) were told 2 to 11 points worse, and attributes that are not embeddings are divided by their standard
    deviation over these. What is missing in a signature is the mean. Attributes that all known classes share are
    left out, which the report says.

    A task that grows from a parent takes that one's probabilities instead of fitting any: a classifier of a thousand
    ImageNet classes answers classes that nobody has a row of. Each answer comes with the mixture that it was told by.

    Shapes: z (n, d) float32 → scores (n, k) float32, cosines.
    Cost: one fit of softmax regression for all parameters; 2,400 rows, 2,500 wide, 40 classes: 0.8 s on one core.
    Raises: DatasetTooSmall: fewer than two classes have rows, and there is no parent. RequirementMissing: no
        signatures; a class of the parent is not described; no attribute varies over the known classes.
        TaskUnsupported: any number of labels a row, or regression.
    Source: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    source: ClassVar[str] = "Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014"
    complexity: ClassVar[int] = 2
    default_temperature: ClassVar[float] = 0.1

    method: Literal["conse"] = "conse"
    top: int | None = Field(None, ge=1, le=1000)
    """How many known classes an item is a mixture of. None: chosen on classes set apart."""
    c: float = Field(10.0, ge=1e-6, le=1e6)
    """Inverse penalty of the softmax, as of ``logistic``; without effect where a parent's is taken."""
    sharpness: float | None = Field(None, ge=1e-3, le=1e3)
    """What its log odds are multiplied by: below 1 the mixture is more even. None: chosen on classes set apart."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes set apart."""

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002  # as `Method` has it
        """The grids of `top` and `sharpness`; of one source the sharpness does not matter."""
        tops = _TOPS if self.top is None else (self.top,)
        grid = _SHARPNESS if self.sharpness is None else (self.sharpness,)
        pairs = [(top, sharpness) for top, sharpness in product(tops, grid) if top > 1 or sharpness == grid[-1]]
        return tuple(self.model_copy(update={"top": top, "sharpness": sharpness}) for top, sharpness in pairs)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """Ten sources, as the paper has it, and softer than the softmax has them."""
        top, sharpness = self._pair()
        return self.model_copy(update={"top": top, "sharpness": sharpness})

    def _pair(self) -> tuple[int, float]:
        return self.top or _UNMEASURED_TOP, self.sharpness or _UNMEASURED_SHARPNESS

    def admit(self, task: Task) -> None:
        """See `Method.admit`; the classes of a parent need no rows."""
        super().admit(admitted(task))

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`; with what `fallback` says where it is open. Says which attributes are left out."""
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


def _heads(methods: Sequence[Conse], task: Task, known: Known) -> Iterator[SignatureHead]:
    assert task.signatures is not None  # noqa: S101  # `Known.of` has refused what has none
    found = sources_of(task, [method.c for method in methods])
    scale = Scale.standard(known.signatures)
    for method in methods:
        task.check()
        top, sharpness = method._pair()
        sources = found[method.c].sharper(sharpness)
        front = ConvexFront(sources.weight, sources.bias, top, scale, known.signatures)
        yield SignatureHead((front,), (1.0,), task.signatures, known.among, method.stacking or 0.0)
