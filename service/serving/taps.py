"""From the inputs of a call to what a head takes: an adapter's tap; or through a head that is a part of the backbone.

text     strings                     -> the backbone's embeddings, with everybody else's
image    {"image": "<base64>"}       -> the same, decoded first (`media_inputs`)
audio    {"audio": "<base64>"}       -> the same
vector   {"embedding": [numbers]}    -> as they are
table    {"column": cell, ...}       -> typed rows; what is missing or odd counts as missing, and is said

An adapter may take some pieces of an embedding only, or the embeddings of several backbones side by side. One that
takes activations behind a block, or the backbone's own inputs, is answered where those are made (`tails`): they are too
large to be handed on.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.columns import Rows, type_rows
from models.base import Item
from models.errors import Problem, WrongInput
from models.long import Long
from service.errors import BodyInvalid
from service.serving.backbones import Backbones
from service.serving.facts import BackboneTap, Facts
from service.serving.graphs import GraphHead
from service.serving.media_inputs import bytes_of, pointing_into
from service.uploads.vector_cells import LARGEST

LISTED_PROBLEMS = 20
LISTED_NAMES = 5

Doubts = list[dict[str, Any]]
"""Objects with `detail`, and where they apply `column`, `inputs` (the first few) and `count`."""


@dataclass(frozen=True)
class Tapped:
    """What a head takes, and what was noticed on the way.

    Attributes:
        at: (n, d) float32, or n typed rows; of `Taps.through` what the head has answered, (n, k) float32.
        cut: Inputs whose end was left out; empty where none was.
        warnings: What the caller should know.
    """

    at: F32 | Rows
    cut: frozenset[int] = frozenset()
    warnings: Doubts = field(default_factory=list)


class Taps:
    """Brings inputs to the tap of an adapter."""

    def __init__(self, backbones: Backbones) -> None:
        self._backbones = backbones

    async def bring(self, facts: Facts, inputs: Sequence[Any], long: Long | None, tenant: str | None = None) -> Tapped:
        """Inputs of a call at the tap of its adapter.

        Args:
            facts: Of the version that answers.
            inputs: As they were sent.
            long: What becomes of texts and sounds that are too long; as the adapter was fitted where None.
            tenant: Whose call it is; None asks no cache.

        Raises:
            BodyInvalid: An input is not what the adapter takes; one problem for each, with its pointer.
            NotReady, Busy: See `Encoder.embed`.
            WrongInput: A file cannot be decoded; the problem has its pointer.
        """
        if long is not None:
            _check_long(facts, long)
        if facts.modality in {"vector", "table"}:
            return _vectors(facts, inputs) if facts.modality == "vector" else _rows(facts, inputs)
        items = await _items(facts, inputs)
        try:
            if facts.backbones:
                return await self._side_by_side(facts.backbones, items, long, tenant)
            encoder = await self._backbones.encoder(facts.backbone, facts.backbone_digest, facts.tap)
            z, cut = await encoder.embed(items, long or cast(Long, facts.long), tenant)
        except WrongInput as error:
            raise _pointing(error, facts, inputs) from None
        return _cut(taken(z, facts.parts) if facts.parts else z, cut)

    async def _side_by_side(
        self, taps: Sequence[BackboneTap], items: Sequence[Item], long: Long | None, tenant: str | None
    ) -> Tapped:
        """Items as several backbones embed them, all at the same time; what two parts have in common once."""

        def key(tap: BackboneTap) -> tuple[str, str, Long]:
            return tap.digest, tap.tap, long or cast(Long, tap.long)

        distinct = {key(tap): await self._backbones.encoder(tap.backbone, tap.digest, tap.tap) for tap in taps}
        rows = await asyncio.gather(*(encoder.embed(items, how, tenant) for (_, _, how), encoder in distinct.items()))
        made = dict(zip(distinct, rows, strict=True))
        pieces = [taken(made[key(tap)][0], tap.parts) if tap.parts else made[key(tap)][0] for tap in taps]
        return _cut(np.concatenate(pieces, axis=1), np.logical_or.reduce([cut for _, cut in rows]))

    async def through(self, facts: Facts, head: GraphHead, inputs: Sequence[Any], long: Long | None) -> Tapped:
        """Inputs of a call, answered by an adapter that is a part of its backbone.

        Args:
            facts: Of the version that answers.
            head: Its session.
            inputs: As they were sent.
            long: ``truncate``, or None for the same.

        Raises:
            BodyInvalid, WrongInput: As in `bring`; or long ones are to be embedded in pieces.
            NotReady, Busy: See `Tail.answer`.
        """
        if long is not None:
            _check_long(facts, long)
        items = await _items(facts, inputs)
        tail = await self._backbones.tail(facts, head)
        try:
            return _cut(*await tail.answer(items, max(1, len(facts.classes))))
        except WrongInput as error:
            raise _pointing(error, facts, inputs) from None


def taken(z: F32, parts: Sequence[tuple[int, int]]) -> F32:
    """Pieces of embeddings, one after the other.

    Args:
        z: (n, d) float32.
        parts: First and behind the last column of each.
    """
    return np.concatenate([z[:, first:behind] for first, behind in parts], axis=1)


def _check_long(facts: Facts, long: Long) -> None:
    if facts.modality not in {"text", "audio"}:
        raise BodyInvalid(
            f"'long' is for texts and sounds, and {facts.name}:{facts.number} takes {facts.modality} inputs; leave it "
            "out.",
            problems=[Problem("only for texts and sounds", pointer="/long")],
        )
    if long == "chunk" and facts.tuned:
        raise BodyInvalid(
            f"'long' is \"chunk\", and {facts.name}:{facts.number} is a part of its backbone, which takes as much of "
            "an input as the backbone takes at once and leaves the rest out. Leave 'long' out, or send the parts of a "
            "long input as inputs of their own.",
            problems=[Problem('only "truncate" for this adapter', pointer="/long")],
        )


async def _items(facts: Facts, inputs: Sequence[Any]) -> Sequence[Item]:
    """What the backbone takes: texts, or the bytes of files; raises BodyInvalid."""
    if facts.modality == "text":
        check_texts(f"{facts.name}:{facts.number}", inputs)
        return inputs
    return await bytes_of(facts, inputs)


def _pointing(error: WrongInput, facts: Facts, inputs: Sequence[Any]) -> WrongInput:
    return error if facts.modality == "text" else pointing_into(error, inputs, facts.modality)


def _cut(z: F32, cut: npt.NDArray[np.bool_]) -> Tapped:
    return Tapped(z, frozenset(np.flatnonzero(cut).tolist()))


def check_texts(taker: str, inputs: Sequence[Any]) -> None:
    """Refuse a call with inputs that are no texts; raises BodyInvalid.

    Args:
        taker: What takes them, for messages.
        inputs: As they were sent.
    """
    _require(taker, inputs, str, "a text (a JSON string)")


def _require(taker: str, inputs: Sequence[Any], kind: type, words: str) -> None:
    """Refuse a call with inputs of another kind than are taken."""
    if all(type(item) is kind for item in inputs):
        return
    wrong = [i for i, item in enumerate(inputs) if not isinstance(item, kind)]
    seen = _KINDS.get(type(inputs[wrong[0]]), "null")
    raise BodyInvalid(
        f"Each input of {taker} must be {words}; input {wrong[0]} is {seen}"
        f"{f' (and {len(wrong) - 1} more are not)' if len(wrong) > 1 else ''}.",
        problems=[Problem(f"must be {words}", pointer=f"/inputs/{i}") for i in wrong[:LISTED_PROBLEMS]],
    )


_KINDS: dict[type, str] = {
    str: "a text",
    dict: "an object",
    list: "a list",
    int: "a number",
    float: "a number",
    bool: "true or false",
}


def _vectors(facts: Facts, inputs: Sequence[Any]) -> Tapped:
    _require(f"{facts.name}:{facts.number}", inputs, dict, f'an object {{"embedding": [{facts.width} numbers]}}')
    wrong = {i: reason for i, item in enumerate(inputs) if (reason := _unlike(item, facts.width))}
    if not wrong:
        z = np.array([item["embedding"] for item in inputs], dtype=np.float64)
        with np.errstate(over="ignore"):
            narrow = z.astype(np.float32)
        bad = np.flatnonzero(~(np.abs(narrow) <= LARGEST).all(axis=1)).tolist()
        wrong = dict.fromkeys(bad, f"holds a number beyond {LARGEST:g}")
        if not wrong:
            return Tapped(narrow)
    first = next(iter(wrong))
    more = f" (and {len(wrong) - 1} more are not usable)" if len(wrong) > 1 else ""
    raise BodyInvalid(
        f"The embedding of input {first} {wrong[first]}; {facts.name}:{facts.number} takes {facts.width} finite "
        f"numbers each{more}.",
        problems=[Problem(wrong[i], pointer=f"/inputs/{i}/embedding") for i in list(wrong)[:LISTED_PROBLEMS]],
    )


def _unlike(item: dict[str, Any], width: int) -> str | None:
    """Why an input is not one embedding of that width."""
    embedding = item.get("embedding")
    if not isinstance(embedding, list):
        return "is missing" if "embedding" not in item else "is not a list of numbers"
    if len(item) > 1:
        other = next(name for name in item if name != "embedding")
        return f"has the field {other[:40]!r} beside it, which is not known"
    if len(embedding) != width:
        return f"has {len(embedding)} numbers"
    if not {float, int}.issuperset(map(type, embedding)):
        return "holds something that is not a number"
    return None


def _rows(facts: Facts, inputs: Sequence[Any]) -> Tapped:
    _require(f"{facts.name}:{facts.number}", inputs, dict, 'a row: an object of columns {"column": value}')
    expected = [column.name for column in facts.columns]
    sent: set[str] = set().union(*inputs)
    present = [name for name in expected if name in sent]
    if not present:
        raise BodyInvalid(
            f"No input has a column that {facts.name}:{facts.number} knows; it expects {listed(expected)}, and "
            f"{listed(sorted(sent)) if sent else 'nothing'} was sent. GET /v1/adapters/{facts.name} shows the columns."
        )
    cells = {name: [row.get(name) for row in inputs] for name in present}
    rows, doubts = type_rows(facts.columns, cells, len(inputs))
    warnings: Doubts = [
        {"detail": doubt.detail, "column": doubt.column, "inputs": list(doubt.rows), "count": doubt.count}
        for doubt in doubts
    ]
    unused = sorted(sent.difference(expected))
    if unused:
        warnings.append({"detail": f"Columns that this adapter does not use were passed over: {listed(unused)}."})
    return Tapped(rows, warnings=warnings)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name[:40]) for name in names[:LISTED_NAMES])
    return f"{shown} and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else shown
