"""Direct attribute prediction: a classifier for each attribute, a class by all of its attributes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F32, F64, Mask, Method, Need, Task, TaskKind
from adapters.errors import RequirementMissing
from adapters.signatures import Signatures, listed
from adapters.zero_shot.fronts.attributes import DirectAttributeFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.marks import MarkedRows, fit_marks

_GRID = (1.0, 10.0)
_UNMEASURED_C = 3.0


class Dap(Method):
    """A logistic classifier for each attribute; a class scores by the probabilities of what is known of it.

    The score of class c is Σₐ s·log pₐ + (1-s)·log(1-pₐ), less the same of the prior: the mean of each attribute over
    the seen classes. Attributes of which nothing is known in a class are left out of its sum, and those in which all
    seen classes are alike out of everyone's, which the report says. Attributes that are not 0 and 1 are brought to 0..1
    by the range of the seen classes and count as soft marks. Of groups of which a class has exactly one
    (``legs: 0, 2, 4, 8``) the sum is already the log of a softmax, up to what all classes have in common.

    Rows of one class share their attributes, so each classifier is calibrated on folds that hold out whole classes,
    where there are six or more: its log odds, as far as they are above or below the prior, are multiplied by a slope,
    one for all attributes and, as far as the classes show it, one of its own. Probabilities of attributes are then
    right for classes that were never seen; the sum treats attributes as independent, which they are not, and the
    temperature mends that.

    Of a dataset whose labels are attributes of the items themselves (any number a row) the classifiers are fitted to
    these, and the answers are the classes of the signatures, none of which has been seen.

    Shapes: z (n, d) float32 → scores (n, k) float32, log likelihood ratios up to a constant of each row.
    Cost: O(n·d·a) an iteration, about 20 to 40, on all rows and on three folds; the values of `c` are one walk. One
        core, 2,400 rows, 85 attributes: 3.1 s for 2,500 columns and one c, 5.6 s for both; 5.8 s and 9.7 s for 4,252.
    Raises: DatasetTooSmall: fewer than two classes have rows. RequirementMissing: no signatures; none of their
        attributes varies over the seen classes, or is a label of the rows. TaskUnsupported: regression.
    Source: Lampert, Nickisch & Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization,
        TPAMI 36(3), 2014.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION, TaskKind.MULTILABEL})
    source: ClassVar[str] = (
        "Lampert, Nickisch & Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization, "
        "TPAMI 36(3), 2014"
    )
    complexity: ClassVar[int] = 3
    default_temperature: ClassVar[float] = 4.0

    method: Literal["dap"] = "dap"
    c: float | None = Field(None, ge=1e-6, le=1e6)
    """Inverse penalty of the classifiers, for embeddings of unit norm; larger fits closer. None: chosen on classes set
    apart."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes set apart."""

    def variants(self, task: Task) -> tuple[Method, ...]:  # noqa: ARG002  # as `Method` has it
        """The grid of `c`, strongest penalty first."""
        return tuple(self.model_copy(update={"c": c}) for c in (_GRID if self.c is None else (self.c,)))

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With the `c` between those of the grid."""
        return self.model_copy(update={"c": self.c or _UNMEASURED_C})

    def admit(self, task: Task) -> None:
        """See `Method.admit`; refuses labels none of which is an attribute of the signatures."""
        super().admit(task)
        if task.multilabel and task.signatures is not None and not {*task.classes} & {*task.signatures.attributes}:
            raise RequirementMissing(
                f"None of the {len(task.classes)} labels of the rows ({listed(task.classes)}) is an attribute of the "
                f"signatures ({listed(task.signatures.attributes)}). Call both the same, or label rows with classes."
            )

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`; with `c` of `fallback` where it is open. Says which attributes are left out."""
        self.admit(task)
        described = _Described.of(task)
        if (sentence := described.scale.left_out(described.signatures)) is not None:
            task.say(sentence)
        return next(described.heads([self]))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[SignatureHead]:
        """One walk along `c`, whatever else differs."""
        for method in methods:
            method.admit(task)
        yield from _Described.of(task).heads(methods)


@dataclass(frozen=True, eq=False)
class _Described:
    """Rows with the marks that classifiers are fitted to, and the classes that are told by them.

    Attributes:
        rows: With marks of the attributes that vary alone.
        scale: Of all attributes.
        signatures: Of the classes to answer.
        seen: (k,) which of these have rows.
    """

    rows: MarkedRows
    scale: Scale
    signatures: Signatures
    seen: Mask

    @classmethod
    def of(cls, task: Task) -> Self:
        """Marks of the rows' classes, or of the rows."""
        assert task.signatures is not None  # noqa: S101  # `admit` has refused what has none
        found = cls._of_items(task, task.signatures) if task.multilabel else cls._of_classes(task, task.signatures)
        if not found.scale.varies.any():
            raise RequirementMissing(
                f"Everything that was seen is alike in all {len(found.scale.varies)} attribute(s) of the signatures, "
                "so none of them can be learned. Add attributes that tell the seen classes apart."
            )
        return found

    @classmethod
    def _of_classes(cls, task: Task, signatures: Signatures) -> Self:
        seen = ~task.absent
        scale = Scale.of(signatures, seen)
        marks = scale.marks(signatures)[seen][:, scale.varies]
        return cls(MarkedRows.of_classes(task, marks), scale, signatures, seen)

    @classmethod
    def _of_items(cls, task: Task, signatures: Signatures) -> Self:
        labelled = np.array([name in task.classes for name in signatures.attributes])
        columns = [task.classes.index(name) for name in signatures.attributes if name in task.classes]
        marks = task.marks[:, columns]
        varies = np.zeros(len(labelled), dtype=np.bool_)
        varies[labelled] = marks.any(axis=0) & ~marks.all(axis=0)
        scale = replace(_of_table(signatures), varies=varies)
        rows = MarkedRows.of_items(task, marks[:, varies[labelled]].astype(np.float32))
        return cls(rows, scale, signatures, np.zeros(len(signatures.classes), dtype=np.bool_))

    def heads(self, methods: Sequence[Dap]) -> Iterator[SignatureHead]:
        """One for each method."""
        prior = self._spread(self.rows.prior)
        cs = sorted({method.c or _UNMEASURED_C for method in methods})
        fitted = dict(zip(cs, fit_marks(self.rows, cs), strict=True))
        for method in methods:
            found = fitted[method.c or _UNMEASURED_C]
            front = DirectAttributeFront(self._spread(found.weight), self._spread(found.bias), self.scale, prior)
            yield SignatureHead((front,), (1.0,), self.signatures, self.seen, method.stacking or 0.0)

    def _spread(self, values: F64) -> F32:
        """Of attributes that vary to all of them; zero for the others."""
        found = np.zeros((len(self.scale.varies), *values.shape[1:]), dtype=np.float32)
        found[self.scale.varies] = values
        return found


def _of_table(signatures: Signatures) -> Scale:
    """Of a table of which no class has been seen: as it is where it lies in 0..1, else by the range of all classes."""
    a = len(signatures.attributes)
    known = np.where(np.isnan(signatures.values), 0, signatures.values)
    if known.min(initial=0) >= 0 and known.max(initial=0) <= 1:
        return Scale(np.zeros(a, np.float32), np.ones(a, np.float32), np.ones(a, dtype=np.bool_))
    return Scale.of(signatures, np.ones(len(signatures.classes), dtype=np.bool_))
