"""What zero-shot heads learn of items: one file a family, each front known by its kind."""

from adapters.zero_shot.fronts.attributes import DirectAttributeFront, IndirectAttributeFront
from adapters.zero_shot.fronts.base import Front
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.fronts.cosine import CosineFront
from adapters.zero_shot.fronts.linear import LinearFront

FRONTS: dict[str, type[Front]] = {
    front.kind: front for front in (LinearFront, CosineFront, DirectAttributeFront, IndirectAttributeFront, ConvexFront)
}
"""Every front by its kind."""

__all__ = [
    "FRONTS",
    "ConvexFront",
    "CosineFront",
    "DirectAttributeFront",
    "Front",
    "IndirectAttributeFront",
    "LinearFront",
]
