"""The backbones that can be hosted by name: `catalog.toml`, read into frozen values."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from models.base import Modality
from models.errors import BackboneUnknown
from models.sources import Source, source_from_dict, source_to_dict

_CATALOG_PATH = Path(__file__).with_name("catalog.toml")

Pooling = Literal["", "mean", "cls", "last", "pooler", "projection"]
"""How the last hidden states become one embedding; empty = as the architecture is used by its makers."""


@dataclass(frozen=True)
class Options:
    """What can be chosen of a backbone; everything left out follows from the weights' own configuration files.

    Attributes:
        pooling: How hidden states become one embedding.
        normalise: Whether the embedding is brought to unit length; None = as the architecture is used.
        tower: Of a two-tower backbone (CLIP, SigLIP), the one that is hosted.
        prefix: Put before every text, such as E5's ``query: ``.
        max_tokens: Longest text in tokens, special tokens included.
        max_seconds: Longest sound that is taken at once.
        preprocess: Of images: fields of `models.images.pixels.PixelRecipe` that differ from the weights' own; of
            sounds: ``rate`` in Hz.
        taps: Embeddings that are exported: ``pooled``, ``block<k>`` behind block k (from 1), and ``blocks``: the mean
            over tokens or places behind each block, and pooled, in one.
    """

    pooling: Pooling = ""
    normalise: bool | None = None
    tower: Literal["", "text", "vision"] = ""
    prefix: str = ""
    max_tokens: int | None = None
    max_seconds: float | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    taps: tuple[str, ...] = ("pooled",)


@dataclass(frozen=True)
class Expected:
    """Shapes that are known of a backbone before its weights were ever seen; a hosted one's are in its card.

    Attributes:
        pooled: Of one item's embedding.
        blocks: How many ``block<k>`` there are; 0 = not stated.
        block: Of one item's embedding behind each block where all are alike, `models.base.AS_LONG` for its length;
            empty = not stated.
    """

    pooled: tuple[int, ...]
    blocks: int = 0
    block: tuple[int, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A backbone that can be hosted; what is known before its graph exists.

    Attributes:
        id: Name, such as ``minilm-l6``.
        modality: What an item is.
        licence: SPDX id of the weights.
        about: Where the weights come from, one line.
        source: Where the graph comes from.
        options: What was chosen of it.
        trained: Whether anything was learned from data.
        expected: Shapes of its taps; None where nothing is known.
    """

    id: str
    modality: Modality
    licence: str
    about: str
    source: Source
    options: Options = Options()
    trained: bool = True
    expected: Expected | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "source": source_to_dict(self.source)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """What `to_dict` gave, or a table of the catalogue with its id.

        Raises:
            ValueError: An unknown kind of source.
            TypeError: A field too many or too few.
        """
        options = dict(fields.get("options", {}))
        if "taps" in options:
            options["taps"] = tuple(options["taps"])
        shapes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (fields.get("expected") or {}).items()
        }
        return cls(
            **{
                **fields,
                "source": source_from_dict(fields["source"]),
                "options": Options(**options),
                "expected": Expected(**shapes) if shapes else None,
            }
        )


def catalog() -> dict[str, Entry]:
    """Read the catalogue.

    Returns:
        The entries by id, in the order of the file. Cost: 5 ms.
    """
    tables: dict[str, dict[str, Any]] = tomllib.loads(_CATALOG_PATH.read_text(encoding="utf-8"))
    return {id_: Entry.from_dict({"id": id_, **fields}) for id_, fields in tables.items()}


def entry(id_: str) -> Entry:
    """Look one backbone up.

    Raises:
        BackboneUnknown: It is not in the catalogue; the message names those that are.
    """
    entries = catalog()
    if id_ not in entries:
        known = ", ".join(entries)
        raise BackboneUnknown(f"There is no backbone {id_!r} in the catalogue. Choose one of: {known}.")
    return entries[id_]
