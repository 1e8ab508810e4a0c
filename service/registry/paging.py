"""Pages of a list: `limit` items after the one named `after`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list.

    Attributes:
        data: The items, newest first where they have an age.
        has_more: There are items after the last one.
    """

    data: tuple[T, ...]
    has_more: bool

    def map(self, change: Callable[[T], S]) -> "Page[S]":
        """The same page of changed items."""
        return Page(tuple(change(item) for item in self.data), self.has_more)


def page_of(rows: Sequence[T], limit: int) -> Page[T]:
    """A page from a query that asked for one row more than the limit."""
    return Page(tuple(rows[:limit]), len(rows) > limit)
