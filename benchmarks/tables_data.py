"""The tables that are judged: rows as a caller would send them, and what is to be predicted."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

Cell = str | int | float | None
Record = dict[str, Cell]

LEAKS = ("TWF", "HDF", "PWF", "OSF", "RNF", "UDI", "Product ID")
"""Columns of ai4i2020 that tell the target, or number the rows."""
FOLDS = 5
SEED = 0


@dataclass(frozen=True)
class TableData:
    """A table.

    Attributes:
        name: In results.
        rows: One object of columns a row, without the target.
        target: A label or a number a row.
        column: Name of the target's column.
        positive: The rarer of two classes; None where numbers are predicted.
    """

    name: str
    rows: list[Record]
    target: list[Cell]
    column: str
    positive: str | None

    @property
    def regression(self) -> bool:
        """Numbers are predicted."""
        return self.positive is None

    def take(self, index: Sequence[int]) -> "TableData":
        """Some of the rows."""
        return replace(self, rows=[self.rows[i] for i in index], target=[self.target[i] for i in index])

    def some(self, count: int, start: int) -> list[Record]:
        """`count` rows from one on, round and round."""
        return [self.rows[(start + i) % len(self.rows)] for i in range(count)]

    def write_csv(self, path: Path) -> Path:
        """All rows with their target."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*self.rows[0], self.column])
            writer.writerows([*row.values(), target] for row, target in zip(self.rows, self.target, strict=True))
        return path


def load_tables(folder: Path) -> list[TableData]:
    """ai4i2020 and german_credit of the folder of public data, and scikit-learn's diabetes.

    Raises:
        SystemExit: A file is missing.
    """
    return [
        _classes(folder / "ai4i2020" / "ai4i2020.csv", "Machine failure", "1", LEAKS),
        _classes(folder / "german_credit" / "german_credit.csv", "target", "bad", ()),
        _diabetes(),
    ]


def folds(data: TableData) -> Iterator[tuple[list[int], list[int]]]:
    """Rows to fit on and rows to judge on; stratified where there are classes."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if data.regression else StratifiedKFold
    for fitted, judged in kind(FOLDS, shuffle=True, random_state=SEED).split(data.rows, data.target):
        yield fitted.tolist(), judged.tolist()


def _classes(path: Path, column: str, positive: str, left_out: Sequence[str]) -> TableData:
    if not path.is_file():
        raise SystemExit(f"{path} is missing. See benchmarks/README.md.")
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    rows = [{name: _cell(text) for name, text in row.items() if name not in {column, *left_out}} for row in found]
    return TableData(path.stem, rows, [row[column] for row in found], column, positive)


def _diabetes() -> TableData:
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    rows: list[Record] = [dict(zip(data.feature_names, values, strict=True)) for values in data.data.tolist()]
    return TableData("diabetes", rows, data.target.tolist(), "progression", None)


def _cell(text: str) -> Cell:
    """A number where it is one, as a caller would send it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
