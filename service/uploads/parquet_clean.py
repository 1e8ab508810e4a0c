"""A stranger's Parquet file, rewritten by a child process, as a table that this process may read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.errors import Problem
from service.uploads.isolated import run_isolated
from service.uploads.limits import Limits
from service.uploads.names import listed
from service.uploads.rows import Cell, Record, Row
from service.uploads.rows import listed as listed_cell

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1024
_NO_FRACTION = r"\.0+$"


@dataclass(frozen=True)
class CleanTable:
    """The clean file of `parquet_rewrite` (see `Table`).

    Attributes:
        path: Where it is.
        columns: Its plain columns.
        vectors: Its columns of lists of float32.
        skipped: Columns of the stranger's file that it leaves out, and what they hold.
        problems: Rows of which a cell could not be used, by row number.
        notes: What was left out, in a sentence.
    """

    path: Path
    columns: tuple[str, ...]
    vectors: tuple[str, ...]
    skipped: Mapping[str, str]
    problems: Mapping[int, Problem]
    notes: tuple[str, ...] = ()
    format: Literal["parquet"] = "parquet"

    def rows(self, columns: Sequence[str]) -> Iterator[Record]:
        """One row a Parquet row; dates as ISO text (see `Table.rows`)."""
        number = 0
        for batch in self.batches(columns, _BATCH_ROWS):
            for cells in rows_of(batch):
                number += 1
                yield self.problems.get(number) or Row(number, cells)

    def batches(self, columns: Sequence[str], rows: int) -> Iterator["pa.RecordBatch"]:
        """Some columns, in that order, `rows` rows at a time."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path, memory_map=False, pre_buffer=False) as file:
            for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
                yield batch.select(list(columns))

    @property
    def schema(self) -> "pa.Schema":
        """Names and types of the plain columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        given = pq.read_schema(self.path)
        return pa.schema([given.field(name) for name in self.columns])


def rewritten(
    path: Path,
    clean: Path,
    filename: str,
    limits: Limits,
    *,
    modality: str | None,
    words: Mapping[str, object] | None,
) -> dict[str, Any]:
    """Runs the child (see `parquet_child.main`) and returns its answer.

    Args:
        path: The stranger's file.
        clean: Where the clean one goes; the caller deletes it.
        filename: What the caller called the file.
        limits: How large it, and each part of it, may be.
        modality: What it holds; None = guess.
        words: What the caller said about a file of labelled items (`text.as_request`); None where every file, texts
            too, is to be rewritten as a table without labels.

    Raises:
        InputError: The file is damaged, over a limit, or cannot be learned from.
    """
    request = {"path": str(path), "clean": str(clean), "filename": filename, "modality": modality}
    return run_isolated("service.uploads.parquet_child", {**request, "words": words, "limits": asdict(limits)})


def clean_table(clean: Path, reply: Mapping[str, Any]) -> CleanTable:
    """The table that a child has written."""
    notes: tuple[str, ...] = ()
    if skipped := reply["skipped"]:
        notes = (f"Left out, because they do not hold one value a row: {listed(list(skipped))}.",)
    problems = {problem["row"]: Problem(**problem) for problem in reply["problems"]}
    return CleanTable(clean, tuple(reply["columns"]), tuple(reply["vectors"]), skipped, problems, notes)


def rows_of(batch: "pa.RecordBatch") -> Iterator[dict[str, Cell]]:
    """The rows of a batch of plain columns; dates and times as ISO text, those with a zone in UTC."""
    if not batch.num_columns:
        return iter([{} for _ in range(len(batch))])
    columns = [cells_of(column) for column in batch.columns]
    return (dict(zip(batch.schema.names, cells, strict=True)) for cells in zip(*columns, strict=True))


def cells_of(column: "pa.Array") -> list[Cell]:
    """The cells of one plain column."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_date(column.type):
        column = column.cast(pa.string())
    elif types.is_timestamp(column.type):
        texts = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
        column = pc.replace_substring_regex(texts, _NO_FRACTION, "")
    elif types.is_list(column.type):
        return [None if values is None else listed_cell(values) for values in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]
