"""`client.signatures`: what is known of classes that nobody has an example of.

a table of classes x attributes (a file, or a mapping) -> named attributes
names or descriptions of classes, and a backbone       -> their embeddings
"""

import builtins
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

from graft._calls import Calls, Request
from graft._resources import given, new_key, pages, segment
from graft._types import Json, Wire, fields_of
from graft._upload import upload_file

Descriptions = Sequence[str] | Mapping[str, str | Sequence[str]]
"""Names of classes, or one or several descriptions of each by its name."""

TableOf = Mapping[str, Mapping[str, float | bool | str | None]] | Sequence[Mapping[str, Any]]
"""Attributes of classes, by class and then by attribute, None where one is not known; or an object a class, ``{"name":
"liger", "mixture": [["tiger", 0.5], ["lion", 0.5]]}``, with a mixture of others or its ``attributes``."""

Groups = Sequence[str] | Mapping[str, Sequence[str | float]]
"""Names of columns, or the values that each may have."""


@dataclass(frozen=True)
class Signatures(Wire):
    """A table of classes x attributes.

    `classes` and `attributes` are in the table's order, in a list of signatures only the first few of
    `class_count` and `attribute_count`; `kinds` are ``binary`` or ``continuous``, an attribute each, and `groups` are
    attributes of which a class has one. `backbone` embedded the texts, in `templates`, that they were made of: then
    attributes have no names. `missing` counts the cells where nothing is known, and `notes` say what is odd.
    """

    id: str
    name: str = ""
    class_count: int = 0
    attribute_count: int = 0
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: int = 0
    backbone: str | None = None
    templates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created_at: str = ""

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        for name in ("classes", "attributes", "kinds", "templates", "notes"):
            known[name] = tuple(data.get(name) or ())
        known["groups"] = {name: tuple(members) for name, members in (data.get("groups") or {}).items()}
        return cls(**known)


class SignaturesOf:
    """Signatures of the tenant."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(
        self,
        table: str | Path | bytes | TableOf | None = None,
        *,
        groups: Groups | None = None,
        labels: Descriptions | None = None,
        backbone: str | None = None,
        templates: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Signatures:
        """Make signatures. The same content gives the same ones.

        Args:
            table: A CSV or JSON file (a path, or its bytes), or a mapping of classes to their attributes.
            groups: Columns of the table of which each value becomes an attribute, as those of words do anyway.
            labels: In place of a table: names of classes, or descriptions by name, which `backbone` embeds.
            backbone: Of texts, not of a file: what embeds them; the default text backbone where left out.
            templates: Of texts too: sentences with ``{}`` where a description goes; their embeddings are averaged.
            name: What to call them; the file's name where left out.

        Raises:
            ApiError: A class is there twice, a cell is no value, all classes are alike, or the file cannot be read;
                `problems` lists rows.
            TypeError: Both a table and labels, or neither; a backbone or templates beside a file.
            OSError: The file cannot be read.
        """
        if (table is None) == (labels is None):
            raise TypeError("Give a table, or labels with the backbone that embeds them.")
        words = given({"backbone": backbone, "templates": templates and list(templates)})
        beside = given({"name": name, "groups": groups})
        if isinstance(table, str | Path | bytes):
            if words:
                raise TypeError(f"{' and '.join(words)}: what embeds labels; a file tells classes by attributes.")
            return self._uploaded(table, beside)
        body = beside | words | ({"classes": table} if table is not None else {"labels": told(labels)})
        made = self._calls.json("POST", "/v1/signatures", repeatable=True, headers=new_key(), json=body)
        return Signatures.from_json(made)

    def _uploaded(self, table: str | Path | bytes, meta: dict[str, Any]) -> Signatures:
        form = {"meta": json.dumps(meta)} if meta else {}
        with upload_file(table) as file:
            request: Request = {"headers": new_key(), "files": {"file": file}, "data": form}
            return Signatures.from_json(self._calls.json("POST", "/v1/signatures", repeatable=True, **request))

    def list(self, *, limit: int | None = None) -> Sequence[Signatures]:
        """Signatures in the service's order; without their tables."""
        return [Signatures.from_json(one) for one in islice(pages(self._calls, "/v1/signatures"), limit)]

    def get(self, signatures: str, *, values: bool = False) -> Signatures:
        """One by its id; with `values`, ``raw["values"]`` is the table. Raises NotFound."""
        params = {"values": "true"} if values else {}
        return Signatures.from_json(self._calls.json("GET", f"/v1/signatures/{segment(signatures)}", params=params))

    def delete(self, signatures: str) -> None:
        """Delete one by its id; versions made with it stay. Raises NotFound."""
        self._calls.send("DELETE", f"/v1/signatures/{segment(signatures)}")


def told(labels: Descriptions | None) -> builtins.list[str] | dict[str, Any] | None:
    """Labels as JSON: a list of names, or an object of descriptions."""
    if labels is None:
        return None
    if isinstance(labels, str):
        raise TypeError(f"labels is a single text; put it in a list: [{labels!r}].")
    if isinstance(labels, Mapping):
        return {name: text if isinstance(text, str) else list(text) for name, text in labels.items()}
    return list(labels)
