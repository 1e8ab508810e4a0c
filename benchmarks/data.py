"""Public data, read from the folder that the variable BENCH_DATA names."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

Rows = list[tuple[str, str]]
"""(text, label) pairs."""


@dataclass(frozen=True)
class Banking77:
    """Banking77 with its fixed few-shot splits.

    Attributes:
        train: All training rows, from which the splits pick.
        test: All test rows.
        shots: For each number of examples a class, the row numbers of each split.
    """

    train: Rows
    test: Rows
    shots: dict[int, list[list[int]]]

    def split(self, shots: int, number: int) -> Rows:
        """The training rows of one split."""
        return [self.train[row] for row in self.shots[shots][number]]


def bench_data() -> Path:
    """The folder of public data.

    Raises:
        SystemExit: BENCH_DATA names none; says what to set.
    """
    folder = os.environ.get("BENCH_DATA", "")
    if not folder:
        raise SystemExit("BENCH_DATA is not set: set it to the folder of public data. See benchmarks/README.md.")
    if not Path(folder).is_dir():
        raise SystemExit(f"BENCH_DATA is {folder!r}, which is no folder. See benchmarks/README.md.")
    return Path(folder)


def load_banking77(folder: Path) -> Banking77:
    """Read ``banking77/`` of the folder of public data.

    Raises:
        SystemExit: A file is missing.
    """
    home = folder / "banking77"
    for name in ("train.csv", "test.csv", "splits.json"):
        if not (home / name).is_file():
            raise SystemExit(f"{home / name} is missing. See benchmarks/README.md.")
    splits = json.loads((home / "splits.json").read_text(encoding="utf-8"))["shots"]
    shots = {int(number): rows for number, rows in splits.items()}
    return Banking77(_rows(home / "train.csv"), _rows(home / "test.csv"), shots)


def _rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]
