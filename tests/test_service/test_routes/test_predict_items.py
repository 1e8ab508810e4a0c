"""Images and sounds over HTTP: base64, a body, or the files of a form; whatever else is a sentence."""

import base64
import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.base import BatchLimits, Encoded
from models.errors import WrongInput
from service.serving.encoder import Encoder

PATH = "/v1/adapters/pets/predict"


class _Backbone:
    """An image's embedding is its first three bytes; one that begins with ``bad`` cannot be decoded."""

    limits = BatchLimits(1_000, 8)
    provider = "cpu"
    card = SimpleNamespace(id="eyes", digest="d" * 64, taps={"pooled": (3,)}, recipe={}, modality="image")

    def prepare(self, items):
        if any(item.startswith(b"bad") for item in items):
            raise WrongInput("Item 0: The image is damaged.")
        return [Encoded(np.frombuffer(item[:3], np.uint8)) for item in items]

    def run(self, batch):
        return np.stack([item.values for item in batch]).astype(np.float32)


@pytest.fixture
def engine(service):
    return service.state.engine


@pytest.fixture
def home(service):
    return service.state.home


@pytest.fixture
def blobs(service):
    return service.state.blobs


@pytest.fixture
def pets(service, records, monkeypatch):
    """Adapters of images, of sounds and of texts; the backbone is a stub."""
    encoder = Encoder(_Backbone(), max_waiting=1_000)

    async def found(*_: Any) -> Encoder:
        return encoder

    monkeypatch.setattr(type(service.state.backbones), "encoder", found)
    for name, modality in (("pets", "image"), ("barks", "audio"), ("words", "text")):
        monkeypatch.setattr(records, "draft", _drafting(type(records).draft, records, modality))
        records.publish(name)
    yield service.client
    encoder.close()


def _drafting(draft, records, modality):
    def drafted(job, **more):
        made = draft(records, job, **more)
        return dataclasses.replace(
            made, manifest=lambda number: dataclasses.replace(made.manifest(number), modality=modality)
        )

    return drafted


def _json(client, *inputs, path=PATH, **more):
    return client.post(path, json={"inputs": list(inputs), **more})


def _b64(data):
    return base64.b64encode(data).decode()


def test_base64_a_body_and_a_form_give_one_answer(pets):
    answers = [
        _json(pets, {"image": _b64(b"abc")}),
        pets.post(PATH, content=b"abc", headers={"Content-Type": "image/jpeg"}),
        pets.post(PATH, content=b"abc", headers={"Content-Type": "application/octet-stream"}),
        pets.post(PATH, files={"file": ("x.jpg", b"abc")}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["adapter"], body["request_id"]) == ("pets:1", answer.headers["X-Request-Id"])
        (prediction,) = body["predictions"]
        assert prediction["top"] == answers[0].json()["predictions"][0]["top"]


def test_several_files_of_a_form_are_answered_in_order(pets):
    files = [("file", (f"{at}.png", bytes([at, 0, 0]))) for at in range(20)]
    answer = pets.post(PATH, files=files, data={"top_k": "1"})
    assert answer.status_code == 200, answer.text
    assert [len(prediction["top"]) for prediction in answer.json()["predictions"]] == [1] * 20


def test_options_stand_in_the_query(pets):
    sent = {"content": b"abc", "headers": {"Content-Type": "image/png"}}
    assert len(pets.post(f"{PATH}?top_k=1", **sent).json()["predictions"][0]["top"]) == 1
    refused = pets.post(f"{PATH}?top_k=0", **sent)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/top_k")
    assert "no such field" in pets.post(f"{PATH}?text=a", **sent).json()["detail"]
    assert pets.post(f"{PATH}?long=chunk", **sent).json()["errors"][0]["pointer"] == "/long"


def test_a_file_that_cannot_be_decoded_is_pointed_at(pets):
    answer = _json(pets, {"image": _b64(b"abc")}, {"image": _b64(b"bad image")})
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong-input")
    assert answer.json()["detail"] == "Input 1: The image is damaged."
    assert answer.json()["errors"] == [{"detail": "The image is damaged.", "pointer": "/inputs/1/image"}]
    sent = pets.post(PATH, content=b"bad image", headers={"Content-Type": "image/png"})
    assert (sent.status_code, sent.json()["errors"][0]["pointer"]) == (422, "/inputs/0")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([{"audio": "AAAA"}], "is a sound, and not an image"),
        (["some text"], "is not an object with an image in it"),
        ([{"image": "https://example.org/x.png"}], "nothing is fetched"),
        ([{"image": "?"}], "is not base64"),
    ],
)
def test_inputs_of_another_kind_are_refused(pets, inputs, words):
    answer = _json(pets, *inputs)
    assert (answer.status_code, answer.json()["code"]) == (422, "body-invalid")
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "media", "status", "words"),
    [
        (PATH, "audio/wav", 422, "pets:1 takes an image, and the body is a sound (audio/wav)"),
        ("/v1/adapters/barks/predict", "image/png", 422, "barks:1 takes a sound, and the body is an image"),
        ("/v1/adapters/words/predict", "image/png", 422, "words:1 takes text inputs, and the body is an image"),
        (PATH, "text/csv", 415, "send it as image/*, several as the files of a form"),
        (PATH, "text/html", 415, "an image or a sound as image/* or audio/*"),
        ("/v1/adapters/nobody/predict", "image/png", 404, "nobody"),
    ],
)
def test_bodies_of_another_kind_are_refused(pets, path, media, status, words):
    answer = pets.post(path, content=b"abc", headers={"Content-Type": media})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def test_bodies_have_a_limit(pets, service):
    limit = service.state.settings.max_body_bytes
    for sent in (
        {"content": bytes(limit + 1), "headers": {"Content-Type": "image/png"}},
        {"files": {"file": ("x", bytes(limit + 2**21))}},
    ):
        answer = pets.post(PATH, **sent)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"content": b"", "headers": {"Content-Type": "image/png"}}, 400, "The body is empty"),
        ({"files": {"picture": ("x", b"abc")}}, 422, "no whole file in its field 'file'"),
        ({"files": [("file", ("x", b"abc")), ("other", ("y", b"abc"))]}, 422, "'other' is a file or is there twice"),
        ({"files": [("file", (f"{at}", b"abc")) for at in range(1_001)]}, 400, "at most 1,000 files"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}}, 400, "form cannot be read"),
    ],
)
def test_what_holds_no_files_is_refused(pets, sent, status, words):
    answer = pets.post(PATH, **sent)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def test_images_are_counted_as_such(pets):
    _json(pets, *[{"image": _b64(b"abc")}] * 3)
    assert 'graft_predictions_total{modality="image"} 3.0' in pets.get("/metrics").text


def test_an_image_sent_as_it_is_may_be_explained(pets):
    answer = pets.post(f"{PATH}?explain=true", content=b"abc", headers={"Content-Type": "image/png"}).json()
    assert "nothing to explain: pets:1" in answer["warnings"][0]["detail"]
    assert "warnings" not in pets.post(PATH, content=b"abc", headers={"Content-Type": "image/png"}).json()
