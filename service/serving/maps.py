"""The maps that stand between embeddings and affine heads: few, as adapters share them, and each once a process."""

import threading
from dataclasses import dataclass

from adapters.base import F32
from adapters.maps import FourierMap
from service.serving.heads import Slot
from service.serving.recent import Recent

MAPS_BYTES = 128 * 2**20
"""Most memory of a process for maps: 40 of 384 numbers to 4,096. Those of one tap's adapters are a handful."""


@dataclass(frozen=True, slots=True)
class MappedSlot:
    """An affine head on the features of a map.

    Attributes:
        map: From an embedding to features.
        slot: From features to scores.
    """

    map: FourierMap
    slot: Slot

    def scores(self, z: F32) -> F32:
        """See `Slot.scores`; z is (n, d) float32 as the map takes it."""
        return self.slot.scores(self.map.apply(z))

    def probabilities(self, z: F32) -> F32:
        """See `Slot.probabilities`."""
        return self.slot.probabilities(self.map.apply(z))

    def marks(self, z: F32) -> F32:
        """See `Slot.marks`."""
        return self.slot.marks(self.map.apply(z))


class Maps:
    """The maps of one process, by digest. Thread-safe."""

    def __init__(self, limit_bytes: int = MAPS_BYTES) -> None:
        self._held: Recent[str, tuple[FourierMap, int]] = Recent(limit_bytes, lambda held: held[1])
        self._reading = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> FourierMap | None:
        """The map of that key, or None where it is not held."""
        held = self._held.get(key)
        return None if held is None else held[0]

    def put(self, key: str, data: bytes) -> FourierMap:
        """Hold a map; the same key always means the same file.

        Raises:
            WeightsCorrupt: It is not a map.
        """
        with self._reading:  # so that threads that come at once share one
            found = self.get(key)
            if found is None:
                found = FourierMap.from_bytes(data)
                self._held.put(key, (found, len(data)))
            return found
