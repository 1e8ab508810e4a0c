"""A file of rows -> the same file with answers beside them, some rows at a time.

    open_file (every row is checked) -> OpenFile -> answered -> bytes of the answer

Nothing is held but the rows at hand. All rows are answered by one version.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from models.errors import Problem
from models.long import Long
from service.errors import BodyInvalid, UploadTooLarge
from service.serving.answer_columns import AnswerColumns
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.file_rows import Asking, Cells, FileRows, TableRows, TextRows, VectorRows
from service.serving.prediction import Predictor
from service.serving.sinks import WRITES, Sink, sink
from service.serving.taps import listed
from service.uploads.items import Modality
from service.uploads.limits import Limits
from service.uploads.names import TEXT_NAMES, guessed, named, seen
from service.uploads.rows_in import Batch, Incoming, open_rows
from service.uploads.sniff import Format

BATCH_ROWS = 256
"""Most rows of a batch: what is answered at once, and sent at once."""

BATCH_CELLS = 20_000
"""Most cells of a batch, which wide tables reach with fewer rows: some 10 ms of typing."""


@dataclass(frozen=True)
class FileOptions:
    """How a file is to be answered.

    Attributes:
        text: Column of the texts; guessed where None.
        top_k: Most labels of each row.
        long: What becomes of texts that are too long; as the adapter was fitted where None.
    """

    text: str | None = None
    top_k: int = 1
    long: Long | None = None


@dataclass(frozen=True)
class OpenFile:
    """A file that can be answered from its first row to its last.

    Attributes:
        incoming: Its rows.
        rows: What the adapter takes of them.
        columns: What the answer adds to them.
        sink: Where they go with their answers.
        warnings: What the caller should know of the file as a whole.
    """

    incoming: Incoming
    rows: FileRows
    columns: AnswerColumns
    sink: Sink
    warnings: tuple[str, ...]

    @property
    def format(self) -> Format:
        """The answer's format."""
        return WRITES.get(self.incoming.format, self.incoming.format)

    @property
    def batch_rows(self) -> int:
        """Rows of a batch."""
        return max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, len(self.incoming.columns))))


def check_options(facts: Facts, options: FileOptions) -> None:
    """Refuses options that the adapter has no use for.

    Raises:
        BodyInvalid: They are for texts alone.
    """
    chosen = [name for name in ("text", "long") if getattr(options, name) is not None]
    if facts.modality != "text" and chosen:
        raise BodyInvalid(
            f"'{chosen[0]}' is for texts, and {facts.name}:{facts.number} takes {facts.modality} inputs; leave it out.",
            problems=[Problem("only for texts", pointer=f"/{name}") for name in chosen],
        )


def open_file(
    path: Path, filename: str, limits: Limits, facts: Facts, options: FileOptions, *, clean: Path
) -> OpenFile:
    """Opens a file, and makes sure that all of it can be answered. Blocks.

    Args:
        path: The finished local file.
        filename: What the caller called it.
        limits: How large it, and each part of it, may be.
        facts: Of the version that answers.
        options: How.
        clean: As `open_rows`.

    Raises:
        InputError: A row cannot be read (see `open_rows`), or the file is none for this adapter.
    """
    incoming = open_rows(path, filename, limits, modality=cast(Modality, facts.modality), clean=clean)
    names = _names(incoming, limits)
    rows, warnings = _rows(incoming, names, facts, options, limits)
    columns = AnswerColumns.of(facts, options.top_k, frozenset(names))
    return OpenFile(incoming, rows, columns, sink(incoming, path, columns), (*warnings, *incoming.notes))


async def answered(
    file: OpenFile, predictor: Predictor, served: Served, options: FileOptions, on_rows: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """The bytes of the answer, in pieces of some rows; the next rows are read when the last ones have been taken.

    Args:
        file: An open file.
        predictor: Answers.
        served: The version that answers all of it.
        options: How.
        on_rows: Called with the number of rows of each batch that was answered.

    Raises:
        Busy: The backbone had too much to do for half a minute; what was yielded until then is not the whole answer.
        NotReady: The backbone is not there, or the service stops.
    """
    asking = Asking(predictor, served, options.top_k, options.long)
    batches = file.incoming.batches(file.batch_rows)
    before = file.sink.begin()
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        cells = await file.rows.answer(asking, batch)
        on_rows(len(cells))
        yield before + await asyncio.to_thread(_written, file, batch, cells)
        before = b""
    yield file.sink.end()


def _written(file: OpenFile, batch: Batch, cells: Cells) -> bytes:
    return file.sink.rows(batch, [file.columns.cells(prediction, said) for prediction, said in cells])


def _names(incoming: Incoming, limits: Limits) -> tuple[str, ...]:
    """All columns of the file; of JSON, where a field may begin in any row, those of every row."""
    names = dict.fromkeys(incoming.columns)
    for batch in incoming.batches(BATCH_ROWS) if incoming.format in {"json", "jsonl"} else ():
        for row in batch.rows:
            names.update(dict.fromkeys(row))
        if len(names) > limits.columns:
            raise UploadTooLarge(
                f"The rows have more than {limits.columns} different fields, which is the limit. "
                "Leave out the fields that are not needed."
            )
    return tuple(names)


def _rows(
    incoming: Incoming, names: Sequence[str], facts: Facts, options: FileOptions, limits: Limits
) -> tuple[FileRows, list[str]]:
    """What the adapter takes of the rows, and what is to be said of the file as a whole."""
    if facts.modality == "text":
        return TextRows(_text_column(names, options.text), limits), []
    if facts.modality == "vector":
        _check_width(incoming, facts)
        return VectorRows(), []
    return TableRows(incoming, facts.columns), _table_warnings(names, facts)


def _text_column(names: Sequence[str], chosen: str | None) -> str:
    if chosen is not None:
        return named(names, chosen, "text")
    column = guessed(names, TEXT_NAMES) or (names[0] if len(names) == 1 else None)
    if column is None:
        raise BodyInvalid(
            f"It is not clear which column holds the texts; {seen(names)}. Name it with 'text'.",
            problems=[Problem("is needed for this file", pointer="/text")],
        )
    return column


def _check_width(incoming: Incoming, facts: Facts) -> None:
    if incoming.width != facts.width:
        raise BodyInvalid(
            f"The vectors of the file have {incoming.width} numbers each; {facts.name}:{facts.number} takes "
            f"{facts.width}. Send embeddings of the kind that it was fitted on."
        )


def _table_warnings(names: Sequence[str], facts: Facts) -> list[str]:
    expected = [column.name for column in facts.columns]
    missing = [name for name in expected if name not in names]
    if len(missing) == len(expected):
        raise BodyInvalid(
            f"The file has no column that {facts.name}:{facts.number} knows; it expects {listed(expected)}, and the "
            f"file has {listed(names)}. GET /v1/adapters/{facts.name} shows the columns."
        )
    unused = [name for name in names if name not in expected]
    said = [f"Columns that are not there count as missing in every row: {listed(missing)}."] if missing else []
    return said + ([f"Columns that this adapter does not use: {listed(unused)}."] if unused else [])
