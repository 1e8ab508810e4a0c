"""Classes of a JSON body -> classes as they came, texts of them, and mixtures of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.signatures import Mixture, Signatures, mixed
from models.errors import InputError, Problem
from service.errors import BodyInvalid
from service.uploads.cells import is_blank
from service.uploads.rows import Cell, Nested, check_cells
from service.uploads.signatures.given import LIMITS, Given, InEntries, InGrid, clean_attributes, clean_names, refuse

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Entry:
    """One class of a body.

    Attributes:
        name: As it came.
        attributes: Its values by attribute, or None.
        mixture: Other classes with their weights, as pairs or as an object; or None.
        texts: What it is described by; None where nothing is said.
    """

    name: str
    attributes: Mapping[str, Any] | None = None
    mixture: Any = None
    texts: Sequence[str] | None = None


@dataclass(frozen=True)
class Mixtures:
    """Classes that are made of others.

    Attributes:
        of: Each by its name.
        order: All classes, in the order in which they came.
        places: Where they stand.
    """

    of: Mapping[str, Mixture]
    order: tuple[str, ...]
    places: InEntries

    def into(self, signatures: Signatures) -> Signatures:
        """Signatures of all classes, from those of the ones that are described.

        Raises:
            BodyInvalid: A mixture means nothing; see `adapters.signatures.mixed`.
        """
        try:
            return mixed(signatures, self.of).of(self.order) if self.of else signatures
        except InputError as error:
            name = (error.problems[0].pointer or "")[1:].replace("~1", "/").replace("~0", "~")
            pointer = self.places.pointer(self.order.index(name), "mixture")
            raise BodyInvalid(error.message, problems=[Problem(error.message, pointer=pointer)]) from None


@dataclass(frozen=True)
class Texts:
    """Classes told by words.

    Attributes:
        of: Descriptions by class; none where the name stands for it.
    """

    of: Mapping[str, tuple[str, ...]]

    def content(self, templates: Sequence[str], space: str, mixtures: Mixtures) -> bytes:
        """What signatures made of these say, whatever the last digits of the embeddings are."""
        told = [
            [name, list(self.of[name])] if name in self.of else [name, [list(part) for part in mixtures.of[name]]]
            for name in mixtures.order
        ]
        about = {"classes": told, "mixtures": sorted(mixtures.of), "templates": list(templates), "space": space}
        return json.dumps(about, ensure_ascii=False, sort_keys=True).encode()


def attributes_of(entries: Sequence[Entry], places: InEntries) -> tuple[Given, Mixtures]:
    """Classes with an object of attributes each, or a mixture.

    An attribute that a class does not name is missing there.

    Raises:
        BodyInvalid: A class has neither or both, has no name, or is there twice; or a value is no plain one.
    """
    names = clean_names([entry.name for entry in entries], places)
    _check_one(entries, places, "attributes")
    described = [at for at, entry in enumerate(entries) if entry.attributes is not None]
    raw = list(dict.fromkeys(name for at in described for name in entries[at].attributes or {}))
    check_cells(len(described) * len(raw), LIMITS)  # a small body may name other attributes in every class
    cells = {
        name: [_cell((entries[at].attributes or {}).get(key)) for at in described]
        for key, name in zip(raw, clean_attributes(raw, BodyInvalid), strict=True)
    }
    given = Given(tuple(names[at] for at in described), cells, _Some(places, described))
    return given, _mixtures(entries, names, places)


def grid_of(classes: Sequence[str], attributes: Sequence[str], values: Sequence[Sequence[Any]]) -> Given:
    """Names of classes, names of attributes, and one row of values for each class.

    Raises:
        BodyInvalid: The lists are of different lengths, or a name is empty or there twice.
    """
    cleaned = clean_attributes(attributes, BodyInvalid)
    places = InGrid({name: column for column, name in enumerate(cleaned)})
    names = clean_names(list(classes), places)
    wrong = [
        Problem(f"{len(row):,} values for {len(attributes):,} attributes", pointer=f"/values/{at}")
        for at, row in enumerate(values)
        if len(row) != len(attributes)
    ]
    if len(values) != len(classes):
        wrong.append(Problem(f"{len(values):,} rows for {len(classes):,} classes", pointer="/values"))
    if wrong:
        refuse(places, wrong, "row", "Send one row for each class, with one value for each attribute, null if missing.")
    columns = zip(*values, strict=True)
    return Given(
        names, {name: [_cell(v) for v in column] for name, column in zip(cleaned, columns, strict=True)}, places
    )


def texts_of(entries: Sequence[Entry], places: InEntries) -> tuple[Texts, Mixtures]:
    """Classes told by their names or by descriptions, or mixtures.

    Raises:
        BodyInvalid: A class has attributes, no name, or is there twice; or a description is empty or too long.
    """
    names = clean_names([entry.name for entry in entries], places)
    wrong = []
    for at, entry in enumerate(entries):
        if entry.attributes is not None:
            wrong.append(places.name(at, "a class with attributes among classes that are told by texts"))
        elif entry.mixture is not None and entry.texts is not None:
            wrong.append(places.name(at, "a description and a mixture; a class has one of them"))
        elif (fault := _fault(entry.texts)) is not None:
            wrong.append(places.name(at, fault))
    if wrong:
        refuse(places, wrong, "class", "Send attributes and texts as signatures of their own, and no empty texts.")
    texts = {
        name: tuple(entry.texts or ()) for name, entry in zip(names, entries, strict=True) if entry.mixture is None
    }
    return Texts(texts), _mixtures(entries, names, places)


@dataclass(frozen=True)
class _Some:
    """Places of some of the entries."""

    inner: InEntries
    which: Sequence[int]
    error: type[InputError] = BodyInvalid

    def name(self, at: int, detail: str) -> Problem:
        return self.inner.name(self.which[at], detail)

    def cell(self, at: int, attribute: str, detail: str) -> Problem:
        return self.inner.cell(self.which[at], attribute, detail)


def _check_one(entries: Sequence[Entry], places: InEntries, told_by: str) -> None:
    wrong = [
        places.name(at, f"{entry.name[:60]!r} needs {told_by} or a mixture, and one of them alone")
        for at, entry in enumerate(entries)
        if (entry.attributes is None) == (entry.mixture is None)
    ]
    if wrong:
        refuse(places, wrong, "class", "To tell classes by texts, name the backbone that embeds them.")


def _cell(value: Any) -> Cell:
    """A value of JSON as a cell of any upload."""
    if isinstance(value, _PLAIN):
        return value
    return Nested("a list" if isinstance(value, list) else "an object")


def _fault(texts: Sequence[str] | None) -> str | None:
    if texts is None:
        return None
    if not texts:
        return "an empty list of descriptions"
    if any(is_blank(text) for text in texts):
        return "an empty description"
    longest = max(map(len, texts))
    return f"a description of {longest:,} characters" if longest > LIMITS.cell_chars else None


def _mixtures(entries: Sequence[Entry], names: tuple[str, ...], places: InEntries) -> Mixtures:
    found, wrong = {}, []
    for at, entry in enumerate(entries):
        if entry.mixture is None:
            continue
        pairs = _pairs(entry.mixture)
        if pairs is None:
            wrong.append(Problem("no list of [class, weight] pairs", pointer=f"{places.pointer(at)}/mixture"))
        else:
            found[names[at]] = pairs
    if wrong:
        refuse(places, wrong, "mixture", 'Write it as [["tiger", 0.5], ["lion", 0.5]].')
    return Mixtures(found, names, places)


def _pairs(mixture: Any) -> Mixture | None:
    pairs = list(mixture.items()) if isinstance(mixture, dict) else mixture
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        return None
    if not all(isinstance(p, str) and isinstance(w, int | float) and not isinstance(w, bool) for p, w in pairs):
        return None
    return [(part.strip(), float(weight)) for part, weight in pairs]
