"""What the figures of tables are held against, and how they are shown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.record import Target
from benchmarks.rows import Row
from benchmarks.scores import spread
from benchmarks.tables_scores import KERNEL_R2, Fold

AIMS = {("ai4i2020", "average_precision"): 0.72, ("german_credit", "roc_auc"): 0.79}
RIDGE_GAP = 0.01
"""How far below the better of scikit-learn's ridge and kernel ridge R² may lie."""
ONE_ROW_MS = 1.5
"""Processor milliseconds of the server for a call with one row."""
ROWS_PER_S = 50_000


@dataclass(frozen=True)
class Speed:
    """Calls with so many rows each, one after the other."""

    rows: int
    row: Row

    @property
    def rows_per_s(self) -> float:
        """Rows predicted a second."""
        return self.rows * self.row.per_s


def targets(folds: Sequence[Fold], speeds: Sequence[Speed]) -> list[Target]:
    """Every figure that has a limit, for what was run."""
    result = []
    for name in dict.fromkeys(fold.table for fold in folds):
        own = [fold for fold in folds if fold.table == name]
        for figure in own[0].service:
            seen = statistics.mean(fold.service[figure] for fold in own)
            if (name, figure) in AIMS:
                result.append(Target(f"{name} {figure}", seen, AIMS[name, figure], at_least=True))
            if figure == "r2":
                peers = (statistics.mean(fold.baseline[name] for fold in own) for name in (figure, KERNEL_R2))
                floor = max(peers) - RIDGE_GAP
                result.append(Target(f"{name} {figure}", seen, floor, at_least=True))
    for one in speeds:
        if one.rows == 1:
            result.append(Target("server CPU ms, 1 row a call", one.row.cpu_ms, ONE_ROW_MS))
        else:
            result.append(Target(f"rows/s, {one.rows:,} rows a call", one.rows_per_s, ROWS_PER_S, at_least=True))
    return result


def folds_table(folds: Sequence[Fold]) -> Table:
    """Means and deviations over folds, beside scikit-learn's."""
    title = "Cross-validated by the benchmark, mean of folds ± deviation"
    table = Table("table", "figure", "service", "scikit-learn", "chosen", "fit s, median", title=title)
    for name in dict.fromkeys(fold.table for fold in folds):
        own = [fold for fold in folds if fold.table == name]
        chosen = " ".join(dict.fromkeys(fold.method for fold in own))
        fit_s = f"{statistics.median(fold.fit_s for fold in own):.2f}"
        for figure in own[0].service:
            service, baseline = (spread([f[figure] for f in part]) for part in _both(own))
            table.add_row(name, figure, str(service), str(baseline), chosen, fit_s)
        table.add_section()
    return table


def speed_table(speeds: Sequence[Speed]) -> Table:
    """Calls of one client, one after the other."""
    columns = ("rows a call", "calls/s", "rows/s", "p50 ms", "p99 ms", "server CPU ms a call", "errors", "others")
    table = Table(*columns, title="Predicting rows, one client")
    for one in speeds:
        row = one.row
        cells = (f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.cpu_ms:.2f}", str(row.errors), f"{row.others:.0%}")
        table.add_row(f"{one.rows:,}", f"{row.per_s:.0f}", f"{one.rows_per_s:,.0f}", *cells)
    return table


def _both(folds: Sequence[Fold]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [fold.service for fold in folds], [fold.baseline for fold in folds]
