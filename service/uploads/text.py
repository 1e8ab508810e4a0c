"""A file of labelled texts -> texts and labels: the one entry for the text modality.

sniff -> reader -> columns -> (row by row) cells -> policy -> quality
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from models.errors import Problem
from service.uploads.cells import Bad, as_label, as_text
from service.uploads.columns import Choice, choose
from service.uploads.formats import open_text_table
from service.uploads.isolated import run_isolated
from service.uploads.limits import Limits
from service.uploads.parquet import read_parquet
from service.uploads.policy import RowLedger
from service.uploads.quality import Quality, assess
from service.uploads.rows import Cell, Row, Table
from service.uploads.sniff import sniff

_SAMPLE_ROWS = 200
_GUESSED = "The text and the label column were told apart by their content; name them to be sure."
_NUMBERS = "Labels that are numbers or true/false are used as their text, so the number 1 is the class '1'."


@dataclass(frozen=True)
class TextItems:
    """The labelled texts of one upload.

    Attributes:
        texts: (n,) as they came, surrounding blanks included.
        labels: (n,) without surrounding blanks, Unicode NFC.
        rows: (n,) row of each item in the file, 1-based, the header not counted.
        bad: The bad rows that are listed, each with its row number and reason.
        bad_count: All bad rows.
        format: ``csv``, ``tsv``, ``jsonl``, ``json`` or ``parquet``.
        text_column: Column that the texts came from.
        label_column: Column that the labels came from.
        quality: What was noticed.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int, ...]
    bad: tuple[Problem, ...]
    bad_count: int
    format: str
    text_column: str
    label_column: str
    quality: Quality


def read_text(
    path: Path, filename: str, *, text: str | None, label: str | None, strict: bool, limits: Limits, otherwise: str = ""
) -> TextItems:
    """Reads a file of labelled texts, whatever its format. Blocks: call it from a worker thread.

    Args:
        path: The finished local file.
        filename: What the caller called it; its suffix helps where the bytes leave a choice.
        text: Name of the text column; `None` = guess.
        label: Name of the label column; `None` = guess.
        strict: Refuse the file for a single bad row.
        limits: How large it, and each part of it, may be.
        otherwise: Sentence that ends the message where no text column is found: what else the file may be.

    Raises:
        FormatUnsupported: It is an image, an archive, a workbook, ...
        UploadUnreadable: It is not what it says it is: encoding, quoting, structure.
        UploadTooLarge: It, or a part of it, is over a limit.
        UploadRefused: It was read and cannot be learned from: columns, bad rows, classes.
    """
    options: dict[str, Any] = {"text": text, "label": label, "strict": strict, "otherwise": otherwise}
    if sniff(path, filename, limits) != "parquet":
        return read_text_here(path, filename, limits=limits, **options)
    request = {"path": str(path), "filename": filename, "limits": asdict(limits), **options}
    return from_json(run_isolated("service.uploads.text_child", request))


def read_text_here(
    path: Path, filename: str, *, text: str | None, label: str | None, strict: bool, limits: Limits, otherwise: str = ""
) -> TextItems:
    """`read_text` in this process, Parquet included: for the child process, and for files that are trusted."""
    table = _open(path, filename, limits)
    choice = _choice(table, text, label, otherwise)
    ledger = RowLedger(limits, strict=strict)
    items = _Items()
    for record in table.rows((choice.text, choice.label)):
        if isinstance(record, Problem):
            ledger.reject(record)
        else:
            items.take(record, choice, ledger, limits)
    ledger.settle()
    return items.finish(table, choice, ledger)


def from_json(reply: dict[str, Any]) -> TextItems:
    """What `asdict` made of `TextItems`, put together again: what a child process hands back."""
    bad = tuple(Problem(**problem) for problem in reply["bad"])
    columns = {name: tuple(reply[name]) for name in ("texts", "labels", "rows")}
    return TextItems(**{**reply, **columns, "bad": bad})


def _open(path: Path, filename: str, limits: Limits) -> Table:
    kind = sniff(path, filename, limits)
    return read_parquet(path, limits) if kind == "parquet" else open_text_table(path, kind, limits)


def _choice(table: Table, text: str | None, label: str | None, otherwise: str) -> Choice:
    """Content is looked at only where it can decide: in a table of two columns."""
    sample: Iterator[Row] = iter(())
    if len(table.columns) == len(set(table.columns)) == 2 and text is None and label is None:
        sample = (record for record in table.rows(table.columns) if isinstance(record, Row))
    return choose(table.columns, list(islice(sample, _SAMPLE_ROWS)), text=text, label=label, otherwise=otherwise)


class _Items:
    """The good rows, while they are gathered."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._labels: list[str] = []
        self._rows: list[int] = []
        self._names: dict[str, str] = {}
        self._numbers = False

    def take(self, row: Row, choice: Choice, ledger: RowLedger, limits: Limits) -> None:
        """Keeps one row, or enters it as bad."""
        text = as_text(row.cells.get(choice.text), limits)
        label = self._label(row.cells.get(choice.label), limits)
        if isinstance(text, Bad) or isinstance(label, Bad):
            reasons = [cell.reason for cell in (text, label) if isinstance(cell, Bad)]
            ledger.reject(Problem("; ".join(reasons), row=row.number), label if isinstance(label, str) else None)
            return
        ledger.keep(label)
        self._texts.append(text)
        self._labels.append(label)
        self._rows.append(row.number)

    def _label(self, cell: Cell, limits: Limits) -> str | Bad:
        """Cleans each spelling of a label once; all items of a class share one string."""
        if isinstance(cell, str) and cell in self._names:
            return self._names[cell]
        label = as_label(cell, limits)
        if isinstance(label, str):
            self._numbers |= not isinstance(cell, str)
            label = self._names.setdefault(label, label)
            if isinstance(cell, str) and len(cell) <= limits.label_chars:
                self._names[cell] = label
        return label

    def finish(self, table: Table, choice: Choice, ledger: RowLedger) -> TextItems:
        """The items with their quality report."""
        notes = [*table.notes, *([_GUESSED] if choice.by_content else []), *([_NUMBERS] if self._numbers else [])]
        return TextItems(
            texts=tuple(self._texts),
            labels=tuple(self._labels),
            rows=tuple(self._rows),
            bad=tuple(ledger.problems),
            bad_count=ledger.bad_count,
            format=table.format,
            text_column=choice.text,
            label_column=choice.label,
            quality=assess(
                self._texts, self._labels, self._rows, ledger.classes, bad_count=ledger.bad_count, notes=notes
            ),
        )
