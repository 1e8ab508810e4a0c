"""From a call's inputs to its answer: resolve, bring to the tap, score with the adapter's own head."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from adapters.base import F32
from adapters.columns import Rows
from models.errors import Problem
from models.long import Long
from service.errors import BodyInvalid
from service.ids import new_id
from service.serving.backbones import Backbones
from service.serving.directory import Directory, Served
from service.serving.facts import Facts
from service.serving.graphs import GraphHead
from service.serving.heads import Slot
from service.serving.references import Reference
from service.serving.taps import Doubts, Tapped, Taps

DIGITS = 7
"""Digits of a probability on the wire; float32 has no more to say."""


INLINE_SCORES = 10_000
"""Up to this many scores are sorted where they are, in some milliseconds; more go to a thread."""

INLINE_ROWS = 100
"""Up to this many rows of a table, or embeddings for a network, are scored where they are, in some milliseconds; more
go to a thread."""

INLINE_MAPPED = 16
"""Up to this many embeddings are mapped where they are, 0.02 to 0.2 ms each; more go to a thread."""

MAX_LISTED = 100_000
"""Most labels listed in one answer, over all inputs: some 3 MB."""


@dataclass(frozen=True)
class Answers:
    """The answers to some inputs.

    Attributes:
        predictions: One object an input, as it goes over the wire.
        warnings: What the caller should know; empty where all is well.
        guessed: Whether nothing says how sure the answers are, whatever the version says of its own.
    """

    predictions: list[dict[str, Any]]
    warnings: Doubts
    guessed: bool = False


class Predictor:
    """Answers predictions."""

    def __init__(self, directory: Directory, backbones: Backbones) -> None:
        self._directory = directory
        self._taps = Taps(backbones)

    async def serve(self, tenant: str, reference: Reference) -> Served:
        """The version that answers; an alias is followed here, once a call.

        Raises:
            NotFound: There is no such adapter, alias or version.
        """
        return await self._directory.serve(tenant, reference)

    async def predict(
        self, tenant: str, reference: Reference, inputs: Sequence[Any], top_k: int, long: Long | None = None
    ) -> dict[str, Any]:
        """Predict labels or values.

        Args:
            tenant: Whose adapter.
            reference: Which adapter; an alias is followed once, so that one call is one version.
            inputs: 1 or more inputs, of the adapter's modality.
            top_k: Most labels listed an input.
            long: What becomes of texts that are too long; as the adapter was fitted where None.

        Returns:
            The answer as it goes over the wire, but for the request's id.

        Raises:
            NotFound: There is no such adapter, alias or version.
            NotReady: Its backbone is still being prepared.
            Busy: Too much waits already.
            BodyInvalid: The answer would list more labels than `MAX_LISTED`, or an input is not of the modality.
            WrongInput: An input is not what the backbone takes.
        """
        served = await self.serve(tenant, reference)
        answers = await self.answer(served, inputs, top_k, long)
        return envelope(served, answers)

    async def answer(self, served: Served, inputs: Sequence[Any], top_k: int, long: Long | None) -> Answers:
        """The answers of one version; see `predict`."""
        top_k = min(top_k, len(served.facts.classes))
        check_size(len(inputs), top_k)
        if served.facts.tuned:
            tapped = await self._taps.through(served.facts, cast(GraphHead, served.head), inputs, long)
        else:
            tapped = await self._taps.bring(served.facts, inputs, long, served.tenant)
        if _is_small(served, len(inputs)):
            return answered(served, tapped, top_k)
        return await asyncio.to_thread(answered, served, tapped, top_k)

    async def answer_vectors(self, served: Served, z: F32, top_k: int) -> Answers:
        """The answers of one version to vectors that are read already.

        Args:
            served: An adapter of vectors.
            z: (n, d) float32, finite, of the adapter's width.
            top_k: Most labels listed a vector.
        """
        return await asyncio.to_thread(answered, served, Tapped(z), min(top_k, len(served.facts.classes)))


def envelope(served: Served, answers: Answers) -> dict[str, Any]:
    """An answer as it goes over the wire, but for the request's id."""
    facts = served.facts
    answer: dict[str, Any] = {
        "adapter": f"{facts.name}:{facts.number}",
        "backbone": facts.backbone or None,
        "calibrated": facts.calibrated and not answers.guessed if facts.classes else None,
        "predictions": answers.predictions,
    }
    if facts.backbones:
        answer["backbones"] = [tap.backbone for tap in facts.backbones]
    return answer | {"warnings": answers.warnings} if answers.warnings else answer


def _is_small(served: Served, inputs: int) -> bool:
    """Whether the answers are made in some milliseconds."""
    if inputs * len(served.facts.classes) > INLINE_SCORES:
        return False
    if isinstance(served.head, Slot):
        return True
    return inputs <= (INLINE_ROWS if isinstance(served.head, GraphHead) else INLINE_MAPPED)


def answered(served: Served, tapped: Tapped, top_k: int) -> Answers:
    """The answers to what is at the tap already; some milliseconds for each `INLINE_SCORES` scores.

    Args:
        served: The version.
        tapped: What its head takes; of `Taps.through` what it has answered.
        top_k: Most labels listed an input, of those there are.
    """
    facts, outputs = served.facts, _outputs(served, tapped.at)
    if facts.multilabel:
        predictions = _marks(facts, outputs, tapped.cut, top_k)
    elif facts.classes:
        predictions = labelled(facts.classes, outputs, tapped.cut, top_k)
    else:
        predictions = _values(outputs, tapped.cut)
    return Answers(predictions, tapped.warnings)


def _outputs(served: Served, at: F32 | Rows) -> F32:
    """(n, k) probabilities of a classification, (n, 1) values of a regression."""
    facts, head = served.facts, served.head
    if facts.tuned:
        return cast(F32, at)
    if isinstance(head, GraphHead):
        return head.run(at)
    if facts.multilabel:
        return head.marks(cast(F32, at))
    score = head.probabilities if facts.classes else head.scores
    return score(cast(F32, at))


def check_size(inputs: int, top_k: int) -> None:
    """Refuse a call whose answer would be too long; raises BodyInvalid."""
    if inputs * top_k > MAX_LISTED:
        raise BodyInvalid(
            f"{inputs:,} inputs with {top_k:,} labels each would list {inputs * top_k:,}, the limit is {MAX_LISTED:,}; "
            "ask for a smaller top_k, or send fewer inputs.",
            problems=[Problem(f"at most {MAX_LISTED // inputs:,} for so many inputs", pointer="/top_k")],
        )


def labelled(classes: Sequence[str], probabilities: F32, cut: frozenset[int], top_k: int) -> list[dict[str, Any]]:
    """Answers where an input has one class.

    Args:
        classes: k names.
        probabilities: (n, k) float32.
        cut: Inputs whose end was left out.
        top_k: Most labels listed an input.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    best = probabilities[np.arange(len(order))[:, None], order]
    now_s = time.time()
    answers = []
    for place, (indexes, values) in enumerate(zip(order.tolist(), best.tolist(), strict=True)):
        top = [[classes[i], round(p, DIGITS)] for i, p in zip(indexes, values, strict=True)]
        answer = {"id": new_id("pr", now_s), "label": top[0][0], "probability": top[0][1], "top": top}
        answers.append({**answer, "truncated": True} if place in cut else answer)
    return answers


def _marks(facts: Facts, probabilities: F32, cut: frozenset[int], top_k: int) -> list[dict[str, Any]]:
    """Answers where an input has any number of classes: those that reach their thresholds, and the most probable."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    best = np.take_along_axis(probabilities, order, axis=1)
    reached = best >= np.asarray(facts.thresholds)[order]
    now_s = time.time()
    answers = []
    for place in range(len(order)):
        own = order[place, reached[place]], best[place, reached[place]]
        first = order[place, :top_k], best[place, :top_k]
        labels, top = (
            [[facts.classes[i], round(p, DIGITS)] for i, p in zip(at.tolist(), values.tolist(), strict=True)]
            for at, values in (own, first)
        )
        answer = {"id": new_id("pr", now_s), "labels": labels, "top": top}
        answers.append({**answer, "truncated": True} if place in cut else answer)
    return answers


def _values(values: F32, cut: frozenset[int]) -> list[dict[str, Any]]:
    now_s = time.time()
    answers: list[dict[str, Any]] = [{"id": new_id("pr", now_s), "value": value} for value in values[:, 0].tolist()]
    for place in cut:
        answers[place]["truncated"] = True
    return answers
