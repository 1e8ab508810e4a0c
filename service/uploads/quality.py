"""What a careful reader would have noticed in an upload: repeats, contradictions, rare classes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypedDict

_LISTED_CONFLICTS = 20
_LISTED_ROWS = 20
_LISTED_CLASSES = 10
_FEW_ITEMS = 5


class Conflict(TypedDict):
    """One text that carries several labels."""

    text_rows: list[int]
    """First 20 rows that hold it."""
    labels: list[str]


class SmallestClass(TypedDict):
    """The class with the fewest items."""

    name: str
    items: int


class Quality(TypedDict):
    """Quality report of an upload; `notes` hold class names and row numbers and no other content."""

    items: int
    classes: dict[str, int]
    duplicates: int
    """Items that repeat an earlier one, text and label."""
    conflicts: list[Conflict]
    """The first 20 texts that carry several labels."""
    smallest_class: SmallestClass
    rows_read: int
    rows_left_out: int
    notes: list[str]


def assess(
    texts: Sequence[str],
    labels: Sequence[str],
    rows: Sequence[int],
    classes: Mapping[str, int],
    *,
    bad_count: int,
    notes: Sequence[str],
) -> Quality:
    """Assesses the items that were kept.

    Args:
        texts: (n,) as they came.
        labels: (n,) cleaned.
        rows: (n,) row numbers.
        classes: Items of each class.
        bad_count: Rows that were left out.
        notes: Sentences of the readers, which go first.

    Cost: O(n) time and memory over references to the texts; 0.1 s for n = 100,000.
    """
    repeats = _repeats(texts)
    conflicts = [found for indexes in repeats.values() if (found := _conflict(indexes, labels, rows))]
    duplicates = sum(len(indexes) - len({labels[index] for index in indexes}) for indexes in repeats.values())
    name, items = min(classes.items(), key=lambda pair: pair[1])
    return {
        "items": len(texts),
        "classes": dict(classes),
        "duplicates": duplicates,
        "conflicts": conflicts[:_LISTED_CONFLICTS],
        "smallest_class": {"name": name, "items": items},
        "rows_read": len(texts) + bad_count,
        "rows_left_out": bad_count,
        "notes": [*notes, *_notes(classes, bad_count, duplicates, conflicts)],
    }


def _repeats(texts: Sequence[str]) -> dict[str, list[int]]:
    """Indexes of each text that occurs more than once."""
    counts = Counter(texts)
    repeats: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        if counts[text] > 1:
            repeats[text].append(index)
    return repeats


def _conflict(indexes: Sequence[int], labels: Sequence[str], rows: Sequence[int]) -> Conflict | None:
    found = sorted({labels[index] for index in indexes})
    if len(found) < 2:
        return None
    return {"text_rows": [rows[index] for index in indexes[:_LISTED_ROWS]], "labels": found}


def _notes(classes: Mapping[str, int], bad_count: int, duplicates: int, conflicts: Sequence[Conflict]) -> list[str]:
    notes = []
    if bad_count:
        notes.append(f"{_rows(bad_count)} left out as bad; they are listed by number and reason.")
    if duplicates:
        notes.append(f"{_rows(duplicates)} a repetition of an earlier row, text and label.")
    if conflicts:
        listed = ", ".join(map(str, conflicts[0]["text_rows"][:5]))
        cases = "1 case" if len(conflicts) == 1 else f"{len(conflicts)} cases"
        notes.append(f"The same text carries different labels in {cases}, the first in rows {listed}.")
    if few := [name for name, items in classes.items() if items < _FEW_ITEMS]:
        notes.append(f"Fewer than {_FEW_ITEMS} items: {_listed(few)}. A few more of each would help most.")
    if alike := _alike(classes):
        notes.append(f"Labels that differ only in case or blanks are different classes: {_listed(alike)}.")
    return notes


def _alike(classes: Mapping[str, int]) -> list[str]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        by_key[" ".join(name.casefold().replace("_", " ").replace("-", " ").split())].append(name)
    return [name for names in by_key.values() if len(names) > 1 for name in names]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_LISTED_CLASSES])
    return f"{shown} and {len(names) - _LISTED_CLASSES} more" if len(names) > _LISTED_CLASSES else shown


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"
