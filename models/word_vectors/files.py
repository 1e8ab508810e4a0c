r"""Files of static word vectors, read row by row: word2vec binary, word2vec text, GloVe text.

word2vec-binary   "V D\n", then V times: word, space, D float32 (little-endian), perhaps a newline
word2vec-text     "V D\n", then V lines: word, D numbers
glove             lines: word, D numbers; no header
"""

import mmap
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt

from models.errors import SourceRefused

Format = Literal["word2vec-binary", "word2vec-text", "glove"]
Table = npt.NDArray[np.float32]
Row = tuple[bytes, int, int]
"""A word, and where its numbers begin and end in the file."""

MOST_BYTES: Final = 2**30
"""Of vectors that are kept; the rows beyond it, in files ordered by frequency the rarest words, are left out."""
MOST_NUMBERS: Final = 4096
_MOST_WORD_BYTES: Final = 2000
_BLOCK_ROWS: Final = 2048

OnRead = Callable[[float], None]
"""Called with the share of the file that is read."""


@dataclass(frozen=True)
class WordVectors:
    """What is kept of a file.

    Attributes:
        words: Distinct, in the order of the file.
        table: (len(words), d) float32.
        left_out: Rows that were not kept: beyond the limit, repeated, empty, or no UTF-8. Of a GloVe file that is over
            the limit, which does not say how many it has, only those that were read.
    """

    words: list[str]
    table: Table
    left_out: int


def read_word_vectors(path: Path, format_: Format, on_read: OnRead, most_bytes: int = MOST_BYTES) -> WordVectors:
    """Read a file of word vectors.

    Cost: 5 s for a million rows of 300 in binary, 60 s in text; memory for the rows that are kept.

    Raises:
        SourceRefused: The file is not there, is not of the format, ends early, has more or fewer rows than it says,
            rows of unlike length, or numbers that are not finite.
    """
    if not path.is_file():
        raise SourceRefused(f"{path} is not a file on the machine where the worker runs. Give a file of word vectors.")
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise SourceRefused(f"{path} is empty. Give a file of word vectors.")
        file.seek(0)
        rows, width = _header(path, file, format_)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _read(_File(path, content, file.tell(), width, rows, format_), most_bytes // (4 * width), on_read)


@dataclass(frozen=True)
class _File:
    path: Path
    content: mmap.mmap
    start: int
    width: int
    rows: int | None
    format: Format


def _read(file: _File, most_rows: int, on_read: OnRead) -> WordVectors:
    positions: dict[str, int] = {}
    blocks: list[Table] = []
    count, ended = 0, False
    source = _binary_rows(file) if file.format == "word2vec-binary" else _text_rows(file)
    while not ended and len(positions) < most_rows:
        block = []
        for row in source:
            block.append(row)
            if len(block) == _BLOCK_ROWS:
                break
        ended = len(block) < _BLOCK_ROWS
        kept = _new_words(block, positions, count, most_rows)
        values = _binary_values(file, block) if file.format == "word2vec-binary" else _text_values(file, block, count)
        blocks.append(values[kept])
        count += len(block)
        on_read(1.0 if ended else block[-1][2] / len(file.content))
    _check_count(file, count, ended)
    if not positions:
        raise SourceRefused(f"{file.path} holds no word. Give a file of word vectors.")
    total = file.rows if file.rows is not None else count
    return WordVectors(list(positions), np.concatenate(blocks), total - len(positions))


def _new_words(block: list[Row], positions: dict[str, int], count: int, most_rows: int) -> list[int]:
    """Which rows of a block hold a word that is kept; it is entered into `positions`."""
    kept = []
    for offset, (raw, _, _) in enumerate(block):
        try:
            word = raw.decode()
        except UnicodeDecodeError:
            continue
        if word and word not in positions and len(positions) < most_rows:
            positions[word] = count + offset
            kept.append(offset)
    return kept


def _header(path: Path, file: BinaryIO, format_: Format) -> tuple[int | None, int]:
    """(rows, numbers of a row) from the first line; rows is None where the format does not say. Leaves the file there.

    Raises:
        SourceRefused: It is not what the format begins with.
    """
    line = file.readline(_MOST_WORD_BYTES * 50)
    fields = line.split()
    numeric = len(fields) == 2 and all(field.isdigit() for field in fields)
    if format_ == "glove":
        if numeric:
            raise SourceRefused(
                f"{path} begins with a count of words, which GloVe files lack: its format may be word2vec-text."
            )
        file.seek(0)
        width = _numbers_at_end(fields)
        rows = None
    elif numeric:
        rows, width = int(fields[0]), int(fields[1])
    else:
        raise SourceRefused(f"{path} does not begin with a line of two counts, as {format_} does. Check its format.")
    if not 1 <= width <= MOST_NUMBERS or rows == 0:
        raise SourceRefused(
            f"{path} would hold {rows or 'no'} words of {width} numbers; 1 or more of 1 to {MOST_NUMBERS} numbers are "
            "needed. Check its format."
        )
    return rows, width


def _numbers_at_end(fields: list[bytes]) -> int:
    """How many numbers a line ends in, its first field not counted, which is a word even where it looks like one."""
    for count, field in enumerate(reversed(fields[1:])):
        try:
            float(field)
        except ValueError:
            return count
    return len(fields) - 1


def _binary_rows(file: _File) -> Iterator[Row]:
    position, size = file.start, 4 * file.width
    for row in range(file.rows or 0):
        end = file.content.find(b" ", position, position + _MOST_WORD_BYTES)
        if end < 0 or end + 1 + size > len(file.content):
            raise SourceRefused(
                f"{file.path} ends or breaks off in row {row + 1} of {file.rows}. Copy the file again, and check that "
                "it is word2vec's binary format."
            )
        yield file.content[position:end].strip(), end + 1, end + 1 + size
        position = end + 1 + size
    if file.content[position : position + 64].strip():
        raise SourceRefused(f"{file.path} goes on after the {file.rows} rows that its first line says. Check the file.")


def _text_rows(file: _File) -> Iterator[Row]:
    position = file.start
    while position < len(file.content):
        end = file.content.find(b"\n", position)
        end = len(file.content) if end < 0 else end
        space = file.content.find(b" ", position, end)
        if space > position:
            yield file.content[position:space], space + 1, end
        elif file.content[position:end].strip():
            yield b"", position, end
        position = end + 1


def _binary_values(file: _File, block: list[Row]) -> Table:
    values = np.empty((len(block), file.width), dtype="<f4")
    for into, (_, start, end) in zip(values, block, strict=True):
        into[:] = np.frombuffer(file.content[start:end], dtype="<f4")
    return _finite(file, values)


def _text_values(file: _File, block: list[Row], count: int) -> Table:
    lines = [file.content[start:end].strip() for _, start, end in block]
    if all(line.count(b" ") == file.width - 1 for line in lines):
        with warnings.catch_warnings(), suppress(DeprecationWarning, ValueError):
            warnings.simplefilter("error", DeprecationWarning)  # numpy's word for "not all of it are numbers"
            flat = np.fromstring(b" ".join(lines), dtype=np.float32, sep=" ")
            return _finite(file, flat.reshape(len(lines), file.width))
    return _finite(file, np.array([_numbers(file, line, count + i + 1) for i, line in enumerate(lines)], np.float32))


def _numbers(file: _File, line: bytes, row: int) -> Table:
    """The last numbers of a line: a word may hold spaces itself.

    Raises:
        SourceRefused: They are too few, or no numbers.
    """
    fields = line.split()[-file.width :]
    with suppress(ValueError):
        if len(fields) == file.width:
            return np.array(fields, dtype=np.float32)
    raise SourceRefused(
        f"Row {row} of {file.path} does not end in the {file.width} numbers that the other rows have. Check the file "
        "and its format."
    )


def _finite(file: _File, values: Table) -> Table:
    if not np.isfinite(values).all():
        raise SourceRefused(f"{file.path} holds numbers that are not finite (NaN or infinity). Check the file.")
    return values


def _check_count(file: _File, count: int, ended: bool) -> None:
    if file.rows is not None and (count > file.rows or (ended and count < file.rows)):
        raise SourceRefused(
            f"{file.path} says in its first line that it holds {file.rows} words, but {count} were found. "
            "Copy the file again."
        )
