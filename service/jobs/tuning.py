"""A way into a fit's backbone that is opened when a method first walks it: torch alone takes seconds to import."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.base import Card, Item
from models.catalog import Entry
from models.tuning import Tuning
from models.warm import Limits

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

_MANY_WEIGHTS, _USUAL_BLOCKS = 10**8, 12
_CHARS_A_TOKEN = 4
_SPECIAL_TOKENS = 2
_PATCH_PX = 16


@dataclass
class LazyTuning:
    """`Tuning` of a hosted backbone, not opened yet; see there for what each part of it does.

    Attributes:
        entry: What the backbone was made of.
        card: Of the hosted backbone.
        folder: Of hosted backbones.
        items: Of the fit.
        threads: CPU threads within one operation.
        limits: What it may take of the machine.
    """

    entry: Entry
    card: Card
    folder: Path
    items: Sequence[Item]
    threads: int
    limits: Limits
    _open: Tuning | None = None

    def __len__(self) -> int:
        """Items."""
        return len(self.items)

    @property
    def depth(self) -> int:
        """Blocks of the network."""
        known = self.card.recipe.get("blocks")
        return self._opened().depth if known is None else int(known)

    @property
    def block_weights(self) -> int:
        """Numbers in one block, on average."""
        known = self.card.recipe.get("block_parameters")
        if known is None and self._open is None:  # hosted before that was noted
            known = int(self.card.recipe.get("parameters", _MANY_WEIGHTS)) // _USUAL_BLOCKS
        return self._opened().block_weights if known is None else int(known)

    def tap(self, k: int | None) -> str:
        """Where the last k blocks begin."""
        return self._opened().tap(k)

    def module(self, k: int | None) -> "torch.nn.Module":
        """The last k blocks and all behind them, in torch."""
        return self._opened().module(k)

    def bring(self, k: int | None, *, on_progress: Callable[[float], None], check: Callable[[], None]) -> None:
        """Bring all items to where `module(k)` begins."""
        self._opened().bring(k, on_progress=on_progress, check=check)

    def sizes(self) -> "npt.NDArray[np.int64]":
        """(n,) what a batch of each item costs; a guess as long as nothing is opened, and sounds are not guessed."""
        guess = None if self._open is not None else self._guessed()
        return self._opened().sizes() if guess is None else guess

    def batch(self, k: int | None, at: Sequence[int]) -> "dict[str, npt.NDArray[np.generic]]":
        """Items as `module(k)` takes them."""
        return self._opened().batch(k, at)

    def export(self, scores: "torch.nn.Module", k: int | None) -> bytes:
        """A module of scores as an ONNX file."""
        return self._opened().export(scores, k)

    def _guessed(self) -> "npt.NDArray[np.int64] | None":
        if self.card.modality == "text":
            most = self.card.max_tokens or 512
            tokens = [min(most, _SPECIAL_TOKENS + len(item) // _CHARS_A_TOKEN) for item in self.items]
            return np.array(tokens, dtype=np.int64)
        if self.card.modality == "image":
            height, width = self.card.recipe["pixels"]["size"]
            return np.full(len(self.items), (height // _PATCH_PX) * (width // _PATCH_PX), dtype=np.int64)
        return None

    def _opened(self) -> Tuning:
        if self._open is None:
            from models.trunks.tuning import open_tuning

            self._open = open_tuning(
                self.entry,
                self.folder,
                self.card.digest,
                self.items,
                scratch=self.folder,
                threads=self.threads,
                limits=self.limits,
            )
        return self._open
