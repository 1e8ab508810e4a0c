"""Backbones of two towers (CLIP, SigLIP): which of them embeds the words for the items of which.

Images have words too where their backbone is one tower of two: the other tower, hosted from the same source, embeds the
words into the same space.
"""

from collections.abc import Sequence

from models.base import Card
from models.errors import Problem
from service.errors import BodyInvalid, NotReady
from service.registry.jobs import FAILED
from service.serving.standing import Standing


def partner(standings: Sequence[Standing], backbone: Standing) -> Standing:
    """The text backbone whose words lie in a backbone's space: of texts itself, of one tower the other.

    Args:
        standings: What the tenant sees.
        backbone: One of them.

    Raises:
        BodyInvalid: It embeds no texts and is no tower of two, or the other tower is not hosted.
    """
    if backbone.modality == "text":
        return backbone
    others = [other for other in standings if _partners(backbone, other)]
    if others:  # one that is ready before one that is not
        return min(others, key=lambda other: (other.card is None, other.own, other.id))
    if backbone.entry is None or backbone.entry.options.tower != "vision":
        raise _wrong_backbone(
            f"Backbone {backbone.id!r} takes {backbone.modality} items, and words have no place among its embeddings. "
            "Name a text backbone, or the image tower of a two-tower one (clip-b32-vision, siglip-b16-vision) with its "
            "text tower hosted beside it."
        )
    raise _wrong_backbone(
        f"Backbone {backbone.id!r} is the image tower of {backbone.entry.about or 'a two-tower backbone'}, and the "
        "text tower of the same source and pooling, which embeds the words, is not hosted. Host it: POST /v1/backbones "
        'with the same source and "tower": "text"; of the catalogue its name ends in -text.'
    )


def same_space(standings: Sequence[Standing], signatures_digest: str, backbone_digest: str) -> bool:
    """Whether embeddings of two backbones may be compared: they are one backbone, or the two towers of one.

    Args:
        standings: What the tenant sees.
        signatures_digest: Of the backbone that embedded the words (`Signatures.space`); "" is in no space.
        backbone_digest: Of the backbone that embeds the items.
    """
    if not signatures_digest:
        return False
    if signatures_digest == backbone_digest:
        return True
    known = [standing for standing in standings if standing.card is not None]
    return any(
        _partners(one, other) and card_of(one).digest == backbone_digest and card_of(other).digest == signatures_digest
        for one in known
        for other in known
    )


def card_of(standing: Standing) -> Card:
    """What is known of a backbone that is ready; raises NotReady where it is not."""
    if standing.card is None:
        raise NotReady(f"Backbone {standing.id!r} is being prepared; try again in some seconds.")
    return standing.card


def ready(standing: Standing) -> Standing:
    """A backbone that can embed.

    Raises:
        BodyInvalid: It could not be hosted.
        NotReady: It is still being prepared.
    """
    if standing.state == FAILED:
        raise _wrong_backbone(
            f"Backbone {standing.id!r} could not be hosted; GET /v1/backbones/{standing.id} says why."
        )
    card_of(standing)
    return standing


def _partners(one: Standing, other: Standing) -> bool:
    """Whether they are the image and the text tower of one backbone."""
    if one.entry is None or other.entry is None:
        return False
    ours, theirs = one.entry.options, other.entry.options
    return (
        (ours.tower, theirs.tower) == ("vision", "text")
        and one.entry.source == other.entry.source
        and ours.pooling == theirs.pooling
        and (one.card is None or other.card is None or one.card.taps["pooled"] == other.card.taps["pooled"])
    )


def _wrong_backbone(detail: str) -> BodyInvalid:
    return BodyInvalid(detail, problems=[Problem("see the detail", pointer="/backbone")])
