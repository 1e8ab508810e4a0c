"""The files of one call on their way into the line: decoded a few at a time, and not far ahead of the session.

A few, so that the first are run while the next are decoded, and so that a call of a thousand files lets those of other
calls through. Not far ahead, because what is decoded is large: a photograph of 20 kB is 150 kB of pixels.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.base import Backbone, Embedding
from models.errors import InputError, Problem
from models.long import Long, Pieces

PARTS = 4
"""Parts for each thread that a call is cut into."""

MOST = 8
"""Most files of a part."""

AHEAD = 64
"""Prepared items of a call, waiting for the session, at which its preparation pauses."""


class Feed:
    """The files of one call. Not thread-safe but for `prepare`: its encoder's lock is held."""

    def __init__(self, backbone: Backbone, files: Sequence[bytes], long: Long, *, threads: int) -> None:
        """Prepare nothing yet.

        Args:
            backbone: Prepares them.
            files: One or more.
            long: What becomes of those that are longer than it takes at once.
            threads: How many there are to prepare them.
        """
        self._backbone = backbone
        self._files = files
        self._long = long
        self._step = min(MOST, math.ceil(len(files) / (PARTS * threads)))
        self._next = 0
        self._paused = 0
        self._parts: dict[int, tuple[int, Pieces]] = {}
        self.coming = len(files)
        """Files that are not prepared yet."""
        self.lines = min(threads, math.ceil(len(files) / self._step))
        """Threads that are to begin with them."""

    def take(self) -> range | None:
        """The files to prepare next; None where there are no more."""
        part = range(self._next, min(self._next + self._step, len(self._files)))
        self._next = part.stop
        return part or None

    def prepare(self, part: range) -> Pieces:
        """Prepare some files. Blocks.

        Raises:
            InputError: One cannot be used; the problem's pointer is ``/inputs/<i>``.
        """
        encoded = []
        for at in part:
            try:
                encoded += self._backbone.prepare([self._files[at]])
            except InputError as error:
                reason = error.message.removeprefix("Item 0: ")  # the backbone was given one item alone
                problem = Problem(reason, pointer=f"/inputs/{at}")
                raise type(error)(f"Input {at}: {reason}", problems=[problem]) from error
        return Pieces.of(encoded, self._long)

    def enter(self, part: range, first: int, pieces: Pieces) -> None:
        """Some files are prepared; their pieces have the places from `first`."""
        self._parts[part.start] = (first, pieces)
        self.coming -= len(part)

    def next_lines(self, waiting: int) -> int:
        """Threads that go on, of the one that has prepared something, with so many items waiting for the session."""
        if waiting < AHEAD:
            return 1
        self._paused += 1
        return 0

    def freed_lines(self, waiting: int) -> int:
        """Threads that go on, of those that paused, now that no more than so many items wait for the session."""
        if waiting > AHEAD // 2:
            return 0
        lines, self._paused = self._paused, 0
        return lines

    def stop(self) -> None:
        """Nobody waits for the rest."""
        self._next, self._paused = len(self._files), 0

    def pool(self, rows: Mapping[int, npt.NDArray[np.float32]]) -> tuple[Embedding, npt.NDArray[np.bool_]]:
        """Embeddings of the files, and whose end was left out, from the rows of their pieces by place."""
        parts = [self._parts[start] for start in sorted(self._parts)]
        z = [
            pieces.pool(np.stack([rows[first + at] for at in range(len(pieces.encoded))]), self._backbone.card)
            for first, pieces in parts
        ]
        return np.concatenate(z), np.concatenate([pieces.cut for _, pieces in parts])
