"""A file of classes x attributes -> classes as they came. The readers are those of every upload."""

from pathlib import Path

from models.errors import Problem
from service.errors import FormatUnsupported, UploadRefused
from service.uploads.delimited import DelimitedTable
from service.uploads.formats import TextTable, open_text_table
from service.uploads.limits import Limits
from service.uploads.names import guessed, quoted
from service.uploads.numbers import has_decimal_commas, with_point
from service.uploads.rows import Cell
from service.uploads.signatures.given import Given, InRows, clean_attributes, clean_names, refuse
from service.uploads.signatures.typed import value_of
from service.uploads.sniff import sniff
from service.uploads.tables import gather

CLASS_NAMES = ("class", "classes", "classname")
"""Names of the column of classes, the surest first; the first column where none has one."""


def read_file(path: Path, filename: str, limits: Limits) -> Given:
    """Read a file of classes. Blocks: call it from a worker thread.

    Args:
        path: The finished local file.
        filename: What the caller called it; its suffix helps where the bytes leave a choice.
        limits: How large each part of it may be.

    Raises:
        FormatUnsupported, UploadUnreadable, UploadTooLarge: See `service.uploads.read.read_upload`.
        UploadRefused: A row cannot be read, a class is there twice or has no name, or two columns have one name.
    """
    kind = sniff(path, filename, limits)
    if kind not in {"csv", "tsv", "jsonl", "json"}:
        raise FormatUnsupported(f"The file is {kind}; signatures come as CSV, TSV, JSON Lines or JSON.")
    table = open_text_table(path, kind, limits, named_by=None)
    column = guessed(table.columns, CLASS_NAMES) or table.columns[0]
    columns = [column, *(name for name in table.columns if name and name != column)]
    attributes = clean_attributes(columns[1:], UploadRefused)
    gathered = gather(table, columns, limits)
    places = InRows(gathered.numbers)
    if gathered.problems:
        refuse(places, gathered.problems, "row", "Mend it; every class is needed.")
    names = gathered.cells.pop(column)
    cells = dict(zip(attributes, gathered.cells.values(), strict=True))
    if not names:
        raise UploadRefused("The file holds no rows below its header. Send one row for each class.")
    _check_words(table, column, names)
    notes = [*table.notes, *_unnamed(table, column), *_decimal_commas(table, cells)]
    return Given(clean_names(names, places, limits), cells, places, tuple(notes))


def _check_words(table: TextTable, column: str, names: list[Cell]) -> None:
    """Refuse a first column of numbers: it is more likely an attribute, or the number of a row."""
    if guessed([column], CLASS_NAMES) is not None:
        return
    told = [value_of(name) for name in names]
    if all(one is not None and one.replace(".", "", 1).lstrip("-").isdigit() for one in told):
        problem = Problem("a number where the name of a class is looked for", row=1)
        called = f"the first, {quoted(column)}," if column else "the first, which has no name,"
        raise UploadRefused(
            f"No column is called 'class', and {called} holds numbers alone. Call the column of the classes 'class'; "
            f"there are {len(table.columns)} columns.",
            problems=[problem],
        )


def _unnamed(table: TextTable, column: str) -> list[str]:
    left_out = table.columns.count("") - (column == "")
    return [f"{left_out} column(s) without a name are left out; name them to use them."] if left_out else []


def _decimal_commas(table: TextTable, cells: dict[str, list[Cell]]) -> list[str]:
    """Write numbers with a point, where the columns are of numbers with a comma."""
    if not isinstance(table, DelimitedTable) or table.delimiter != ";":
        return []
    found = [name for name, column in cells.items() if has_decimal_commas(column)]
    for name in found:
        cells[name] = [with_point(cell) for cell in cells[name]]
    return ["Numbers with a decimal comma were read as such."] if found else []
