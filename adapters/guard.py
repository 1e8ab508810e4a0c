"""Is what was chosen better than what needs less? A paired bootstrap of the same held-out rows.

A fallback is what one would do without it: the nearest class mean, always the same answer, the names alone, the parent
as it is, the same without names, parent or a trained backbone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.base import F64, I64

_RESAMPLES = 1000


@dataclass(frozen=True)
class Fallback:
    """What could be done instead.

    Attributes:
        name: ``nearest_mean``, ``majority``, ``mean``, ``names``, ``parent`` or ``plain``.
        losses: (n,) of each row, NaN where it was not held out or cannot be answered.
        index: Among the candidates, where it is one that may be published instead; else None.
    """

    name: str
    losses: F64
    index: int | None = None


def weigh(
    losses: F64, fallbacks: Sequence[Fallback], groups: I64, weights: F64 | None, seed: int
) -> list[dict[str, Any]]:
    """Compare losses with those of every fallback on the rows that both have.

    Args:
        losses: (n,) of what was chosen, NaN where a row was not held out.
        fallbacks: To compare with.
        groups: (n,) rows of one group are drawn together.
        weights: (n,) how much each row counts; None = all alike.
        seed: Of the bootstrap.

    Returns:
        One entry each: ``fallback``, its ``loss``, ``difference`` (of the loss of what was chosen to it; below zero is
        better), ``p_better`` share of 1,000 bootstrap samples in which what was chosen has the lower loss, half of the
        ties among them, and ``evaluated`` rows that both have.

    Cost: O(1000·groups) for each.
    Source: Efron, Annals of Statistics 7(1), 1979; paired as in Koehn, Statistical Significance Tests for Machine
        Translation Evaluation, EMNLP 2004.
    """
    return [_entry(losses, fallback, groups, weights, np.random.default_rng(seed)) for fallback in fallbacks]


def instead(entries: Sequence[dict[str, Any]], fallbacks: Sequence[Fallback]) -> Fallback | None:
    """What to publish instead: the best candidate of those that are more likely than not better; None for none."""
    able = [
        (entry["loss"], fallback)
        for entry, fallback in zip(entries, fallbacks, strict=True)
        if fallback.index is not None and entry["p_better"] is not None and entry["p_better"] < 0.5
    ]
    return min(able, key=lambda one: float(one[0]))[1] if able else None


_WORDS = {
    "names": "the names of the classes alone, without any example",
    "parent": "the parent as it is, on the classes that it knows",
    "plain": "the same without names, parent or a trained backbone",
}


def notes(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences on fallbacks that do as well; of class mean and constant answers the figures tell."""
    return [
        f"It is not likelier than not to beat {_WORDS[entry['fallback']]}: its loss is "
        f"{entry['loss'] + entry['difference']:.3f}, there it is {entry['loss']:.3f}."
        for entry in entries
        if entry["fallback"] in _WORDS and entry["p_better"] is not None and entry["p_better"] < 0.5
    ]


def _entry(
    losses: F64, fallback: Fallback, groups: I64, weights: F64 | None, rng: np.random.Generator
) -> dict[str, Any]:
    both = ~np.isnan(losses + fallback.losses)
    if not both.any():
        nothing = {"loss": None, "difference": None, "p_better": None, "evaluated": 0}
        return {"fallback": fallback.name, **nothing}
    w = np.ones(int(both.sum())) if weights is None else weights[both]
    difference = w * (losses[both] - fallback.losses[both])
    group = np.unique(groups[both], return_inverse=True)[1].reshape(-1)
    by_group = np.bincount(group, difference)
    # Whole groups are drawn; the sign of the sum is that of the weighted mean.
    count = len(by_group)
    sums = np.array([by_group[rng.integers(0, count, count)].sum() for _ in range(_RESAMPLES)])
    return {
        "fallback": fallback.name,
        "loss": float(w @ fallback.losses[both] / w.sum()),
        "difference": float(difference.sum() / w.sum()),
        "p_better": float((sums < 0).mean() + 0.5 * (sums == 0).mean()),
        "evaluated": int(both.sum()),
    }
