"""Which rows of an upload are kept, and what they say: labels, sets of labels or numbers, groups and weights.

cells of the target, whatever is beside them -> read -> bad rows by the policy -> Settled
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from models.errors import Problem
from service.uploads.beside import Aside, Beside, check_weights, group_notes, groups_of, read_beside
from service.uploads.cells import Bad, as_label, as_labels, as_target
from service.uploads.identifiers import refuse_identifiers
from service.uploads.items import F64, TaskKind
from service.uploads.limits import Limits
from service.uploads.policy import ROWS, RowLedger, SetLedger, Unit, ValueLedger
from service.uploads.rows import Cell, Listed
from service.uploads.several import several_notes

Read = TypeVar("Read")


@dataclass(frozen=True)
class Found:
    """The rows of an upload, before their targets are judged.

    Attributes:
        numbers: (m,) row numbers of those that could be read.
        cells: (m,) their targets as they came.
        problems: Rows that could not be read.
        faults: Position among the m of each row that is bad for another reason than its target -> the reason.
        beside: Their groups and weights as they came.
    """

    numbers: Sequence[int]
    cells: Sequence[Cell]
    problems: Sequence[Problem]
    faults: Mapping[int, str]
    beside: Beside = field(default_factory=Beside)


@dataclass(frozen=True)
class Settled:
    """The rows that are kept.

    Attributes:
        index: (n,) their positions among the m that could be read.
        rows: (n,) their row numbers.
        bad: Bad rows that are listed.
        bad_count: All bad rows.
        labels: (n,) class names; empty where each row has not one.
        label_sets: (n,) any number of class names each; None where it is one, or a number.
        targets: (n,) float64; None where classes are learned.
        classes: Items of each class; empty for a regression.
        groups: (n,) names; None where there is no column of them.
        weights: (n,) float64; None where there is no column of them.
        notes: What a careful reader would have noticed in labels and groups.
    """

    index: tuple[int, ...]
    rows: tuple[int, ...]
    bad: tuple[Problem, ...]
    bad_count: int
    labels: tuple[str, ...] = ()
    label_sets: tuple[tuple[str, ...], ...] | None = None
    targets: F64 | None = None
    classes: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[str, ...] | None = None
    weights: F64 | None = None
    notes: tuple[str, ...] = ()


def settle(
    column: str,
    found: Found,
    task: TaskKind,
    limits: Limits,
    *,
    strict: bool,
    unit: Unit = ROWS,
    certain: bool = False,
    names: bool = False,
) -> Settled:
    """Reads every row's target, group and weight, and applies the policy of bad rows.

    Args:
        column: Where the targets come from; empty where folders are the classes.
        found: The rows.
        task: What the targets are.
        limits: How many classes there may be, and how many bad rows.
        strict: Refuse any bad row.
        unit: What a row is called.
        certain: The caller has said that they are classes, however many there are.
        names: Words of which there is another one in every row may be classes with one example each.

    Raises:
        UploadTooLarge: More classes than the limit.
        UploadRefused: The policy says so; fewer than two classes or values; (nearly) every row has a label of its own;
            no row, or none of a class, has any weight.
    """
    aside = read_beside(found.beside, limits)
    faults = dict(found.faults)
    for at, reason in aside.faults.items():
        faults[at] = f"{faults[at]}; {reason}" if at in faults else reason
    found = replace(found, faults=faults)
    if task == "regression":
        settled = _settle_values(found, ValueLedger(limits, strict=strict, unit=unit))
    elif task == "multilabel":
        settled = _settle_sets(found, SetLedger(limits, strict=strict, unit=unit), limits)
    else:
        read = _cleaned(found.cells, lambda cell: as_label(cell, limits))
        if column and not certain:
            refuse_identifiers(column, [label for label in read if isinstance(label, str)], names=names)
        settled = _settle_classes(found, read, RowLedger(limits, strict=strict, unit=unit))
    return _with_aside(settled, found.beside, aside)


def _settle_values(found: Found, ledger: ValueLedger) -> Settled:
    values = [as_target(cell) for cell in found.cells]
    bad = _bad_rows(found, values)
    for problem, _ in _in_order(found, bad):
        ledger.reject(problem)
    index = tuple(position for position in range(len(values)) if position not in bad)
    targets = [value for position in index if not isinstance(value := values[position], Bad)]
    for value in targets:
        ledger.keep(value)
    ledger.settle()
    return replace(_kept(found, index, ledger), targets=np.array(targets, dtype=np.float64))


def _settle_classes(found: Found, read: Sequence[str | Bad], ledger: RowLedger) -> Settled:
    bad = _bad_rows(found, read)
    for problem, position in _in_order(found, bad):
        label = None if position is None else read[position]
        ledger.reject(problem, *([label] if isinstance(label, str) else []))
    index = tuple(position for position in range(len(read)) if position not in bad)
    labels = tuple(label for position in index if isinstance(label := read[position], str))
    for label in labels:
        ledger.keep(label)
    ledger.settle()
    return replace(_kept(found, index, ledger), labels=labels, classes=ledger.classes)


def _settle_sets(found: Found, ledger: SetLedger, limits: Limits) -> Settled:
    read = _cleaned(found.cells, lambda cell: as_labels(cell, limits))
    bad = _bad_rows(found, read)
    for problem, position in _in_order(found, bad):
        labels = None if position is None else read[position]
        ledger.reject(problem, *(labels if isinstance(labels, tuple) else ()))
    index = tuple(position for position in range(len(read)) if position not in bad)
    label_sets = tuple(labels for position in index if isinstance(labels := read[position], tuple))
    for labels in label_sets:
        ledger.keep(*labels)
    ledger.settle()
    notes = several_notes(label_sets, ledger.classes)
    return replace(_kept(found, index, ledger), label_sets=label_sets, classes=ledger.classes, notes=tuple(notes))


def _kept(found: Found, index: tuple[int, ...], ledger: RowLedger | ValueLedger) -> Settled:
    """The rows that are kept, before it is said what they are."""
    rows = tuple(found.numbers[position] for position in index)
    return Settled(index=index, rows=rows, bad=tuple(ledger.problems), bad_count=ledger.bad_count)


def _with_aside(settled: Settled, beside: Beside, aside: Aside) -> Settled:
    """The same with groups and weights of the rows that are kept."""
    if aside.weights is not None:
        weights = aside.weights[list(settled.index)]
        sets = settled.label_sets or [(label,) for label in settled.labels]
        check_weights(beside.weight, weights, sets, settled.classes, settled.bad)
        settled = replace(settled, weights=weights)
    if aside.groups is not None:
        given = [aside.groups[position] for position in settled.index]
        notes = (*settled.notes, *group_notes(beside.group, given))
        settled = replace(settled, groups=groups_of(given, settled.rows), notes=notes)
    return settled


def _cleaned(cells: Sequence[Cell], clean: Callable[[Cell], Read]) -> list[Read]:
    """Each spelling is cleaned once; all rows that say the same share one object."""
    known: dict[tuple[object, object], Read] = {}
    labels = []
    for cell in cells:
        key = (_type_of(cell), cell)
        if key not in known:
            label = clean(cell)
            known[key] = known.setdefault((type(label), label), label)
        labels.append(known[key])
    return labels


def _type_of(cell: Cell) -> object:
    """What keeps 1, 1.0 and true apart, which are equal, alone and in lists."""
    return tuple(map(type, cell.values)) if isinstance(cell, Listed) else type(cell)


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
