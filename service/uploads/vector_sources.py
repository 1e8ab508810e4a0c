"""Where vectors stand in a file of each format: which array or column holds them, and which the labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from models.errors import Problem
from service.errors import UploadRefused, UploadUnreadable
from service.uploads.beside import Beside
from service.uploads.cells import Bad
from service.uploads.formats import JsonTable
from service.uploads.items import F32, Reading
from service.uploads.jsonlines import SAMPLE_ROWS, as_cell
from service.uploads.limits import Limits
from service.uploads.marks import are_marks, marked
from service.uploads.names import (
    EMBEDDING_NAMES,
    GROUP_NAMES,
    LABEL_NAMES,
    WEIGHT_NAMES,
    guessed,
    listed,
    named,
    quoted,
    seen,
)
from service.uploads.npy import Array
from service.uploads.parquet_clean import CleanTable, cells_of, rows_of
from service.uploads.rows import Cell
from service.uploads.vector_cells import (
    as_float32,
    as_vector,
    as_vectors,
    check_numbers,
    check_width,
    out_of_range,
    stacked,
)

SAVE = "np.savez(path, embedding=vectors, label=labels)"
"""How to write a file that is taken."""
_NUMBERS = "fiu"
"""NumPy's letters for floats and whole numbers."""
_LABELS = "biufUS"
"""The same for truth values, numbers, text and bytes."""
_MATRIX = 2
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Labelled:
    """Vectors and their labels, row by row, before anything is judged.

    Attributes:
        z: (m, d) float32; zeros in a row with a fault.
        cells: (m,) labels as they came.
        numbers: (m,) row numbers.
        faults: Position of each row that cannot be used -> the reason.
        problems: Rows that could not be read at all.
        embedding: Name of the column or array of the vectors; empty for the one array of a .npy.
        label: Name of that of the labels.
        beside: Groups and weights.
        notes: What was decided.
    """

    z: F32
    cells: Sequence[Cell]
    numbers: Sequence[int]
    faults: dict[int, str]
    problems: Sequence[Problem]
    embedding: str
    label: str
    beside: Beside = field(default_factory=Beside)
    notes: tuple[str, ...] = ()


def embedding_array(arrays: Sequence[Array], limits: Limits) -> Array:
    """The array of the vectors, by its name, or the only one with two dimensions.

    Raises:
        UploadRefused: There is none, or it does not hold n vectors of d numbers.
        UploadTooLarge: It is over a limit.
    """
    names = [array.name for array in arrays]
    name = guessed(names, EMBEDDING_NAMES)
    if name is None:
        found = [array for array in arrays if len(array.shape) == _MATRIX and array.dtype.kind in _NUMBERS]
        if len(found) != 1:
            raise UploadRefused(
                f"It is not clear which array holds the vectors; {_shapes(arrays)}. Save them so: {SAVE}."
            )
        name = found[0].name
    array = arrays[names.index(name)]
    if len(array.shape) != _MATRIX or array.dtype.kind not in _NUMBERS:
        raise UploadRefused(
            f"The vectors have the shape {array.shape} and the type {array.dtype.name}; they must have the shape "
            "(n, d) and be floats or whole numbers."
        )
    check_width(array.shape[1], limits)
    check_numbers(array.shape[0] * array.shape[1], limits)
    return array


def from_arrays(arrays: Sequence[Array], reading: Reading, limits: Limits) -> Labelled:
    """Vectors and labels of a NumPy file, with arrays that are called `group` and `weight`, or as `reading` has it.

    Raises:
        UploadRefused: Either is not there, or they do not fit each other.
        UploadTooLarge: Too many numbers, or too long vectors.
        UploadUnreadable: The file is damaged.
    """
    embedding = embedding_array(arrays, limits)
    names = [array.name for array in arrays]
    wanted = reading.label or reading.target
    label = named(names, wanted, "label") if wanted else guessed(names, LABEL_NAMES, taken=embedding.name)
    if label is None:
        raise UploadRefused(f"The file holds vectors and no labels; {_shapes(arrays)}. Save both in one file: {SAVE}.")
    n = embedding.shape[0]
    reading, notes = _called(names, reading)
    beside = Beside.named(names, reading, embedding=embedding.name, label=label)
    held = {name: _cells(arrays[names.index(name)], n, role) for role, name in beside.roles.items()}
    beside = replace(beside, groups=held.get(beside.group, []), weights=held.get(beside.weight, []))
    array = arrays[names.index(label)]
    cells = marked(array, arrays, limits) if are_marks(array, n) else _cells(array, n, "label")
    z = as_float32(embedding.load())
    return Labelled(z, cells, range(1, n + 1), out_of_range(z), (), embedding.name, label, beside, notes)


def _called(names: Sequence[str], reading: Reading) -> tuple[Reading, tuple[str, ...]]:
    """What the caller said; in a file that holds nothing but what is meant, the names of its arrays say it too."""
    group = reading.group or guessed(names, GROUP_NAMES)
    weight = reading.weight or guessed(names, WEIGHT_NAMES)
    taken = [name for name, said in ((group, reading.group), (weight, reading.weight)) if name and not said]
    notes = (f"Groups and weights were taken from {listed(taken)}, by name.",) if taken else ()
    return replace(reading, group=group, weight=weight), notes


def from_parquet(table: CleanTable, reading: Reading, limits: Limits) -> Labelled:
    """Vectors and labels of a Parquet file, from the columns that `reading` names.

    Raises:
        UploadRefused: Either is not there.
        UploadTooLarge: Too long vectors.
    """
    embedding = embedding_column(table)
    label, beside = _named(table.columns, embedding, reading)
    vectors: list[F32 | Bad] = []
    cells: list[Cell] = []
    for batch in table.batches([embedding, label, *beside.columns], _BATCH_ROWS):
        vectors += as_vectors(batch.column(0))
        cells += cells_of(batch.column(1))
        for row in rows_of(batch.select(beside.columns)):
            beside.take(row)
    z, faults = stacked(vectors, limits)
    faults |= {row - 1: problem.detail for row, problem in table.problems.items()}
    return Labelled(z, cells, range(1, len(cells) + 1), faults, (), embedding, label, beside)


def from_json(table: JsonTable, reading: Reading, limits: Limits) -> Labelled:
    """Vectors and labels of a JSON file, from the fields that `reading` names.

    Raises:
        UploadRefused: Either is not there.
        UploadTooLarge: Too many numbers, or too long vectors.
        UploadUnreadable: The file's structure is broken.
    """
    said = [name for name in (reading.label or reading.target, reading.group, reading.weight) if name]
    embedding = embedding_field(table, said)
    label, beside = _named(table.columns, embedding, reading)
    vectors: list[F32 | Bad] = []
    cells: list[Cell] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    size = 0
    for number, value in table.objects():
        if isinstance(value, Problem):
            problems.append(value)
            continue
        vector = as_vector(value.get(embedding))
        size += 0 if isinstance(vector, Bad) else len(vector)
        check_numbers(size, limits)
        vectors.append(vector)
        cells.append(as_cell(value.get(label)))
        beside.take({name: as_cell(value.get(name)) for name in beside.columns})
        numbers.append(number)
    z, faults = stacked(vectors, limits)
    return Labelled(z, cells, numbers, faults, problems, embedding, label, beside)


def embedding_column(table: CleanTable) -> str:
    """The Parquet column of the vectors.

    Raises:
        UploadRefused: There is none, or it is not clear which.
    """
    return _embedding(table.vectors, table.columns)


def embedding_field(table: JsonTable, others: Sequence[str] = ()) -> str:
    """The JSON field of the vectors, as the first rows have it; it is none of `others`.

    Raises:
        UploadRefused: There is none, or it is not clear which.
    """
    return _embedding([name for name in list_fields(table) if name not in others], table.columns)


def list_fields(table: JsonTable) -> list[str]:
    """Fields that hold lists of numbers in the first rows."""
    found: dict[str, None] = {}
    for _, value in islice(table.objects(), SAMPLE_ROWS):
        if not isinstance(value, Problem):
            found |= dict.fromkeys(name for name, cell in value.items() if _is_vector(cell))
    return list(found)


def _is_vector(cell: object) -> bool:
    return isinstance(cell, list) and bool(cell) and not isinstance(as_vector(cell), Bad)


def _embedding(vectors: Sequence[str], columns: Sequence[str]) -> str:
    name = vectors[0] if len(vectors) == 1 else guessed(vectors, EMBEDDING_NAMES)
    if name is None and vectors:
        raise UploadRefused(f"Several columns hold vectors: {listed(vectors)}. Call the one to use 'embedding'.")
    if name is None:
        raise UploadRefused(f"No column holds vectors (lists of numbers); {seen(columns)}.")
    return name


def _named(columns: Sequence[str], embedding: str, reading: Reading) -> tuple[str, Beside]:
    """The column of the labels, and those beside them."""
    beside = Beside.named(columns, reading, embedding=embedding)
    rest = [name for name in columns if name not in {embedding, *beside.columns}]
    wanted = reading.label or reading.target
    beside.check_free(columns, "label", wanted)
    return _label_column(rest, wanted), beside


def _label_column(columns: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        return named(columns, wanted, "label")
    name = columns[0] if len(columns) == 1 else guessed(columns, LABEL_NAMES)
    if name is None:
        what = f"; {seen(columns)}" if columns else " beside the vectors"
        raise UploadRefused(f"No label column was found{what}. Call it 'label', or name it: label=<column>.")
    return name


def _cells(array: Array, n: int, role: str) -> list[Cell]:
    """Labels, groups or weights of a NumPy file as Python values; bytes are UTF-8 text."""
    if array.shape not in {(n,), (n, 1)}:
        raise UploadRefused(
            f"There are {n} vectors, and the {role}s in {quoted(array.name)} have the shape {array.shape}. "
            f"There must be one {role} a vector."
        )
    if array.dtype.kind not in _LABELS:
        raise UploadRefused(
            f"The {role}s in {quoted(array.name)} have the type {array.dtype.name}; they must be text or numbers. "
            f"Convert them, for example with {role}s.astype(str)."
        )
    cells = array.load().reshape(-1)
    if array.dtype.kind == "S":
        # A byte that is no UTF-8 becomes half a surrogate pair, which makes its row a bad one.
        return [cell.decode("utf-8", "surrogateescape") for cell in cells.tolist()]
    if array.dtype.kind == "f":
        cells = cells.astype(np.float64)
    try:
        return cells.tolist()
    except (ValueError, SystemError):  # which of them is up to the first such character
        raise UploadUnreadable(
            f"The {role}s in {quoted(array.name)} hold something that is not a character. Save the file again."
        ) from None


def _shapes(arrays: Sequence[Array]) -> str:
    if [array.name for array in arrays] == [""]:
        return f"its one array has the shape {arrays[0].shape}"
    return "the arrays are " + ", ".join(f"{quoted(array.name)} {array.shape}" for array in arrays)
