"""What came of fitting a version again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from graft._types import Json, Wire, fields_of


@dataclass(frozen=True)
class Digests(Wire):
    """A file of a version: its sha256 `before`, as it was published, and `after`; None where it is not there."""

    before: str | None = None
    after: str | None = None

    @property
    def same(self) -> bool:
        """Not a byte differs."""
        return self.before == self.after


@dataclass(frozen=True)
class Refit(Wire):
    """Whether a version that was fitted again came out the same.

    `adapter` is the version (``intents:3``), `same` says that no byte of it differs, `files` holds the digests of each
    of its files, and `differs_because` what may explain a difference, in sentences. Nothing was published.
    """

    adapter: str = ""
    same: bool = False
    files: Mapping[str, Digests] = field(default_factory=dict)
    differs_because: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known["files"] = {name: Digests.from_json(one) for name, one in (data.get("files") or {}).items()}
        known["differs_because"] = tuple(data.get("differs_because") or ())
        return cls(**known)

    @property
    def differing(self) -> list[str]:
        """Names of the files that differ."""
        return [name for name, digests in self.files.items() if not digests.same]
