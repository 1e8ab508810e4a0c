"""Backbones up to one of their blocks, which adapters that are a part of a backbone stand on.

prepared items -> padded -> block<k>.onnx -> activations, shared by every adapter that begins there
prepared items -> padded                  -> the backbone's own inputs, where an adapter is all of it
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from models.base import Card, Encoded
from models.feeds import feed
from models.hosted import check_files, read_card
from models.session import open_session
from models.streaming import OUTPUT
from models.tuning import INPUT_TAP
from service.errors import NotReady
from service.serving.graphs import Inputs
from service.serving.recent import Recent

TRUNKS_BYTES = 2**30
"""Most memory of a process for trunks: those of ten backbones of 100 MB, cut in the middle."""

_COPIES = 2
"""What a session takes beside nothing: its file some times over (measured for sessions of 90 MB: 1.8 times)."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A backbone up to a tap. Thread-safe.

    Attributes:
        card: Of the backbone.
        session: Up to the block; None where the tap is the backbone's own inputs.
        size_bytes: Memory that it takes, about.
    """

    card: Card
    session: ort.InferenceSession | None
    size_bytes: int = 0

    def run(self, batch: Sequence[Encoded]) -> Inputs:
        """One batch at the tap.

        Args:
            batch: One prepared item or more.

        Returns:
            The backbone's own inputs, padded, and what comes out behind the block: ``hidden_states`` (n, ...) float32.
            Behind an item's end stands what the block makes of padding; the mask hides it.
        """
        inputs = feed(self.card, batch)
        if self.session is None:
            return inputs
        taken = {given.name: inputs[given.name] for given in self.session.get_inputs()}
        return {**inputs, OUTPUT: self.session.run([OUTPUT], taken)[0]}


class Trunks:
    """The trunks of one process; the least recently used leave. Thread-safe."""

    def __init__(
        self, folder: Path, limit_bytes: int = TRUNKS_BYTES, *, threads: int = 1, gpu_memory_bytes: int = 0
    ) -> None:
        """Open nothing yet.

        Args:
            folder: Of hosted backbones.
            limit_bytes: Most memory of all sessions together; the newest stays, however large it is.
            threads: Threads within one operation.
            gpu_memory_bytes: See `models.session.open_session`.
        """
        self._folder = folder
        self._threads = threads
        self._gpu_memory_bytes = gpu_memory_bytes
        self._open: Recent[tuple[str, str], Trunk] = Recent(limit_bytes, lambda trunk: trunk.size_bytes)
        self._opening = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def at(self, card: Card, tap: str) -> Trunk:
        """The trunk of a backbone up to a tap, or nothing of it for `INPUT_TAP`. Blocks where it has to be opened.

        Raises:
            NotReady, WeightsCorrupt: See `open`.
        """
        if tap == INPUT_TAP:
            return Trunk(card, None)
        return self._open.get((card.digest, tap)) or self.open(card.digest, tap)

    def open(self, digest: str, tap: str) -> Trunk:
        """The same up to a block, opened where it is not. Blocks: half a second for each 50 MB.

        Args:
            digest: Of the backbone.
            tap: ``block<k>``.

        Raises:
            NotReady: The backbone, or that tap of it, is not here.
            WeightsCorrupt: A file is not the one that was recorded.
        """
        with self._opening:
            trunk = self._open.get((digest, tap))
            if trunk is None:
                trunk = self._opened(digest, tap)
                self._open.put((digest, tap), trunk)
            return trunk

    def drop(self, digest: str) -> None:
        """Let go of the trunks of a backbone; whoever runs one keeps it until then."""
        for key in self._open.held():
            if key[0] == digest:
                self._open.pop(key)

    def _opened(self, digest: str, tap: str) -> Trunk:
        home, graph = self._folder / digest, f"{tap}.onnx"
        card = read_card(home)  # taps are added after a backbone was hosted: one that was read before may lack them
        if tap not in card.taps:
            raise NotReady(
                f"Backbone {card.id} has no tap {tap!r} here; restore the folder 'backbones' from a backup, or fit the "
                "adapter again, which exports it."
            )
        check_files(card, home, [graph])
        session = open_session(home / graph, threads=self._threads, gpu_memory_bytes=self._gpu_memory_bytes)
        return Trunk(card, session, _COPIES * (home / graph).stat().st_size)
