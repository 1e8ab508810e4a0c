"""What a command shows: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from graft._types import Problem

PIPED_WIDTH = 200
"""Columns of a table that no terminal limits."""
MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Screen:
    """Where a command writes.

    Attributes:
        as_json: Results are JSON on stdout, and nothing else goes there.
    """

    as_json: bool = False

    @property
    def out(self) -> Console:
        """Standard output, for tables."""
        return _console(stderr=False)

    @property
    def err(self) -> Console:
        """Standard error, for progress and problems."""
        return _console(stderr=True)

    def result(self, value: object, *view: Table | str) -> None:
        """Show a result: `value` as JSON, or `view` for a person."""
        if self.as_json:
            typer.echo(json.dumps(value, ensure_ascii=False))
            return
        for part in view:
            self.out.print(cell(part) if isinstance(part, str) and part else part)

    def note(self, text: str) -> None:
        """Say something to a person, on stderr."""
        self.err.print(cell(text))

    def failure(self, message: str, problems: Sequence[Problem] = (), request_id: str | None = None) -> None:
        """Show why a command ends: what happened, the rows to blame, and the request's id."""
        if self.as_json:
            error: dict[str, Any] = {"detail": message, "errors": [dict(p.raw) for p in problems]}
            typer.echo(json.dumps(error | {"request_id": request_id}, ensure_ascii=False), err=True)
            return
        self.err.print(Text("Error: ", style="bold red") + cell(message))
        if others := [problem for problem in problems if problem.detail != message]:
            self.err.print(problem_table(others))
        if request_id:
            self.note(f"Request id: {request_id}")

    def progress(self, *, count: bool = False) -> Progress:
        """A progress bar on stderr; silent unless that is a terminal. `count` shows done/total beside it."""
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()]
        columns += [MofNCompleteColumn()] if count else []
        console = self.err
        return Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def cell(value: object) -> Text:
    """A value as plain text: no markup, and no control characters that could command a terminal."""
    if value is None or value == "":
        return Text("-")
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return Text("".join(c if c.isprintable() or c == "\n" else "�" for c in shown))


def counted(count: int, noun: str) -> str:
    """How many there are, in words: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """A table; the first column is never cut, as it names things."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        made.add_column(header, no_wrap=number == 0, overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def facts(pairs: Mapping[str, object]) -> Table:
    """Names and values, one a line."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, cell(value))
    return made


def problem_table(problems: Sequence[Problem]) -> Table:
    """Places in the input that are wrong."""
    rows = [(f"row {p.row}" if p.row is not None else p.pointer or "", p.detail) for p in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        rows.append(("...", f"and {len(problems) - MOST_PROBLEMS} more; --json shows all"))
    return table(("where", "what"), rows)
