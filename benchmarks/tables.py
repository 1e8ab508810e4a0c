"""Tables over HTTP: cross-validated quality beside scikit-learn on the same folds, and the speed of predicting rows.

    BENCH_DATA=... python -m benchmarks.tables [--parts quality,speed]

Each fold: upload the other folds as CSV, fit with `auto`, predict the fold as JSON rows. The folds are made here; the
service never sees the fold that it is judged on.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from benchmarks import rows
from benchmarks.contenders import GRAFT, Contender
from benchmarks.data import bench_data
from benchmarks.load import generator, write_calls
from benchmarks.record import open_console, provenance, show_targets, some_of, write
from benchmarks.server import Service, fresh_home, serving, stop_on_terminate
from benchmarks.tables_client import Tables, predicted
from benchmarks.tables_data import FOLDS, SEED, TableData, folds, load_tables
from benchmarks.tables_scores import Fold, measure, references
from benchmarks.tables_shown import Speed, folds_table, speed_table, targets

PARTS = ("quality", "speed")
SPEED_DATA = "german_credit"
ROWS = (1, 1_000)
"""Rows a call."""
CALLS = 20
"""Different calls of each size."""


def judge(client: Tables, data: TableData, number: int, fitted: list[int], judged: list[int]) -> Fold:
    """Fit on some rows, predict others, and the same with scikit-learn."""
    rest, held = data.take(fitted), data.take(judged)
    version = client.fit(rest, f"{data.name}-{number}")
    own = predicted(client.predict(version.ref, held.rows), data.positive)
    reference = references(rest, held)
    return Fold(data.name, number, measure(held, own), reference, version.method, version.seconds)


def quality(client: Tables, tables: Sequence[TableData], say: Callable[[str], None]) -> Iterator[Fold]:
    """Every fold of every table."""
    for data in tables:
        for number, (fitted, judged) in enumerate(folds(data)):
            say(f"{data.name}, fold {number + 1} of {FOLDS}")
            yield judge(client, data, number, fitted, judged)


def speed(service: Service, client: Tables, data: TableData, seconds: float, folder: Path) -> Iterator[Speed]:
    """Predict few and many rows a call, one call after the other."""
    path = f"/v1/adapters/{client.fit(data, data.name).ref}/predict"
    contender = Contender(GRAFT, service.client.base_url, path, service.pid)
    for count in ROWS:
        calls = ((path, {"inputs": data.some(count, number)}) for number in range(CALLS))
        file = write_calls(folder / f"{count}.calls", calls)
        rows.measure(contender, file, clients=1, seconds=1)
        yield Speed(count, rows.measure(contender, file, clients=1, seconds=seconds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/tables.json."""
    chosen = _parse(arguments)
    tables = load_tables(bench_data())
    stop_on_terminate()
    made_by, console = provenance(vars(chosen) | {"folds": FOLDS, "seed": SEED}), open_console()
    judged: list[Fold] = []
    speeds: list[Speed] = []
    with (
        console.status("starting") as status,
        tempfile.TemporaryDirectory() as folder,
        fresh_home() as home,
        serving(home) as service,
        closing(Tables(service.client.base_url)) as client,
    ):
        if "quality" in chosen.parts:
            judged = list(quality(client, tables, status.update))
        if "speed" in chosen.parts:
            status.update(f"predicting rows of {SPEED_DATA}")
            data = next(table for table in tables if table.name == SPEED_DATA)
            speeds = list(speed(service, client, data, chosen.seconds, Path(folder)))
    aims = targets(judged, speeds)
    if judged:
        console.print(folds_table(judged))
    if speeds:
        console.print(speed_table(speeds))
    show_targets(console, aims)
    figures = {"targets": [aim.as_json() for aim in aims], "generator": generator()}
    kept = {**figures, "folds": [asdict(one) for one in judged], "speed": [asdict(one) for one in speeds]}
    console.print(f"Written to {write(chosen.results, kept, made_by)}", soft_wrap=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality and speed on tables over HTTP.")
    parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row of the speeds")
    parser.add_argument("--results", default="tables", help="name of the file in benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
