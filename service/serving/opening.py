"""Hosted backbones, opened to serve: how many sessions each gets, with how many threads."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from models.base import Backbone
from models.hosted import open_backbone
from models.warm import Limits
from service.cores import available_cores
from service.serving.encoder import Encoder, Watcher
from service.serving.recall import Recall
from service.serving.tails import Branching
from service.serving.trunks import Trunks

ONE_SESSION_BYTES = 128 * 2**20
"""Graphs that are larger are opened once; see `Opener.open`."""


@dataclass(frozen=True)
class Opener:
    """Makes encoders; see `Backbones` for what the fields are."""

    folder: Path
    lanes: int
    max_waiting: int
    limits: Limits
    watcher: Watcher | None
    recall: Recall | None

    def open(self, digest: str, tap: str) -> Encoder:
        """A backbone with one thread for each of many batches, and a second time with all threads for a batch alone.

        Measured on two cores, where MobileNetV2, MiniLM and a graph of 226 MB agree within some percent: a batch alone
        takes 0.53 to 0.65 of the time with two threads, and two at once in one session of two threads take 1.01 to 1.14
        of the time that they take with one thread each. The second session costs the weights once more (20 MB, 90 MB,
        340 MB): ONNX Runtime lays them out for its kernels in each session of its own, so that weights that two
        sessions are given in common (`SessionOptions.add_initializer`) save nothing, and its store for what was laid
        out is not there in Python. Hence a large graph has the session of all threads alone. Whatever a GPU runs has
        one session too: threads of the CPU hardly matter to it.

        Args:
            digest: Of the backbone.
            tap: Which of its embeddings the encoder gives.

        Raises:
            BackboneUnknown, WeightsCorrupt: See `open_backbone`.
        """
        graph = self.folder / digest / f"{tap}.onnx"
        is_large = graph.is_file() and graph.stat().st_size > ONE_SESSION_BYTES
        first = self._opened(digest, tap, self.lanes if is_large else 1)
        twice = self.lanes > 1 and not is_large and first.provider == "cpu"
        return Encoder(
            first,
            max_waiting=self.max_waiting,
            lanes=self.lanes,
            wide=self._opened(digest, tap, self.lanes) if twice else None,
            watcher=self.watcher,
            recall=self.recall,
            decoders=available_cores(),
            tap=tap,
        )

    def branching(self, backbone: Backbone, tap: str, trunks: Trunks) -> Encoder:
        """An encoder for the adapters that begin at a tap within a backbone; it opens no session by itself."""
        runs = cast(Backbone, Branching(backbone, tap, trunks))  # an answer of a batch may be an exception
        return Encoder(
            runs,
            max_waiting=self.max_waiting,
            lanes=self.lanes,
            watcher=self.watcher,
            decoders=available_cores(),
            tap=tap,
        )

    def _opened(self, digest: str, tap: str, threads: int) -> Backbone:
        return open_backbone(self.folder, digest, threads=threads, limits=self.limits, tap=tap)
