"""What stands beside the labels: which rows belong together (`group`), and how much each one counts (`weight`)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.errors import Problem
from service.errors import UploadRefused
from service.uploads.cells import Bad, as_group, as_weight
from service.uploads.items import F64, Reading
from service.uploads.limits import Limits
from service.uploads.names import check_apart, named, quoted
from service.uploads.numbers import has_decimal_commas, with_point
from service.uploads.rows import Cell


@dataclass(frozen=True)
class Beside:
    """The two columns, row by row, before anything is judged.

    Attributes:
        group: Column of the groups; empty where there is none.
        weight: Column of the weights; empty where there is none.
        groups: (m,) its cells; none without a column.
        weights: (m,) its cells; none without a column.
    """

    group: str = ""
    weight: str = ""
    groups: list[Cell] = field(default_factory=list)
    weights: list[Cell] = field(default_factory=list)

    @classmethod
    def named(cls, columns: Sequence[str], reading: Reading, **others: str) -> "Beside":
        """The columns that the caller names, still without cells.

        Args:
            columns: All names, in the file's order.
            reading: What the caller said.
            others: The columns of the other roles, which are not to be the same.

        Raises:
            UploadRefused: One is not there, or has another role already.
        """
        found = cls(
            group="" if reading.group is None else named(columns, reading.group, "group"),
            weight="" if reading.weight is None else named(columns, reading.weight, "weight"),
        )
        check_apart({**others, **found.roles})
        return found

    @property
    def roles(self) -> dict[str, str]:
        """Column of each role that there is."""
        return {role: column for role, column in (("group", self.group), ("weight", self.weight)) if column}

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return list(self.roles.values())

    def take(self, cells: Mapping[str, Cell]) -> None:
        """Enter the next row."""
        if self.group:
            self.groups.append(cells.get(self.group))
        if self.weight:
            self.weights.append(cells.get(self.weight))

    def check_free(self, columns: Sequence[str], role: str, name: str | None) -> None:
        """Makes sure that a column which the caller names for another role is none of these.

        Raises:
            UploadRefused: It is one of these, or not there.
        """
        if name is not None and self.roles:
            check_apart({role: named(columns, name, role), **self.roles})

    def with_points(self) -> "Beside":
        """The same where numbers are written with decimal commas: with points."""
        if not has_decimal_commas(self.weights):
            return self
        return Beside(self.group, self.weight, self.groups, [with_point(cell) for cell in self.weights])


@dataclass(frozen=True)
class Aside:
    """The two columns once they are read.

    Attributes:
        groups: (m,) names; None where the row is a group of its own. None without a column.
        weights: (m,) weights, 0 where there is a fault; None without a column.
        faults: Position of each row whose group or weight cannot be used -> the reason.
    """

    groups: list[str | None] | None
    weights: F64 | None
    faults: dict[int, str]


def read_beside(beside: Beside, limits: Limits) -> Aside:
    """Reads every cell; each spelling of a group is cleaned once."""
    known: dict[tuple[type, Cell], str | Bad | None] = {}
    for cell in beside.groups:
        if (type(cell), cell) not in known:
            known[type(cell), cell] = as_group(cell, limits)
    groups = [known[type(cell), cell] for cell in beside.groups]
    weights = [as_weight(cell) for cell in beside.weights]
    faults: dict[int, str] = {}
    columns: tuple[Sequence[object], ...] = (groups, weights)
    for column in columns:
        for at, read in enumerate(column):
            if isinstance(read, Bad):
                faults[at] = f"{faults[at]}; {read.reason}" if at in faults else read.reason
    return Aside(
        groups=[None if isinstance(cell, Bad) else cell for cell in groups] if beside.group else None,
        weights=np.array([0.0 if isinstance(cell, Bad) else cell for cell in weights]) if beside.weight else None,
        faults=faults,
    )


def groups_of(given: Sequence[str | None], rows: Sequence[int]) -> tuple[str, ...]:
    """A name for every row's group; a row that has none gets one that no other has.

    Args:
        given: (n,) names, None where the row is a group of its own.
        rows: (n,) row numbers.
    """
    taken = {name for name in given if name is not None}

    def alone(row: int) -> str:
        name = f"row {row}"
        while name in taken:
            name += "'"
        return name

    return tuple(alone(row) if name is None else name for name, row in zip(given, rows, strict=True))


def group_notes(column: str, given: Sequence[str | None]) -> list[str]:
    """What a careful reader would have noticed in the groups of the rows that are kept."""
    alone = sum(name is None for name in given)
    different = len({name for name in given if name is not None}) + alone
    if different == len(given):
        return [f"Every row is a group of its own in {quoted(column)}, so the groups change nothing."]
    if different == 1:
        return [
            f"All rows are of one group in {quoted(column)}: none can be held out from the others, so nothing can be "
            "compared or measured. Send rows of other groups, or leave the group out."
        ]
    missing = f" {_rows(alone)} without one, each of which is a group of its own." if alone else ""
    return [f"The rows are of {different} groups in {quoted(column)}, none of which is split across folds.{missing}"]


def check_weights(
    column: str, weights: F64, label_sets: Iterable[Sequence[str]], classes: Iterable[str], bad: Sequence[Problem]
) -> None:
    """Makes sure that something is left to learn from: a row of weight 0 is as if it were not there.

    Args:
        column: Where the weights come from.
        weights: (n,) of the rows that are kept.
        label_sets: (n,) classes of each; nothing where there are none.
        classes: All of them.
        bad: Bad rows that are listed.

    Raises:
        UploadRefused: All are 0, or all of a class.
    """
    if not weights.any():
        raise UploadRefused(
            f"All weights in {quoted(column)} are 0, so no row would count. Give some row a weight above 0, or leave "
            "the weights out.",
            problems=bad,
        )
    weighing = {
        label for labels, weight in zip(label_sets, weights.tolist(), strict=False) if weight for label in labels
    }
    if lost := [label for label in classes if label not in weighing]:
        raise UploadRefused(
            f"All rows of the class {quoted(lost[0])} have the weight 0 in {quoted(column)}, so nothing of it would be "
            "learned. Give one of them a weight above 0, or leave the class out.",
            problems=bad,
        )


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"
