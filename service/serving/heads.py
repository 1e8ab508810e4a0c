"""All affine heads of one backbone in one ragged table.

Rows of the table are classes; a head is a slice of consecutive rows, so heads of any number of classes stand side by
side without padding, and reading one copies nothing:

    rows      [ head A: 12 rows | head B: 77 rows | (gone: 5 rows) | head C: 2 rows | free ... ]

The table only grows at its end and is never overwritten: a batch in flight holds the array it started with. When more
than half of the rows belong to heads that are gone, the live ones are copied to a new array.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
_FIRST_ROWS = 1024


@dataclass(frozen=True)
class Slot:
    """A head in the table, as a batch sees it.

    Attributes:
        weight: (k, d) view of the table.
        bias: (k,) view of the table.
        temperature: Scores are divided by it before the softmax.
    """

    weight: F32
    bias: F32
    temperature: float

    def probabilities(self, z: F32) -> F32:
        """Calibrated probabilities.

        Args:
            z: (n, d) float32.

        Returns:
            (n, k) float32; each row sums to 1 and does not depend on the other rows beyond 1e-6.
        """
        scores = (z @ self.weight.T + self.bias) / np.float32(self.temperature)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return np.asarray(scores, dtype=np.float32)


class HeadTable:
    """Heads of one backbone. Thread-safe; the least recently used leave first when the limit is reached.

    The table takes at most `limit_bytes` (a single head that is larger excepted); half of it is for the gaps between
    live heads, so that moving them is rare.
    """

    def __init__(self, width: int, limit_bytes: int) -> None:
        self._lock = threading.Lock()
        self._width = width
        self._limit_rows = max(1, limit_bytes // (4 * (width + 1)) // 2)
        first = min(_FIRST_ROWS, 2 * self._limit_rows)
        self._weight = np.empty((first, width), np.float32)
        self._bias = np.empty(first, np.float32)
        self._end = 0
        self._held: OrderedDict[str, tuple[int, int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def rows(self) -> int:
        """Rows of heads that are held."""
        return sum(stop - start for start, stop, _ in self._held.values())

    def get(self, key: str) -> Slot | None:
        """The head of that key, or None where it is not held."""
        with self._lock:
            place = self._held.get(key)
            if place is None:
                return None
            self._held.move_to_end(key)
            return self._slot(place)

    def put(self, key: str, weight: F32, bias: F32, temperature: float) -> Slot:
        """Hold a head.

        Args:
            key: What names it; the same key always means the same head.
            weight: (k, d) float32.
            bias: (k,) float32.
            temperature: Above 0.
        """
        if weight.shape[1:] != (self._width,):
            raise ValueError(f"a head of width {weight.shape[1:]} cannot stand in a table of width {self._width}")
        with self._lock:
            if key not in self._held:
                self._make_room(len(bias))
                start, stop = self._end, self._end + len(bias)
                self._weight[start:stop], self._bias[start:stop] = weight, bias
                self._held[key] = (start, stop, temperature)
                self._end = stop
            self._held.move_to_end(key)
            return self._slot(self._held[key])

    def _slot(self, place: tuple[int, int, float]) -> Slot:
        start, stop, temperature = place
        return Slot(self._weight[start:stop], self._bias[start:stop], temperature)

    def _make_room(self, rows: int) -> None:
        while self._held and self.rows + rows > self._limit_rows:
            self._held.popitem(last=False)
        if self._end + rows <= len(self._bias):
            return
        needed = self.rows + rows
        capacity = len(self._bias)
        while capacity < needed * 2:
            capacity *= 2
        self._move_to(max(needed, min(capacity, 2 * self._limit_rows)))

    def _move_to(self, capacity: int) -> None:
        """Copy the live heads, without the gaps, to new arrays."""
        weight, bias = np.empty((capacity, self._width), np.float32), np.empty(capacity, np.float32)
        end = 0
        for key, (start, stop, temperature) in self._held.items():
            size = stop - start
            weight[end : end + size], bias[end : end + size] = self._weight[start:stop], self._bias[start:stop]
            self._held[key] = (end, end + size, temperature)
            end += size
        self._weight, self._bias, self._end = weight, bias, end
