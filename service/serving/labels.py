"""Classes that are told by words: their names and descriptions as embeddings, remembered.

{name: texts} x templates -> one text each -> the text backbone, with everybody else's -> a mean for each class

Images have words too where their backbone is one tower of two (CLIP, SigLIP); see `towers`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.dataset import humanise
from models.errors import BackboneUnknown, Problem
from service.errors import BodyInvalid
from service.serving.backbones import Backbones
from service.serving.recent import Recent
from service.serving.standing import Standing
from service.serving.towers import card_of, partner, ready

PLACE = "{}"
"""Where a template has the text of a class."""

PLAIN = (PLACE,)
"""The template that leaves every text as it is."""

MAX_TEXTS = 20_000
"""Most texts of one call, over all classes and templates: a minute of a small backbone on two cores."""

MAX_TEMPLATES = 100

REMEMBERED_BYTES = 32 * 2**20
"""Most memory of a process for what it remembers: 20,000 classes of a backbone of width 384."""

_SLICE = 256
"""Texts that are in the line at a time: further ones wait here, so that no call fills the line."""

_ENTRY_BYTES = 200
_UNIT = 1e-3
"""How far a length may be from 1: backbones in half precision are off by less."""


@dataclass(frozen=True, eq=False)
class LabelEmbeddings:
    """Classes as their words are embedded.

    Attributes:
        z: (k, d) float32, in the order of the classes.
        backbone: The text backbone that embedded the words.
        digest: Its digest; `Signatures.space` of signatures made of these.
        unit: Whether rows have length 1, because its embeddings have.
        cut: Classes with a text that is longer than the backbone takes, so that its end was left out.
    """

    z: F32
    backbone: str
    digest: str
    unit: bool
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Known:
    row: F32
    unit: bool
    cut: bool


class Labels:
    """Embeds words for classes, each once for as long as it is remembered.

    Args:
        backbones: What is hosted.
        limit_bytes: Most memory for what is remembered.
    """

    def __init__(self, backbones: Backbones, limit_bytes: int = REMEMBERED_BYTES) -> None:
        self._backbones = backbones
        self._known: Recent[bytes, _Known] = Recent(limit_bytes, lambda known: known.row.nbytes + _ENTRY_BYTES)

    async def standing(self, tenant: str | None, backbone: str) -> Standing:
        """The backbone of a name, ready to embed.

        Args:
            tenant: Who asks; None sees the operator's backbones alone.
            backbone: Its name.

        Raises:
            BackboneUnknown: There is none.
            BodyInvalid: It could not be hosted.
            NotReady: It is still being prepared.
        """
        return ready(await self._find(tenant, backbone))

    async def words_of(self, tenant: str | None, backbone: str) -> Standing:
        """The text backbone whose embeddings of words lie in a backbone's space: itself, or its partner.

        Raises:
            BackboneUnknown, NotReady: See `standing`.
            BodyInvalid: It could not be hosted, has no text tower, or that is not hosted.
        """
        found = await self.standing(tenant, backbone)
        return ready(partner(self._backbones.visible(tenant or ""), found))

    async def embed(
        self,
        tenant: str | None,
        backbone: str,
        texts: Mapping[str, Sequence[str]],
        templates: Sequence[str] = PLAIN,
    ) -> LabelEmbeddings:
        """Classes in a backbone's space, by their words.

        Every text of a class is put into every template, and the mean of the embeddings stands for the class: of length
        1 where those of the backbone have length 1.

        Args:
            tenant: Whose call it is; None sees the operator's backbones alone.
            backbone: Of texts, or of images where its text tower is hosted.
            texts: One or more of each class, as they are; none of a class stands for its name in words.
            templates: Each with `PLACE` once.

        Raises:
            BackboneUnknown, NotReady, BodyInvalid: See `words_of`; or a template is wrong, or there are too many texts.
            Busy: Too much waits already.
        """
        check_templates(templates)
        _check_number(texts, templates)
        words = await self.words_of(tenant, backbone)
        card = card_of(words)
        filled = {
            name: [template.replace(PLACE, text) for template in templates for text in own or (humanise(name),)]
            for name, own in texts.items()
        }
        keys = {name: _key(tenant, card.digest, own) for name, own in filled.items()}
        found = {name: known for name, key in keys.items() if (known := self._known.get(key)) is not None}
        made = await self._embedded(words.id, card.digest, {n: own for n, own in filled.items() if n not in found})
        for name, known in made.items():
            self._known.put(keys[name], known)
        found |= made
        return LabelEmbeddings(
            np.stack([found[name].row for name in texts]) if texts else np.empty((0, *card.taps["pooled"]), np.float32),
            words.id,
            card.digest,
            all(known.unit for known in found.values()),
            tuple(name for name in texts if found[name].cut),
        )

    async def _find(self, tenant: str | None, backbone: str) -> Standing:
        try:
            return self._backbones.find(tenant or "", backbone)
        except BackboneUnknown:  # the tenant may have asked another process for it a moment ago
            await asyncio.to_thread(self._backbones.refresh)
            return self._known_now(tenant, backbone)

    def _known_now(self, tenant: str | None, backbone: str) -> Standing:
        try:
            return self._backbones.find(tenant or "", backbone)
        except BackboneUnknown as error:
            raise BackboneUnknown(error.message, problems=[Problem("no such backbone", pointer="/backbone")]) from None

    async def _embedded(self, backbone: str, digest: str, filled: Mapping[str, Sequence[str]]) -> dict[str, _Known]:
        """Classes that are not remembered."""
        if not filled:
            return {}
        texts = list(dict.fromkeys(text for own in filled.values() for text in own))
        encoder = await self._backbones.encoder(backbone, digest)
        parts = [await encoder.embed(texts[at : at + _SLICE]) for at in range(0, len(texts), _SLICE)]
        return await asyncio.to_thread(_means, filled, texts, parts)  # 0.2 s for 10,000 classes


def described(labels: Sequence[str] | Mapping[str, str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Labels as they are sent, as `Labels.embed` takes them.

    Args:
        labels: Names, which then stand for themselves; or a description or several of each by its name.
    """
    if not isinstance(labels, Mapping):
        return dict.fromkeys(labels, ())
    return {name: (own,) if isinstance(own, str) else tuple(own) for name, own in labels.items()}


def check_templates(templates: Sequence[str]) -> None:
    """Refuse templates that have not one place for the text of a class.

    Raises:
        BodyInvalid: One has none or several, or there are none or too many.
    """
    if not 1 <= len(templates) <= MAX_TEMPLATES:
        raise BodyInvalid(
            f"There are {len(templates)} templates; send 1 to {MAX_TEMPLATES}, or leave them out.",
            problems=[Problem(f"must have 1 to {MAX_TEMPLATES}", pointer="/templates")],
        )
    wrong = [at for at, template in enumerate(templates) if template.count(PLACE) != 1]
    if wrong:
        shown = templates[wrong[0]][:60]
        raise BodyInvalid(
            f"Template {shown!r} has {templates[wrong[0]].count(PLACE)} times {PLACE}; it must stand in it once, where "
            f'the label goes: "a customer asks about {PLACE}".',
            problems=[Problem(f"must have {PLACE} once", pointer=f"/templates/{at}") for at in wrong],
        )


def _check_number(texts: Mapping[str, Sequence[str]], templates: Sequence[str]) -> None:
    number = len(templates) * sum(max(1, len(own)) for own in texts.values())
    if number > MAX_TEXTS:
        raise BodyInvalid(
            f"{len(texts):,} classes with their descriptions and {len(templates)} template(s) make {number:,} texts, "
            f"the limit is {MAX_TEXTS:,}; send fewer templates or descriptions.",
            problems=[Problem(f"at most {MAX_TEXTS:,} texts", pointer="/labels")],
        )


def _key(tenant: str | None, digest: str, texts: Sequence[str]) -> bytes:
    """Of the texts of one class, in their order; another tenant's are never looked at."""
    made = blake2b(digest_size=16)
    for part in (tenant or "", digest, *texts):
        data = part.encode()
        made.update(len(data).to_bytes(8, "little") + data)
    return made.digest()


def _means(
    filled: Mapping[str, Sequence[str]], texts: Sequence[str], parts: Sequence[tuple[F32, npt.NDArray[np.bool_]]]
) -> dict[str, _Known]:
    """Each class, from the embeddings of all texts in pieces."""
    z = np.concatenate([part for part, _ in parts])
    cut = np.concatenate([part for _, part in parts])
    place = {text: at for at, text in enumerate(texts)}
    rows = {name: [place[text] for text in own] for name, own in filled.items()}
    return {name: _known(z[own], cut=bool(cut[own].any())) for name, own in rows.items()}


def _known(z: F32, *, cut: bool) -> _Known:
    """One class from the embeddings of its texts (t, d)."""
    lengths = np.linalg.norm(z, axis=1)
    unit = bool(((np.abs(lengths - 1) <= _UNIT) | (lengths == 0)).all())  # a text may embed to nothing at all
    row = z.mean(axis=0)
    length = float(np.linalg.norm(row))
    if unit and length > 0:
        row = row / np.float32(length)
    row = row.astype(np.float32)
    row.setflags(write=False)
    return _Known(row, unit, cut)
