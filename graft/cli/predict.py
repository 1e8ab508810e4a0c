"""``graft predict``: classify texts given on the command line, or the rows of a file."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import Progress

from graft._client import Client
from graft._types import Prediction
from graft.cli.options import AsJson, Ref, Text, Url
from graft.cli.rows import FORMATS, Row, RowsUnusable, format_of, read, sink, text_column
from graft.cli.screen import Screen, counted, table
from graft.cli.session import session

BATCH = 250
"""Rows in one call: large enough to be quick, small enough for the bar to move."""


class Format(StrEnum):
    """How a file is read."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    TXT = "txt"


def predict(
    ref: Ref,
    inputs: Annotated[list[str], typer.Argument(help="Texts; or one file (.csv .tsv .jsonl .txt); or - for stdin.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write: .csv, .tsv or .jsonl (default: stdout).")
    ] = None,
    text: Text = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Labels to show (default: 3 for texts, 1 for a file).")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="How the file is read (default: by its name; txt for -).")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Classify texts, or the rows of a file.

    A file's rows are written again with the columns label, probability and adapter (predicted_label and so on where
    the file has such a column). Rows without a text get an empty label. In CSV and TSV a cell that a spreadsheet would
    run as a formula gets a leading '. With --json a file's rows are written as JSON lines. A CSV file may have
    semicolons for commas; it is written with commas.
    """
    screen = Screen(as_json)
    with session(url, screen) as client:
        path = _file(inputs)
        if path is None:
            _texts(screen, client.predict(ref, inputs, top_k=top_k or 3), inputs)
        else:
            read_as = format_.value if format_ else "txt" if str(path) == "-" else format_of(path)
            _rows(screen, Answers(client, ref, text, top_k or 1), path, read_as, out)


def _file(inputs: Sequence[str]) -> Path | None:
    """The file that is meant, if one is. Raises typer.BadParameter for a file that is not there."""
    path = Path(inputs[0])
    if len(inputs) > 1:
        return None
    if inputs[0] == "-" or (len(inputs[0]) < 1000 and path.is_file()):
        return path
    if path.suffix.lower().removeprefix(".") in FORMATS and " " not in inputs[0]:
        raise typer.BadParameter(f"There is no file {inputs[0]!r}.", param_hint="INPUTS")
    return None


def _texts(screen: Screen, predictions: Sequence[Prediction], texts: Sequence[str]) -> None:
    cells = [
        (text, p.label, p.probability, ", ".join(f"{label} {share:.3f}" for label, share in p.top[1:]))
        for text, p in zip(texts, predictions, strict=True)
    ]
    view = table(("text", "label", "probability", "then"), cells)
    view.columns[0].no_wrap = False
    value = [{"adapter": p.adapter} | dict(p.raw) for p in predictions]
    screen.result(value, view, f"\nAnswered by {predictions[0].adapter}.")


@dataclass
class Answers:
    """Rows with their answers, a batch at a time. `count` and `blank` tell how many so far; `adapter` who answers."""

    client: Client
    ref: str
    text: str | None
    top_k: int
    count: int = 0
    blank: int = 0
    adapter: str | None = None
    _names: dict[str, str] = field(default_factory=dict)

    def of(self, source: Iterator[Row]) -> Iterator[list[Row]]:
        """Answer each batch of rows; all by the version that answered the first. Raises RowsUnusable for a bad row."""
        while batch := list(islice(source, BATCH)):
            if self.text is None or not self._names:
                self.text = text_column(batch[0], self.text)
            answers = self._predict([self._text(row, place) for place, row in enumerate(batch, start=1)])
            self.count += len(batch)
            yield [self._joined(row, answer) for row, answer in zip(batch, answers, strict=True)]

    def _text(self, row: Row, place: int) -> str:
        value = row.get(self.text or "", "")
        if not isinstance(value, str):
            raise RowsUnusable(f"Row {self.count + place}: {self.text!r} is {value!r:.40}, not a text.")
        return value

    def _predict(self, texts: Sequence[str]) -> list[Prediction | None]:
        asked = [text for text in texts if text.strip()]
        self.blank += len(texts) - len(asked)
        answers = iter(self.client.predict(self.adapter or self.ref, asked, top_k=self.top_k))
        found = [next(answers) if text.strip() else None for text in texts]
        self.adapter = next((answer.adapter for answer in found if answer), self.adapter)
        return found

    def _joined(self, row: Row, answer: Prediction | None) -> Row:
        new: dict[str, Any] = {"label": "", "probability": None}
        top = answer.top[: self.top_k] if answer else ()
        if answer:
            new = {"label": answer.label, "probability": round(answer.probability, 6)}
        for place in range(2, self.top_k + 1):
            label, share = top[place - 1] if place <= len(top) else ("", None)
            new |= {f"label_{place}": label, f"probability_{place}": None if share is None else round(share, 6)}
        new["adapter"] = answer.adapter if answer else ""
        # Chosen at the first row, so that a column never changes its meaning further down.
        self._names = self._names or {name: f"predicted_{name}" if name in row else name for name in new}
        return row | {self._names[name]: value for name, value in new.items()}


def _rows(screen: Screen, answers: Answers, path: Path, read_as: str, out: Path | None) -> None:
    write_as = _output_format(screen, read_as, out)
    stdin = str(path) == "-"
    if out is not None:
        _check_out(out, path)
    with (
        _opened(path) as file,
        _replaced(out) as target,
        screen.progress() as progress,
    ):
        total = None if stdin else max(path.stat().st_size, 1)
        answered = sink(target, write_as)
        moved = _bar(progress, total)
        for batch in answers.of(read(file, read_as)):
            for row in batch:
                answered.write(row)
            moved(0 if stdin else file.tell(), answers.count)
        if not answers.count:
            name = "The input" if stdin else str(path)
            raise RowsUnusable(f"{name} is empty: there is no row in it. Send one row a text.")
    if answers.blank:
        have = "has no text; its" if answers.blank == 1 else "have no text; their"
        screen.note(f"{counted(answers.blank, 'row')} {have} label is left empty.")
    if out is not None:
        value = {"rows": answers.count, "blank": answers.blank, "adapter": answers.adapter, "path": str(out)}
        screen.result(
            value, f"Wrote {counted(answers.count, 'row')} to {out}, answered by {answers.adapter or 'nobody'}."
        )


def _output_format(screen: Screen, read_as: str, out: Path | None) -> str:
    if out is not None:
        return format_of(out, known=("csv", "tsv", "jsonl"))
    if screen.as_json:
        return "jsonl"
    return "csv" if read_as == "txt" else read_as


def _check_out(out: Path, path: Path) -> None:
    """Raises RowsUnusable where the answers could not be written, or would take the place of the rows."""
    if not out.parent.is_dir():
        raise RowsUnusable(f"There is no folder {str(out.parent)!r} to write {out.name} in. Make it, or name another.")
    if out.is_dir():
        raise RowsUnusable(f"{str(out)!r} is a folder. Name a file to write.")
    if out.exists() and path.exists() and out.samefile(path):
        raise RowsUnusable(f"{str(out)!r} is the file that is read. Name another one to write, so that it is kept.")


def _bar(progress: Progress, total_bytes: int | None) -> Callable[[int, int], None]:
    bar = progress.add_task("predicting", total=total_bytes)

    def moved(read_bytes: int, count: int) -> None:
        progress.update(bar, completed=read_bytes, description=f"predicting: {counted(count, 'row')}")

    return moved


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _replaced(out: Path | None) -> Iterator[IO[str]]:
    """A file that takes its name only when it is complete; stdout where there is none."""
    if out is None:
        yield sys.stdout
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
