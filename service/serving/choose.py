"""Which backbone a fit or a ranking works with, of those that its tenant sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import BackboneUnknown, Problem
from service.errors import BodyInvalid, NotReady
from service.registry.backbones import PREPARING, READY
from service.serving.standing import Standing

AUTO = "auto"
"""Instead of a name: the backbones are compared on the data, and the best one is taken."""

WORDS = {"text": "texts", "image": "images", "audio": "sounds"}
"""What items of the modalities that backbones embed are called."""

FREE = {"text": "minilm-l6", "image": "scatter-2d", "audio": "logmel-stats"}
"""Of each modality, one of the catalogue that needs no download."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        backbone: Its name; `AUTO` where `candidates` are compared first.
        candidates: Names of those that are compared.
    """

    backbone: str
    candidates: tuple[str, ...] = ()


def choose(standings: Sequence[Standing], operators: Sequence[str], modality: str, asked: str | None) -> Choice:
    """The backbone of a fit.

    Args:
        standings: What the tenant sees.
        operators: Names in the operator's order.
        modality: Of the dataset.
        asked: A name, `AUTO`, or None for the default: the first one that was trained, the operator's before the
            tenant's own; the first of fixed transforms where none was.

    Raises:
        BackboneUnknown: There is none of that name, or none of the modality.
        BodyInvalid: The one that was asked for takes other items, or could not be hosted.
        NotReady: It is still being hosted.
    """
    if asked is not None and asked != AUTO:
        return Choice(_named(standings, modality, asked, "/backbone").id)
    fitting = usable(standings, operators, modality)
    if asked is None or len(fitting) == 1:
        return Choice(fitting[0].id)
    return Choice(AUTO, tuple(standing.id for standing in fitting))


def compared(
    standings: Sequence[Standing], operators: Sequence[str], modality: str, asked: Sequence[str] | None
) -> tuple[str, ...]:
    """The backbones of a ranking; raises as `choose` does."""
    if asked is None:
        return tuple(standing.id for standing in usable(standings, operators, modality))
    names = dict.fromkeys(asked)
    return tuple(_named(standings, modality, name, f"/backbones/{i}").id for i, name in enumerate(names))


def usable(standings: Sequence[Standing], operators: Sequence[str], modality: str) -> list[Standing]:
    """Those of a modality that a fit can work with now or when its turn comes, the best guess first.

    Raises:
        BackboneUnknown: There is none.
    """
    found = [s for s in standings if s.modality == modality and (s.state == READY or not s.own)]
    if not found:
        raise BackboneUnknown(
            f"No backbone for {WORDS[modality]} is hosted here. Host one: POST /v1/backbones "
            f'{{"id": "{FREE[modality]}"}}; GET /v1/backbones lists what there is.',
            problems=[Problem(f"none for {WORDS[modality]}", pointer="/backbone")],
        )
    order = {name: place for place, name in enumerate(operators)}
    return sorted(found, key=lambda s: (not s.trained, s.own, order.get(s.id, 0), s.id))


def _named(standings: Sequence[Standing], modality: str, name: str, pointer: str) -> Standing:
    standing = next((s for s in standings if s.id == name), None)
    if standing is None:
        names = ", ".join(s.id for s in standings)
        raise BackboneUnknown(
            f"There is no backbone {name[:100]!r} here; hosted are {names} (GET /v1/backbones).",
            problems=[Problem("no such backbone", pointer=pointer)],
        )
    if standing.modality not in (None, modality):
        raise BodyInvalid(
            f"Backbone {name!r} takes {WORDS[str(standing.modality)]}, and the dataset holds {WORDS[modality]}; name "
            f"one for {WORDS[modality]}, or leave it out.",
            problems=[Problem(f"not for {WORDS[modality]}", pointer=pointer)],
        )
    if standing.own and standing.state == PREPARING:
        raise NotReady(f"Backbone {name!r} is still being hosted by {standing.job}; send it again when that has ended.")
    if standing.own and standing.state != READY:
        raise BodyInvalid(
            f"Backbone {name!r} could not be hosted: {(standing.error or {}).get('detail', 'no reason is known')} "
            "POST /v1/backbones asks for it again.",
            problems=[Problem("could not be hosted", pointer=pointer)],
        )
    return standing
