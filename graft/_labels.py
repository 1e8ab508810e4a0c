"""What is learned of an item, and a small table of items with it.

"x"             one class                -> CSV, or JSON Lines where another row needs it
["x", "y"], []  any number of classes    -> JSON Lines
3.5             a number                 -> JSON Lines
"""

import csv
import io
import json
from collections.abc import Sequence

Label = str | Sequence[str] | float


def is_label(value: object) -> bool:
    """A text, a list or tuple of texts, or a number."""
    if isinstance(value, list | tuple):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, str | int | float)


def written(name: str, rows: Sequence[tuple[str, Label]]) -> tuple[str, bytes]:
    """A table of two columns, `name` and ``label``, and the ending of its format."""
    if all(isinstance(label, str) for _, label in rows):
        table = io.StringIO(newline="")
        csv.writer(table).writerows([(name, "label"), *rows])
        return ".csv", table.getvalue().encode()
    lines = (json.dumps({name: item, "label": label}, ensure_ascii=False) + "\n" for item, label in rows)
    return ".jsonl", "".join(lines).encode()
