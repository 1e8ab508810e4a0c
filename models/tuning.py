"""A way into a hosted backbone for who trains parts of it: its weights in torch, and items at its blocks.

    items -> prepare -> block<depth-k>.onnx -> activations on disk -> tail(k) in torch -> embedding
    items -> prepare                        ->                        whole() in torch -> embedding

The trunk is the very ONNX file that serves, so that what a tail is trained on is what it will see.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from models.base import Card

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

INPUT_TAP = "input"
"""Tap of an adapter that takes the backbone's own inputs."""

ATTENTION = frozenset(
    ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "q", "v", "qkv", "query_key_value", "c_attn", "in_proj")
)
"""What makes queries and values of attention is called, in networks that keep them apart and in those that do not."""


class Tuning(Protocol):
    """A hosted backbone whose weights are at hand, and the items of one fit."""

    @property
    def card(self) -> Card:
        """Of the backbone."""
        ...

    @property
    def depth(self) -> int:
        """Blocks of the network."""
        ...

    @property
    def block_weights(self) -> int:
        """Numbers that were learned in one block, on average: what a fit of the last k costs."""
        ...

    def __len__(self) -> int:
        """Items."""
        ...

    def tap(self, k: int | None) -> str:
        """Where the last k blocks begin: ``block<depth-k>``; `INPUT_TAP` for None, all of the network."""
        ...

    def module(self, k: int | None) -> "torch.nn.Module":
        """A fresh copy, with the pretrained weights, of the last k blocks and all behind them.

        Args:
            k: 1 to depth - 1; None = the whole network, from its inputs.

        Returns:
            In evaluation mode, on the CPU; takes what `batch` gives by position, returns (n, d) float32: the embedding
            as the hosted graph computes it (pooled, and of unit length where that is). Its blocks are named
            ``blocks.<i>``, counted from the first one of the network, 0; ``blocks`` maps str(i) to them.
        """
        ...

    def bring(self, k: int | None, *, on_progress: Callable[[float], None], check: Callable[[], None]) -> None:
        """Bring all items to where `module(k)` begins; exports and hosts that tap where it is not there. Idempotent.

        Args:
            k: As in `module`.
            on_progress: Called with the share done, in (0, 1].
            check: Called often; whatever it raises ends the call.

        Raises:
            SourceRefused: The network cannot be cut there; the message says why.
        """
        ...

    def sizes(self) -> "npt.NDArray[np.int64]":
        """(n,) tokens, patches or samples of each item: what a batch of it costs."""
        ...

    def batch(self, k: int | None, at: Sequence[int]) -> "dict[str, npt.NDArray[np.generic]]":
        """Items, padded to the longest of them, as `module(k)` and its ONNX file take them: by name, in order.

        Args:
            k: As in `module`; `bring` must have been called with it.
            at: Places of the items.
        """
        ...

    def export(self, scores: "torch.nn.Module", k: int | None) -> bytes:
        """A module that takes what `batch(k, ...)` gives, and returns (n, c) scores, as an ONNX file.

        The same weights give the same bytes.

        Raises:
            ExportFailed: torch cannot export it.
            ExportMismatch: The file differs from torch by more than `models.export.TOLERANCE` on items of the fit.
        """
        ...
