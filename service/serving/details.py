"""Answers with more than labels: classes given in the call, mixtures of source classes, explanations.

They stand beside the hot path: whoever asks for none of it pays for none of it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import numpy as np

from adapters.base import F32
from adapters.signatures import Signatures
from adapters.zero_shot.head import SignatureHead
from models.errors import Problem
from models.long import Long
from service.errors import BodyInvalid
from service.serving.backbones import Backbones
from service.serving.directory import Served
from service.serving.explanations import Items, Told, ZeroShotHead, attributes, mixtures, neighbours, sources
from service.serving.facts import Facts
from service.serving.labels import Labels
from service.serving.one_off import OneOff, check_one_off, signatures_with
from service.serving.prediction import Answers, Predictor, answered, check_size, labelled
from service.serving.recent import Recent
from service.serving.taps import Doubts, Tapped, Taps
from service.store.blobs import Blobs

HELD_BYTES = 128 * 2**20
"""Most memory of a process for heads that can be given classes, and as much again for items: four of the largest."""

V = TypeVar("V")


@dataclass(frozen=True)
class Wishes:
    """What a call asks for beside labels.

    Attributes:
        explain: Whether each answer says why.
        classes: Instead of the version's own; None where these are meant.
        with_own: Whether the version's own are in the answer too.
    """

    explain: bool = False
    classes: Sequence[OneOff] | None = None
    with_own: bool = False


class Details:
    """Answers calls that ask for more than labels.

    Args:
        predictor: Answers what there is nothing more to say of.
        backbones: What is hosted.
        labels: Embeds descriptions.
        blobs: Where the files of versions lie.
    """

    def __init__(self, predictor: Predictor, backbones: Backbones, labels: Labels, blobs: Blobs) -> None:
        self._predictor = predictor
        self._taps = Taps(backbones)
        self._labels = labels
        self._heads = _Files(blobs, ZeroShotHead.from_bytes)
        self._items = _Files(blobs, Items.from_bytes)

    async def answer(
        self, served: Served, inputs: Sequence[Any], top_k: int, long: Long | None, wishes: Wishes
    ) -> Answers:
        """The answers of one version.

        Args:
            served: The version.
            inputs: 1 or more, of the adapter's modality.
            top_k: Most labels listed an input.
            long: What becomes of texts that are too long; as the adapter was fitted where None.
            wishes: What else is asked for.

        Raises:
            NotReady, Busy, BodyInvalid, WrongInput: See `Predictor.predict`; or the version cannot be given classes, or
                not these.
        """
        facts = served.facts
        if wishes.classes is not None:
            return await self._among(served, inputs, top_k, long, wishes)
        if facts.tuned or facts.modality == "table" or not (facts.zero_shot or facts.items):
            answers = await self._predictor.answer(served, inputs, top_k, long)
            return _with_warning(answers, _nothing(facts)) if wishes.explain else answers
        top_k = min(top_k, len(facts.classes))
        check_size(len(inputs), top_k)
        tapped = await self._taps.bring(facts, inputs, long, served.tenant)
        held = await self._heads.get(facts.zero_shot) if facts.zero_shot else None
        answers = await asyncio.to_thread(answered, served, tapped, top_k)
        return await self._told(facts, held, tapped, answers, explain=wishes.explain)

    async def _among(
        self, served: Served, inputs: Sequence[Any], top_k: int, long: Long | None, wishes: Wishes
    ) -> Answers:
        """The answers among classes that are given in the call."""
        facts, given = served.facts, wishes.classes or ()
        if not facts.zero_shot:
            raise _fixed(facts)
        held = await self._heads.get(facts.zero_shot)
        own = held.head.signatures
        check_one_off(facts, own, given, with_own=wishes.with_own)
        check_size(len(inputs), min(top_k, len(given) + wishes.with_own * len(own.classes)))
        words = await self._words(served, own, given)
        signatures, sentences = await asyncio.to_thread(
            signatures_with, facts, own, given, words, with_own=wishes.with_own
        )
        tapped = await self._taps.bring(facts, inputs, long, served.tenant)
        tapped.warnings.extend({"detail": sentence} for sentence in sentences)
        answers = await asyncio.to_thread(_scored, facts, held.head.with_signatures(signatures), tapped, top_k)
        told = await self._told(facts, held, tapped, answers, explain=wishes.explain)
        return replace(told, guessed=True)  # nothing was measured for these classes

    async def _words(self, served: Served, own: Signatures, given: Sequence[OneOff]) -> Mapping[str, F32]:
        """Embeddings of the classes that are told by words, by name."""
        known = frozenset(own.classes)
        texts = {
            one.name: one.description or ()
            for one in given
            if one.description is not None or (one.attributes is None and one.mixture is None and one.name not in known)
        }
        if not texts:
            return {}
        found = await self._labels.embed(served.tenant, served.facts.backbone, texts)
        if own.space and found.digest != own.space:
            raise _other_words(served.facts, found.backbone)
        return dict(zip(texts, found.z, strict=True))

    async def _told(
        self, facts: Facts, held: ZeroShotHead | None, tapped: Tapped, answers: Answers, *, explain: bool
    ) -> Answers:
        items = await self._items.get(facts.items) if explain and facts.items else None
        told = await asyncio.to_thread(_explained, facts, held, items, cast(F32, tapped.at), explain=explain)
        if explain and not told:
            return _with_warning(answers, _nothing(facts))
        predictions = answers.predictions
        for more in told:
            predictions = [{**one, **own} for one, own in zip(predictions, more, strict=True)]
        return Answers(predictions, answers.warnings)


class _Files(Generic[V]):
    """Files of versions as they are used: read when they are first asked for, kept while there is room."""

    def __init__(self, blobs: Blobs, read: Callable[[bytes], V]) -> None:
        self._blobs = blobs
        self._read = read
        self._held: Recent[str, tuple[V, int]] = Recent(HELD_BYTES, lambda held: held[1])

    async def get(self, digest: str) -> V:
        """What a file holds; raises ArtifactCorrupt or WeightsCorrupt where it is not what it should be."""
        held = self._held.get(digest)
        return held[0] if held is not None else await asyncio.to_thread(self._opened, digest)

    def _opened(self, digest: str) -> V:
        data = self._blobs.get(digest)
        value = self._read(data)
        self._held.put(digest, (value, len(data)))
        return value


def _scored(facts: Facts, head: SignatureHead, tapped: Tapped, top_k: int) -> Answers:
    scores = head.scores(cast(F32, tapped.at)) / np.float32(facts.temperature)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return Answers(labelled(head.classes, scores, tapped.cut, min(top_k, len(head.classes))), tapped.warnings)


def _explained(facts: Facts, held: ZeroShotHead | None, items: Items | None, z: F32, *, explain: bool) -> list[Told]:
    """What is to be told of each input, one list for each thing."""
    told: list[Told | None] = []
    if held is not None and facts.mixes:
        told.append(mixtures(held, z))
    if held is not None and explain:
        told += [attributes(held.head, z), sources(held.head, z)]
    if items is not None:
        told.append(neighbours(items, facts.classes, z))
    return [one for one in told if one is not None]


def _with_warning(answers: Answers, sentence: str) -> Answers:
    warnings: Doubts = [*answers.warnings, {"detail": sentence}]
    return Answers(answers.predictions, warnings)


def _nothing(facts: Facts) -> str:
    if facts.modality == "table" or facts.tuned:
        why = "takes rows of a table" if facts.modality == "table" else "is a part of its backbone"
        return f"There is nothing to explain: {facts.name}:{facts.number} {why}, and no embedding of its items is kept."
    if facts.zero_shot:
        return (
            f"There is nothing to explain: {facts.name}:{facts.number} predicts no attributes that have names, and "
            "keeps none of the items that it was fitted to."
        )
    return (
        f"There is nothing to explain: {facts.name}:{facts.number} kept neither signatures nor the items that it was "
        "fitted to (it was made before these were kept, averages other versions, or has too many)."
    )


def _fixed(facts: Facts) -> BodyInvalid:
    return BodyInvalid(
        f"{facts.name}:{facts.number} was not made with signatures, and has the classes that it was fitted with; leave "
        "'classes' out. For labels of the moment: POST /v1/zero-shot, or an adapter of a zero-shot method (POST "
        "/v1/adapters with 'signatures').",
        problems=[Problem("not for this adapter", pointer="/classes")],
    )


def _other_words(facts: Facts, backbone: str) -> BodyInvalid:
    return BodyInvalid(
        f"The words of {facts.name}:{facts.number} were embedded by another build of {backbone!r} than is hosted now, "
        "so that descriptions cannot be compared with them; make a new version of it.",
        problems=[Problem("not in the version's space", pointer="/classes")],
    )
