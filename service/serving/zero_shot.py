"""Labels that nothing was fitted for: an input has the label whose words lie nearest to it.

labels -> texts -> their embeddings (`labels`)  ->
inputs -> embeddings, in everybody's batches    ->  cosines -> softmax(cosine / temperature)
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32
from adapters.calibrate import fit_temperature
from adapters.dataset import humanise
from adapters.linalg import unit_rows
from adapters.methods.names import Names
from adapters.signatures import Signatures
from models.errors import Problem, WrongInput
from service.errors import BodyInvalid
from service.serving.backbones import Backbones
from service.serving.labels import PLAIN, Labels
from service.serving.media_inputs import files_of, pointing_into
from service.serving.prediction import INLINE_SCORES, check_size, labelled
from service.serving.standing import Standing
from service.serving.taps import Doubts, check_texts, listed
from service.serving.towers import card_of, same_space

TEMPERATURES = {"text": Names.default_temperature, "image": 0.01}
"""Of cosines, where no example was given to measure it on. Of images and texts what CLIP learned (Radford et al. 2021:
1/100, and 1/118 of SigLIP): their cosines hardly differ."""

CALIBRATING = 20
"""Examples from which on the probabilities count as calibrated."""

PRIOR = 10
"""Examples that the default temperature counts as: a handful alone measures one that is far too high.

Of 20 intents of Banking77's training rows (MiniLM) the log loss of the default is 0.75 to 0.79. Measured on 2, 5, 10,
20 and 50 examples alone it is 0.30, 0.17, 0.10, 0.03 and 0.00 higher; with this prior at most 0.02.
"""

FITTING = 2
"""Examples from which on a temperature can be measured at all."""


@dataclass(frozen=True)
class Question:
    """Inputs, and the labels that they may have.

    Attributes:
        inputs: Texts or objects with an image, as they were sent.
        labels: Texts of each label by its name, as `Labels.embed` takes them; none where there are `signatures`.
        signatures: Embeddings of the labels' words, made before; None where there are `labels`.
        templates: That the texts of the labels are put into.
        examples: Inputs with their labels.
        top_k: Most labels listed an input.
    """

    inputs: Sequence[Any]
    labels: Mapping[str, Sequence[str]]
    signatures: Signatures | None = None
    templates: Sequence[str] = PLAIN
    examples: Sequence[tuple[Any, str]] = ()
    top_k: int = 3

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(self.labels) if self.signatures is None else self.signatures.classes


@dataclass(frozen=True)
class Answer:
    """What a question is answered with.

    Attributes:
        modality: What the inputs were.
        predictions: One object an input, as it goes over the wire.
        temperature: That cosines were divided by.
        calibrated: Whether enough examples measured it.
        warnings: What the caller should know.
    """

    modality: str
    predictions: list[dict[str, Any]]
    temperature: float
    calibrated: bool
    warnings: Doubts = field(default_factory=list)


class ZeroShot:
    """Answers questions about labels that nothing was fitted for.

    Args:
        backbones: What is hosted.
        labels: Embeds and remembers words.
    """

    def __init__(self, backbones: Backbones, labels: Labels) -> None:
        self._backbones = backbones
        self._labels = labels

    async def answer(self, tenant: str, backbone: str, question: Question) -> Answer:
        """The most probable labels of each input.

        Args:
            tenant: Whose call it is.
            backbone: That embeds the inputs: of texts, or of images whose text tower is hosted.
            question: At least 1 input and 2 labels.

        Raises:
            BackboneUnknown: There is no such backbone.
            BodyInvalid: The backbone has no words, an input or an example is none for it, or the signatures are not of
                its space.
            WrongInput: A file cannot be decoded.
            NotReady, Busy: See `Encoder.embed`.
        """
        check_size(len(question.inputs), min(question.top_k, len(question.classes)))
        standing = await self._labels.standing(tenant, backbone)
        await self._labels.words_of(tenant, backbone)  # before anything is embedded
        y = _places(question)
        (z, cut), (shown, _) = await asyncio.gather(
            self._embedded(tenant, standing, question.inputs, "/inputs/{at}"),
            self._embedded(tenant, standing, [given for given, _ in question.examples], "/examples/{at}/input"),
        )
        table, warnings = await self._table(tenant, standing, question)
        large = (len(z) + len(shown)) * len(table) > INLINE_SCORES
        default = TEMPERATURES.get(str(standing.modality), TEMPERATURES["text"])
        made = (question, default, z, frozenset(np.flatnonzero(cut).tolist()), shown, y, table)
        predictions, temperature = await asyncio.to_thread(_answered, *made) if large else _answered(*made)
        if 0 < len(y) < CALIBRATING:
            warnings.append({"detail": _few(len(y))})
        return Answer(str(standing.modality), predictions, temperature, len(y) >= CALIBRATING, warnings)

    async def _embedded(
        self, tenant: str, standing: Standing, inputs: Sequence[Any], pointer: str
    ) -> tuple[F32, npt.NDArray[np.bool_]]:
        card = card_of(standing)
        if not inputs:
            return np.empty((0, *card.taps["pooled"]), np.float32), np.zeros(0, np.bool_)
        taker = f"backbone {standing.id}"
        try:
            if card.modality == "text":
                check_texts(taker, inputs)
                items = inputs
            else:
                items = await files_of(card.modality, taker, inputs)
            encoder = await self._backbones.encoder(standing.id, card.digest)
            return await encoder.embed(items, "truncate", tenant)
        except BodyInvalid as error:
            raise BodyInvalid(error.message, problems=_moved(error.problems, pointer)) from None
        except WrongInput as error:
            pointing = error if card.modality == "text" else pointing_into(error, inputs, card.modality)
            raise WrongInput(pointing.message, problems=_moved(pointing.problems, pointer)) from None

    async def _table(self, tenant: str, standing: Standing, question: Question) -> tuple[F32, Doubts]:
        """(k, d) the labels in the space of the inputs, and what is odd about them."""
        if question.signatures is not None:
            _check_space(self._backbones.visible(tenant), standing, question.signatures)
            return question.signatures.values, []
        found = await self._labels.embed(tenant, standing.id, question.labels, question.templates)
        warnings: Doubts = [{"detail": sentence} for sentence in _alike(question.labels)]
        if found.cut:
            warnings.append(
                {
                    "detail": f"The words of {listed(found.cut)} are longer than {found.backbone} takes, and their end "
                    "was left out; shorten them, or send several short descriptions."
                }
            )
        return found.z, warnings


def _answered(
    question: Question,
    temperature: float,
    z: F32,
    cut: frozenset[int],
    shown: F32,
    y: npt.NDArray[np.int64],
    table: F32,
) -> tuple[list[dict[str, Any]], float]:
    """Predictions and the temperature, by numpy alone."""
    rows = unit_rows(table.astype(np.float64))
    if len(y):
        temperature = _measured(_cosines(shown, rows), y, temperature)
    scores = _cosines(z, rows) / np.float32(temperature)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return labelled(question.classes, scores, cut, min(question.top_k, len(rows))), temperature


def _measured(scores: F32, y: npt.NDArray[np.int64], default: float) -> float:
    """The geometric mean of the temperature that examples ask for and the default, each by its examples."""
    share = len(y) / (len(y) + PRIOR)
    return exp(share * log(fit_temperature(scores, y)) + (1 - share) * log(default))


def _cosines(z: F32, rows: npt.NDArray[np.float64]) -> F32:
    return np.asarray(unit_rows(z.astype(np.float64)) @ rows.T, dtype=np.float32)


def _places(question: Question) -> npt.NDArray[np.int64]:
    """Which label each example has.

    Raises:
        BodyInvalid: One has another, or there is one example alone.
    """
    place = {name: at for at, name in enumerate(question.classes)}
    wrong = [at for at, (_, label) in enumerate(question.examples) if label not in place]
    if wrong:
        raise BodyInvalid(
            f"Example {wrong[0]} has the label {question.examples[wrong[0]][1][:60]!r}, which is not among the "
            f"{len(place)} labels of the call; add the label, or leave the example out.",
            problems=[Problem("not among the labels", pointer=f"/examples/{at}/label") for at in wrong[:20]],
        )
    if len(question.examples) == 1:
        raise BodyInvalid(
            f"There is 1 example, and the temperature is measured on {FITTING} or more; from {CALIBRATING} on the "
            "probabilities count as calibrated. Send more, or none.",
            problems=[Problem(f"must have {FITTING} or more", pointer="/examples")],
        )
    return np.array([place[label] for _, label in question.examples], dtype=np.int64)


def _few(examples: int) -> str:
    return (
        f"The temperature was measured on {examples} examples; from {CALIBRATING} on the probabilities count as "
        "calibrated."
    )


def _check_space(standings: Sequence[Standing], standing: Standing, signatures: Signatures) -> None:
    if same_space(standings, signatures.space, card_of(standing).digest):
        return
    made = "embeddings of another backbone" if signatures.space else "attributes that have names"
    raise BodyInvalid(
        f"These signatures are {made}, and inputs of {standing.id} can be compared with embeddings of its own words "
        "alone. Send labels or descriptions, make signatures from them with this backbone (POST /v1/signatures), or "
        "fit a zero-shot method with these signatures (POST /v1/adapters).",
        problems=[Problem("not of the backbone's space", pointer="/signatures")],
    )


def _alike(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each group of labels that say the same, so that they share their probability."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, own in labels.items():
        groups.setdefault(tuple(own) or (humanise(name),), []).append(name)
    return [
        f"The labels {listed(names)} say the same ({own[0][:60]!r}), so that they share their probability evenly; "
        "describe them, or send one of them."
        for own, names in groups.items()
        if len(names) > 1
    ]


def _moved(problems: Sequence[Problem], pointer: str) -> list[Problem]:
    """Problems with ``/inputs/<i>...`` where these inputs are."""
    moved = []
    for problem in problems:
        place, _, rest = (problem.pointer or "").removeprefix("/inputs/").partition("/")
        made = pointer.format(at=place) + (f"/{rest}" if rest else "")
        moved.append(replace(problem, pointer=made))
    return moved
