"""``graft predict`` on texts of one line each: any number of them, from a file or a pipe, answered as they come."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from graft._answers import Prediction
from graft._client import Client
from graft._download import whole_file
from graft.cli.predict_answers import answered
from graft.cli.rows import Row, RowsUnusable, lines, sink
from graft.cli.screen import Screen, counted

BATCH = 250
"""Lines in one call: large enough to be quick, small enough for the bar to move."""

BLANK = "No answer: the text is blank"
"""What a row says whose line has no text."""


@dataclass
class Answers:
    """Rows with their answers, a batch at a time. `count` and `blank` tell how many so far; `adapter` who answers.

    `texts` says whether cells are texts, so that several labels are one; `columns` are those that the first answer has.
    """

    client: Client
    ref: str
    top_k: int
    long: str | None = None
    texts: bool = True
    count: int = 0
    blank: int = 0
    adapter: str | None = None
    columns: Row | None = None

    def of(self, source: Iterator[str]) -> Iterator[list[Row]]:
        """Answer each batch of lines; all by the version that answered the first."""
        unanswered: list[str] = []  # before the first answer nobody knows what columns there are
        while batch := list(islice(source, BATCH)):
            found = self._predict(batch)
            self.count += len(batch)
            if self.columns is None:
                unanswered += batch
                continue
            yield [self._blank(text) for text in unanswered] + [
                self._row(text, answer) for text, answer in zip(batch, found, strict=True)
            ]
            unanswered = []
        if unanswered:
            yield [self._blank(text) for text in unanswered]

    def _predict(self, texts: list[str]) -> list[Prediction | None]:
        asked = [text for text in texts if text.strip()]
        self.blank += len(texts) - len(asked)
        answers = iter(self.client.predict(self.adapter or self.ref, asked, top_k=self.top_k, long=self.long))
        found = [next(answers) if text.strip() else None for text in texts]
        first = next((answer for answer in found if answer), None)
        if first is not None:
            self.adapter = first.adapter
            self.columns = self.columns or dict.fromkeys(answered(first, self.top_k, texts=self.texts))
        return found

    def _row(self, text: str, answer: Prediction | None) -> Row:
        """The same columns as the service gives to the rows of a file."""
        if answer is None:
            return self._blank(text)
        return {"text": text} | answered(answer, self.top_k, texts=self.texts) | {"warnings": ""}

    def _blank(self, text: str) -> Row:
        columns = self.columns or dict.fromkeys(answered(Prediction(), self.top_k, texts=self.texts))
        return {"text": text} | columns | {"warnings": BLANK}


def predict_lines(screen: Screen, answers: Answers, path: Path, write_as: str, out: Path | None) -> None:
    """Answer the lines of a file, or of stdin (``-``), into a file or to stdout.

    Raises:
        RowsUnusable: It is empty, or no text.
    """
    stdin = str(path) == "-"
    with _opened(path) as file, _target(out) as target, screen.progress() as progress:
        written = sink(target, write_as)
        bar = progress.add_task("predicting", total=None if stdin else max(path.stat().st_size, 1))
        for batch in answers.of(lines(file)):
            for row in batch:
                written.write(row)
            read_bytes = 0 if stdin else file.tell()
            progress.update(bar, completed=read_bytes, description=f"predicting: {counted(answers.count, 'row')}")
        if not answers.count:
            name = "The input" if stdin else str(path)
            raise RowsUnusable(f"{name} is empty: there is no line in it. Send one text a line.")
    if answers.blank:
        have = "has no text; its" if answers.blank == 1 else "have no text; their"
        screen.note(f"{counted(answers.blank, 'row')} {have} label is left empty.")
    if out is not None:
        value = {"rows": answers.count, "blank": answers.blank, "adapter": answers.adapter, "path": str(out)}
        by = answers.adapter or "nobody"
        screen.result(value, f"Wrote {counted(answers.count, 'row')} to {out}, answered by {by}.")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _target(out: Path | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    with whole_file(out) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield text
