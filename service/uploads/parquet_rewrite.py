"""A stranger's Parquet file -> a clean one of plain columns, which other processes then read without fear.

This runs in a child process (`parquet_child`). The clean file has the same rows in the same order, and of the columns
those of one value a cell, in the nearest plain type, and, where asked, those of one list of numbers a cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import Problem
from service.errors import UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.names import check_different
from service.uploads.parquet import check_rows, opened, plan_of, too_many_bytes
from service.uploads.parquet_values import holds_names, is_list, is_string, listed_values, values
from service.uploads.rows import MOST_LISTED, Cell, Listed, Nested, check_cells

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_LIST_BATCH_ROWS = 256


@dataclass(frozen=True)
class Rewritten:
    """What is in the clean file.

    Attributes:
        columns: Its plain columns.
        vectors: Its columns of lists of numbers, as lists of float32.
        rows: How many rows it has; 0 where it has no column.
        skipped: Columns that are in neither, and what they hold.
        problems: Rows with a cell that cannot be used; there it is null in the clean file.
    """

    columns: tuple[str, ...]
    vectors: tuple[str, ...]
    rows: int
    skipped: dict[str, str]
    problems: tuple[Problem, ...]


def rewrite(path: Path, clean: Path, limits: Limits, *, vectors: bool, label: str | None = None) -> Rewritten:
    """Writes the clean file.

    Args:
        path: The stranger's file, its footer checked (`read_parquet`).
        clean: Where to write.
        limits: How large each part may be.
        vectors: Whether columns of lists of numbers are kept.
        label: The column of which lists of names are kept as well, as one of its plain columns.

    Raises:
        UploadRefused: Two columns have the same name.
        UploadTooLarge: More cells, numbers or bytes than the limits allow.
        UploadUnreadable: The file is damaged.
    """
    with opened(path) as file:
        given = file.schema_arrow
        check_different(given.names)
        kinds = {name: plain_type(given.field(name).type, vectors=vectors) for name in given.names}
        kinds |= _label_kind(given, kinds, label)
        columns = tuple(name for name, kind in kinds.items() if kind is not None and not _is_vectors(kind))
        lists = tuple(name for name, kind in kinds.items() if kind is not None and _is_vectors(kind))
        check_cells(file.metadata.num_rows * len(columns), limits)
        plan = plan_of(file, path, [*columns, *lists], limits)
    schema = _schema({name: kind for name, kind in kinds.items() if kind is not None})
    writing = Writing(schema, limits)
    nested = [name for name, kind in kinds.items() if kind is not None and is_list(kind)]
    rows = min(plan.batch_rows, _LIST_BATCH_ROWS) if nested else plan.batch_rows
    # Lists have no dictionaries.
    dictionaries = [name for name in columns if name not in nested] if plan.dictionaries else ()
    with opened(path, dictionaries) as file, _writer(clean, schema) as sink:
        for batch in file.iter_batches(rows, columns=schema.names, use_threads=False) if schema.names else ():
            sink.write_batch(writing.plain(batch))
    skipped = {name: _words(given.field(name).type) for name, kind in kinds.items() if kind is None}
    return Rewritten(columns, lists, writing.rows, skipped, tuple(writing.problems))


class Writing:
    """Batches on their way into the clean file."""

    def __init__(self, schema: "pa.Schema", limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._bytes = self._numbers = 0
        self.rows = 0
        self.problems: list[Problem] = []

    def plain(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch in plain types."""
        import pyarrow as pa

        problems: dict[int, str] = {}
        arrays = [self._array(batch.column(field.name), field.type, problems) for field in self._schema]
        self.problems += [Problem(detail, row=self.rows + at + 1) for at, detail in sorted(problems.items())]
        self.rows += len(batch)
        check_rows(self.rows, self._limits)  # the footer may have lied
        return pa.record_batch(arrays, schema=self._schema)

    def _array(self, array: "pa.Array", kind: "pa.DataType", problems: dict[int, str]) -> "pa.Array":
        import pyarrow as pa

        if is_string(kind) and is_string(_inner(array.type)):
            return self._strings(array, problems)
        if is_list(kind) and not _is_vectors(kind):
            return self._names(array, problems)
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        if pa.types.is_decimal(array.type):
            array = array.cast(pa.string())  # the direct way rounds some decimals to a neighbour of the nearest float
        plain = array.cast(kind, safe=False)
        if is_list(kind):
            self._numbers += len(plain.values)
            if self._numbers > self._limits.numbers:
                raise UploadTooLarge(
                    f"The vectors have more than {self._limits.numbers} numbers together, which is the limit. "
                    "Send fewer or shorter ones."
                )
        return plain

    def _strings(self, array: "pa.Array", problems: dict[int, str]) -> "pa.Array":
        import pyarrow as pa

        cells = self._counted(values(array, self._limits), problems)
        return pa.array(cells, pa.string())

    def _names(self, array: "pa.Array", problems: dict[int, str]) -> "pa.Array":
        import pyarrow as pa

        cells = self._counted(listed_values(array, self._limits), problems)
        for at, cell in enumerate(cells):
            if isinstance(cell, Nested) and not isinstance(cell, Listed):
                problems.setdefault(at, f"a list has more than {MOST_LISTED} values")
        plain = [_words_of(cell) if isinstance(cell, Listed) else None for cell in cells]
        return pa.array(plain, pa.list_(pa.string()))

    def _counted(self, read: tuple[list[Cell | Problem], int], problems: dict[int, str]) -> list[Cell]:
        """The cells that can be used; the others are entered, and null."""
        cells, size = read
        self._bytes += size
        if self._bytes > self._limits.bytes:
            raise too_many_bytes("The texts", f"at least {self._bytes}", self._limits)
        for at, cell in enumerate(cells):
            if isinstance(cell, Problem):
                problems.setdefault(at, cell.detail)
        return [None if isinstance(cell, Problem) else cell for cell in cells]


def _writer(clean: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    return pq.ParquetWriter(clean, schema)


def _schema(kinds: dict[str, "pa.DataType"]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(list(kinds.items()))


def plain_type(kind: "pa.DataType", *, vectors: bool) -> "pa.DataType | None":
    """The nearest plain type; None for one that has no place in a table."""
    import pyarrow as pa
    from pyarrow import types

    kind = _inner(kind)
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    nearest = (
        (is_string, pa.string()),
        (types.is_time, pa.string()),
        (types.is_float16, pa.float32()),
        (types.is_decimal, pa.float64()),
        (types.is_date, pa.date32()),
        (holds_vectors, pa.list_(pa.float32()) if vectors else None),
        (types.is_integer, kind),
        (types.is_floating, kind),
        (types.is_boolean, kind),
        (types.is_null, kind),
    )
    return next((plain for check, plain in nearest if check(kind)), None)


def _label_kind(
    given: "pa.Schema", kinds: Mapping[str, "pa.DataType | None"], label: str | None
) -> dict[str, "pa.DataType"]:
    """The column of the labels as lists of names, where it holds such and is not the only one that may be vectors."""
    import pyarrow as pa

    if label is None or not holds_names(given.field(label).type):
        return {}
    others = any(kind is not None and is_list(kind) for name, kind in kinds.items() if name != label)
    return {label: pa.list_(pa.string())} if kinds[label] is None or others else {}


def _words_of(cell: Listed) -> list[str | None]:
    """Whole numbers and truth values as the labels that they are."""
    return [
        str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
        for value in cell.values
    ]


def _is_vectors(kind: "pa.DataType") -> bool:
    return is_list(kind) and not is_string(kind.value_type)


def holds_vectors(kind: "pa.DataType") -> bool:
    """A type whose values are lists of numbers."""
    from pyarrow import types

    return is_list(kind) and bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def _inner(kind: "pa.DataType") -> "pa.DataType":
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _words(kind: "pa.DataType") -> str:
    from pyarrow import types

    return "lists" if is_list(kind) else "objects" if types.is_struct(kind) else f"values of the type {str(kind)[:80]}"
