"""What zero-shot heads learn of items: one file a family, each front known by its kind."""

from adapters.zero_shot.fronts.base import Front
from adapters.zero_shot.fronts.linear import LinearFront

FRONTS: dict[str, type[Front]] = {front.kind: front for front in (LinearFront,)}
"""Every front by its kind."""

__all__ = ["FRONTS", "Front", "LinearFront"]
