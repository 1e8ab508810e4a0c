"""Classes that are given in a call, for a version whose head tells classes by signatures.

{"name": "liger", "attributes": {"stripes": 0.5, ...}}          by the version's own attributes
{"name": "liger", "mixture": [["tiger", 0.5], ["lion", 0.5]]}   of the version's own classes, or of others in the call
{"name": "liger", "description": "a lion with faint stripes"}   where its signatures are embeddings of words
{"name": "tiger"}                                               one of the version's own classes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from adapters.base import F32
from adapters.signatures import Mixture, Signatures, listed, mixed
from models.errors import InputError, Problem
from service.errors import BodyInvalid
from service.serving.facts import Facts
from service.uploads.signatures.typed import LARGEST

LISTED_PROBLEMS = 100


@dataclass(frozen=True)
class OneOff:
    """A class that is given in a call; at most one of the last three is there.

    Attributes:
        name: What it is called in the answer.
        attributes: Values by attribute; None where it is not known.
        mixture: Classes with their weights.
        description: Texts.
    """

    name: str
    attributes: Mapping[str, bool | float | None] | None = None
    mixture: Mixture | None = None
    description: Sequence[str] | None = None


def of_words(signatures: Signatures) -> bool:
    """Whether they are embeddings of words, and not attributes that have names."""
    return bool(signatures.space) or signatures.attributes == tuple(map(str, range(len(signatures.attributes))))


def check_one_off(facts: Facts, own: Signatures, given: Sequence[OneOff], *, with_own: bool) -> None:
    """Refuse classes that a version cannot be given.

    Args:
        facts: Of the version.
        own: Its signatures.
        given: Classes of the call.
        with_own: Whether its own classes are in the answer too.

    Raises:
        BodyInvalid: Two have one name, one is described in no way or in several, or in a way that this version cannot
            use; or there is one class in all. One problem for each, with its pointer.
    """
    wrong: dict[str, str] = {}
    first: dict[str, int] = {}
    words, known = of_words(own), frozenset(own.classes)
    for at, one in enumerate(given):
        if one.name in first:
            wrong[f"/classes/{at}/name"] = f"is the same as that of class {first[one.name]}"
        first.setdefault(one.name, at)
        if (found := _wrong_with(one, known, words=words, with_own=with_own)) is not None:
            wrong[f"/classes/{at}{found[0]}"] = found[1]
    if not wrong and len(given) + with_own * len(own.classes) < 2:
        wrong["/classes"] = 'is one class, which every input would have; send 2 or more, or "with_own": true'
    if wrong:
        raise _invalid(facts, wrong)


def signatures_with(
    facts: Facts, own: Signatures, given: Sequence[OneOff], words: Mapping[str, F32], *, with_own: bool
) -> tuple[Signatures, list[str]]:
    """The signatures of a call's classes.

    Args:
        facts: Of the version.
        own: Its signatures.
        given: Classes of the call, as `check_one_off` lets them pass.
        words: (d,) embeddings of those that have a description, by name.
        with_own: Whether its own classes come first.

    Returns:
        Those of its own classes, if so, and of the classes given, in their order; sentences about what is missing.

    Raises:
        BodyInvalid: Attributes are not known, no number, or all missing; or a mixture cannot be made.
    """
    rows, sentences = _rows(facts, own, given)
    rows |= words
    classes = (*own.classes, *rows)
    every = replace(own, classes=classes, values=np.stack([*own.values, *rows.values()]))
    mixtures = {one.name: one.mixture for one in given if one.mixture is not None}
    try:
        every = mixed(every, mixtures)
    except InputError as error:
        place = {one.name: at for at, one in enumerate(given)}
        named = error.problems[0].pointer if error.problems else None
        name = (named or "")[1:].replace("~1", "/").replace("~0", "~")
        pointer = f"/classes/{place[name]}/mixture" if name in place else "/classes"
        raise BodyInvalid(error.message, problems=[Problem(error.message, pointer=pointer)]) from None
    return every.of((*(own.classes if with_own else ()), *(one.name for one in given))), sentences


def _wrong_with(one: OneOff, known: frozenset[str], *, words: bool, with_own: bool) -> tuple[str, str] | None:
    """Where and why a class cannot be used."""
    ways = [way for way in ("attributes", "mixture", "description") if getattr(one, way) is not None]
    if len(ways) > 1:
        return "", f"has {' and '.join(ways)}; describe it in one way"
    if not one.name.strip():
        return "/name", "is empty"
    if one.name in known and with_own:
        return "/name", "is a class of the version, which is in the answer already; leave it out"
    if one.name in known and ways:
        return "/name", "is a class of the version; send its name alone, or another name"
    return _wrong_way(one, ways[0] if ways else "", known, words=words)


def _wrong_way(one: OneOff, way: str, known: frozenset[str], *, words: bool) -> tuple[str, str] | None:
    """Why a class cannot be described like this."""
    if way == "attributes" and words:
        return "/attributes", "cannot be used: classes of this version are told by words; send a description"
    if way == "description" and not words:
        return "/description", "cannot be used: classes of this version are told by attributes; send those"
    if way == "description" and not (one.description and all(text.strip() for text in one.description)):
        return "/description", "is empty"
    if not way and one.name not in known and not words:
        return "", "is no class of the version, and has neither attributes nor a mixture"
    return None


def _rows(facts: Facts, own: Signatures, given: Sequence[OneOff]) -> tuple[dict[str, F32], list[str]]:
    """(a,) values of those that are given by attributes, and what is to be said of what is missing."""
    wrong: dict[str, str] = {}
    rows: dict[str, F32] = {}
    sentences = []
    place = {name: column for column, name in enumerate(own.attributes)}
    for at, one in enumerate(given):
        if one.attributes is None:
            continue
        row = np.full(len(place), np.nan, np.float32)
        for name, value in one.attributes.items():
            if (reason := _odd(name, value, place)) is not None:
                wrong[f"/classes/{at}/attributes/{name[:200].replace('~', '~0').replace('/', '~1')}"] = reason
            elif value is not None:
                row[place[name]] = value
        missing = [name for name, value in zip(own.attributes, row, strict=True) if np.isnan(value)]
        if len(missing) == len(place) and not wrong:
            wrong[f"/classes/{at}/attributes"] = f"has no value; the version knows {listed(own.attributes)}"
        elif missing:
            sentences.append(
                f"Class {one.name[:60]!r} has no value for {len(missing)} of {len(place)} attributes "
                f"({listed(missing)}); they count as unknown."
            )
        rows[one.name] = row
    if wrong:
        raise _invalid(facts, wrong)
    return rows, sentences


def _odd(name: str, value: float | None, place: Mapping[str, int]) -> str | None:
    if name not in place:
        near = get_close_matches(name, place, n=1)
        return f"is not known; {f'do you mean {near[0]!r}?' if near else f'known are {listed(list(place))}'}"
    if value is not None and not abs(value) <= LARGEST:  # which NaN is not
        return f"is {value:g}, which is not within -{LARGEST:g} and {LARGEST:g}"
    return None


def _invalid(facts: Facts, wrong: Mapping[str, str]) -> BodyInvalid:
    pointer, reason = next(iter(wrong.items()))
    more = f" (and {len(wrong) - 1} more cannot be used)" if len(wrong) > 1 else ""
    return BodyInvalid(
        f"Of the classes for {facts.name}:{facts.number}, {pointer} {reason}{more}.",
        problems=[Problem(reason, pointer=pointer) for pointer, reason in list(wrong.items())[:LISTED_PROBLEMS]],
    )
