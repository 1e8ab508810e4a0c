"""From labels and item hashes to what a `Task` holds."""

import re
from collections.abc import Hashable, Sequence

import numpy as np

from adapters.base import I64

_WORD_BREAKS = re.compile(r"[_\-./\s]+|(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def encode_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], I64]:
    """Label strings to class names and indices.

    Classes are sorted by code point, so that shuffling a file does not change the order of the answers.

    Returns:
        k names and (n,) int64 indices into them.
    """
    classes = tuple(sorted(set(labels)))
    index = {name: i for i, name in enumerate(classes)}
    return classes, np.array([index[label] for label in labels], dtype=np.int64)


def groups_of(items: Sequence[Hashable]) -> I64:
    """One group for all rows that carry the same item (its hash or the item itself).

    Returns:
        (n,) int64 in order of first appearance.
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)


def humanise(name: str) -> str:
    """A class name as words, for embedding: ``card_arrival`` and ``cardArrival`` give ``card arrival``.

    Words in capitals alone (``ATM``) are kept; a name without any letter or digit is returned as it is.
    """
    words = [word for word in _WORD_BREAKS.split(name) if word]
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words) or name
