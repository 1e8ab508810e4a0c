"""What the caller has -> inputs of a prediction, as JSON.

text                                     -> itself
a path, or bytes, of an image or a sound -> {"image": base64} or {"audio": base64}
a mapping of columns                     -> an object; NaN is a missing value, dates are ISO text
numbers in a list, a tuple or an array   -> {"embedding": [...]}
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from graft._media import Medium, medium_of


class Array(Protocol):
    """A NumPy array, or whatever becomes a list as one does."""

    def tolist(self) -> Any:
        """Its numbers."""
        ...


Input = str | Path | bytes | Mapping[str, Any] | Sequence[float] | Array

LARGEST_CALL = 1000
"""Inputs that the service takes in one call."""
LARGEST_CALL_BYTES = 8 * 2**20
"""Bytes of images and sounds sent in one call: as base64 they stay well below the service's 16 MiB. A larger one is
sent by itself, as it is."""


def size_of(given: Input) -> int:
    """Bytes of an image or a sound; 0 for anything else. Raises OSError for a file that cannot be read."""
    return given.stat().st_size if isinstance(given, Path) else len(given) if isinstance(given, bytes) else 0


def parts_of(inputs: Sequence[Input]) -> Iterator[tuple[int, Sequence[Input]]]:
    """Inputs in parts that one call can carry, each with the place of its first one. Paths are not read here.

    Raises:
        OSError: A path cannot be read.
    """
    start, size_bytes = 0, 0
    for place, one in enumerate(inputs):
        more_bytes = size_of(one)
        if place > start and (place - start >= LARGEST_CALL or size_bytes + more_bytes > LARGEST_CALL_BYTES):
            yield start, inputs[start:place]
            start, size_bytes = place, 0
        size_bytes += more_bytes
    if len(inputs) > start:
        yield start, inputs[start:]


def as_inputs(inputs: Iterable[Input], first: int = 0) -> list[Any]:
    """Inputs as the service takes them; `first` is the place of the first one among all.

    Raises:
        TypeError: One is nothing of all that; says which.
        ValueError: A file, or bytes, are neither an image nor a sound.
        OSError: A file cannot be read.
    """
    return [_input(given, place) for place, given in enumerate(inputs, start=first)]


def _input(given: Input, place: int) -> Any:
    if isinstance(given, str):
        return str(given)
    if isinstance(given, Path | bytes):
        return _medium(given, place)
    if isinstance(given, Mapping):
        return {str(name): _cell(cell) for name, cell in given.items()}
    plain = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(plain, list | tuple):
        return {"embedding": [_cell(number) for number in plain]}
    raise TypeError(
        f"Input {place} is {given!r:.80}; give texts, images or sounds (a pathlib.Path, or bytes), dicts of columns "
        "(the rows of a table), or sequences of numbers."
    )


def _medium(given: Path | bytes, place: int) -> dict[str, str]:
    content, medium = opened(given, place)
    return {medium.kind: base64.b64encode(content).decode()}


def opened(given: Path | bytes, place: int) -> tuple[bytes, Medium]:
    """The bytes of an image or a sound, and which it is; raises as `as_inputs`."""
    content = given.read_bytes() if isinstance(given, Path) else given
    medium = medium_of(content)
    if medium is None:
        what = f"the file {str(given)!r}" if isinstance(given, Path) else f"{len(given):,} bytes"
        raise ValueError(
            f"Input {place}, {what}, begins like no image and no sound (JPEG, PNG, WebP, WAV, FLAC, OGG, ...). The "
            "rows of a file are answered by predict_file."
        )
    return content, medium


def _cell(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, float) and plain != plain:  # noqa: PLR0124 - NaN is what does not equal itself
        return None
    return plain.isoformat() if hasattr(plain, "isoformat") else plain
