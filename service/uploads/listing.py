"""A `metadata.csv` (or .tsv, .jsonl) beside the files of an archive: which file has which label."""

import posixpath
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import Problem
from service.errors import UploadRefused
from service.uploads.archives import Member
from service.uploads.beside import Beside
from service.uploads.formats import open_text_table
from service.uploads.items import Reading
from service.uploads.limits import Limits
from service.uploads.names import FILE_NAMES, LABEL_NAMES, guessed, listed, named, quoted, seen
from service.uploads.rows import Cell
from service.uploads.sniff import Format

_STEM = "metadata"
_KINDS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl"}


@dataclass(frozen=True)
class Listing:
    """What the table says.

    Attributes:
        file_column: Which column names the files.
        label_column: Which one is learned.
        numbers: (m,) row numbers of those that could be read.
        members: (m,) the file of each; None where there is none of that name.
        names: (m,) as the table calls them.
        cells: (m,) what is learned, as it came.
        beside: Groups and weights.
        problems: Rows that could not be read.
        notes: What the reader decided.
    """

    file_column: str
    label_column: str
    numbers: list[int]
    members: list[Member | None]
    names: list[str]
    cells: list[Cell]
    beside: Beside
    problems: list[Problem]
    notes: list[str]


def find_listing(members: Sequence[Member]) -> Member | None:
    """The table of an archive, if it has one.

    Raises:
        UploadRefused: It has several.
    """
    found = [member for member in members if _kind(member) is not None]
    if len(found) > 1:
        raise UploadRefused(
            f"The archive holds several tables of its files: {listed([member.path for member in found])}. "
            "Send the part to learn from by itself, with one of them."
        )
    return found[0] if found else None


def read_listing(table: Member, members: Sequence[Member], path: Path, reading: Reading, limits: Limits) -> Listing:
    """Reads the table.

    Args:
        table: It.
        members: All files of the archive.
        path: Where it may be written for reading; removed again.
        reading: Which columns are learned from; guessed where it does not say.
        limits: How large it, and each part of it, may be.

    Raises:
        UploadRefused: It has no column of files or none of labels.
        UploadTooLarge: A part of it is over a limit.
        UploadUnreadable: Its structure is broken.
    """
    try:
        path.write_bytes(table.entry.read(limits.bytes))
        opened = open_text_table(path, _kind(table) or "csv", limits, named_by=None)
        label = reading.label or reading.target
        label_column = named(opened.columns, label, "label") if label else guessed(opened.columns, LABEL_NAMES)
        file_column = guessed(opened.columns, FILE_NAMES, taken=label_column)
        if file_column is None or label_column is None:
            raise _not_found(table, opened.columns, "file_name" if file_column is None else "label")
        beside = Beside.named(opened.columns, reading, file=file_column, label=label_column)
        listing = Listing(file_column, label_column, [], [], [], [], beside, [], list(opened.notes))
        by_path = {member.path: member for member in members}
        for record in opened.rows((file_column, label_column, *beside.columns)):
            if isinstance(record, Problem):
                listing.problems.append(record)
            else:
                _enter(listing, record.number, record.cells, table, by_path)
    finally:
        path.unlink(missing_ok=True)
    return listing


def _enter(
    listing: Listing, number: int, cells: Mapping[str, Cell], table: Member, by_path: Mapping[str, Member]
) -> None:
    name = cells.get(listing.file_column)
    name = name.strip() if isinstance(name, str) else ""
    listing.numbers.append(number)
    listing.names.append(name)
    listing.members.append(by_path.get(_beside(table, name)) if name else None)
    listing.cells.append(cells.get(listing.label_column))
    listing.beside.take(cells)


def _beside(table: Member, name: str) -> str:
    """A name in the table, as the path of a file: it counts from the table's own folder."""
    plain = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return posixpath.normpath(posixpath.join(posixpath.dirname(table.path), plain))


def _kind(member: Member) -> Format | None:
    name = member.parts[-1].casefold()
    stem, suffix = posixpath.splitext(name)
    return _KINDS.get(suffix) if stem == _STEM else None


def _not_found(table: Member, columns: Sequence[str], role: str) -> UploadRefused:
    name = "" if role == "file_name" else ", or name it when uploading: label=<column>"
    return UploadRefused(
        f"{quoted(table.path)} has no column {quoted(role)}; {seen(columns)}. Call it {quoted(role)}{name}."
    )
