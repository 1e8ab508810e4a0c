"""Where vectors stand in a file of each format: which array or column holds them, and which the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from models.errors import Problem
from service.errors import UploadRefused, UploadUnreadable
from service.uploads.cells import Bad
from service.uploads.formats import JsonTable
from service.uploads.items import F32
from service.uploads.jsonlines import SAMPLE_ROWS, as_cell
from service.uploads.limits import Limits
from service.uploads.names import EMBEDDING_NAMES, LABEL_NAMES, guessed, listed, named, quoted, seen
from service.uploads.npy import Array
from service.uploads.parquet_clean import CleanTable, cells_of
from service.uploads.rows import Cell
from service.uploads.vector_cells import (
    as_float32,
    as_vector,
    as_vectors,
    check_numbers,
    check_width,
    not_finite,
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
    """

    z: F32
    cells: Sequence[Cell]
    numbers: Sequence[int]
    faults: dict[int, str]
    problems: Sequence[Problem]
    embedding: str
    label: str


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


def from_arrays(arrays: Sequence[Array], wanted: str | None, limits: Limits) -> Labelled:
    """Vectors and labels of a NumPy file; `wanted` names the array of the labels.

    Raises:
        UploadRefused: Either is not there, or they do not fit each other.
        UploadTooLarge: Too many numbers, or too long vectors.
        UploadUnreadable: The file is damaged.
    """
    embedding = embedding_array(arrays, limits)
    names = [array.name for array in arrays]
    label = named(names, wanted, "label") if wanted else guessed(names, LABEL_NAMES, taken=embedding.name)
    if label is None:
        raise UploadRefused(f"The file holds vectors and no labels; {_shapes(arrays)}. Save both in one file: {SAVE}.")
    n = embedding.shape[0]
    array = arrays[names.index(label)]
    if array.shape not in {(n,), (n, 1)}:
        raise UploadRefused(
            f"There are {n} vectors, and the labels in {quoted(label)} have the shape {array.shape}. "
            "There must be one label a vector."
        )
    z = as_float32(embedding.load())
    return Labelled(z, _labels(array), range(1, n + 1), not_finite(z), (), embedding.name, label)


def from_parquet(table: CleanTable, wanted: str | None, limits: Limits) -> Labelled:
    """Vectors and labels of a Parquet file; `wanted` names the column of the labels.

    Raises:
        UploadRefused: Either is not there.
        UploadTooLarge: Too long vectors.
    """
    embedding = embedding_column(table)
    label = _label_column(table.columns, wanted)
    vectors: list[F32 | Bad] = []
    cells: list[Cell] = []
    for batch in table.batches([embedding, label], _BATCH_ROWS):
        vectors += as_vectors(batch.column(0))
        cells += cells_of(batch.column(1))
    z, faults = stacked(vectors, limits)
    faults |= {row - 1: problem.detail for row, problem in table.problems.items()}
    return Labelled(z, cells, range(1, len(cells) + 1), faults, (), embedding, label)


def from_json(table: JsonTable, wanted: str | None, limits: Limits) -> Labelled:
    """Vectors and labels of a JSON file; `wanted` names the field of the labels.

    Raises:
        UploadRefused: Either is not there.
        UploadTooLarge: Too many numbers, or too long vectors.
        UploadUnreadable: The file's structure is broken.
    """
    embedding = embedding_field(table)
    label = _label_column([name for name in table.columns if name != embedding], wanted)
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
        numbers.append(number)
    z, faults = stacked(vectors, limits)
    return Labelled(z, cells, numbers, faults, problems, embedding, label)


def embedding_column(table: CleanTable) -> str:
    """The Parquet column of the vectors.

    Raises:
        UploadRefused: There is none, or it is not clear which.
    """
    return _embedding(table.vectors, table.columns)


def embedding_field(table: JsonTable) -> str:
    """The JSON field of the vectors, as the first rows have it.

    Raises:
        UploadRefused: There is none, or it is not clear which.
    """
    return _embedding(list_fields(table), table.columns)


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


def _label_column(columns: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        return named(columns, wanted, "label")
    name = columns[0] if len(columns) == 1 else guessed(columns, LABEL_NAMES)
    if name is None:
        what = f"; {seen(columns)}" if columns else " beside the vectors"
        raise UploadRefused(f"No label column was found{what}. Call it 'label', or name it: label=<column>.")
    return name


def _labels(array: Array) -> list[Cell]:
    """Labels of a NumPy file as Python values; bytes are UTF-8 text."""
    if array.dtype.kind not in _LABELS:
        raise UploadRefused(
            f"The labels in {quoted(array.name)} have the type {array.dtype.name}; they must be text or numbers. "
            "Convert them, for example with labels.astype(str)."
        )
    cells = array.load().reshape(-1)
    if array.dtype.kind == "S":
        # A byte that is no UTF-8 becomes half a surrogate pair, which makes its row a bad one.
        return [cell.decode("utf-8", "surrogateescape") for cell in cells.tolist()]
    if array.dtype.kind == "f":
        cells = cells.astype(np.float64)
    try:
        return cells.tolist()
    except ValueError:
        raise UploadUnreadable(
            f"The labels in {quoted(array.name)} hold something that is not a character. Save the file again."
        ) from None


def _shapes(arrays: Sequence[Array]) -> str:
    if [array.name for array in arrays] == [""]:
        return f"its one array has the shape {arrays[0].shape}"
    return "the arrays are " + ", ".join(f"{quoted(array.name)} {array.shape}" for array in arrays)
