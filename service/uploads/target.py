"""What is to be learned of tables and vectors: classes or numbers, and which rows say it.

cells of the target -> decide (classification or regression) -> settle (labels or numbers, bad rows by the policy)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from models.errors import Problem
from service.errors import UploadRefused
from service.uploads.cells import Bad, as_label, as_target, is_empty
from service.uploads.items import F64, TaskKind
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.policy import ROWS, RowLedger, Unit, ValueLedger
from service.uploads.quality import Quality, assess, assess_values
from service.uploads.rows import Cell

MOST_NUMBERED_CLASSES = 20
"""Whole numbers of more different values than this are numbers, not names of classes."""
_IDENTIFIER_ROWS = 20
"""Up to as many rows, a different label in each may be chance."""
_WORDS_OF_TEXT = 3


@dataclass(frozen=True)
class Found:
    """The rows of an upload, before their targets are judged.

    Attributes:
        numbers: (m,) row numbers of those that could be read.
        cells: (m,) their targets as they came.
        problems: Rows that could not be read.
        faults: Position among the m of each row that is bad for another reason than its target -> the reason.
    """

    numbers: Sequence[int]
    cells: Sequence[Cell]
    problems: Sequence[Problem]
    faults: Mapping[int, str]


@dataclass(frozen=True)
class Settled:
    """The rows that are kept.

    Attributes:
        index: (n,) their positions among the m that could be read.
        rows: (n,) their row numbers.
        labels: (n,) class names; empty for a regression.
        targets: (n,) float64; None for a classification.
        classes: Items of each class; empty for a regression.
        bad: Bad rows that are listed.
        bad_count: All bad rows.
    """

    index: tuple[int, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...]
    targets: F64 | None
    classes: Mapping[str, int]
    bad: tuple[Problem, ...]
    bad_count: int


def decide(column: str, cells: Sequence[Cell], task: TaskKind | None, limits: Limits) -> tuple[TaskKind, list[str]]:
    """Chooses between classification and regression where the caller did not.

    Numbers are a regression where any is not whole or there are more than 20 different ones; at most the share that
    may be bad may be anything else. All other targets are classes.

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
    numbers = [value for cell in present if not isinstance(value := as_target(cell), Bad)]
    if not numbers or len(numbers) < (1 - limits.bad_fraction) * len(present):
        return "classification", []
    different = len(set(numbers))
    if different > MOST_NUMBERED_CLASSES or not all(value.is_integer() for value in numbers):
        return "regression", [
            f"The target {quoted(column)} holds {different} different numbers, so it is predicted as a number; "
            'where each is the name of a class, send "task": "classification".'
        ]
    return "classification", [
        f"The target {quoted(column)} holds {different} different whole numbers, so each is a class; "
        'where it is a quantity, send "task": "regression".'
    ]


def settle(column: str, found: Found, task: TaskKind, limits: Limits, *, strict: bool, unit: Unit = ROWS) -> Settled:
    """Reads every row's target and applies the policy of bad rows.

    Args:
        column: Where the targets come from; empty where folders are the classes.
        found: The rows.
        task: Whether the targets are classes or numbers.
        limits: How many classes there may be, and how many bad rows.
        strict: Refuse any bad row.
        unit: What a row is called.

    Raises:
        UploadTooLarge: More classes than the limit.
        UploadRefused: The policy says so; fewer than two classes or values; every row has a label of its own.
    """
    if task == "regression":
        return _settle_values(found, limits, strict=strict)
    return _settle_classes(column, found, RowLedger(limits, strict=strict, unit=unit), limits)


def quality_of(
    keys: Sequence[bytes],
    settled: Settled,
    notes: Sequence[str],
    *,
    item: Literal["row", "vector", "image", "sound"],
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
    if settled.targets is not None:
        return assess_values(keys, settled.targets.tolist(), bad_count=settled.bad_count, notes=notes, unit=unit)
    return assess(
        *(keys, settled.labels, settled.rows, settled.classes),
        bad_count=settled.bad_count,
        notes=notes,
        item=item,
        unit=unit,
    )


def _settle_values(found: Found, limits: Limits, *, strict: bool) -> Settled:
    ledger = ValueLedger(limits, strict=strict)
    values = [as_target(cell) for cell in found.cells]
    bad = _bad_rows(found, values)
    for problem, _ in _in_order(found, bad):
        ledger.reject(problem)
    index = tuple(position for position in range(len(values)) if position not in bad)
    targets = [value for position in index if not isinstance(value := values[position], Bad)]
    for value in targets:
        ledger.keep(value)
    ledger.settle()
    return Settled(
        index=index,
        rows=tuple(found.numbers[position] for position in index),
        labels=(),
        targets=np.array(targets, dtype=np.float64),
        classes={},
        bad=tuple(ledger.problems),
        bad_count=ledger.bad_count,
    )


def _settle_classes(column: str, found: Found, ledger: RowLedger, limits: Limits) -> Settled:
    read = _labels(found.cells, limits)
    if column:
        _refuse_unique(column, [label for label in read if isinstance(label, str)])
    bad = _bad_rows(found, read)
    for problem, position in _in_order(found, bad):
        label = None if position is None else read[position]
        ledger.reject(problem, label if isinstance(label, str) else None)
    index = tuple(position for position in range(len(read)) if position not in bad)
    labels = tuple(label for position in index if isinstance(label := read[position], str))
    for label in labels:
        ledger.keep(label)
    ledger.settle()
    return Settled(
        index=index,
        rows=tuple(found.numbers[position] for position in index),
        labels=labels,
        targets=None,
        classes=ledger.classes,
        bad=tuple(ledger.problems),
        bad_count=ledger.bad_count,
    )


def _labels(cells: Sequence[Cell], limits: Limits) -> list[str | Bad]:
    """Each spelling is cleaned once; all items of a class share one string."""
    known: dict[tuple[type, Cell], str | Bad] = {}
    labels = []
    for cell in cells:
        key = (type(cell), cell)
        if key not in known:
            label = as_label(cell, limits)
            known[key] = known.setdefault((str, label), label) if isinstance(label, str) else label
        labels.append(known[key])
    return labels


def _refuse_unique(column: str, labels: Sequence[str]) -> None:
    """A target that says something else in every row is no class: it is what identifies or describes the row."""
    if len(labels) <= _IDENTIFIER_ROWS or len(set(labels)) < len(labels):
        return
    text = fmean(label.count(" ") for label in labels) >= _WORDS_OF_TEXT
    kind = "free text" if text else "an identifier"
    remedy = "" if text else ', or, if it is a quantity, send "task": "regression"'
    raise UploadRefused(
        f"The target column {quoted(column)} has another value in each of its {len(labels)} rows: it looks like "
        f"{kind}, not a class. Name the column that holds the classes{remedy}."
    )


def _bad_rows(found: Found, read: Sequence[object]) -> dict[int, str]:
    """Position of each bad row -> all that is wrong with it."""
    bad = dict(found.faults)
    for position, value in enumerate(read):
        if isinstance(value, Bad):
            bad[position] = f"{bad[position]}; {value.reason}" if position in bad else value.reason
    return bad


def _in_order(found: Found, bad: Mapping[int, str]) -> list[tuple[Problem, int | None]]:
    """Problems of all bad rows by row number, each with its position where the row could be read."""
    problems: list[tuple[Problem, int | None]] = [(problem, None) for problem in found.problems]
    problems += [(Problem(reason, row=found.numbers[position]), position) for position, reason in bad.items()]
    return sorted(problems, key=lambda pair: pair[0].row or 0)
