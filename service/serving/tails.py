"""Adapters that are a part of the backbone: from items to their answers.

    items -> prepare -> one batch, with everybody else's -> trunk -> each adapter's own session -> answers

The line, its lanes and its limits are an encoder's. A batch is of items that begin at the same tap, whichever adapters
they are for: it goes through the trunk as one, and what comes out to the adapters, in the same thread, so that a lane
holds the activations of one batch and no more (of a text of 256 tokens they are 0.4 MB).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from models.base import Backbone, BatchLimits, Card, Embedding, Encoded, Item
from service.serving.encoder import Encoder
from service.serving.graphs import GraphHead, Inputs
from service.serving.trunks import Trunks


@dataclass(frozen=True)
class Addressed(Encoded):
    """An item that is ready for the trunk, and the head that is to answer it.

    Attributes:
        head: Of an adapter.
    """

    head: GraphHead = field(kw_only=True)


@dataclass(frozen=True)
class _OfBackbone:
    """Says of itself what its backbone says.

    Attributes:
        backbone: The one.
    """

    backbone: Backbone

    @property
    def card(self) -> Card:
        """Of the backbone."""
        return self.backbone.card

    @property
    def limits(self) -> BatchLimits:
        """Of the backbone."""
        return self.backbone.limits

    @property
    def provider(self) -> str:
        """Of the backbone."""
        return self.backbone.provider


@dataclass(frozen=True)
class Addressing(_OfBackbone):
    """A backbone whose items are addressed to one head.

    Attributes:
        backbone: Prepares them.
        head: Answers them.
    """

    head: GraphHead

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """See `Backbone.prepare`."""
        return [Addressed(item.values, item.rest, head=self.head) for item in self.backbone.prepare(items)]

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """See `Backbone.run`."""
        return self.backbone.run(batch)


@dataclass(frozen=True)
class Branching(_OfBackbone):
    """A backbone that runs addressed items: through its trunk together, then each through its own head.

    Attributes:
        backbone: Whose trunk it is.
        tap: Where the heads begin.
        trunks: Opens the trunk where it has been let go.
    """

    tap: str
    trunks: Trunks

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """See `Backbone.prepare`; nobody answers these."""
        return self.backbone.prepare(items)

    def run(self, batch: Sequence[Encoded]) -> list[F32 | Exception]:
        """Answer one batch.

        Args:
            batch: Of `Addressed` items.

        Returns:
            (k,) float32 calibrated probabilities or (1,) values of each item, in the order given; what was raised where
            its head failed, which is no other adapter's matter.
        """
        at = self.trunks.at(self.card, self.tap).run(batch)
        heads = [cast(Addressed, item).head for item in batch]
        answers: list[F32 | Exception | None] = [None] * len(batch)
        for head in {id(head): head for head in heads}.values():
            places = [place for place, own in enumerate(heads) if own is head]
            own = at if len(places) == len(batch) else {name: array[places] for name, array in at.items()}
            for place, answer in zip(places, _answered(head, own, len(places)), strict=True):
                answers[place] = answer
        return cast("list[F32 | Exception]", answers)


@dataclass(frozen=True)
class Tail:
    """An adapter that is a part of a backbone, ready to answer.

    Attributes:
        encoder: On a `Branching`.
        addressing: Prepares items for its head.
    """

    encoder: Encoder
    addressing: Addressing

    async def answer(self, items: Sequence[Item], width: int) -> tuple[F32, npt.NDArray[np.bool_]]:
        """Answer texts, or files of images or sounds. Of those that are too long the end is left out.

        Args:
            items: One or more, as the backbone takes them.
            width: Classes of the adapter; 1 for values.

        Returns:
            (n, width) float32 calibrated probabilities or values, and (n,) bool whose end was left out.

        Raises:
            Busy, NotReady, WrongInput: See `Encoder.embed`.
        """
        return await self.encoder.run(items, self.addressing, (width,))


def _answered(head: GraphHead, at: Inputs, n: int) -> Sequence[F32 | Exception]:
    try:
        return list(head.run(at))
    except Exception as error:  # of one adapter: those of the others go on
        return [error] * n
