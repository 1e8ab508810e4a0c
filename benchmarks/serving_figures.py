"""What a run of the serving benchmark is given, and all that it measures."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ceiling import Ceiling
from benchmarks.load import write_calls
from benchmarks.rows import Memory, Row

PARTS = ("ceiling", "peers", "adapters", "heads")
CLIENTS = (1, 8, 32)
FEW, MOST = CLIENTS[0], CLIENTS[-1]


@dataclass(frozen=True)
class Chosen:
    """What to run.

    Attributes:
        parts: Of `PARTS`.
        seconds: Of each row.
        rounds: How often each row is measured; medians count.
        starts: How often the service is started with many heads, and with one.
    """

    parts: tuple[str, ...]
    seconds: float
    rounds: int
    starts: int


@dataclass(frozen=True)
class Bench:
    """What all parts work with.

    Attributes:
        chosen: What to run.
        texts: The test texts, shuffled: in their file they are sorted by class, and neighbours are alike.
        folder: For files that the load generator reads.
        say: Tells who watches what is being done.
    """

    chosen: Chosen
    texts: Sequence[str]
    folder: Path
    say: Callable[[str], None]

    def calls(self, name: str, paths: Sequence[str]) -> Path:
        """A file of calls: every text once, each to a path at random."""
        rng = random.Random(0)
        calls = ((rng.choice(paths), {"inputs": [text]}) for text in self.texts)
        return write_calls(self.folder / f"{name.replace(' ', '')}.calls", calls)


@dataclass(frozen=True)
class Heads:
    """The service with so many small heads.

    Attributes:
        heads: How many.
        ready_s: Seconds to ready of each start.
        at_ready: Memory at the last of them.
        asked: Memory after each head was asked, and some thousand requests at least.
        ask_s: Seconds that these requests took: the first request of a head reads it.
        requests: How many.
    """

    heads: int
    ready_s: list[float]
    at_ready: Memory
    asked: Memory
    ask_s: float
    requests: int


@dataclass
class Figures:
    """All that was measured.

    Attributes:
        generator: What made the load.
        peers: Versions of the peers that are installed elsewhere, or why they were left out.
        agreement: Share of texts to which a peer gave the service's label, by its name.
        ceiling: ONNX Runtime alone.
        rounds: Every row of the servers side by side.
        memory: Of each server after these.
        adapters: Rows with one adapter and with many, in turns.
        heads: Few and many.
    """

    generator: str
    peers: dict[str, str] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    ceiling: list[Ceiling] = field(default_factory=list)
    rounds: list[Row] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    adapters: list[Row] = field(default_factory=list)
    heads: list[Heads] = field(default_factory=list)
