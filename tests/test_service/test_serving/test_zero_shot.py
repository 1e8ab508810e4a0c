"""Labels by their words, with nothing fitted."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.calibrate import fit_temperature
from adapters.signatures import Signatures
from models.base import Card
from models.catalog import Entry, Options
from models.errors import Problem, WrongInput
from models.sources import Hub
from service.errors import BodyInvalid
from service.serving.labels import Labels
from service.serving.standing import Standing
from service.serving.zero_shot import PRIOR, TEMPERATURES, Question, ZeroShot

WIDTH = 2


def standing(id_, modality="text", tower=""):
    entry = Entry(id_, modality, "", "", Hub("o/clip"), Options(tower=tower))
    return Standing(id_, Card(id_, modality, f"d-{id_}", {"pooled": (WIDTH,)}, "", "", 77, {}, {}), "ready", entry)


class Hosted:
    """A text that begins with an "a" lies on the first axis, any other on the second; so do the bytes of images.

    After a digit, which turns it that many degrees.
    """

    def __init__(self):
        self.standings = {"words": standing("words", tower="text"), "eyes": standing("eyes", "image", "vision")}
        self.asked = []

    def find(self, tenant, name):
        return self.standings[name]

    def visible(self, tenant):
        return list(self.standings.values())

    async def encoder(self, name, digest):
        async def embed(items, long="truncate", tenant=None):
            self.asked.append((name, tenant))
            texts = [item if isinstance(item, str) else item.decode() for item in items]
            if "broken" in texts:
                raise WrongInput("no", problems=[Problem("no image", pointer=f"/inputs/{texts.index('broken')}")])
            turned = [np.deg2rad(float(text[1:] or 0) + (0 if text[0] == "a" else 90)) for text in texts]
            return np.array([(3 * np.cos(t), 3 * np.sin(t)) for t in turned], np.float32), np.zeros(len(texts), bool)

        return SimpleNamespace(embed=embed)


@pytest.fixture
def hosted():
    return Hosted()


async def ask(hosted, *inputs, backbone="words", labels=None, **more):
    labels = {"ay": ("a",), "bee": ("b",)} if labels is None else labels
    return await ZeroShot(hosted, Labels(hosted)).answer("acme", backbone, Question(list(inputs), labels, **more))


def image(text):
    return {"image": base64.b64encode(text.encode()).decode()}


def expected(degrees, temperature):
    logits = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]) / temperature
    return np.exp(logits) / np.exp(logits).sum()


async def test_softmax_of_cosines_whatever_their_lengths(hosted):
    answer = await ask(hosted, "a43", "b")
    first, second = answer.predictions
    p = expected(43, TEMPERATURES["text"])
    assert dict(map(tuple, first["top"])) == pytest.approx({"ay": p[0], "bee": p[1]}, abs=1e-5)
    assert (first["label"], second["label"]) == ("ay", "bee")
    assert (answer.temperature, answer.calibrated, answer.modality) == (TEMPERATURES["text"], False, "text")


async def test_images_meet_the_words_of_their_other_tower(hosted):
    answer = await ask(hosted, image("a44"), backbone="eyes")
    assert hosted.asked == [("eyes", "acme"), ("words", None)]
    assert answer.predictions[0]["probability"] == pytest.approx(expected(44, TEMPERATURES["image"])[0], abs=1e-5)
    assert answer.modality == "image"


@pytest.mark.parametrize(
    ("inputs", "examples", "error", "pointer"),
    [
        ([image("a"), image("broken")], [], WrongInput, "/inputs/1/image"),
        ([image("a"), "text"], [], BodyInvalid, "/inputs/1"),
        ([image("a")], [(image("a"), "ay"), (image("broken"), "ay")], WrongInput, "/examples/1/input/image"),
        ([image("a")], [(image("a"), "ay"), ({"image": "?"}, "ay")], BodyInvalid, "/examples/1/input/image"),
        ([image("a")], [(image("a"), "ay"), (image("a"), "sea")], BodyInvalid, "/examples/1/label"),
    ],
)
async def test_what_is_wrong_is_pointed_at(hosted, inputs, examples, error, pointer):
    with pytest.raises(error) as refused:
        await ask(hosted, *inputs, backbone="eyes", examples=examples)
    assert refused.value.problems[0].pointer == pointer


async def test_examples_measure_the_temperature_beside_what_is_usual(hosted):
    examples = [("a40", "ay"), ("a50", "ay"), ("a60", "bee"), ("b", "bee")]
    answer = await ask(hosted, "a43", examples=examples)
    scores = np.array([(np.cos(t), np.sin(t)) for t in np.deg2rad([40, 50, 60, 90])], np.float32)
    alone = fit_temperature(scores, np.array([0, 0, 1, 1]))
    between = alone ** (4 / (4 + PRIOR)) * TEMPERATURES["text"] ** (PRIOR / (4 + PRIOR))
    assert answer.temperature == pytest.approx(between, rel=1e-4)
    assert not answer.calibrated
    assert "measured on 4 examples; from 20 on" in answer.warnings[0]["detail"]
    many = await ask(hosted, "a43", examples=examples * 250)
    assert many.temperature == pytest.approx(
        fit_temperature(np.tile(scores, (250, 1)), np.tile([0, 0, 1, 1], 250)), rel=0.05
    )
    assert (many.calibrated, many.warnings) == (True, [])


async def test_signatures_of_the_other_tower_are_taken_as_they_are(hosted):
    table = Signatures(("x", "y"), ("0", "1"), np.array([[0, 5], [1, 0]], np.float32), "d-words")
    answer = await ask(hosted, image("b"), backbone="eyes", labels={}, signatures=table)
    assert answer.predictions[0]["label"] == "x"
    assert hosted.asked == [("eyes", "acme")]


async def test_nothing_is_embedded_for_a_backbone_without_words(hosted):
    hosted.standings["blind"] = standing("blind", "image")
    with pytest.raises(BodyInvalid, match="words have no place"):
        await ask(hosted, image("a"), backbone="blind")
    assert not hosted.asked


async def test_an_answer_that_would_list_too_many_labels(hosted, monkeypatch):
    monkeypatch.setattr("service.serving.prediction.MAX_LISTED", 3)
    with pytest.raises(BodyInvalid, match="would list 4"):
        await ask(hosted, "a", "b")
