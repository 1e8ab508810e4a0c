"""From labels and items to what a `Task` holds."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from adapters.base import F32, F64, I64, Mask
from adapters.columns import Rows

_WORD_BREAKS = re.compile(r"[_\-./\s]+|(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_KEY_BYTES = 16

_MOST_LIKES = 0.1
"""How many rows like itself a row may find by chance for rows that are alike to be held for copies."""


def encode_labels(labels: Sequence[str], known: Sequence[str] = ()) -> tuple[tuple[str, ...], I64]:
    """Label strings to class names and indices.

    Classes are sorted by code point, so that shuffling a file does not change the order of the answers.

    Args:
        labels: (n,) of the rows.
        known: Classes that come first, in this order, whether or not a row has them.

    Returns:
        k names and (n,) int64 indices into them.
    """
    classes = _classes(labels, known)
    index = {name: i for i, name in enumerate(classes)}
    return classes, np.array([index[label] for label in labels], dtype=np.int64)


def encode_label_sets(sets: Sequence[Sequence[str]], known: Sequence[str] = ()) -> tuple[tuple[str, ...], Mask]:
    """Rows with any number of labels to class names and marks; see `encode_labels`.

    Returns:
        k names and (n, k) bool.
    """
    classes = _classes([label for labels in sets for label in labels], known)
    index = {name: i for i, name in enumerate(classes)}
    marks = np.zeros((len(sets), len(classes)), dtype=np.bool_)
    for row, labels in enumerate(sets):
        marks[row, [index[label] for label in labels]] = True
    return classes, marks


def _classes(labels: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    return (*known, *sorted(set(labels).difference(known)))


def joined_groups(one: I64, other: I64) -> I64:
    """Groups that hold together what either of two groupings holds together: (n,), (n,) to (n,) int64."""
    parent = list(range(len(one)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for groups in (one, other):
        first: dict[int, int] = {}
        for row, group in enumerate(groups.tolist()):
            parent[root(row)] = root(first.setdefault(group, row))
    return groups_of([root(row) for row in range(len(one))])


def groups_of(items: Sequence[Hashable]) -> I64:
    """One group for all rows that carry the same item: the text, the bytes of the file, or its hash.

    Returns:
        (n,) int64 in order of first appearance.
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)


def groups_of_vectors(z: F32 | F64) -> I64:
    """One group for all equal rows of (n, d) numbers; see `groups_of`."""
    return groups_of(vector_keys(z))


def groups_of_rows(rows: Rows) -> I64:
    """One group for all rows that are copies of each other: the same in every cell, missing ones included.

    A table of few, coarse columns has rows that are alike without being copies. So where the average row would find
    more than 0.1 of its likes among the others by chance, were the columns independent, every row is a group.

    Returns:
        (n,) int64; see `groups_of`.
    """
    n = len(rows)
    likes = float(n - 1)
    for column in (*rows.numbers.T, *rows.categories.T):
        if column.dtype == np.float64:
            _, counts = np.unique(column + 0.0, return_counts=True)
        else:
            counts = np.array(list(Counter(column).values()))
        # The share of pairs of rows that agree in this column.
        likes *= float((counts * (counts - 1)).sum()) / max(1, n * (n - 1))
    if likes > _MOST_LIKES:
        return np.arange(n, dtype=np.int64)
    return groups_of(row_keys(rows))


def row_keys(rows: Rows) -> list[bytes]:
    """A key for each typed row: rows that are the same in every cell have the same key; see `vector_keys`.

    Cost: 0.3 s for 100,000 rows of 100 columns; memory for one copy of the numbers.
    """
    codes = [codes_of(words)[0][:, None].astype(np.float64) for words in rows.categories.T]
    return vector_keys(np.concatenate([rows.numbers, *codes], axis=1))


def vector_keys(numbers: F32 | F64) -> list[bytes]:
    """A key of 16 bytes for each row of (n, d) numbers. Minus zero is zero, and a missing number is like another."""
    same = np.where(np.isnan(numbers), np.nan, numbers + numbers.dtype.type(0))
    return [blake2b(row, digest_size=_KEY_BYTES).digest() for row in np.ascontiguousarray(same)]


def codes_of(words: Sequence[str] | npt.NDArray[np.object_]) -> tuple[I64, int]:
    """Numbers words by their first occurrence; returns (n,) int64 codes and how many there are."""
    known: dict[str, int] = {}
    codes = np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int64)
    return codes, len(known)


def humanise(name: str) -> str:
    """A class name as words, for embedding: ``card_arrival`` and ``cardArrival`` give ``card arrival``.

    Words in capitals alone (``ATM``) are kept; a name without any letter or digit is returned as it is.
    """
    words = [word for word in _WORD_BREAKS.split(name) if word]
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words) or name
