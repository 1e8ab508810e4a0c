"""How an adapter is named in a call: ``name`` (its live version), ``name@alias``, ``name:3``."""

import re
from dataclasses import dataclass

from service.errors import BodyInvalid, NotFound
from service.registry.adapters import LIVE, Adapter, Version

NAME = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
"""What names of adapters and aliases look like: they stand in URLs, file names and references."""

_REFERENCE = re.compile(rf"(?P<name>{NAME})(?:@(?P<alias>{NAME})|:(?P<number>[1-9][0-9]{{0,8}}))?")


@dataclass(frozen=True)
class Reference:
    """A parsed reference; `number` is None where an alias is followed."""

    name: str
    alias: str
    number: int | None

    def pick(self, adapter: Adapter) -> tuple[int, Version]:
        """The version of an adapter that the reference names now.

        Raises:
            NotFound: The adapter has no such alias or version.
        """
        number = self.number
        if number is None:
            if self.alias not in adapter.aliases:
                there = ", ".join(sorted(adapter.aliases))
                raise NotFound(f"Adapter {self.name!r} has no alias {self.alias!r}; it has {there}.")
            number = adapter.aliases[self.alias].version
        if number not in adapter.versions:
            there = ", ".join(map(str, adapter.versions))
            raise NotFound(f"Adapter {self.name!r} has no version {number}; it has {there}.")
        return number, adapter.versions[number]


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
