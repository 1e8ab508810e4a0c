"""Signatures on the wire: classes by attributes, by texts, or as mixtures of one another."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from adapters.signatures import Signatures
from service.registry.signatures import Record

_CONFIG = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]

_WEIGHTS = {
    "anyOf": [
        {"type": "array", "items": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}},
        {"type": "object", "additionalProperties": {"type": "number"}},
    ]
}


def _texts(value: object) -> object:
    """One description is a list of one."""
    return [value] if isinstance(value, str) else value


class ClassIn(BaseModel):
    """A class: by `attributes`, as a `mixture`, by a `description`, or, where a backbone is named, by its name."""

    model_config = _CONFIG

    name: str
    """What it is called; 1 to 200 characters."""
    attributes: dict[str, Any] | None = None
    """Its values by attribute: numbers, true or false, null where nothing is known, or words."""
    mixture: Annotated[Any, WithJsonSchema(_WEIGHTS)] = None
    """Other classes of the same call with their weights, which are positive: `[["tiger", 0.5], ["lion", 0.5]]`."""
    description: Annotated[
        list[str] | None,
        BeforeValidator(_texts),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = None
    """One or several texts of it."""


def _entries(value: object) -> object:
    """Names alone, or an object by name, as the same list of classes."""
    if isinstance(value, list):
        return [{"name": one} if isinstance(one, str) else one for one in value]
    if not isinstance(value, dict):
        return value
    found = []
    for name, told in value.items():
        if not isinstance(told, str | list | dict):
            raise ValueError(  # noqa: TRY004  # pydantic reports no other
                f"{name[:60]!r} must be an object of attributes, a text or a list of texts"
            )
        found.append({"name": name, ("attributes" if isinstance(told, dict) else "description"): told})
    return found


def _groups(value: object) -> object:
    """Names with commas between them, JSON text, a list of names, or an object with the values of each."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value) if value.strip()[:1] in {"[", "{"} else value.split(",")
        except orjson.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error.msg}") from None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name.strip(): [] for name in value if name.strip()}
    return value


def _or_by_name(schema: dict[str, Any]) -> None:
    """The shorter forms, in the schema."""
    schema["anyOf"][:0] = [{"type": "array", "items": {"type": "string"}}, {"type": "object"}]


Classes = Annotated[list[ClassIn], BeforeValidator(_entries)]
Groups = Annotated[
    dict[str, list[str | int | float]],
    BeforeValidator(_groups),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "object"}]}),
    Field(max_length=1_000),
]


class SignaturesMeta(BaseModel):
    """How to read a file of signatures: the form's field `meta`, or parameters of the query."""

    model_config = _CONFIG

    name: Title | None = None
    """What to call them; the file's name otherwise."""
    groups: Groups = {}
    """Columns of which each value becomes an attribute: `["legs"]` turns `legs` into `legs=2`, `legs=4`, ...;
    `{"legs": [0, 2, 4, 8]}` says which values there are. Columns of words are groups anyway."""


class SignaturesRequest(SignaturesMeta):
    """Classes without a file (POST /v1/signatures): exactly one of `classes`, `labels` and `descriptions`."""

    name: Title | None = None
    """What to call them."""
    classes: Classes | None = Field(None, json_schema_extra=_or_by_name)
    """Objects with `name` and `attributes`, `mixture` or `description`; an object of attributes by name; or names, with
    `attributes` and `values`."""
    attributes: list[str] | None = None
    """Names of attributes, where `classes` are names alone."""
    values: list[list[Any]] | None = None
    """One row for each class, one value for each attribute."""
    labels: Classes | None = Field(None, json_schema_extra=_or_by_name)
    """Names that stand for themselves, as words; or descriptions by name."""
    descriptions: Classes | None = Field(None, json_schema_extra=_or_by_name)
    """A text, or a list of texts, by name."""
    backbone: str | None = None
    """Hosted text backbone that embeds labels and descriptions; the default one where left out."""
    templates: list[str] | None = None
    """Sentences with `{}` where a text goes, such as `a photo of a {}`; their embeddings are averaged."""


class SignaturesOut(BaseModel):
    """A table of classes and attributes."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """A digest of what they say: the same content has the same id."""
    name: str
    class_count: int
    attribute_count: int
    classes: list[str]
    """Names, in the table's order; in lists of signatures the first 20."""
    attributes: list[str]
    """The same; none for embeddings."""
    kinds: list[str]
    """Of each attribute: `binary` (0 and 1 alone) or `continuous`."""
    groups: dict[str, list[str]]
    """Attributes of which a class has one."""
    missing: int
    """Cells in which nothing is known."""
    range: list[float] | None
    """Least and largest value."""
    backbone: str | None
    """What embedded the texts; null for attributes that have names."""
    space: str | None
    """Digest of that backbone."""
    templates: list[str]
    notes: list[str]
    """What was decided while reading, and what is odd: equal rows, attributes that tell nothing."""
    created_at: str
    values: list[list[float | None]] | None = None
    """The table, with `?values=true`."""

    @classmethod
    def of(cls, record: Record, table: Signatures | None = None) -> Self:
        """From the registry.

        Args:
            record: What is kept of them.
            table: Themselves, to show every name; None for the first ones alone.
        """
        facts = record.facts | ({} if table is None else _names(table))
        known = {name: facts[name] for name in cls.model_fields if name in facts}
        made = datetime.fromtimestamp(record.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        more: dict[str, Any] = {"backbone": facts.get("backbone") or None, "space": facts["space"] or None}
        templates = facts.get("templates", [])
        return cls(
            **(known | more | {"id": record.id, "name": record.name, "created_at": made, "templates": templates})
        )


def _names(table: Signatures) -> dict[str, list[str]]:
    named = not table.space
    return {
        "classes": list(table.classes),
        "attributes": list(table.attributes) if named else [],
        "kinds": list(table.kinds) if named else [],
    }
