"""What a table is expected to hold, and its typed rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.cells import F64
from adapters.errors import ManifestInvalid
from adapters.kinds import Kind

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Column:
    """One expected column of a table.

    Attributes:
        name: As in the caller's file.
        kind: What its cells are.
        low: Smallest value seen: a float, or ISO text of a date; None for categories and booleans.
        high: Largest value seen, as `low`.
        categories: Those told apart, commonest first, at most 200; () for the other kinds.
        missing: Rows without a value.
        examples: Up to three JSON values as a caller would send them.
    """

    name: str
    kind: Kind
    low: float | str | None = None
    high: float | str | None = None
    categories: tuple[str, ...] = ()
    missing: int = 0
    examples: tuple[str | int | float | bool, ...] = ()

    @cached_property
    def known(self) -> frozenset[str]:
        """`categories`, and "" for a missing value."""
        return frozenset(self.categories) | {""}

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` reads it back."""
        return asdict(self) | {
            "kind": self.kind.value,
            "categories": list(self.categories),
            "examples": list(self.examples),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote.

        Raises:
            ManifestInvalid: A field is missing, unknown or of another kind.
        """
        try:
            tuples = {"categories": tuple(data["categories"]), "examples": tuple(data["examples"])}
            return cls(**{**data, **tuples, "kind": Kind(data["kind"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestInvalid(f"A column of a table is not described as expected: {error!r}.") from error


Schema = tuple[Column, ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """n typed rows.

    Attributes:
        numbers: (n, a) float64: number, boolean (0 or 1) and date columns (days since 1970-01-01 UTC) in the schema's
            order; NaN where a value is missing, never infinite.
        categories: (n, b) object array of str: category columns in the schema's order; "" where a value is missing.
    """

    numbers: F64
    categories: Texts

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Self:
        """Some of the rows, by position or mask."""
        return type(self)(self.numbers[index], self.categories[index])


@dataclass(frozen=True)
class Doubt:
    """Something in the caller's rows that was read as missing or unknown.

    Attributes:
        detail: What was seen and what became of it, for the caller.
        column: Name of the column.
        rows: The first five rows concerned, 0-based.
        count: How many rows are concerned.
    """

    detail: str
    column: str | None
    rows: tuple[int, ...]
    count: int
