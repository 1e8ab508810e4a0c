"""Classes as they came: names and cells by attribute, and where each stands in what was sent."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from models.errors import InputError, Problem
from service.errors import BodyInvalid, UploadRefused
from service.uploads.cells import Bad, as_label, is_blank
from service.uploads.limits import Limits
from service.uploads.names import quoted
from service.uploads.rows import Cell

MAX_CLASSES = 20_000
MAX_ATTRIBUTES = 20_000
LIMITS = Limits(rows=MAX_CLASSES, columns=MAX_ATTRIBUTES + 1)
"""Of signatures; the size of a file is the operator's matter."""


class Places(Protocol):
    """Where the name and the cells of each class stand."""

    @property
    def error(self) -> type[InputError]:
        """What a refusal is."""
        ...

    def name(self, at: int, detail: str) -> Problem:
        """A problem with the name of a class."""
        ...

    def cell(self, at: int, attribute: str, detail: str) -> Problem:
        """A problem with a cell of a class."""
        ...


@dataclass(frozen=True)
class InRows:
    """In the rows of a file, whose numbers these are."""

    numbers: Sequence[int]
    error: type[InputError] = UploadRefused

    def name(self, at: int, detail: str) -> Problem:
        """See `Places`."""
        return Problem(detail, row=self.numbers[at])

    def cell(self, at: int, attribute: str, detail: str) -> Problem:
        """See `Places`."""
        return Problem(f"{attribute[:60]!r}: {detail}", row=self.numbers[at])


@dataclass(frozen=True)
class InEntries:
    """In a JSON list of classes, or in an object with their names as its keys.

    Attributes:
        field: The list or the object.
        keys: The object's; None where it is a list.
    """

    field: str
    keys: Sequence[str] | None = None
    error: type[InputError] = BodyInvalid

    def pointer(self, at: int, *more: str) -> str:
        """To an entry, or to a member of it."""
        key = str(at) if self.keys is None else self.keys[at]
        return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in (self.field, key, *more))

    def name(self, at: int, detail: str) -> Problem:
        """See `Places`."""
        return Problem(detail, pointer=self.pointer(at))

    def cell(self, at: int, attribute: str, detail: str) -> Problem:
        """See `Places`."""
        return Problem(detail, pointer=self.pointer(at, *([] if self.keys else ["attributes"]), attribute))


@dataclass(frozen=True)
class InGrid:
    """In JSON lists: ``classes``, ``attributes`` and the rows of ``values``."""

    columns: Mapping[str, int]
    error: type[InputError] = BodyInvalid

    def name(self, at: int, detail: str) -> Problem:
        """See `Places`."""
        return Problem(detail, pointer=f"/classes/{at}")

    def cell(self, at: int, attribute: str, detail: str) -> Problem:
        """See `Places`."""
        return Problem(detail, pointer=f"/values/{at}/{self.columns[attribute]}")


@dataclass(frozen=True, eq=False)
class Given:
    """k classes.

    Attributes:
        names: (k,) their names, clean and different.
        cells: (k,) cells of each attribute, as they came.
        places: Where they stand.
        notes: What the reader had to decide, as sentences.
    """

    names: tuple[str, ...]
    cells: Mapping[str, Sequence[Cell]]
    places: Places
    notes: tuple[str, ...] = ()


def clean_attributes(names: Sequence[str], error: type[InputError]) -> list[str]:
    """Names of attributes without surrounding blanks, in Unicode's composed form (NFC), as names of classes are.

    Raises:
        InputError: One is empty or too long, or two are the same.
    """
    cleaned = [unicodedata.normalize("NFC", name.strip()) for name in names]
    for at, name in enumerate(cleaned):
        if is_blank(name) or len(name) > LIMITS.label_chars:
            raise error(
                f"The name of attribute {at + 1} of {len(names):,}, {quoted(name)}, has {len(name):,} characters; a "
                f"name has 1 to {LIMITS.label_chars}, and something to see in it."
            )
    if len(set(cleaned)) < len(cleaned):
        twice = next(name for name, number in Counter(cleaned).items() if number > 1)
        raise error(f"More than one attribute is called {quoted(twice)}. Give each attribute a name of its own.")
    return cleaned


def clean_names(names: Sequence[Cell], places: Places, limits: Limits = LIMITS) -> tuple[str, ...]:
    """Names of classes without surrounding blanks, in Unicode's composed form (NFC).

    Raises:
        InputError: One is empty, too long or no text, two are the same, or there are too many.
    """
    if len(names) > limits.rows:
        raise places.error(f"There are {len(names):,} classes; the limit is {limits.rows:,}. Send a part of them.")
    cleaned = [as_label(name, limits) for name in names]
    bad = [places.name(at, _of_class(name)) for at, name in enumerate(cleaned) if isinstance(name, Bad)]
    if bad:
        refuse(places, bad, "class", "Give every class a name.")
    known = [name for name in cleaned if isinstance(name, str)]
    first: dict[str, int] = {}
    twice = []
    for at, name in enumerate(known):
        if first.setdefault(name, at) != at:
            earlier = said(places.name(first[name], ""))
            twice.append(places.name(at, f"{name[:60]!r} is there already, at {earlier}"))
    if twice:
        refuse(places, twice, "class", "Give each class one row, and a name of its own.")
    return tuple(known)


def refuse(places: Places, found: Sequence[Problem], what: str, remedy: str, number: int = 0) -> NoReturn:
    """Refuse everything because of these.

    Args:
        places: Knows the error.
        found: One or more.
        what: One of them, in a word.
        remedy: A sentence.
        number: How many there are, where those found are not all.
    """
    number = max(number, len(found))
    counted = f"1 {what}" if number == 1 else f"{number:,} {_many(what)}"
    first = "it is" if number == 1 else "the first is"
    sentence = f"{counted} cannot be used; {first} at {said(found[0])}: {found[0].detail}. {remedy}"
    raise places.error(sentence, problems=found[: LIMITS.listed_problems])


def said(problem: Problem) -> str:
    """Where a problem is, in words."""
    return f"row {problem.row}" if problem.row is not None else str(problem.pointer)


def _of_class(name: Bad) -> str:
    return name.reason.replace("the label", "the name", 1)


def _many(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"
