"""``graft predict``: texts, rows, images or sounds given on the command line, or the rows of a file."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from graft._client import Client
from graft.cli.options import AsJson, Long, Ref, Text, Url
from graft.cli.predict_answers import show_answers
from graft.cli.predict_lines import Answers, predict_lines
from graft.cli.predict_media import existing_file, media_in, predict_media
from graft.cli.rows import FORMATS, OTHER_NAMES, RowsUnusable, format_of
from graft.cli.screen import Screen, counted
from graft.cli.session import session


class Format(StrEnum):
    """How a file is read."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"
    NPY = "npy"
    NPZ = "npz"
    TXT = "txt"


ANSWERED_AS = {"npy": "jsonl", "npz": "jsonl"}
"""Formats that are answered in another one."""
JSON = frozenset({"json", "jsonl"})
"""A .json file may hold a list or lines."""
LINES_WRITE = ("csv", "tsv", "jsonl")
"""What lines of text can be answered in."""


def predict(
    ref: Ref,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Texts; or images or sounds (files, or folders of them); or rows of a table as JSON objects; or one "
            "file of rows (.csv .tsv .jsonl .json .parquet .npy .npz, or .txt with a text a line); or - for stdin."
        ),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write, of the input's format (default: stdout).")
    ] = None,
    text: Text = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Labels to show (default: 3, and 1 for a file).")
    ] = None,
    long: Long = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why: attributes, source classes, or the nearest items learned from.")
    ] = False,
    format_: Annotated[
        Format | None, typer.Option("--format", help="What the file is (default: by its name; txt for -).")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Predict texts, images, sounds or table rows given here, or the rows of a file.

    A file of rows comes back in its own format, with columns added: label and probability, or labels where a row has
    any number of them, or value; truncated for texts; adapter; and warnings of the row. A name that the file has gets
    predicted_ in front. In CSV and TSV a cell that a spreadsheet would run as a formula gets a leading '. NumPy files
    are answered as JSON lines, and lines of text as CSV, or as the name of the file to write says. Images and sounds
    are answered as a table, or with --out as rows (.csv .tsv .jsonl) with their names.
    """
    screen = Screen(as_json)
    with session(url, screen) as client:
        if (media := media_in(inputs)) is not None:
            if out is not None:
                _check_out(out, *media)
            predict_media(screen, client, ref, media, out, top_k=top_k, long=long, explain=explain)
            return
        path = _file(inputs)
        if path is None:
            given = [_given(word) for word in inputs]
            answers = client.predict(ref, given, top_k=top_k or 3, long=long, explain=explain)
            show_answers(screen, answers, inputs, by=answers[0].adapter)
            return
        if explain:
            raise RowsUnusable("The rows of a file are answered without reasons; give --explain some of them here.")
        read_as = str(format_) if format_ else "txt" if str(path) == "-" else format_of(path)
        write_as = _output_format(screen, read_as, out)
        if out is not None:
            _check_out(out, path)
        if read_as == "txt":
            predict_lines(
                screen, Answers(client, ref, top_k or 1, long, texts=write_as != "jsonl"), path, write_as, out
            )
        else:
            options = {"text": text, "top_k": top_k or 1, "long": long}
            with _on_disk(path) as source:
                name = "stdin" if str(path) == "-" else path.stem
                _predict_file(screen, client, ref, source, out, filename=f"{name}.{read_as}", **options)


def _file(inputs: Sequence[str]) -> Path | None:
    """The file that is meant, if one is. Raises typer.BadParameter for a file that is not there."""
    path = Path(inputs[0])
    if len(inputs) > 1:
        return None
    if inputs[0] == "-" or existing_file(inputs[0]):
        return path
    if path.suffix.lower().removeprefix(".") in {*FORMATS, *OTHER_NAMES} and " " not in inputs[0]:
        raise typer.BadParameter(f"There is no file {inputs[0]!r}.", param_hint="INPUTS")
    return None


def _given(word: str) -> str | dict[str, Any]:
    """A row of a table where it is a JSON object, and a text otherwise."""
    if word.lstrip().startswith("{"):
        try:
            value = json.loads(word)
        except ValueError:
            return word
        return dict(value)
    return word


def _output_format(screen: Screen, read_as: str, out: Path | None) -> str:
    """The format of the answer. Raises RowsUnusable where it is not the one that is asked for."""
    answered_as = ANSWERED_AS.get(read_as, read_as)
    if read_as == "txt":
        wanted = format_of(out) if out is not None else "jsonl" if screen.as_json else "csv"
        if wanted not in LINES_WRITE:
            raise RowsUnusable(f"Lines of text are answered as {', '.join(LINES_WRITE)}; name a file to write so.")
        return wanted
    asked = answered_as if out is None else format_of(out)
    if asked != answered_as and not {asked, answered_as} <= JSON:
        raise RowsUnusable(f"A .{read_as} file is answered as .{answered_as}; name the file to write so.")
    if out is None and screen.as_json and answered_as not in JSON:
        raise RowsUnusable(f"A .{read_as} file is no JSON; write its answer to a file: -o answers.{answered_as}.")
    if out is None and read_as == "parquet" and sys.stdout.isatty():
        raise RowsUnusable("A .parquet file is nothing to read on a terminal; write it to a file: -o answers.parquet.")
    return answered_as


def _check_out(out: Path, *paths: Path) -> None:
    """Raises RowsUnusable where the answers could not be written, or would take the place of the rows."""
    if not out.parent.is_dir():
        raise RowsUnusable(f"There is no folder {str(out.parent)!r} to write {out.name} in. Make it, or name another.")
    if out.is_dir():
        raise RowsUnusable(f"{str(out)!r} is a folder. Name a file to write.")
    if out.exists() and any(path.exists() and out.samefile(path) for path in paths):
        raise RowsUnusable(f"{str(out)!r} is the file that is read. Name another one to write, so that it is kept.")


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """The file itself; of stdin a copy, as an upload that has to be repeated is read again."""
    if str(path) != "-":
        yield path
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)


def _predict_file(screen: Screen, client: Client, ref: str, source: Path, out: Path | None, **options: Any) -> None:
    target: Path | IO[bytes] = out if out is not None else sys.stdout.buffer
    with screen.progress() as progress:
        bar = progress.add_task("uploading", total=None)

        def moved(received: int, rows: int) -> None:
            progress.update(bar, total=rows, completed=received, description=f"predicting {counted(rows, 'row')}")

        done = client.predict_file(ref, source, target, on_progress=moved, **options)
    value = {"rows": done.rows, "adapter": done.adapter, "warnings": list(done.warnings), "path": str(out)}
    if out is None or not screen.as_json:
        for warning in done.warnings:
            screen.note(f"Note: {warning}")
    if out is not None:
        screen.result(value, f"Wrote {counted(done.rows, 'row')} to {out}, answered by {done.adapter}.")
