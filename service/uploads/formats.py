"""The reader of each text format, once the format is known. Parquet and NumPy have ways of their own."""

from pathlib import Path

from service.errors import FormatUnsupported
from service.uploads.delimited import DelimitedTable, read_delimited
from service.uploads.encoding import check_utf8
from service.uploads.jsonarray import JsonArrayTable, read_json_array
from service.uploads.jsonlines import SAMPLE_ROWS, JsonLinesTable, read_json_lines
from service.uploads.limits import Limits
from service.uploads.sniff import Format

JsonTable = JsonLinesTable | JsonArrayTable
TextTable = DelimitedTable | JsonTable


def open_text_table(path: Path, kind: Format, limits: Limits, *, named_by: int | None = SAMPLE_ROWS) -> TextTable:
    """Opens a CSV, TSV or JSON file, after making sure that all of it is UTF-8.

    Args:
        path: The finished local file.
        kind: Its format.
        limits: How large each part of it may be.
        named_by: Rows of a JSON file whose fields name the columns; `None` = all of them.

    Raises:
        FormatUnsupported: It is a NumPy file.
        UploadRefused: It has no header or no rows.
        UploadTooLarge: Its header, or a row that was looked at, is over a limit.
        UploadUnreadable: It is not UTF-8, or its structure is broken.
    """
    if kind in {"jsonl", "json"}:
        return open_json_table(path, kind, limits, named_by=named_by)
    if kind not in {"csv", "tsv"}:
        raise FormatUnsupported(
            "The file is a NumPy file, which holds vectors; texts and tables come as CSV, TSV, JSON Lines or Parquet."
        )
    check_utf8(path)
    return read_delimited(path, "tsv" if kind == "tsv" else "csv", limits)


def open_json_table(path: Path, kind: Format, limits: Limits, *, named_by: int | None = SAMPLE_ROWS) -> JsonTable:
    """The same for JSON Lines and a JSON list alone."""
    check_utf8(path)
    read = read_json_array if kind == "json" else read_json_lines
    return read(path, limits, named_by=named_by)
