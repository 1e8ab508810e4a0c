"""Several labels a row: told from one label by lists, or by names that are joined by a bar (``a|b``)."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from service.uploads.cells import BAR, parts_of
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.rows import Cell, Listed

_MANY = 0.1
"""Share of the rows with a bar from which on they are no accident."""
_PLAIN = 0.9
"""Share of joined names that must stand elsewhere too."""
_FEWEST = 2

_ONE_CLASS = 'where each is one class, send "task": "classification".'


def guess_several(column: str, cells: Sequence[Cell], limits: Limits) -> tuple[bool, list[str]]:
    """Whether each row has any number of labels, as far as that is plain, and a sentence on what was found.

    Lists say so where more of them are there than rows may be bad. Bars say so where many rows hold one, the names that
    they join stand in other company elsewhere too, and there are more combinations than names or rows with one name.

    Args:
        column: Where the labels come from.
        cells: (m,) those that are not empty.
        limits: How many rows may be bad.
    """
    lists = sum(isinstance(cell, Listed) for cell in cells)
    if lists > limits.bad_fraction * len(cells):
        return True, [
            f"The labels in {quoted(column)} are lists in {lists} of {len(cells)} rows, so each row may have any "
            f"number of them; {_ONE_CLASS}"
        ]
    joined = [cell for cell in cells if isinstance(cell, str) and len(parts_of(cell)) > 1]
    if len(joined) < max(_FEWEST, _MANY * len(cells)):
        return False, []
    found = f"The labels in {quoted(column)} hold {BAR!r} in {len(joined)} of {len(cells)} rows"
    if _joined_plainly([cell for cell in cells if isinstance(cell, str)]):
        return True, [
            f"{found}, and the names between stand in other rows too, so each row may have any number of them; "
            f"{_ONE_CLASS}"
        ]
    return False, [f'{found}, and are taken as they are; where it joins several labels, send "task": "multilabel".']


def _joined_plainly(cells: Sequence[str]) -> bool:
    sets = Counter(frozenset(part.strip() for part in parts_of(cell)) for cell in cells)
    company: dict[str, int] = defaultdict(int)
    for names in sets:
        for name in names:
            company[name] += 1
    joined = [(name, rows) for names, rows in sets.items() if len(names) > 1 for name in names]
    again = sum(rows for name, rows in joined if company[name] > 1)
    if again < _PLAIN * sum(rows for _, rows in joined):
        return False
    return len(sets) > len(company) or len({len(names) for names in sets}) > 1


def several_notes(label_sets: Sequence[Sequence[str]], classes: dict[str, int]) -> list[str]:
    """What a careful reader would have noticed in the labels of the rows that are kept."""
    notes = []
    if empty := sum(not labels for labels in label_sets):
        rows = "1 row has" if empty == 1 else f"{empty} rows have"
        notes.append(f"{rows} no label at all, which counts as: none of them fits.")
    if label_sets and all(len(labels) == 1 for labels in label_sets):
        notes.append('Every row has exactly one label; if that is always so, send "task": "classification".')
    if always := [label for label, rows in classes.items() if rows == len(label_sets)]:
        notes.append(f"The label {quoted(always[0])} is on every row, so nothing tells what it means.")
    return notes
