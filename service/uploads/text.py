"""A file of labelled texts -> texts and what is learned of them: the one entry for the text modality.

sniff -> reader -> columns -> (row by row) cells -> target (target.py) -> quality
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from models.errors import Problem
from service.uploads.beside import Beside
from service.uploads.cells import Bad, as_text
from service.uploads.columns import Choice, choose
from service.uploads.delimited import DelimitedTable
from service.uploads.formats import open_text_table
from service.uploads.isolated import run_isolated
from service.uploads.items import Reading, TaskKind
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.parquet import read_parquet
from service.uploads.quality import Quality
from service.uploads.rows import Cell, Row, Table
from service.uploads.settle import Found, settle
from service.uploads.sniff import sniff
from service.uploads.target import decide, quality_of, with_points

_SAMPLE_ROWS = 200
_GUESSED = "The text and the label column were told apart by their content; name them to be sure."


@dataclass(frozen=True)
class TextItems:
    """The labelled texts of one upload, as values that can be written as JSON.

    Attributes:
        task: Which of `labels`, `label_sets` and `targets` holds what is learned.
        texts: (n,) as they came, surrounding blanks included.
        labels: (n,) without surrounding blanks, Unicode NFC; empty where each text has not one.
        label_sets: (n,) any number of such labels each; None where it is one, or a number.
        targets: (n,) finite numbers; None where classes are learned.
        groups: (n,) what each text belongs to; None where nothing was said of it.
        weights: (n,) finite numbers, none negative; None where all count alike.
        rows: (n,) row of each item in the file, 1-based, the header not counted.
        bad: The bad rows that are listed, each with its row number and reason.
        bad_count: All bad rows.
        format: ``csv``, ``tsv``, ``jsonl``, ``json`` or ``parquet``.
        columns: Column of each role: text, label or target, group, weight.
        quality: What was noticed.
    """

    task: TaskKind
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    label_sets: tuple[tuple[str, ...], ...] | None
    targets: tuple[float, ...] | None
    groups: tuple[str, ...] | None
    weights: tuple[float, ...] | None
    rows: tuple[int, ...]
    bad: tuple[Problem, ...]
    bad_count: int
    format: str
    columns: dict[str, str]
    quality: Quality


def read_text(path: Path, filename: str, reading: Reading, limits: Limits, *, otherwise: str = "") -> TextItems:
    """Reads a file of labelled texts, whatever its format. Blocks: call it from a worker thread.

    Args:
        path: The finished local file.
        filename: What the caller called it; its suffix helps where the bytes leave a choice.
        reading: What the caller said about it.
        limits: How large it, and each part of it, may be.
        otherwise: Sentence that ends the message where no text column is found: what else the file may be.

    Raises:
        FormatUnsupported: It is an image, an archive, a workbook, ...
        UploadUnreadable: It is not what it says it is: encoding, quoting, structure.
        UploadTooLarge: It, or a part of it, is over a limit.
        UploadRefused: It was read and cannot be learned from: columns, bad rows, classes.
    """
    if sniff(path, filename, limits) != "parquet":
        return read_text_here(path, filename, reading, limits, otherwise=otherwise)
    request = {"path": str(path), "filename": filename, "limits": asdict(limits)}
    return from_json(run_isolated("service.uploads.text_child", request | as_request(reading, otherwise)))


def as_request(reading: Reading, otherwise: str) -> dict[str, Any]:
    """What a child process is to know beside the file (see `from_request`)."""
    return {"reading": {**asdict(replace(reading, columns={}))}, "otherwise": otherwise}


def from_request(request: dict[str, Any], limits: Limits) -> TextItems:
    """The child's side of `read_text`."""
    reading = Reading(**request["reading"])
    return read_text_here(Path(request["path"]), request["filename"], reading, limits, otherwise=request["otherwise"])


def read_text_here(path: Path, filename: str, reading: Reading, limits: Limits, *, otherwise: str = "") -> TextItems:
    """`read_text` in this process, Parquet included: for the child process, and for files that are trusted."""
    table = _open(path, filename, limits)
    beside = Beside.named(table.columns, reading)
    choice = _choice(table, reading, beside, otherwise)
    texts, found = _gathered(table, choice, beside, limits)
    if isinstance(table, DelimitedTable) and table.delimiter == ";":
        found = with_points(found)
    # A label is a class, also where it is a number; of a target its values say what it is.
    task, decided = decide(choice.label, found.cells, reading.task, limits, numbers=reading.target is not None)
    said = reading.task == "classification"
    settled = settle(choice.label, found, task, limits, strict=reading.strict, certain=said, names=True)
    kept = [texts[at] for at in settled.index]
    notes = [*table.notes, *([_GUESSED] if choice.by_content else []), *decided]
    role = "target" if task == "regression" else "label"
    return TextItems(
        task=task,
        texts=tuple(kept),
        labels=settled.labels,
        label_sets=settled.label_sets,
        targets=None if settled.targets is None else tuple(settled.targets.tolist()),
        groups=settled.groups,
        weights=None if settled.weights is None else tuple(settled.weights.tolist()),
        rows=settled.rows,
        bad=settled.bad,
        bad_count=settled.bad_count,
        format=table.format,
        columns={"text": choice.text, role: choice.label, **beside.roles},
        quality=quality_of(kept, settled, notes, item="text"),
    )


def from_json(reply: dict[str, Any]) -> TextItems:
    """What `asdict` made of `TextItems`, put together again: what a child process hands back."""
    bad = tuple(Problem(**problem) for problem in reply["bad"])
    names = ("texts", "labels", "targets", "groups", "weights", "rows")
    columns = {name: None if reply[name] is None else tuple(reply[name]) for name in names}
    sets = reply["label_sets"]
    columns["label_sets"] = None if sets is None else tuple(map(tuple, sets))
    return TextItems(**{**reply, **columns, "bad": bad})


def _open(path: Path, filename: str, limits: Limits) -> Table:
    kind = sniff(path, filename, limits)
    return read_parquet(path, limits) if kind == "parquet" else open_text_table(path, kind, limits)


def _choice(table: Table, reading: Reading, beside: Beside, otherwise: str) -> Choice:
    """Content is looked at only where it can decide: between two columns."""
    text, label = reading.text, reading.label or reading.target
    columns = [name for name in table.columns if name not in beside.columns]
    otherwise = " ".join(
        [*(f"{quoted(name)} is the {role}." for role, name in beside.roles.items()), otherwise]
    ).strip()
    sample: Iterator[Row] = iter(())
    if len(columns) == len(set(columns)) == 2 and text is None and label is None:
        sample = (record for record in table.rows(columns) if isinstance(record, Row))
    for role, name in (("text", text), ("label", label)):
        beside.check_free(table.columns, role, name)
    return choose(columns, list(islice(sample, _SAMPLE_ROWS)), text=text, label=label, otherwise=otherwise)


def _gathered(table: Table, choice: Choice, beside: Beside, limits: Limits) -> tuple[Sequence[str], Found]:
    """Every row that can be read: its text, empty where it is bad, and what is learned of it."""
    texts: list[str] = []
    numbers: list[int] = []
    cells: list[Cell] = []
    problems: list[Problem] = []
    faults: dict[int, str] = {}
    for record in table.rows((choice.text, choice.label, *beside.columns)):
        if isinstance(record, Problem):
            problems.append(record)
            continue
        text = as_text(record.cells.get(choice.text), limits)
        if isinstance(text, Bad):
            faults[len(texts)] = text.reason
        texts.append("" if isinstance(text, Bad) else text)
        numbers.append(record.number)
        cells.append(record.cells.get(choice.label))
        beside.take(record.cells)
    return texts, Found(numbers, cells, problems, faults, beside)
