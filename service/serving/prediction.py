"""From a call's texts to its answer: resolve, embed with everybody else's, score with the adapter's own head."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import Problem
from service.errors import BodyInvalid
from service.ids import new_id
from service.serving.backbones import Backbones
from service.serving.directory import Directory, Served
from service.serving.heads import F32
from service.serving.references import Reference

DIGITS = 7
"""Digits of a probability on the wire; float32 has no more to say."""


INLINE_SCORES = 10_000
"""Up to this many scores are sorted where they are, in some milliseconds; more go to a thread."""

MAX_LISTED = 100_000
"""Most labels listed in one answer, over all inputs: some 3 MB."""


class Predictor:
    """Answers predictions."""

    def __init__(self, directory: Directory, backbones: Backbones) -> None:
        self._directory = directory
        self._backbones = backbones

    async def predict(self, tenant: str, reference: Reference, texts: Sequence[str], top_k: int) -> dict[str, Any]:
        """Predict labels.

        Args:
            tenant: Whose adapter.
            reference: Which adapter; an alias is followed once, so that one call is one version.
            texts: 1 or more inputs.
            top_k: Most labels listed an input.

        Returns:
            The answer as it goes over the wire, but for the request's id.

        Raises:
            NotFound: There is no such adapter, alias or version.
            NotReady: Its backbone is still being prepared.
            Busy: Too much waits already.
            BodyInvalid: The answer would list more labels than `MAX_LISTED`.
            WrongInput: An input is not what the backbone takes.
        """
        served = await self._directory.serve(tenant, reference)
        top_k = min(top_k, len(served.manifest.classes))
        _check_size(len(texts), top_k)
        encoder = await self._backbones.encoder(served.manifest.backbone, served.manifest.backbone_digest)
        z, truncated = await encoder.embed(texts)
        if len(texts) * len(served.manifest.classes) <= INLINE_SCORES:
            return _answer(served, z, truncated, top_k)
        return await asyncio.to_thread(_answer, served, z, truncated, top_k)


def _answer(served: Served, z: F32, truncated: Sequence[bool], top_k: int) -> dict[str, Any]:
    return {
        "adapter": f"{served.manifest.name}:{served.manifest.number}",
        "backbone": served.manifest.backbone,
        "calibrated": served.manifest.calibrated,
        "predictions": _predictions(served, served.head.probabilities(z), truncated, top_k),
    }


def _check_size(inputs: int, top_k: int) -> None:
    if inputs * top_k > MAX_LISTED:
        raise BodyInvalid(
            f"{inputs:,} inputs with {top_k:,} labels each would list {inputs * top_k:,}, the limit is {MAX_LISTED:,}; "
            "ask for a smaller top_k, or send fewer inputs.",
            problems=[Problem(f"at most {MAX_LISTED // inputs:,} for so many inputs", pointer="/top_k")],
        )


def _predictions(served: Served, probabilities: F32, truncated: Sequence[bool], top_k: int) -> list[dict[str, Any]]:
    classes = served.manifest.classes
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    best = np.take_along_axis(probabilities, order, axis=1)
    now_s = time.time()
    answers = []
    for indexes, values, cut in zip(order.tolist(), best.tolist(), truncated, strict=True):
        top = [[classes[i], round(p, DIGITS)] for i, p in zip(indexes, values, strict=True)]
        answer = {"id": new_id("pr", now_s), "label": top[0][0], "probability": top[0][1], "top": top}
        answers.append({**answer, "truncated": True} if cut else answer)
    return answers
