"""From texts to the answer on the wire."""

from types import SimpleNamespace

import numpy as np
import pytest

from service.serving.directory import Served
from service.serving.heads import HeadTable
from service.serving.prediction import DIGITS, Predictor
from service.serving.references import parse


class StubEncoder:
    """Embeds a text as its two numbers; an empty one counts as truncated."""

    async def embed(self, texts):
        z = np.array([[float(number) for number in text.split()] for text in texts], np.float32)
        return z, [text.endswith(" ") for text in texts]


class Stub:
    """Directory and backbones in one."""

    def __init__(self, weight, classes):
        bias = np.zeros(len(classes), np.float32)
        head = HeadTable(2, 2**20).put("h", np.array(weight, np.float32), bias, 1.0)
        manifest = SimpleNamespace(
            name="intents", number=3, backbone="fake", backbone_digest="d", classes=classes, calibrated=True
        )
        self.served = Served(manifest, head)
        self.asked = []

    async def serve(self, tenant, reference):
        self.asked.append((tenant, reference))
        return self.served

    async def encoder(self, name, digest):
        self.asked.append((name, digest))
        return StubEncoder()


@pytest.fixture
def stub():
    return Stub([[1, 0], [0, 1], [-1, -1]], ("a", "b", "c"))


async def _predict(stub, *texts, top_k=3):
    return await Predictor(stub, stub).predict("default", parse("intents"), texts, top_k)


async def test_the_answer_names_the_version_and_lists_the_best_first(stub):
    answer = await _predict(stub, "3 1", "0 2")
    assert stub.asked == [("default", parse("intents")), ("fake", "d")]
    assert (answer["adapter"], answer["backbone"], answer["calibrated"]) == ("intents:3", "fake", True)
    first, second = answer["predictions"]
    assert [name for name, _ in first["top"]] == ["a", "b", "c"]
    assert (first["label"], second["label"]) == ("a", "b")
    shares = np.exp([3.0, 1.0, -4.0]) / np.exp([3.0, 1.0, -4.0]).sum()
    np.testing.assert_allclose([p for _, p in first["top"]], shares, atol=10**-DIGITS)
    assert first["probability"] == first["top"][0][1]


async def test_ties_go_to_the_class_that_comes_first(stub):
    (only,) = (await _predict(stub, "0 0"))["predictions"]
    assert [name for name, _ in only["top"]] == ["a", "b", "c"]


@pytest.mark.parametrize(("top_k", "listed"), [(1, 1), (2, 2), (3, 3), (1000, 3)])
async def test_top_k(stub, top_k, listed):
    (only,) = (await _predict(stub, "3 1", top_k=top_k))["predictions"]
    assert len(only["top"]) == listed


async def test_every_prediction_has_an_id_and_says_when_it_was_truncated(stub):
    short, long = (await _predict(stub, "3 1", "3 1 "))["predictions"]
    assert short["id"] != long["id"]
    assert short["id"].startswith("pr_")
    assert "truncated" not in short
    assert long["truncated"] is True
