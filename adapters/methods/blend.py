"""Several zero-shot methods at once: a convex average of their scores."""

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from adapters.base import Method, Need, Smallest, Task
from adapters.errors import ParameterInvalid, RequirementMissing
from adapters.zero_shot.candidates import meets_signatures
from adapters.zero_shot.head import SignatureHead
from models.errors import InputError

_DEFAULT = ("names", "eszsl", "sae")
"""What is blended where nothing is said: as far as each can learn from the task."""

_DIGITS = 4
"""Of shares."""


class Blend(Method):
    """Scores of several zero-shot methods, each divided by its spread, averaged with shares that sum to one.

    score = Σᵢ shareᵢ/spreadᵢ · scoreᵢ. Without `shares` those are chosen that make the classes that were set apart
    likeliest (see `adapters.zero_shot.shares`), together with each member's own parameters. All members that are affine
    are one affine head.

    Shapes: z (n, d) float32 → scores (n, k) float32 for the k classes of the signatures; not probabilities.
    Cost: the sum over its members.
    Raises: DatasetTooSmall: fewer than two classes have examples. RequirementMissing: no signatures, or members that
        meet classes in no common table.
    Source: Wolpert, Stacked Generalization, Neural Networks 5(2), 1992; convex shares: Breiman, Stacked Regressions,
        Machine Learning 24, 1996.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.SIGNATURES})
    source: ClassVar[str] = (
        "Wolpert, Stacked Generalization, Neural Networks 5(2), 1992; Breiman, Stacked Regressions, Machine Learning "
        "24, 1996"
    )
    smallest: ClassVar[Smallest] = Smallest(classes=2)
    complexity: ClassVar[int] = 50

    method: Literal["blend"] = "blend"
    members: list[dict[str, Any]] | None = Field(None, min_length=1, max_length=10)
    """Methods to average, as objects, each with the name in ``method``. None: names where they fit, eszsl and sae."""
    shares: list[Annotated[float, Field(ge=0, le=1e6)]] | None = Field(None, max_length=10)
    """How much each of `members` counts; only their ratio matters. None: chosen on classes set apart."""
    spreads: list[Annotated[float, Field(gt=0, le=1e12)]] | None = Field(None, max_length=10)
    """What the scores of each of `members` are divided by. None: measured on classes set apart."""
    stacking: float | None = Field(None, ge=-1e12, le=1e12)
    """What is taken from the scores of seen classes. None: chosen on classes set apart."""

    @field_validator("members")
    @classmethod
    def _known(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        names = [_method_of(given).method for given in value or ()]
        if "blend" in names:
            raise ParameterInvalid("'blend' cannot be one of its own members. Name the methods to average.")
        if len(set(names)) < len(names):
            raise ParameterInvalid("Two members are of the same method. Name each method once.")
        return value

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        for name in ("shares", "spreads"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.members or ()):
                raise ParameterInvalid(
                    f"{name!r} has {len(given)} number(s) and 'members' {len(self.members or ())}. Give one for each, "
                    "or leave it out."
                )
        if self.shares is not None and not any(self.shares):
            raise ParameterInvalid("All shares are zero. Give at least one member a positive share.")
        return self

    def parts(self, task: Task) -> tuple[Method, ...]:
        """The members that can learn from a task, simplest first; where there is none, what the first one says."""
        given = [_method_of(value) for value in self.members or [{"method": name} for name in _DEFAULT]]
        able, refused = [], []
        for method in given:
            try:
                method.admit(task)
                if not meets_signatures(method, task):
                    raise RequirementMissing(
                        f"{method.method!r} cannot be blended here: what it meets the classes with is not their "
                        "signatures. Take signatures that are embeddings of texts by the items' own backbone."
                    )
            except InputError as error:
                refused.append(error)
            else:
                able.append(method)
        if refused and (not able or self.members is not None):
            raise refused[0]
        return tuple(able) if self.members is not None else tuple(sorted(able, key=lambda m: m.complexity))

    def fallback(self, task: Task) -> Method:
        """As it was given; the simplest member alone where shares or spreads are open."""
        parts = self.parts(task)
        if self.shares is None or self.spreads is None:
            return parts[0].fallback(task)
        members = [part.fallback(task).model_dump(mode="json") for part in parts]
        return self.model_copy(update={"members": members})

    def fit(self, task: Task) -> SignatureHead:
        """See `Method.fit`."""
        self.admit(task)
        if self.shares is None or self.spreads is None:
            from adapters.zero_shot.adapt import settle_unseen

            return settle_unseen(self, task).fit(task)  # type: ignore[return-value]
        heads = [_signature_head(method, task) for method in self.parts(task)]
        shares = np.round(np.array(self.shares) / sum(self.shares), _DIGITS).tolist()
        factors = [share / spread for share, spread in zip(shares, self.spreads, strict=True)]
        fronts = tuple(front for head in heads for front in head.fronts)
        own_shares = tuple(factor * own for factor, head in zip(factors, heads, strict=True) for own in head.shares)
        seen = np.any([head.seen for head in heads], axis=0)
        return SignatureHead(fronts, own_shares, heads[0].signatures, seen, self.stacking or 0.0)


def _signature_head(method: Method, task: Task) -> SignatureHead:
    open_ = "stacking" in type(method).model_fields
    head = (method.model_copy(update={"stacking": 0.0}) if open_ else method).fit(task)
    if not isinstance(head, SignatureHead):
        raise RequirementMissing(
            f"{method.method!r} cannot be blended: its classes are no rows of signatures. Name zero-shot methods."
        )
    return head


def _method_of(given: dict[str, Any]) -> Method:
    # The registry imports this module.
    from adapters.methods import parse_method

    return parse_method(given)
