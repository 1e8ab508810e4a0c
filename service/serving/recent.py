"""A mapping of what was used lately, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The least recently used leave first when the limit is reached; the newest stays, however large it is.

    Thread-safe. `get` takes no lock: each of its steps is one operation of the interpreter.
    """

    def __init__(self, limit_bytes: int, size_bytes: Callable[[V], int]) -> None:
        """Hold nothing yet.

        Args:
            limit_bytes: Most bytes of all values together.
            size_bytes: Size of a value; the same at each call.
        """
        self._limit_bytes = limit_bytes
        self._size_bytes = size_bytes
        self._held: OrderedDict[K, V] = OrderedDict()
        self._changing = threading.Lock()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: K) -> bool:
        return key in self._held

    def held(self) -> list[K]:
        """Keys that are held now."""
        return list(self._held)

    def get(self, key: K) -> V | None:
        """The value of that key, which is now the most recently used; None where it is not held."""
        value = self._held.get(key)
        if value is not None:
            try:
                self._held.move_to_end(key)
            except KeyError:  # another thread has let it go meanwhile
                return None
        return value

    def put(self, key: K, value: V) -> None:
        """Hold a value, in place of the one that was there."""
        size_bytes = self._size_bytes(value)
        with self._changing:
            self._drop(key)
            # Room comes first, and in single operations: a get meanwhile changes the order.
            while self._held and self.bytes + size_bytes > self._limit_bytes:
                _, oldest = self._held.popitem(last=False)
                self.bytes -= self._size_bytes(oldest)
            self._held[key] = value
            self.bytes += size_bytes

    def pop(self, key: K) -> None:
        """Let go of a key, held or not."""
        with self._changing:
            self._drop(key)

    def _drop(self, key: K) -> None:
        value = self._held.pop(key, None)
        if value is not None:
            self.bytes -= self._size_bytes(value)
