"""From trials to what is published: parameters, shares of a blend, what is taken from seen classes, temperature.

Trials -> settle (on some splits) -> Settled; crossed: each split judged by what the others settled on
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.base import F32, F64, I64
from adapters.calibrate import fit_temperature, nll_by_row
from adapters.comparison import STANDARD_ERRORS
from adapters.zero_shot.shares import convex_shares
from adapters.zero_shot.splits import Split
from adapters.zero_shot.stacking import best_offset
from adapters.zero_shot.trials import Trials

MOST_MEMBERS = 4
"""Of a blend that is made of the best: each one more is served and fitted beside the others."""

_BLEND_COMPLEXITY = 50

_DIGITS = 4


@dataclass(frozen=True)
class Mix:
    """A candidate, or several whose scores are added.

    Attributes:
        parts: Of each its index among the candidates and what its scores are multiplied by.
    """

    parts: tuple[tuple[int, float], ...]

    def scores(self, trials: Trials, split: int) -> F32:
        """(m, c) of the judged rows of one split."""
        found: F32 = np.sum(
            [np.float32(factor) * trials.found[index][split].scores for index, factor in self.parts], axis=0
        ).astype(np.float32)
        return found


@dataclass(frozen=True)
class Part:
    """A member of a blend.

    Attributes:
        index: Among the candidates.
        share: Of all members' shares, which sum to one.
        spread: What its scores are divided by.
    """

    index: int
    share: float
    spread: float


@dataclass(frozen=True)
class Settled:
    """What some splits chose.

    Attributes:
        mix: Of one candidate or several.
        stacking: What is taken from the scores of seen classes.
        temperature: Of all classes together, behind it.
        loss: (c,) of each candidate: log loss among the classes set apart alone, at its own temperature, every class
            alike.
        stderr: (c,) standard error over classes of the difference to the lowest.
        blend_loss: Of the blend, where one was tried.
        shares: Of the blend.
    """

    mix: Mix
    stacking: float
    temperature: float
    loss: F64
    stderr: F64
    blend_loss: float | None = None
    shares: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What may be settled on.

    Attributes:
        single: Whether one candidate alone may be.
        blend: Whether a blend of candidates may be.
        shares, spreads: Of the blend's members, by the name of the method, where the caller gave them.
        stacking: Where the caller gave it.
        alone: Methods that cannot be part of a blend.
    """

    single: bool = True
    blend: bool = False
    shares: Mapping[str, float] | None = None
    spreads: Mapping[str, float] | None = None
    stacking: float | None = None
    alone: frozenset[str] = frozenset()


def settle(trials: Trials, splits: Sequence[int], wish: Wish) -> Settled:
    """Choose on some of the splits.

    Within a method the parameters with the lowest loss win. Between methods the simplest one wins whose loss is within
    half a standard error, over classes, of the lowest; a blend counts as the least simple.

    Args:
        trials: Of all candidates.
        splits: Numbers of the splits to look at.
        wish: What may be settled on.
    """
    units = np.stack([_losses(trials, Mix(((i, 1.0),)), splits) for i in range(len(trials.methods))])
    loss = units.mean(axis=1)
    best = int(loss.argmin())
    stderr = np.array([_stderr(of - units[best]) for of in units])
    kinds = _best_of_kinds(trials, loss)
    shares: tuple[Part, ...] = ()
    blend_loss: float | None = None
    entries: list[tuple[int, F64, Mix]] = []
    if wish.single:
        entries = [(trials.methods[i].complexity, units[i], Mix(((i, 1.0),))) for i in kinds]
    able = [i for i in kinds if trials.methods[i].method not in wish.alone]
    if wish.blend and (able[1:] or not wish.single):
        shares = _blend(trials, splits, able if wish.shares else _nearest(able, loss), wish)
        mix = Mix(tuple((part.index, part.share / part.spread) for part in shares))
        blended = _losses(trials, mix, splits)
        blend_loss = float(blended.mean())
        if not (wish.single and len(mix.parts) == 1):
            entries.append((_BLEND_COMPLEXITY, blended, mix))
    mix = _simplest(entries)
    offset = _offset(trials, mix, splits) if wish.stacking is None else wish.stacking
    return Settled(mix, offset, _temperature(trials, mix, splits, offset), loss, stderr, blend_loss, shares)


def crossed(trials: Trials, wish: Wish) -> Iterator[tuple[int, Settled]]:
    """Each split, and what the others settle on."""
    everything = range(len(trials.splits))
    for split in everything:
        yield split, settle(trials, [other for other in everything if other != split], wish)


def stacked(split: Split, scores: F32, settled: Settled) -> F32:
    """(m, c) scores with `stacking` taken from those of learned classes, at the temperature."""
    taken = np.where(split.apart, 0.0, settled.stacking).astype(np.float32)
    result: F32 = (scores - taken) / np.float32(settled.temperature)
    return result


def _best_of_kinds(trials: Trials, loss: F64) -> list[int]:
    kinds: dict[str, int] = {}
    for index, method in enumerate(trials.methods):
        if method.method not in kinds or loss[index] < loss[kinds[method.method]]:
            kinds[method.method] = index
    return list(kinds.values())


def _nearest(kinds: list[int], loss: F64) -> list[int]:
    """The best few, in the order of the candidates."""
    return sorted(sorted(kinds, key=lambda index: float(loss[index]))[:MOST_MEMBERS])


def _among(trials: Trials, mix: Mix, splits: Sequence[int]) -> Iterator[tuple[Split, F32]]:
    """The rows of classes set apart, and their scores for these classes."""
    for number in splits:
        split = trials.splits[number]
        yield split, mix.scores(trials, number)[np.ix_(split.foreign, split.apart)]


def _losses(trials: Trials, mix: Mix, splits: Sequence[int]) -> F64:
    """(u,) mean log loss of each class on each split that sets it apart, told from others that are set apart."""
    found: list[F32] = []
    labels: list[I64] = []
    units: list[I64] = []
    weights: list[F64] = []
    for split, scores in _among(trials, mix, splits):
        place = np.cumsum(split.apart) - 1
        y = place[split.y[split.foreign]]
        units.append(y + (units[-1].max() + 1 if units else 0))
        found.append(scores)
        labels.append(y)
        weights.append(split.weights[split.foreign])
    scores, y, weight = np.concatenate(found), np.concatenate(labels), np.concatenate(weights)
    if scores.shape[1] < 2:
        return _of_all(trials, mix, splits)
    loss = nll_by_row(scores, y, fit_temperature(scores, y, weight))
    unit = np.concatenate(units)
    mass = np.bincount(unit, weight)
    # Of very many classes some are set apart of which no row is judged.
    result: F64 = np.bincount(unit, loss * weight)[mass > 0] / mass[mass > 0]
    return result


def _of_all(trials: Trials, mix: Mix, splits: Sequence[int]) -> F64:
    """The same among all classes, where a single one is set apart."""
    offset = _offset(trials, mix, splits)
    temperature = _temperature(trials, mix, splits, offset)
    found = []
    for number in splits:
        split = trials.splits[number]
        settled = Settled(mix, offset, temperature, np.zeros(0), np.zeros(0))
        loss = nll_by_row(stacked(split, mix.scores(trials, number), settled), split.y, 1.0)
        sides = [side for side in (split.foreign, ~split.foreign) if side.any()]
        found += [float(split.weights[side] @ loss[side] / split.weights[side].sum()) for side in sides]
    return np.array(found)


def _blend(trials: Trials, splits: Sequence[int], members: list[int], wish: Wish) -> tuple[Part, ...]:
    """Shares, chosen or given, of some candidates."""
    names = [trials.methods[index].method for index in members]
    if wish.spreads is None:
        spreads = [_spread(trials, index, splits) for index in members]
    else:
        spreads = [wish.spreads[name] for name in names]
    if wish.shares is None:
        shares = _chosen_shares(trials, splits, members, spreads)
    else:
        shares = np.array([wish.shares[name] for name in names])
    if not shares.any():
        # Who was to have all of it could not be compared.
        shares = np.ones(len(members))
    # Rounded, so that what is given again is the same number.
    shares = np.round(shares / shares.sum(), _DIGITS)
    found = zip(members, shares.tolist(), spreads, strict=True)
    return tuple(Part(index, share, unit) for index, share, unit in found if share > 0 or wish.shares is not None)


def _chosen_shares(trials: Trials, splits: Sequence[int], members: list[int], spreads: list[float]) -> F64:
    parts, labels, weights = [], [], []
    for number in splits:
        split = trials.splits[number]
        place = np.cumsum(split.apart) - 1
        inside = np.ix_(split.foreign, split.apart)
        scores = [trials.found[i][number].scores[inside] / s for i, s in zip(members, spreads, strict=True)]
        parts.append(np.stack(scores))
        labels.append(place[split.y[split.foreign]])
        weights.append(split.weights[split.foreign])
    return convex_shares(np.concatenate(parts, axis=1), np.concatenate(labels), np.concatenate(weights))


def _spread(trials: Trials, index: int, splits: Sequence[int]) -> float:
    """Standard deviation of a candidate's scores of one row: the unit in which a blend adds them."""
    found = float(np.mean([trials.found[index][number].scores.std(axis=1).mean() for number in splits]))
    return found if found > 0 else 1.0


def _simplest(entries: list[tuple[int, F64, Mix]]) -> Mix:
    best = min(entries, key=lambda entry: float(entry[1].mean()))
    for _, units, mix in sorted(entries, key=lambda entry: entry[0]):
        difference = units - best[1]
        if difference.mean() <= STANDARD_ERRORS * _stderr(difference):
            return mix
    return best[2]


def _stderr(difference: F64) -> float:
    return float(difference.std() / np.sqrt(max(1, len(difference) - 1)))


def _offset(trials: Trials, mix: Mix, splits: Sequence[int]) -> float:
    return best_offset([trials.splits[i] for i in splits], [mix.scores(trials, i) for i in splits])


def _temperature(trials: Trials, mix: Mix, splits: Sequence[int], offset: float) -> float:
    """Of all classes together, every class alike."""
    rough = Settled(mix, offset, 1.0, np.zeros(0), np.zeros(0))
    scores = np.concatenate([stacked(trials.splits[i], mix.scores(trials, i), rough) for i in splits])
    y = np.concatenate([trials.splits[i].y for i in splits])
    return fit_temperature(scores, y, np.concatenate([trials.splits[i].weights for i in splits]))
