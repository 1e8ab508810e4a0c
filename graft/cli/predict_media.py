"""``graft predict`` on images and sounds: files given by name, or all of those in a folder."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from graft._answers import Prediction, Predictions
from graft._client import Client
from graft._download import whole_file
from graft._errors import ApiError, Busy
from graft._folder import packing
from graft._media import HEAD_BYTES, Medium, medium_of
from graft._types import Problem
from graft.cli.predict_answers import answered, show_answers
from graft.cli.rows import FORMATS, OTHER_NAMES, RowsUnusable, format_of, sink
from graft.cli.screen import Screen, counted

_INPUT = re.compile(r"/inputs/(\d+)")
BATCH = 32
"""Files in one call: enough to be quick, few enough for the bar to move."""
ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "wav", "flac", "ogg", "oga", "mp3"})
"""Names that mean an image or a sound even where there is no such file."""
ARCHIVES = frozenset({"zip", "tar", "tgz", "gz", "bz2"})
"""Names of what only a fit takes."""
WRITES = ("csv", "tsv", "jsonl")
"""What the answers can be written in."""


def media_in(words: Sequence[str]) -> list[Path] | None:
    """The images and sounds that are meant by some words; None where they mean something else.

    Raises:
        typer.BadParameter: One is not there, is neither, or lies among words that are no files.
    """
    found = {word: _media_of(word) for word in words}
    if not any(found.values()):
        return None
    other = next((word for word, files in found.items() if not files), None)
    if other is not None:
        raise _wrong(f"{other[:80]!r} is neither an image nor a sound, and other inputs are. Predict it by itself.")
    return list(chain.from_iterable(files for word in words if (files := found[word])))


def _media_of(word: str) -> list[Path]:
    """The files that a word means; none where it means no image and no sound."""
    path = Path(word)
    if existing_folder(word):
        return _in_folder(path, word)
    ending = path.suffix.lower().removeprefix(".")
    if not existing_file(word):
        if ending in ENDINGS and " " not in word:
            raise _wrong(f"There is no file {word!r}.")
        return []
    if ending in {*FORMATS, *OTHER_NAMES}:
        return []
    if _medium(path):
        return [path]
    if ending in ENDINGS:
        raise _wrong(f"{word!r} is neither an image nor a sound, by its first bytes. Name a file that is one.")
    if ending in ARCHIVES:
        raise _wrong(f"{word!r} is an archive, which can be fitted only. Unpack it, and name its folder.")
    return []


def _in_folder(folder: Path, word: str) -> list[Path]:
    """The images and sounds of a folder, called as it was. A bare word may also be a text that is called so."""
    found: list[Path] = []
    with suppress(ValueError):  # empty
        found = [folder / name for name, file in packing(folder).files if _medium(file)]
    if not found and os.sep in word:
        raise _wrong(f"The folder {word!r} has no images and no sounds (hidden files are left out).")
    return found


def _wrong(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="INPUTS")


def existing_file(word: str) -> bool:
    """Whether there is a file of that name; a text that is too long for a name is none."""
    with suppress(OSError, ValueError):
        return Path(word).is_file()
    return False


def existing_folder(word: str) -> bool:
    """Whether there is a folder of that name."""
    with suppress(OSError, ValueError):
        return Path(word).is_dir()
    return False


def _medium(path: Path) -> Medium | None:
    with path.open("rb") as file:
        return medium_of(file.read(HEAD_BYTES))


def predict_media(
    screen: Screen, client: Client, ref: str, files: Sequence[Path], out: Path | None, **options: Any
) -> None:
    """Answer images or sounds as a table, or into a file of rows.

    Raises:
        RowsUnusable: The name of the file to write is not one for rows, or reasons are to go there.
    """
    write_as = None if out is None else _format(out)
    top_k = options.pop("top_k") or (3 if out is None else 1)
    if out is not None and options.pop("explain", False):
        raise RowsUnusable("Rows have no place for reasons; leave --out away, or --explain.")
    answers: list[Prediction] = []
    with screen.progress(count=True) as progress:
        bar = progress.add_task("predicting", total=len(files))
        for batch in _batches(files):
            with _naming(batch):
                answers += client.predict(answers[0].adapter if answers else ref, batch, top_k=top_k, **options)
            progress.update(bar, completed=len(answers))
    if out is None or write_as is None:
        show_answers(screen, Predictions(answers), [*map(str, files)], by=answers[0].adapter, name="file")
        return
    with whole_file(out) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        rows = sink(text, write_as)
        for path, answer in zip(files, answers, strict=True):
            rows.write({"file": str(path)} | answered(answer, top_k, texts=write_as != "jsonl"))
    value = {"rows": len(files), "adapter": answers[0].adapter, "path": str(out)}
    screen.result(value, f"Wrote {counted(len(files), 'row')} to {out}, answered by {answers[0].adapter}.")


@contextmanager
def _naming(batch: Sequence[Path]) -> Iterator[None]:
    """Let a refusal's problems name the files instead of their places in the call."""
    try:
        yield
    except ApiError as error:
        if not error.problems or isinstance(error, Busy):
            raise
        problems = tuple(_named(problem, batch) for problem in error.problems)
        raise type(error)(error.status, replace(error.details, problems=problems)) from error


def _named(problem: Problem, batch: Sequence[Path]) -> Problem:
    match = _INPUT.match(problem.pointer or "")
    if match is None or int(match[1]) >= len(batch):
        return problem
    file = str(batch[int(match[1])])
    return replace(problem, pointer=file, raw={**problem.raw, "file": file})


def _batches(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (files[start : start + BATCH] for start in range(0, len(files), BATCH))


def _format(out: Path) -> str:
    found = format_of(out)
    if found not in WRITES:
        raise RowsUnusable(f"Answers to files are written as {', '.join(WRITES)}; name a file to write so.")
    return found
