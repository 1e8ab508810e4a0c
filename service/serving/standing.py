"""A backbone as one tenant sees it."""

from dataclasses import dataclass
from typing import Any

from models.base import Card
from models.catalog import Entry


@dataclass(frozen=True)
class Standing:
    """A backbone as one tenant sees it.

    Attributes:
        id: Its name.
        card: What it is, once it can embed here.
        state: ``ready`` to embed, ``preparing`` (a worker exports it, or this process opens it) or ``failed``.
        entry: What was asked for.
        own: Whether it is the tenant's own, and not the operator's.
        provider, provider_why: What runs it here, and why that; empty until it is ready.
        job: The job that hosts it, or has hosted it.
        error: Problem object when that failed.
    """

    id: str
    card: Card | None
    state: str
    entry: Entry | None = None
    own: bool = False
    provider: str = ""
    provider_why: str = ""
    job: str | None = None
    error: dict[str, Any] | None = None

    @property
    def modality(self) -> str | None:
        """What an item is; None where that is known only when it is hosted."""
        return self.card.modality if self.card else self.entry.modality if self.entry else None

    @property
    def trained(self) -> bool:
        """Whether anything was learned from data."""
        return self.card.trained if self.card else self.entry is None or self.entry.trained
