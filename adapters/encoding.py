"""From typed rows to the numbers that a method learns from. Learned on training rows only.

Scales are chosen for heads with an L2 penalty, so that the same penalty means the same for every kind of column:

- A number has standard deviation 1. A weight then is the effect of one typical step.
- Amounts that are never negative and span some orders of magnitude (the largest over ten times the median) add their
  logarithm, since effects are as often of ratios as of differences.
- A category has one feature for each value, 1 where the row has it. A weight then is the effect of that value, and
  under one penalty a column of categories may move a score as far as a number may.
- A missing value adds such a feature too: it is one more category. An unknown category has none set.
"""

from dataclasses import dataclass
from itertools import starmap
from typing import Self

import numpy as np
import numpy.typing as npt

from adapters.cells import F64
from adapters.kinds import Kind
from adapters.schema import Rows, Schema, Texts

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LAST_DAY = 1e7
"""Dates are clipped to ± that many days from 1970, beyond all calendars, where a turn of a cycle is still exact."""

LIMIT = 10.0
"""Scaled numbers are clipped to ± that many standard deviations."""

_ORDERS = 10.0
_LARGEST_LOG = 710.0
_FINEST = 1e-13
_YEAR, _WEEK, _DAY = 365.2425, 7.0, 1.0


@dataclass(frozen=True, eq=False)
class Encoding:
    """What is learned of the columns of a table with a number columns (number, boolean, date) and b of categories.

    Features, in order: the a scaled numbers; an indicator for each of `indicated`; the logarithm of each of `amounts`;
    sine, then cosine of each of `cycles`; one for each value of each `vocabulary`.

    Attributes:
        mean: (a,) float64; stands for a missing value, and is subtracted.
        scale: (a,) float64, positive: what a number is divided by.
        limit: (a,) float64: scaled numbers are clipped to ± that many; 0 for a column that was constant.
        indicated: Number columns, by position, of which values were missing.
        amounts: Number columns, by position, that add log(1 + x / unit), scaled to mean 0 and standard deviation 1.
        unit: (len(amounts),) float64, positive: the median of the positive values.
        log_mean: (len(amounts),) float64.
        log_scale: (len(amounts),) float64, positive.
        cycles: Number column and period (days) of each cycle of the dates.
        vocabulary: For each category column the values seen, "" among them where values were missing; never empty, so
            that every column has a feature.
    """

    mean: F64
    scale: F64
    limit: F64
    indicated: tuple[int, ...]
    amounts: tuple[int, ...]
    unit: F64
    log_mean: F64
    log_scale: F64
    cycles: tuple[tuple[int, float], ...]
    vocabulary: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, schema: Schema, rows: Rows) -> Self:
        """Learn from the given rows (at least one) and from nothing else.

        Cost: one pass over the cells; 1 ms for 1,000 rows of 20 columns.
        """
        kinds = [column.kind for column in schema if column.kind is not Kind.CATEGORY]
        known = [column.categories for column in schema if column.kind is Kind.CATEGORY]
        numbers = list(zip(kinds, (values[~np.isnan(values)] for values in rows.numbers.T), strict=True))
        mean, scale, limit = _table([_spread(values) for _, values in numbers])
        amounts = tuple(i for i, (kind, values) in enumerate(numbers) if kind is Kind.NUMBER and _is_amount(values))
        unit, log_mean, log_scale = _table([_log_spread(numbers[i][1]) for i in amounts])
        return cls(
            mean=mean,
            scale=scale,
            limit=limit,
            indicated=tuple(np.flatnonzero(np.isnan(rows.numbers).any(axis=0)).tolist()),
            amounts=amounts,
            unit=unit,
            log_mean=log_mean,
            log_scale=log_scale,
            cycles=tuple((i, period) for i, dates in enumerate(numbers) for period in _periods(*dates)),
            vocabulary=tuple(starmap(_seen, zip(known, rows.categories.T, strict=True))),
        )

    @property
    def width(self) -> int:
        """Features of a row: d of `encode`; at least one a column."""
        return self.dense_width + sum(map(len, self.vocabulary))

    @property
    def dense_width(self) -> int:
        """Features that come before those of the categories."""
        return len(self.mean) + len(self.indicated) + len(self.amounts) + 2 * len(self.cycles)

    def encode(self, rows: Rows) -> F32:
        """Rows as features.

        Args:
            rows: n rows of the schema that it was learned with.

        Returns:
            (n, d) float32, finite: numbers and logarithms in ±10, all others in ±1.

        Cost: 1.5 ms for 1,000 rows of 20 columns.
        """
        z = np.zeros((len(rows), self.width), dtype=np.float32)
        z[:, : self.dense_width] = self._dense(rows.numbers)
        start = self.dense_width
        every = np.arange(len(rows))
        for values, column in zip(self.vocabulary, rows.categories.T, strict=True):
            place = {value: start + i for i, value in enumerate(values)}
            places = np.array([place.get(value, -1) for value in column], dtype=np.int64)
            z[every[places >= 0], places[places >= 0]] = 1
            start += len(values)
        return z

    def _dense(self, numbers: F64) -> F64:
        """(n, a) to (n, dense_width)."""
        missing = np.isnan(numbers)
        filled = np.where(missing, self.mean, numbers)
        with np.errstate(over="ignore"):
            scaled = np.clip((filled - self.mean) / self.scale, -self.limit, self.limit)
        return np.concatenate(
            [scaled, missing[:, self.indicated], self._logs(filled, missing), *self._waves(filled, missing)], axis=1
        )

    def _logs(self, filled: F64, missing: Bools) -> F64:
        with np.errstate(over="ignore"):
            amount = np.log1p(np.maximum(filled[:, self.amounts], 0) / self.unit)
        return np.clip((amount - self.log_mean) / self.log_scale, -LIMIT, LIMIT) * ~missing[:, self.amounts]

    def _waves(self, filled: F64, missing: Bools) -> tuple[F64, F64]:
        dates = [place for place, _ in self.cycles]
        turns = np.clip(filled[:, dates], -LAST_DAY, LAST_DAY) / [period for _, period in self.cycles]
        angle = 2 * np.pi * (turns - np.floor(turns))
        there = ~missing[:, dates]
        return np.sin(angle) * there, np.cos(angle) * there


def _table(rows: list[tuple[float, float, float]]) -> F64:
    """R rows as (3, r)."""
    return np.array(rows, dtype=np.float64).reshape(-1, 3).T


def _spread(values: F64) -> tuple[float, float, float]:
    """Mean, scale and limit of a number column without its missing values."""
    if not len(values):
        return 0.0, 1.0, 0.0
    # In units of the largest, where squares neither overflow nor vanish.
    unit = float(np.abs(values).max()) or 1.0
    relative = values / unit
    mean, scale = unit * float(relative.mean()), unit * float(relative.std())
    # What the mean of equal values is off by is rounding, not spread.
    if scale <= max(_FINEST * unit, np.finfo(np.float64).tiny):
        return mean, 1.0, 0.0
    return mean, scale, LIMIT


def _is_amount(values: F64) -> bool:
    positive = values[values > 0]
    return len(positive) > 0 and values.min() >= 0 and positive.max() / _ORDERS > np.median(positive)


def _log_spread(values: F64) -> tuple[float, float, float]:
    """Unit, and mean and standard deviation of log(1 + x / unit), of a column that `_is_amount`."""
    unit = float(np.median(values[values > 0]))
    with np.errstate(over="ignore"):
        amount = np.minimum(np.log1p(values / unit), _LARGEST_LOG)
    return unit, float(amount.mean()), float(amount.std())


def _periods(kind: Kind, values: F64) -> tuple[float, ...]:
    """The cycles in which the values of a number column are told apart, in days; none but for dates."""
    if kind is not Kind.DATE:
        return ()
    return (_YEAR, _WEEK, _DAY) if (values % 1).any() else (_YEAR, _WEEK)


def _seen(known: tuple[str, ...], column: Texts) -> tuple[str, ...]:
    there = set(column)
    return tuple(value for value in (*known, "") if value in there) or ("",)
