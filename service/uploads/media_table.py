"""The clean Parquet file of `parquet_media` -> labelled images or sounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import Problem
from service.uploads.beside import Beside
from service.uploads.cells import Bad
from service.uploads.decoding import Candidate
from service.uploads.files import Labelled, read_files
from service.uploads.items import Items, Reading
from service.uploads.limits import Limits
from service.uploads.media import Medium
from service.uploads.parquet_clean import cells_of, rows_of
from service.uploads.parquet_media import FILE, GROUP, LABEL, NAME, WEIGHT
from service.uploads.policy import ROWS
from service.uploads.rows import Cell

_BATCH_ROWS = 256


def read_media(clean: Path, reply: Mapping[str, Any], medium: Medium, reading: Reading, limits: Limits) -> Items:
    """Reads, decodes and judges the files of a clean table. Blocks.

    Args:
        clean: The clean file.
        reply: What the child that wrote it said (`MediaRewritten`).
        medium: What the files are.
        reading: What the caller said about it.
        limits: How large each part of it may be.

    Raises:
        UploadTooLarge: A part of it is over a limit.
        UploadRefused: It cannot be learned from: labels, bad rows.
    """
    import pyarrow.parquet as pq

    problems = {problem["row"]: Problem(**problem) for problem in reply["problems"]}
    numbers: list[int] = []
    files: list[Candidate] = []
    cells: list[Cell] = []
    beside = Beside(reply["group_column"], reply["weight_column"])
    with pq.ParquetFile(clean, memory_map=False, pre_buffer=False) as table:
        row = 0
        for batch in table.iter_batches(_BATCH_ROWS, use_threads=False):
            columns = (batch.column(FILE).to_pylist(), batch.column(NAME).to_pylist(), cells_of(batch.column(LABEL)))
            others = rows_of(batch.select([name for name in (GROUP, WEIGHT) if name in batch.schema.names]))
            for data, name, cell, other in zip(*columns, others, strict=True):
                row += 1
                if row not in problems:
                    numbers.append(row)
                    files.append(_candidate(row, data, name))
                    cells.append(cell)
                    beside.take({beside.group: other.get(GROUP), beside.weight: other.get(WEIGHT)})
    labelled = Labelled(
        unit=ROWS,
        numbers=numbers,
        files=files,
        cells=cells,
        file_column=reply["file_column"],
        label_column=reply["label_column"],
        beside=beside,
        problems=list(problems.values()),
        notes=reply["notes"],
    )
    return read_files(labelled, medium, reading, limits, form="parquet")


def _candidate(row: int, data: bytes | None, name: str | None) -> Candidate:
    path = name or f"row {row}"
    return Candidate(path, Bad("its bytes are missing (null)") if data is None else lambda limit: data[:limit])
