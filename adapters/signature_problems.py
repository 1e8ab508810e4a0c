"""What is odd about signatures that can be used all the same."""

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Mask
from adapters.signatures import Signatures, listed

_LISTED = 5
_UNLIKE_RANGES = 100.0
"""How many times wider one attribute may spread than another before it is said."""


def problems(signatures: Signatures) -> list[str]:
    """Sentences for whoever made the signatures; none where there is nothing odd.

    Named are classes with equal rows; and of attributes with names those of which nothing is known, those that are the
    same for every class, or known of one class alone, those that say the same as another, and ranges so unlike that one
    attribute drowns the others.

    Cost: 0.3 s for 20,000 classes x 300.
    """
    rows = [
        f"The classes {listed([signatures.classes[at] for at in same])} have the same row; nothing tells them apart."
        for same in _alike(signatures.values)
    ]
    if len(rows) > _LISTED:
        rows = [*rows[:_LISTED], f"{len(rows) - _LISTED} further sets of classes have the same row."]
    return rows if signatures.space else rows + _odd_attributes(signatures)


def _odd_attributes(signatures: Signatures) -> list[str]:
    values = signatures.values
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    least = np.where(known, values, np.inf).min(axis=0)
    largest = np.where(known, values, -np.inf).max(axis=0)
    nowhere, once = counts == 0, counts == 1
    constant = (counts > 1) & (least == largest)
    found = [
        (nowhere, "missing for every class"),
        (once, "known of one class alone"),
        (constant, "the same for every class that has a value, so nothing is told by it"),
    ]
    sentences = [_of_attributes(signatures, where, what) for where, what in found if where.any()]
    varied = np.flatnonzero(~(nowhere | once | constant))
    for same in _alike(values[:, varied].T)[:_LISTED]:
        names = listed([signatures.attributes[varied[at]] for at in same])
        sentences.append(f"The attributes {names} say the same of every class.")
    if (sentence := _unlike_ranges(signatures, largest[varied] - least[varied], varied)) is not None:
        sentences.append(sentence)
    return sentences


def _of_attributes(signatures: Signatures, where: Mask, what: str) -> str:
    names = [signatures.attributes[at] for at in np.flatnonzero(where)]
    return f"{'Attribute' if len(names) == 1 else 'Attributes'} {what}: {listed(names)}."


def _unlike_ranges(signatures: Signatures, widths: F32, varied: npt.NDArray[Any]) -> str | None:
    if not len(widths) or widths.max() <= _UNLIKE_RANGES * widths.min():
        return None
    wide, narrow = (signatures.attributes[varied[at]] for at in (widths.argmax(), widths.argmin()))
    return (
        f"The values of {wide[:60]!r} spread over {widths.max():g} and those of {narrow[:60]!r} over {widths.min():g}; "
        "bring attributes to like ranges, such as 0 to 1, unless the first is to outweigh the others."
    )


def _alike(lines: F32) -> list[list[int]]:
    """Sets of rows that are equal, what is missing included; each of two or more."""
    # Adding 0 makes -0 and 0 alike, and every NaN is written as the same one.
    plain = np.ascontiguousarray(np.where(np.isnan(lines), np.float32(np.nan), lines) + np.float32(0))
    places: dict[bytes, list[int]] = {}
    for at, line in enumerate(plain):
        places.setdefault(blake2b(line.tobytes(), digest_size=16).digest(), []).append(at)
    return [same for same in places.values() if len(same) > 1]
