"""How far a job is, said at least once a second, whatever it is doing.

A stage tells its own share when it knows one. In between, a thread of its own creeps toward the end of the stage and
never reaches it: who looks on sees that the work goes on, and that it is not done.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

OnStage = Callable[[str, float], None]

BEAT_S = 0.5
_CREEP = 0.03
"""Share of what is left of a stage that a beat adds."""


class Progress:
    """One job's progress, which never goes back. Thread-safe."""

    def __init__(self, on_stage: OnStage, weights: Mapping[str, float]) -> None:
        """Nothing is said yet.

        Args:
            on_stage: Called with the stage and the share of the whole that is done, in [0, 1].
            weights: Time that each stage takes beside the others, roughly, in their order.
        """
        self._on_stage = on_stage
        total = sum(weights.values())
        self._ends: dict[str, tuple[float, float]] = {}
        begin = 0.0
        for stage, weight in weights.items():
            self._ends[stage] = (begin / total, (begin + weight) / total)
            begin += weight
        self._lock = threading.Lock()
        self._stage = next(iter(weights))
        self._shown = 0.0

    def report(self, stage: str, share: float) -> None:
        """Say that a stage has done a share of its own in [0, 1]."""
        begin, end = self._ends.get(stage, (self._shown, 1.0))
        with self._lock:
            self._stage = stage
            self._shown = max(self._shown, begin + (end - begin) * min(1.0, max(0.0, float(share))))
            self._on_stage(stage, self._shown)

    def beat(self) -> None:
        """Say that the stage goes on."""
        with self._lock:
            _, end = self._ends.get(self._stage, (0.0, 1.0))
            self._shown += max(0.0, end - self._shown) * _CREEP
            self._on_stage(self._stage, self._shown)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat every `BEAT_S` seconds as long as the block runs."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(BEAT_S):
                self.beat()

        thread = threading.Thread(target=run, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
