"""What a method puts up for comparison on classes set apart, and how it is published then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from adapters.base import Method, Need, Task
from adapters.zero_shot.attributes import MarkedTrials
from adapters.zero_shot.compare import Settled, Wish
from adapters.zero_shot.trials import Trials, as_it_is, with_stacking
from models.errors import InputError

ORDER = ("names", "eszsl", "sae", "conse", "iap", "dap")
"""What ``auto`` compares, cheap ones first: where the time is short, the last ones are left out."""

_BY_ATTRIBUTES = {"iap", "dap"}
"""Of embeddings every number would be an attribute of which a class has more or less: minutes for little."""

_FROM_PARENT = {"conse", "iap"}


@dataclass(frozen=True)
class Candidates:
    """Of one method, on one task.

    Attributes:
        method: It.
        methods: What is compared; those of one type stand together.
        wish: What may come of it.
        fallback: What to fit where nothing can be compared.
        learns_nothing: Whether it takes everything from a published version, so that all rows can judge it.
    """

    method: Method
    methods: tuple[Method, ...]
    wish: Wish
    fallback: Method
    learns_nothing: bool = False

    @classmethod
    def of(cls, method: Method, task: Task) -> Self:
        """Those of a method.

        Raises:
            TaskUnsupported, DatasetTooSmall, RequirementMissing: None of them can learn from the task.
        """
        if method.method == "auto":
            return cls._of_auto(method, task)
        method.admit(task)
        stacking = getattr(method, "stacking", None)
        if method.method == "blend":
            parts = method.parts(task)  # type: ignore[attr-defined]
            wish = Wish(False, True, _given(method, "shares", parts), _given(method, "spreads", parts), stacking)
            variants = tuple(variant for part in parts for variant in part.variants(task))
            return cls(method, variants, wish, method.fallback(task))
        variants, nothing = method.variants(task), _learns_nothing(method, task)
        return cls(method, variants, Wish(stacking=stacking), method.fallback(task), nothing)

    @classmethod
    def _of_auto(cls, method: Method, task: Task) -> Self:
        given = getattr(method, "candidates", None)
        able = _admitted(_proposed(task) if given is None else [_parsed(one) for one in given], task)
        folds = getattr(method, "folds", None) or [1] * len(able)
        compared = [one for one, times in zip(able, folds, strict=False) if times]
        if not len(task.y) and task.parent is not None:
            informed = [one for one in able if _learns_nothing(one, task)]
            if informed:
                return cls(method, (), Wish(), informed[0].fallback(task), learns_nothing=True)
        variants = tuple(variant for one in compared for variant in one.variants(task))
        alone = frozenset(one.method for one in compared if not meets_signatures(one, task))
        wish = Wish(blend=True, stacking=_agreed_stacking(compared), alone=alone)
        return cls(method, variants, wish, able[0].fallback(task))

    def view(self, task: Task) -> Task:
        """The task without a version to start from, where rows are to be learned from instead."""
        return task if self.learns_nothing else replace(task, parent=None)

    def chosen(
        self, trials: Trials, settled: Settled | None, marked: MarkedTrials | None = None
    ) -> tuple[Method, float, float]:
        """What to fit to all rows, what it takes from the scores of seen classes, and its temperature."""
        if settled is None:
            stacking = self.wish.stacking or getattr(self.fallback, "stacking", None) or 0.0
            best = None if marked is None else marked.best
            method = with_stacking(self.fallback if marked is None or best is None else marked.methods[best], stacking)
            return method, stacking, method.default_temperature
        fitted = self._fitted(trials, settled)
        return with_stacking(fitted, settled.stacking), settled.stacking, settled.temperature

    def again(self, trials: Trials, fitted: Method) -> dict[str, Any]:
        """The method that does the same whatever the time; see `Adaptation.again`."""
        if not trials.early:
            return self.method.model_dump(mode="json")
        if trials.possible and self.method.method == "auto":
            compared = [method.model_dump(mode="json") for method in trials.methods]
            return self.method.model_dump(mode="json") | {"candidates": compared, "folds": None}
        if trials.possible:
            return fitted.model_dump(mode="json")
        alone = {"method": "auto", "candidates": [fitted.model_dump(mode="json")], "folds": [0]}
        return _parsed(alone).model_dump(mode="json")

    def _fitted(self, trials: Trials, settled: Settled) -> Method:
        if len(settled.mix.parts) == 1 and self.method.method != "blend":
            return trials.methods[settled.mix.parts[0][0]]
        return _parsed(
            {
                "method": "blend",
                "members": [as_it_is(trials.methods[part.index]).model_dump(mode="json") for part in settled.shares],
                "shares": [part.share for part in settled.shares],
                "spreads": [part.spread for part in settled.shares],
            }
        )


def tells_unseen(task: Task) -> bool:
    """Whether there are classes that only their signatures tell: some have no rows, or rows show attributes alone."""
    return task.signatures is not None and not task.regression and (task.multilabel or bool(task.absent.any()))


def _learns_nothing(method: Method, task: Task) -> bool:
    """Whether it takes its source classes from the parent, and nothing from rows."""
    return method.method in _FROM_PARENT and task.parent is not None


def meets_signatures(method: Method, task: Task) -> bool:
    """Whether what a method meets the classes with are the signatures, so that its front can stand beside others."""
    if Need.NAMES not in method.needs:
        return True
    signatures = task.signatures
    if signatures is None or task.names is None:
        return False
    return bool(signatures.space) and np.array_equal(signatures.values, task.names)


def _given(method: Method, name: str, parts: Sequence[Method]) -> dict[str, float] | None:
    """What the caller gave of each part of a blend, by the part's name."""
    values = getattr(method, name)
    return None if values is None else {part.method: value for part, value in zip(parts, values, strict=True)}


def _agreed_stacking(methods: Sequence[Method]) -> float | None:
    """What the caller gave of all of them alike; None where it is to be chosen."""
    given = {getattr(method, "stacking", None) for method in methods}
    return given.pop() if len(given) == 1 else None


def _proposed(task: Task) -> list[Method]:
    # The registry imports every method, and methods import what compares them.
    from adapters.methods import METHODS

    embedded = task.signatures is not None and bool(task.signatures.space)
    without = {*(_BY_ATTRIBUTES if embedded else ()), *(("names",) if task.names is None else ())}
    return [_parsed({"method": name}) for name in ORDER if name in METHODS and name not in without]


def _parsed(given: dict[str, Any]) -> Method:
    # See `_proposed`.
    from adapters.methods import parse_method

    return parse_method(given)


def _admitted(methods: list[Method], task: Task) -> list[Method]:
    """Those that can learn from the task; where there is none, what the first one has against it is raised."""
    able, refused = [], []
    for method in methods:
        try:
            method.admit(task)
        except InputError as error:
            refused.append(error)
        else:
            able.append(method)
    if refused and not able:
        raise refused[0]
    return able
