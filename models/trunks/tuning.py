"""`models.tuning.Tuning` for backbones whose weights torch can load: those of packages, of the hub and of folders."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.base import AS_LONG, Backbone, Card, Encoded, Item
from models.batching import PREPARED_AT_ONCE
from models.catalog import Entry
from models.durable import own_staging
from models.errors import SourceRefused
from models.export import TOLERANCE, Inputs, check_parity, export_module, largest_difference
from models.feeds import MASK, Feed, feed, mask_of
from models.hosted import add_tap, open_backbone, read_card
from models.reopen import reopen
from models.streaming import OUTPUT, Activations, Tap, keep, open_tap, stream
from models.taps import check_same
from models.trunks.network import Network, block_name, weight_count
from models.tuning import INPUT_TAP
from models.warm import NO_LIMITS, Limits, sample_items

if TYPE_CHECKING:
    import torch

SCORES = "scores"
_CHECKED = 4
"""Items on which a cut network is compared with the hosted one."""
_MORE = 3
"""Tokens of padding beyond the longest item, in one case of what a graph is tried on."""
_PATCH = 16
"""Edge of what an image's size is counted in, in pixels."""

I64 = npt.NDArray[np.int64]


def open_tuning(
    entry: Entry,
    folder: Path,
    digest: str,
    items: Sequence[Item],
    *,
    scratch: Path,
    threads: int,
    limits: Limits = NO_LIMITS,
) -> "HostedTuning":
    """Open a hosted backbone for training, with the items of one fit.

    Args:
        entry: What it was hosted from.
        folder: The folder of hosted backbones.
        digest: `Card.digest`.
        items: All items of the fit; of long ones the first piece is taken.
        scratch: On the disk that activations are to lie on, in files without names.
        threads: CPU threads within one operation of the trunk.
        limits: What an opened backbone may take of the machine.

    Cost: 1 s for 90 MB of weights, and 5 s for the first import of torch and transformers.

    Raises:
        BackboneUnknown: No backbone with that digest is hosted here.
        SourceRefused: It has no weights in torch, or they are not those of the digest.
        WeightsCorrupt: A file is not the one that was recorded.
    """
    backbone = open_backbone(folder, digest, threads=threads, limits=limits)
    with own_staging(scratch) as staging:
        network = reopen(entry, folder, backbone.card, staging, lambda _stage, _share: None)
    check_same(network, backbone.card, folder / digest)
    return HostedTuning(entry, folder, backbone, network, items, scratch, threads)


@dataclass
class HostedTuning:
    """A hosted backbone whose weights are at hand, and the items of one fit. See `models.tuning.Tuning`.

    Used by one thread.
    """

    entry: Entry
    folder: Path
    backbone: Backbone
    network: Network
    items: Sequence[Item]
    scratch: Path
    threads: int
    _modules: "dict[int | None, torch.nn.Module]" = field(default_factory=dict)
    _brought: dict[int | None, Activations] = field(default_factory=dict)
    _trunks: dict[int, Tap] = field(default_factory=dict)
    _ragged: dict[int, bool] = field(default_factory=dict)
    _sizes: I64 | None = None

    @property
    def card(self) -> Card:
        """Of the backbone, as it is hosted now."""
        return read_card(self.folder / self.backbone.card.digest)

    @property
    def depth(self) -> int:
        """Blocks of the network."""
        return len(self.network.blocks)

    @property
    def block_weights(self) -> int:
        """Numbers that were learned in one block, on average."""
        return sum(map(weight_count, self.network.blocks)) // max(self.depth, 1)

    def __len__(self) -> int:
        """Items."""
        return len(self.items)

    def tap(self, k: int | None) -> str:
        """Where the last k blocks begin.

        Raises:
            SourceRefused: There are not that many blocks.
        """
        return INPUT_TAP if k is None else block_name(self._after(k))

    def module(self, k: int | None) -> "torch.nn.Module":
        """A fresh copy of the last k blocks and all behind them.

        Cost: that of copying the weights; the first time, for each k, the check and what `bring` does to the tap.

        Raises:
            SourceRefused: The network cannot be cut there.
        """
        if k not in self._modules:
            self._modules[k] = self._checked(k)
        return deepcopy(self._modules[k])

    def bring(
        self,
        k: int | None,
        *,
        on_progress: Callable[[float], None],
        check: Callable[[], None],
    ) -> None:
        """Bring all items to where `module(k)` begins, into a file without a name."""
        if k in self._brought:
            return
        self.module(k)
        if k is None:
            brought = keep(self.backbone, self.items, self.scratch, on_progress=on_progress, check=check)
        else:
            brought = stream(self._trunk(k), self.items, self.scratch, on_progress=on_progress, check=check)
            del self._trunks[k]  # it holds the backbone once more, and its first blocks
        self._check_lengths(brought)
        self._brought[k] = brought

    def sizes(self) -> I64:
        """(n,) tokens of texts, patches of images (16 x 16 pixels), samples of sounds, with padding to a fixed length.

        Cost: that of preparing all items, for those of any length.
        """
        if self._sizes is None:
            self._sizes = self._measured()
        return self._sizes

    def batch(self, k: int | None, at: Sequence[int]) -> Feed:
        """Items, padded to the longest of them, as `module(k)` takes them."""
        brought = self._brought[k]
        own = [brought.item(index) for index in at]
        return feed(self.backbone.card, [Encoded(values) for values in own]) if k is None else self._states(k, own)

    def export(self, scores: "torch.nn.Module", k: int | None) -> bytes:
        """A module of scores as an ONNX file; the module is brought to the CPU and to evaluation mode."""
        scores = scores.cpu().eval()
        inputs = self._inputs(k)
        with own_staging(self.scratch) as staging:
            path = staging / "scores.onnx"
            export_module(scores, inputs, SCORES, path)
            check_parity(scores, inputs, SCORES, path)
            return path.read_bytes()

    def _after(self, k: int) -> int:
        if self.depth < 2:
            raise SourceRefused(
                f"{self.network.architecture} repeats nothing, so it has no last blocks to be trained. Train the whole "
                "network, or a head alone."
            )
        if not 1 <= k < self.depth:
            raise SourceRefused(
                f"{self.card.id!r} has {self.depth} blocks, so the last 1 to {self.depth - 1} can be trained, not {k}. "
                "Choose a number between, or train the whole network."
            )
        return self.depth - k

    def _check_lengths(self, brought: Activations) -> None:
        """Refuse sounds that padding would change.

        Raises:
            SourceRefused: They differ in length, and the network hides no padding.
        """
        padded = self.backbone.card.modality == "audio" and brought.ragged
        if padded and len(set((brought.stops - brought.starts).tolist())) > 1:
            raise SourceRefused(
                f"{self.card.id!r} takes sounds of any length and hides no padding, so that sounds of unlike length "
                "cannot be trained on together. Cut them to one length, or choose a backbone of a fixed length."
            )

    def _checked(self, k: int | None) -> "torch.nn.Module":
        """A module that computes what the hosted backbone does."""
        from models.trunks.cut import tail_behind, whole

        if k is None:
            return whole(self.network)
        tail = tail_behind(self.network, self._after(k))
        add_tap(self.entry, self.folder, self.backbone.card.digest, self.tap(k), lambda _stage, _share: None)
        self._compare(tail, k)
        return tail

    def _compare(self, tail: "torch.nn.Module", k: int) -> None:
        """Run some items through trunk and tail.

        Raises:
            SourceRefused: They do not give the hosted embedding.
        """
        import torch

        samples = list(self.items[:_CHECKED]) or sample_items(self.backbone.card.modality)
        for encoded in self.backbone.prepare(samples):
            own = self._trunk(k).run([encoded])
            with torch.inference_mode():
                seen = tail(*map(torch.from_numpy, self._states(k, own).values())).numpy()
            difference = largest_difference(self.backbone.run([encoded]), seen)
            if not difference <= TOLERANCE:
                raise SourceRefused(
                    f"{self.card.id!r} cannot be cut there: behind {self.tap(k)} its embedding differs by "
                    f"{difference:.1e}. Train the whole network, or a head alone."
                )

    def _trunk(self, k: int) -> Tap:
        if k not in self._trunks:
            self._trunks[k] = open_tap(self.folder, self.backbone.card.digest, self.tap(k), threads=self.threads)
            self._ragged[k] = AS_LONG in self._trunks[k].shape
        return self._trunks[k]

    def _states(self, k: int, own: Sequence[npt.NDArray[Any]]) -> Feed:
        """Items' activations as one batch: padded with zeros, which the mask hides where texts differ in length."""
        sizes = np.array([len(states) for states in own], dtype=np.int64)
        padded = np.zeros((len(own), int(sizes.max()), *own[0].shape[1:]), dtype=np.float32)
        for row, states in zip(padded, own, strict=True):
            row[: len(states)] = states
        masked = self.backbone.card.modality == "text" and self._ragged[k]
        return {OUTPUT: padded} | ({MASK: mask_of(sizes)} if masked else {})

    def _inputs(self, k: int | None) -> Inputs:
        """What an exported module is tried on: short and long items together, alone, and with more padding."""
        order = np.argsort(self.sizes(), kind="stable").tolist()
        chosen = [[order[0], order[-1]], [order[len(order) // 2]], order[:: max(1, len(order) // _CHECKED)][:_CHECKED]]
        feeds = [self.batch(k, at) for at in chosen]
        cases = [tuple(each.values()) for each in feeds]
        if MASK in feeds[0]:
            cases.insert(0, tuple(_more_padding(array) for array in cases[0]))
        return Inputs(tuple(feeds[0]), self._axes(k), tuple(cases))

    def _axes(self, k: int | None) -> tuple[str, ...]:
        if k is None:
            return self.network.inputs.axes
        return ("batch", "tokens") if self._ragged[k] else ("batch",)

    def _measured(self) -> I64:
        card = self.backbone.card
        if card.modality == "image":
            height, width = card.recipe["pixels"]["size"]
            return np.full(len(self), -(-height // _PATCH) * -(-width // _PATCH), dtype=np.int64)
        if fixed := card.recipe.get("fixed_samples"):
            return np.full(len(self), fixed, dtype=np.int64)
        at_once = PREPARED_AT_ONCE[card.modality]
        starts = range(0, len(self), at_once)
        sizes = [item.size for start in starts for item in self.backbone.prepare(self.items[start : start + at_once])]
        return np.array(sizes, dtype=np.int64)


def _more_padding(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.pad(array, [(0, 0), (0, _MORE), *[(0, 0)] * (array.ndim - 2)])
