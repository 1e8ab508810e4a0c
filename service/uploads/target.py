"""What is to be learned: one class a row, any number of classes, or a number; and what is to be said of it.

cells of the target -> decide (which of them) -> settle (settle.py: which rows are kept) -> quality_of
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from service.errors import UploadRefused
from service.uploads.cells import Bad, as_target, is_empty
from service.uploads.items import TaskKind
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.numbers import has_decimal_commas, with_point
from service.uploads.policy import ROWS, Unit
from service.uploads.quality import Quality, assess, assess_sets, assess_values
from service.uploads.rows import Cell
from service.uploads.settle import Found, Settled
from service.uploads.several import guess_several

MOST_NUMBERED_CLASSES = 20
"""Whole numbers of more different values than this are numbers, not names of classes."""


def decide(
    column: str, cells: Sequence[Cell], task: TaskKind | None, limits: Limits, *, numbers: bool = True
) -> tuple[TaskKind, list[str]]:
    """Chooses what is learned where the caller did not.

    Lists, and names joined by bars, are any number of classes where that is plain (`guess_several`). Numbers are a
    regression where any is not whole or there are more than 20 different ones; at most the share that may be bad may be
    anything else. All other targets are classes.

    Args:
        column: Where the targets come from.
        cells: (m,) them.
        task: What the caller said.
        limits: How many rows may be bad.
        numbers: Whether numbers may be a regression; where not, they are classes.

    Returns:
        The task, and a sentence where it was not plain.

    Raises:
        UploadRefused: No row has a target.
    """
    present = [cell for cell in cells if not is_empty(cell)]
    if cells and not present:
        raise UploadRefused(
            f"The target column {quoted(column)} is empty: none of its {len(cells)} rows has a value. "
            "Fill it in, or name another column."
        )
    if task is not None:
        return task, []
    several, notes = guess_several(column, present, limits)
    if several:
        return "multilabel", notes
    values = [value for cell in present if not isinstance(value := as_target(cell), Bad)]
    if not values or len(values) < (1 - limits.bad_fraction) * len(present):
        return "classification", notes
    different = len(set(values))
    whole = all(value.is_integer() for value in values)
    if numbers and (different > MOST_NUMBERED_CLASSES or not whole):
        return "regression", [
            f"The target {quoted(column)} holds {different} different numbers, so it is predicted as a number; "
            'where each is the name of a class, send "task": "classification".'
        ]
    return "classification", [
        f"The target {quoted(column)} holds {different} different {'whole ' if whole else ''}numbers, so each is a "
        'class; where it is a quantity, send "task": "regression".'
    ]


def with_points(found: Found) -> Found:
    """The same with points in targets and weights, where decimal commas are all that keeps them from being numbers."""
    found = replace(found, beside=found.beside.with_points())
    if not has_decimal_commas(found.cells):
        return found
    return replace(found, cells=[with_point(cell) for cell in found.cells])


def quality_of(
    keys: Sequence[bytes] | Sequence[str],
    settled: Settled,
    notes: Sequence[str],
    *,
    item: Literal["text", "row", "vector", "image", "sound"],
    unit: Unit = ROWS,
) -> Quality:
    """What was noticed in the rows that are kept.

    Args:
        keys: (n,) equal for equal items.
        settled: The same rows.
        notes: What was decided for the caller.
        item: What an item is.
        unit: What a row is called.
    """
    notes = [*notes, *settled.notes]
    if settled.targets is not None:
        return assess_values(keys, settled.targets.tolist(), bad_count=settled.bad_count, notes=notes, unit=unit)
    if settled.label_sets is not None:
        return assess_sets(
            *(keys, settled.label_sets, settled.rows, settled.classes),
            bad_count=settled.bad_count,
            notes=notes,
            item=item,
            unit=unit,
        )
    return assess(
        *(keys, settled.labels, settled.rows, settled.classes),
        bad_count=settled.bad_count,
        notes=notes,
        item=item,
        unit=unit,
    )
