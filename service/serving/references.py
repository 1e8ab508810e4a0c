"""How an adapter is named in a call: ``name`` (its live version), ``name@alias``, ``name:3``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.errors import BodyInvalid, NotFound
from service.registry.adapters import LIVE

NAME = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
"""What names of adapters and aliases look like: they stand in URLs, file names and references."""

_REFERENCE = re.compile(rf"(?P<name>{NAME})(?:@(?P<alias>{NAME})|:(?P<number>[1-9][0-9]{{0,8}}))?")


@dataclass(frozen=True)
class Reference:
    """A parsed reference; `number` is None where an alias is followed."""

    name: str
    alias: str
    number: int | None

    def pick(self, aliases: Mapping[str, int], numbers: Sequence[int]) -> int:
        """The number of the version that the reference names now.

        Args:
            aliases: Of the adapter: the version that each points to.
            numbers: Of the versions that there are.

        Raises:
            NotFound: The adapter has no such alias or version.
        """
        number = self.number or aliases.get(self.alias)
        if number is None:
            there = ", ".join(sorted(aliases))
            raise NotFound(f"Adapter {self.name!r} has no alias {self.alias!r}; it has {there}.")
        if number not in numbers:
            there = ", ".join(map(str, numbers))
            raise NotFound(f"Adapter {self.name!r} has no version {number}; it has {there}.")
        return number


def parse(text: str) -> Reference:
    """Parse a reference.

    Raises:
        BodyInvalid: It is not a reference.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise BodyInvalid(
            f"{text[:100]!r} does not name an adapter; write 'name', 'name@alias' or 'name:3', with names of at most "
            "64 lower-case letters, digits, '.', '_' and '-' that begin and end with a letter or digit."
        )
    number = match["number"]
    return Reference(match["name"], match["alias"] or LIVE, int(number) if number else None)
