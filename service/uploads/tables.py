"""A table with a target -> typed rows, and classes or numbers to learn: the one entry for the table modality.

Table -> cells by column -> target (target.py) -> kinds and typed rows (adapters.columns) -> quality
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.columns import Kind, Rows, Schema, infer, type_rows
from adapters.dataset import row_keys
from models.errors import InputError, Problem
from service.errors import UploadRefused
from service.uploads.beside import Beside
from service.uploads.delimited import DelimitedTable
from service.uploads.items import Items, Reading
from service.uploads.leaks import leak_notes
from service.uploads.limits import Limits
from service.uploads.names import TARGET_NAMES, check_different, guessed, listed, named, quoted, seen
from service.uploads.numbers import has_decimal_commas, with_point
from service.uploads.parquet_clean import CleanTable
from service.uploads.repeats import repeat_notes
from service.uploads.rows import Cell, Listed, Nested, Table, check_cells
from service.uploads.settle import Found, Settled, settle
from service.uploads.target import decide, quality_of, with_points

IGNORE = "ignore"
KINDS = (*(str(kind) for kind in Kind), IGNORE)
"""What a caller may say that a column is."""
_KEPT_SPELLINGS = 4096
"""Most different cells of a column that share one object each; a column with more is unlikely to repeat any."""
_BATCH_ROWS = 1024
_LIST = Nested("a list")
_MOSTLY = 0.5


def read_table(table: Table, reading: Reading, limits: Limits) -> Items:
    """Reads a table with a target, whatever its format. Blocks: call it from a worker thread.

    Args:
        table: The opened file.
        reading: What the caller said about it.
        limits: How large each part of it may be.

    Raises:
        UploadUnreadable: Its structure is broken.
        UploadTooLarge: A part of it is over a limit.
        UploadRefused: It was read and cannot be learned from: columns, target, bad rows.

    Cost: 100,000 rows of 20 columns take about 4 s, most of it finding kinds and typing cells.
    """
    columns = [name for name in table.columns if name]
    check_different(columns)
    target, notes = _target(table, columns, reading)
    beside = Beside.named(columns, reading, target=target)
    kinds = _kinds(table, columns, {"target": target, **beside.roles}, reading.columns)
    gathered = gather(table, columns, limits, listed=target)
    found = _found(gathered, target, beside)
    if isinstance(table, DelimitedTable) and table.delimiter == ";":
        notes += _read_decimal_commas(gathered.cells, kinds)
        found = with_points(found)
    task, decided = decide(target, found.cells, reading.task, limits)
    said = reading.task == "classification"
    settled = settle(target, found, task, limits, strict=reading.strict, certain=said)
    schema, rows, inferred = _typed(gathered.cells, settled, kinds, target)
    notes = [*table.notes, *_unnamed(table.columns), *notes, *decided, *inferred, *_mostly_missing(schema, len(rows))]
    notes += repeat_notes(schema, rows)
    if task == "classification":
        notes += leak_notes(schema, rows, settled.labels)
    return Items(
        modality="table",
        task=task,
        rows=settled.rows,
        bad=settled.bad,
        bad_count=settled.bad_count,
        format=table.format,
        columns={"target": target, **beside.roles},
        quality=quality_of(row_keys(rows), settled, notes, item="row"),
        labels=settled.labels,
        label_sets=settled.label_sets,
        targets=settled.targets,
        groups=settled.groups,
        weights=settled.weights,
        table=rows,
        schema=schema,
    )


@dataclass(frozen=True)
class Gathered:
    """A table in memory, by column.

    Attributes:
        cells: (m,) cells of each column.
        numbers: (m,) row numbers.
        problems: Rows that could not be read.
    """

    cells: dict[str, list[Cell]]
    numbers: list[int]
    problems: list[Problem]


def gather(table: Table, columns: Sequence[str], limits: Limits, *, listed: str = "") -> Gathered:
    """Reads some columns of a table; equal cells of a column share one object where there are few different ones.

    Args:
        table: The opened file.
        columns: Which.
        limits: Has the most cells.
        listed: The one column of which lists are kept with their values.

    Raises:
        UploadTooLarge: More than `limits.cells` cells.
    """
    spellings: dict[str, dict[Cell, Cell] | None] = {name: {} for name in columns}
    gathered = Gathered({name: [] for name in columns}, [], [])
    waiting: list[list[Cell]] = []
    for record in table.rows(columns):
        if isinstance(record, Problem):
            gathered.problems.append(record)
            continue
        gathered.numbers.append(record.number)
        cells = ((name, record.cells.get(name)) for name in columns)
        waiting.append([_LIST if isinstance(cell, Listed) and name != listed else cell for name, cell in cells])
        if len(waiting) == _BATCH_ROWS:
            _enter(waiting, gathered.cells, spellings)
            check_cells(len(gathered.numbers) * len(columns), limits)
            waiting = []
    _enter(waiting, gathered.cells, spellings)
    check_cells(len(gathered.numbers) * len(columns), limits)
    return gathered


def _enter(rows: list[list[Cell]], cells: dict[str, list[Cell]], spellings: dict[str, dict[Cell, Cell] | None]) -> None:
    for name, batch in zip(cells, zip(*rows, strict=True), strict=bool(rows)):
        known = spellings[name]
        if known is None or not all(type(cell) is str for cell in batch):  # 1, 1.0 and True would share an object
            cells[name].extend(batch)
            continue
        cells[name].extend(map(known.setdefault, batch, batch))
        if len(known) > _KEPT_SPELLINGS:
            spellings[name] = None


def _target(table: Table, columns: Sequence[str], reading: Reading) -> tuple[str, list[str]]:
    """The target column, and a sentence where it was guessed."""
    given = reading.target or reading.label
    if given is not None:
        if given in _skipped(table):
            raise UploadRefused(f"The target {quoted(given)} does not hold one value a row. Send words or numbers.")
        return named(columns, given, "target"), []
    target = guessed(columns, TARGET_NAMES)
    if target is None:
        raise UploadRefused(f'Say which column is to be predicted: "target": "<column>"; {seen(columns)}.')
    return target, [f"The target was taken to be the column {quoted(target)}, by its name; name it to be sure."]


def _skipped(table: Table) -> Mapping[str, str]:
    """Columns that the reader could not take, and what they hold."""
    return table.skipped if isinstance(table, CleanTable) else {}


def _found(gathered: Gathered, target: str, beside: Beside) -> Found:
    """Takes what is no feature out of the columns."""
    cells = gathered.cells
    beside = replace(
        beside,
        groups=cells.pop(beside.group) if beside.group else [],
        weights=cells.pop(beside.weight) if beside.weight else [],
    )
    return Found(gathered.numbers, cells.pop(target), gathered.problems, {}, beside)


def _kinds(table: Table, columns: Sequence[str], roles: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The caller's choices by the columns' own names."""
    role_of = {column: role for role, column in roles.items()}
    kinds = {}
    for name, kind in given.items():
        if name in _skipped(table):
            continue
        column = named(columns, name, "feature")
        if column in role_of:
            raise UploadRefused(
                f"{quoted(column)} is the {role_of[column]}, so it has no kind. Take it out of 'columns'."
            )
        if kind not in KINDS:
            raise UploadRefused(
                f"Column {quoted(column)} cannot be of the kind {quoted(kind)}; the kinds are {', '.join(KINDS)}."
            )
        kinds[column] = kind
    return kinds


def _read_decimal_commas(cells: dict[str, list[Cell]], kinds: Mapping[str, str]) -> list[str]:
    """Writes numbers with a point, in columns that are of such numbers throughout."""
    found = [
        name
        for name, column in cells.items()
        if kinds.get(name, Kind.NUMBER) == Kind.NUMBER and has_decimal_commas(column)
    ]
    for name in found:
        cells[name] = [with_point(cell) for cell in cells[name]]
    return [f"Numbers with a decimal comma were read in {listed(found)}."] if found else []


def _typed(
    cells: Mapping[str, list[Cell]], settled: Settled, kinds: Mapping[str, str], target: str
) -> tuple[Schema, Rows, list[str]]:
    """Kinds and typed cells of the rows that are kept, and what had to be left out of them."""
    if not cells:
        raise UploadRefused(
            f"The table has no column but its target, {quoted(target)}. Send columns to predict it from."
        )
    if len(settled.index) < len(next(iter(cells.values()))):
        cells = {name: [column[at] for at in settled.index] for name, column in cells.items()}
    try:
        schema, notes = infer(cells, kinds=kinds, numbers=settled.rows)
    except InputError as error:
        raise UploadRefused(error.message, problems=error.problems) from None
    rows, _ = type_rows(schema, cells, len(settled.index))  # what it doubts, the notes say already
    return schema, rows, notes


def _unnamed(columns: Sequence[str]) -> list[str]:
    return [] if all(columns) else ["A column without a name is left out; name it in the header to use it."]


def _mostly_missing(schema: Schema, n: int) -> list[str]:
    """A sentence about the columns that are missing in more than half of the rows."""
    found = [column.name for column in schema if column.missing > _MOSTLY * n]
    return [f"More than half of the rows have no value in {listed(found)}."] if found else []
