"""Whatever does best here."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from adapters.base import Head, Method, Need, Task, TaskKind
from adapters.comparison import tunes
from adapters.errors import ParameterInvalid
from adapters.select import proposals, settle
from adapters.zero_shot.candidates import tells_unseen
from models.errors import InputError

_FEW = 5
"""Examples of a class below which heads that bend have nothing to bend to."""

_BENDING = 4
"""Complexity from which on a method is more than a plane between classes."""

_NETWORK = 5
"""Complexity of a network. It takes thirty times as long as all simpler heads together, and on embeddings, which a
network has made already, it was never the best of them; rows of a table are another matter."""

_QUICK_ROWS = 5_000
"""Rows up to which every head of one plane is fitted in a second; of more only the simplest, where no time is left."""

_COUNTED = 3
"""Examples from which on a class counts as the smallest: rarer ones are taken along and decide nothing."""


class Auto(Method):
    """Every method's proposals compared on identical folds; the simplest that is about as good as the best is kept.

    The loss is the held-out log loss after temperature scaling, or for regression the held-out squared error; about as
    good is half a standard error. Only methods that can do the task are tried; kernels, networks and who trains the
    backbone only from five examples of the smallest class on. Where no row can be held out, the last proposal that
    knows the parent or the class names is taken (its prior holds them), or the last that is one plane a class; with one
    example a class logistic regression is better than the nearest of them. What was chosen must be
    likelier than not to beat what needs less, or that is taken instead. So with few rows the names alone may be kept,
    and a head is fitted when held-out rows say so.

    Of a task with signatures and classes without rows all zero-shot methods are tried instead, and a blend of the best
    of them, on classes that are set apart (see `adapters.zero_shot.adapt`).

    Shapes: z (n, d) float32 → scores (n, k) float32, of the method that was chosen. Regression: (n, 1), the values in
        units of the target.
    Cost: the sum over all proposals, each fitted once a fold.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Breiman, Friedman, Olshen & Stone, Classification and Regression Trees, 1984, section 3.4.3.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Breiman, Friedman, Olshen & Stone, Classification and Regression Trees, 1984, section 3.4.3"
    )
    complexity: ClassVar[int] = 100

    method: Literal["auto"] = "auto"
    names: bool = True
    """Whether what classes are called may tell something about them; False for labels that are mere codes."""
    candidates: list[dict[str, Any]] | None = Field(None, max_length=1000)
    """Methods to compare, as objects. None: what every method proposes for the task."""
    folds: list[Annotated[int, Field(ge=0, le=5)]] | None = Field(None, max_length=1000)
    """Folds on which each of `candidates` is compared. None: all, or as many as hold 500 rows to train the backbone."""

    @field_validator("candidates")
    @classmethod
    def _known(cls, value: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
        for given in value or ():
            if _method_of(given).method == "auto":
                raise ParameterInvalid("'auto' cannot be one of its own candidates. Name the methods to compare.")
        return value

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        given = 0 if self.candidates is None else len(self.candidates)
        if self.folds is not None and len(self.folds) != given:
            raise ParameterInvalid(
                f"'folds' has {len(self.folds)} number(s) and 'candidates' {given}. Give one for each, or leave it out."
            )
        return self

    def view(self, task: Task) -> Task:
        """Without names, where these are not to be looked at."""
        return task if self.names else replace(task, names=None)

    def admit(self, task: Task) -> None:
        """See `Method.admit`; classes that only the parent or signatures know are no hindrance."""
        if tells_unseen(task):
            return
        if task.parent is None or task.regression or not task.absent.any():
            super().admit(task)
        else:
            self._able(task)

    def variants(self, task: Task) -> tuple[Method, ...]:
        """Those of all candidates, simplest first."""
        return tuple(variant for candidate in self._able(task) for variant in candidate.variants(task))

    def folds_of_variants(self, task: Task) -> tuple[int, ...] | None:
        """On how many folds each of `variants` is compared; None where nothing is said."""
        if self.folds is None:
            return None
        each = zip(self._able(task), self.folds, strict=True)
        return tuple(folds for candidate, folds in each for _ in candidate.variants(task))

    def fallback(self, task: Task) -> Method:
        """See the class."""
        able = self._able(task) or proposals(task)
        known = {Need.NAMES, Need.PARENT}
        if task.left_s() <= 0 and len(task.y) > _QUICK_ROWS:
            return able[0].fallback(task)
        informed = [method for method in able if known & method.requirements() and not tunes(method)]
        planes = [method for method in able if method.complexity < _BENDING]
        return (informed or planes or able)[-1].fallback(task)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        task = self.view(task)
        self.admit(task)
        if tells_unseen(task):
            # It looks the candidates up in the registry, which imports this module.
            from adapters.zero_shot.adapt import settle_unseen

            return settle_unseen(self, task).fit(task)
        return settle(self, task).fit(task)

    def _able(self, task: Task) -> tuple[Method, ...]:
        """Candidates that can learn from the task; where there is none, what the first one has against it is raised."""
        if self.candidates is not None:
            return tuple(_method_of(given) for given in self.candidates)
        able, refused = [], []
        for method in proposals(task):
            try:
                method.admit(task)
            except InputError as error:
                refused.append(error)
            else:
                able.append(method)
        if refused and not able:
            raise refused[0]
        return tuple(method for method in able if _worth_trying(method, task))


def _worth_trying(method: Method, task: Task) -> bool:
    if not task.regression and method.complexity >= _BENDING and smallest_class(task) < _FEW:
        return False
    return method.complexity != _NETWORK or task.table is not None


def smallest_class(task: Task) -> int:
    """Examples of the smallest class that counts: one with fewer than three never decides for the others."""
    counts = task.counts
    counted = counts[counts >= _COUNTED]
    return int(counted.min()) if counted.size else int(counts.max())


def _method_of(given: dict[str, Any]) -> Method:
    # The registry imports this module.
    from adapters.methods import parse_method

    return parse_method(given)
