"""Columns that are no classes, because (nearly) every row says something else: identifiers and free text."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from service.errors import UploadRefused
from service.uploads.names import quoted

_IDENTIFIER_ROWS = 20
"""Up to as many rows, a different label in each may be chance."""
_MANY_ROWS = 50
"""Up to as many rows, different labels in most may be."""
_MOSTLY = 0.9
_WORDS_OF_TEXT = 3
_CHARS_OF_TEXT = 60


def refuse_identifiers(column: str, labels: Sequence[str], *, names: bool = False) -> None:
    """Refuses a target that says something else in every row, or in most of many.

    Args:
        column: Where the labels come from.
        labels: (n,) them.
        names: Words may be classes with one example each; then only what looks like an identifier or like free text is
            refused, and only of many rows.

    Raises:
        UploadRefused: It identifies or describes the row.
    """
    own = sum(rows == 1 for rows in Counter(labels).values())
    text = bool(labels) and _is_text(labels)
    all_different = own == len(labels) > _IDENTIFIER_ROWS
    most_different = len(labels) > _MANY_ROWS and own >= _MOSTLY * len(labels)
    refused = most_different and (text or _are_numbered(labels)) if names else all_different or most_different
    if not refused:
        return
    rows = f"each of its {own} rows" if own == len(labels) else f"{own} of its {len(labels)} rows"
    kind = "free text" if text else "an identifier"
    remedy = "" if text else ', or, if it is a quantity, send "task": "regression"'
    raise UploadRefused(
        f"The target column {quoted(column)} has another value in {rows}: it looks like {kind}, not a class. "
        f'Name the column that holds the classes{remedy}. If each is a class, say so: "task": "classification".'
    )


def _is_text(labels: Sequence[str]) -> bool:
    return fmean(label.count(" ") for label in labels) >= _WORDS_OF_TEXT or fmean(map(len, labels)) >= _CHARS_OF_TEXT


def _are_numbered(labels: Sequence[str]) -> bool:
    """Most have a digit, as numbers, codes and counted names have."""
    return sum(any(char.isdigit() for char in label) for label in labels) > len(labels) / 2
