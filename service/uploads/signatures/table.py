"""Classes as they came -> signatures: every column typed, then the table as a whole looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.signatures import Signatures, listed
from models.errors import InputError, Problem
from service.uploads.names import seen
from service.uploads.rows import check_cells
from service.uploads.signatures.given import LIMITS, MAX_ATTRIBUTES, Given, refuse
from service.uploads.signatures.typed import Typed, grouped, typed

Groups = Mapping[str, Sequence[str]]
"""Columns of which each value is to be an attribute, and the values there are; none to take those in the cells."""

_SUM = 1e-3
"""How far the values of a class in a group may be from 1 together: mixtures are written with few digits."""


@dataclass(frozen=True, eq=False)
class Built:
    """Signatures, and what had to be decided about them, as sentences."""

    signatures: Signatures
    notes: tuple[str, ...]


def build(given: Given, groups: Groups) -> Built:
    """Type every column.

    Args:
        given: Classes as they came.
        groups: See `Groups`; where there is no column of the name, those that are called ``name=...`` are the group.

    Raises:
        InputError: A cell cannot be used, a group is not there, or two attributes have one name.
        UploadTooLarge: There are too many cells.
    """
    columns = _typed(given, groups)
    attributes = [name for column in columns for name in column.names]
    _check_attributes(attributes, given)
    values = np.concatenate([column.values for column in columns], axis=1)
    found = sorted(_groups(columns, given) + _existing(groups, attributes, values, given), key=lambda group: group[1])
    notes = (*given.notes, *_said(columns, groups), *_below_zero(attributes, values))
    return Built(Signatures(given.names, tuple(attributes), values, groups=tuple(found)), notes)


def _typed(given: Given, groups: Groups) -> list[Typed]:
    """Every column, or every cell that cannot be used."""
    columns: list[Typed] = []
    wrong: list[Problem] = []
    number = width = 0
    for name, cells in given.cells.items():
        one = grouped(name, cells, groups[name]) if name in groups else typed(name, cells)
        if isinstance(one, Typed):
            columns.append(one)
            width += len(one.names)
            check_cells(len(given.names) * width, LIMITS)  # groups are wider than their columns
        else:
            number += len(one.cells)
            listed_here = one.cells[: LIMITS.listed_problems - len(wrong)]
            wrong += [given.places.cell(at, name, detail) for at, detail in listed_here]
    if wrong:
        remedy = "Missing is an empty cell, NA, NaN, null or ?; nothing else is."
        refuse(given.places, wrong, "cell", remedy, number)
    return columns


def check_whole(signatures: Signatures, error: type[InputError]) -> None:
    """Refuse classes that nothing could be told by.

    Raises:
        InputError: There are fewer than two classes, one without any value, or all have the same row.
    """
    number = len(signatures.classes)
    if number < 2:
        there = f"is 1 class ({signatures.classes[0][:60]!r})" if number else "are no classes"
        raise error(f"There {there}; signatures tell two or more apart. Send two or more.")
    unknown = np.isnan(signatures.values).all(axis=1)
    if unknown.any():
        names = [signatures.classes[at] for at in np.flatnonzero(unknown)]
        raise error(
            f"Nothing is known of {len(names)} class(es): {listed(names)}. Every class needs at least one value; fill "
            "in its row, or leave it out."
        )
    first = signatures.values[:1]
    if ((signatures.values == first) | (np.isnan(signatures.values) & np.isnan(first))).all():
        raise error(
            f"All {number} classes have the same row, so nothing tells them apart. Add attributes in which they differ."
        )


def _check_attributes(attributes: Sequence[str], given: Given) -> None:
    if not attributes:
        raise given.places.error(
            "There is no attribute, only names of classes. Add a column for each attribute; classes that have no "
            'attributes are told by their names or descriptions: {"labels": [...], "backbone": "..."}.'
        )
    if len(attributes) > MAX_ATTRIBUTES:
        raise given.places.error(
            f"There are {len(attributes):,} attributes, values of groups counted one by one; the limit is "
            f"{MAX_ATTRIBUTES:,}. Leave out columns that are not needed."
        )
    if len(set(attributes)) < len(attributes):
        twice = next(name for name in attributes if attributes.count(name) > 1)
        raise given.places.error(
            f"Two attributes are called {twice[:60]!r}, one of them a value of a group. Rename the other one."
        )


def _groups(columns: Sequence[Typed], given: Given) -> tuple[tuple[str, tuple[int, ...]], ...]:
    found, begin = [], 0
    for name, column in zip(given.cells, columns, strict=True):
        behind = begin + len(column.names)
        if column.grouped:
            found.append((name, tuple(range(begin, behind))))
        begin = behind
    return tuple(found)


def _existing(
    groups: Groups, attributes: Sequence[str], values: np.ndarray, given: Given
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Groups whose attributes are columns already."""
    found = []
    for name in groups:
        if name in given.cells:
            continue
        members = tuple(at for at, attribute in enumerate(attributes) if attribute.startswith(f"{name}="))
        if len(members) < 2:
            raise given.places.error(
                f"The group {name[:60]!r} is no column, and fewer than two are called '{name[:60]}=...'; "
                f"{seen(tuple(given.cells))}."
            )
        _check_exclusive(name, [attributes[at] for at in members], values[:, members], given)
        found.append((name, members))
    return tuple(found)


def _check_exclusive(name: str, members: Sequence[str], values: np.ndarray, given: Given) -> None:
    with np.errstate(invalid="ignore"):
        wrong = (np.abs(values.sum(axis=1) - 1) > _SUM) | (values < 0).any(axis=1)
    found = [
        given.places.cell(int(at), members[0], f"the values of the group {name[:60]!r} add up to {values[at].sum():g}")
        for at in np.flatnonzero(wrong)
    ]
    if found:
        refuse(given.places, found, "row", "A class has one value of a group: 1 for that and 0 for the others.")


def _said(columns: Sequence[Typed], groups: Groups) -> list[str]:
    """A sentence on the columns of words, which nobody called groups."""
    names = [column.names[0].partition("=")[0] for column in columns if column.grouped]
    guessed = [name for name in names if name not in groups]
    return [f"Each value became an attribute in the columns of words: {listed(guessed)}."] if guessed else []


def _below_zero(attributes: Sequence[str], values: np.ndarray) -> list[str]:
    """A sentence where -1 may have been meant for what is missing."""
    below = values < 0
    only = below.any(axis=0) & ((values == -1) | ~below).all(axis=0)
    if not only.any():
        return []
    names = listed([attributes[int(at)] for at in np.flatnonzero(only)])
    return [f"-1 counts as a number, and is the only value below 0 of {names}; leave cells empty that are not known."]
