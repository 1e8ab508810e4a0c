"""/v1/embeddings and /v1/models, by bare calls and by OpenAI's own client over a real socket."""

import base64
import contextlib
import time

import numpy as np
import openai
import pytest
import uvicorn

from models.base import Card
from models.hosted import hosted, open_backbone
from service.serving.standing import Standing

LONG = "refund " * 200


def embed(service, given, **more):
    return service.client.post("/v1/embeddings", json={"model": "fake", "input": given, **more})


@pytest.fixture
def reference(backbones_dir):
    """What the backbone itself makes of texts, one at a time."""
    backbone = open_backbone(backbones_dir, hosted(backbones_dir)["fake"].digest, threads=1)
    return lambda *texts: np.concatenate([backbone.run(backbone.prepare([text])) for text in texts])


def test_numbers_are_the_backbones_own_in_the_order_given(service, reference):
    answer = embed(service, ["my parcel is late", "", "refund"])
    body = answer.json()
    assert answer.status_code == 200
    assert (body["object"], body["model"]) == ("list", "fake")
    assert [(one["object"], one["index"]) for one in body["data"]] == [("embedding", i) for i in range(3)]
    z = np.array([one["embedding"] for one in body["data"]])
    np.testing.assert_allclose(z, reference("my parcel is late", "", "refund"), atol=1e-6)
    assert "truncated" not in body


def test_base64_is_little_endian_float32_of_the_same_numbers(service):
    numbers = embed(service, "refund", encoding_format="float").json()["data"][0]["embedding"]
    packed = embed(service, "refund", encoding_format="base64").json()["data"][0]["embedding"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(packed), "<f4"), np.array(numbers, np.float32))


def test_usage_counts_the_tokens_that_were_read(service):
    assert embed(service, "abc").json()["usage"] == {"prompt_tokens": 6, "total_tokens": 6}  # [CLS], space, 3, [SEP]
    assert embed(service, ["abc", "abcd"]).json()["usage"]["prompt_tokens"] == 13
    assert embed(service, LONG).json()["usage"]["prompt_tokens"] == 64


def test_texts_that_lose_their_end_are_named_and_chunks_lose_nothing(service):
    assert embed(service, ["short", LONG]).json()["truncated"] == [1]
    whole = embed(service, ["short", LONG], long="chunk").json()
    assert "truncated" not in whole
    assert whole["usage"]["prompt_tokens"] > 1_400
    assert whole["data"][1]["embedding"] != embed(service, LONG).json()["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"model": "gpt-9", "input": "x"}, 404, "model", "those for texts are fake"),
        ({"model": "fake", "input": []}, 422, "input", "1 or more texts"),
        ({"model": "fake", "input": {"text": "x"}}, 422, "input", "a text or a list"),
        ({"model": "fake", "input": None}, 422, "input", "a text or a list"),
        ({"model": "fake", "input": [1, 2, 3]}, 422, "input", "check_embedding_ctx_length=False"),
        ({"model": "fake", "input": [[1, 2], [3]]}, 422, "input", "token ids"),
        ({"model": "fake", "input": ["x", None]}, 422, "input", "element 1 is not"),
        ({"model": "fake", "input": ["x"] * 1_001}, 422, "input", "the limit is 1,000"),
        ({"model": "fake", "input": ["x", "y" * 20_001]}, 422, "input", "Text 1 has 20,001 characters"),
        ({"model": "fake", "input": "x", "dimensions": 32}, 422, "dimensions", "have 64 numbers"),
        ({"model": "fake", "input": "x", "dimensions": 0}, 422, "dimensions", "greater than or equal to 1"),
        ({"model": "fake", "input": "x", "encoding_format": "int8"}, 422, "encoding_format", "'base64'"),
        ({"model": "fake", "input": "x", "colour": "red"}, 422, "colour", "no such field"),
        ({"input": "x"}, 422, "model", "required"),
    ],
)
def test_refusals_are_problems_and_openais_errors_at_once(service, body, status, param, words):
    answer = service.client.post("/v1/embeddings", json=body)
    said = answer.json()
    assert answer.status_code == said["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in said["detail"]
    assert said["error"] == {
        "message": said["detail"], "type": "invalid_request_error", "param": param, "code": said["code"],
    }  # fmt: skip


def test_a_body_that_is_no_json_is_refused_in_both_shapes(service):
    answer = service.client.post("/v1/embeddings", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == answer.json()["detail"]
    assert answer.json()["error"]["param"] is None


def test_the_width_itself_and_a_user_are_taken(service):
    assert embed(service, "x", dimensions=64, user="somebody").status_code == 200


def standing(id_, modality=None, state="ready"):
    card = modality and Card(id_, modality, "d" * 64, {"pooled": (8,)}, "MIT", "somewhere", None, {}, {})
    return Standing(id_, card, state)


def test_backbones_of_images_and_ones_that_are_not_ready_say_so(service, monkeypatch):
    shown = [standing("cat-eye", "image"), standing("soon", state="preparing"), standing("never", state="failed")]
    monkeypatch.setattr(type(service.state.backbones), "visible", lambda self, tenant: shown)
    of_images = embed(service, "x", model="cat-eye")
    assert (of_images.status_code, of_images.json()["error"]["param"]) == (422, "model")
    assert "takes image items" in of_images.json()["detail"]
    soon = embed(service, "x", model="soon")
    assert (soon.status_code, soon.json()["error"]["type"]) == (503, "server_error")
    assert soon.headers["retry-after"]
    never = embed(service, "x", model="never")
    assert (never.status_code, never.json()["error"]["param"]) == (422, "model")
    assert "could not be hosted" in never.json()["detail"]
    assert service.client.get("/v1/models").json() == {"object": "list", "data": []}


def test_it_needs_the_scope_predict(locked):
    assert embed(locked.nobody, "x").status_code == 401
    reader = embed(locked.caller("acme", "read"), "x")
    assert (reader.status_code, reader.json()["error"]["type"]) == (403, "permission_error")
    assert embed(locked.caller("acme", "predict"), "x").status_code == 200


@pytest.fixture
def base_url(service):
    """The same application on a loopback port, in the loop that the service runs in."""
    config = uvicorn.Config(service.client.app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = service.client.portal.start_task_soon(server.serve)
    while not server.started:
        assert not serving.done(), serving.exception()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    serving.result(10)


@pytest.fixture
def openai_client(base_url):
    with contextlib.closing(openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)) as client:
        yield client


def test_openais_client_gets_what_the_backbone_computes(openai_client, reference):
    texts = ["my parcel is late", "refund"]
    by_default = openai_client.embeddings.create(model="fake", input=texts)  # asks for base64, and decodes it
    as_floats = openai_client.embeddings.create(model="fake", input=texts, encoding_format="float")
    for answer in (by_default, as_floats):
        assert [one.index for one in answer.data] == [0, 1]
        np.testing.assert_allclose([one.embedding for one in answer.data], reference(*texts), atol=1e-6)
    assert by_default.model == "fake"
    assert by_default.usage.total_tokens == 29
    assert [model.id for model in openai_client.models.list()] == ["fake"]


def test_openais_client_raises_its_own_errors_with_our_sentence(openai_client):
    with pytest.raises(openai.NotFoundError, match="There is no backbone 'gpt-9' here") as refused:
        openai_client.embeddings.create(model="gpt-9", input="x")
    assert (refused.value.code, refused.value.param, refused.value.type) == (
        "not-found", "model", "invalid_request_error",
    )  # fmt: skip
    with pytest.raises(openai.UnprocessableEntityError, match="token ids"):
        openai_client.embeddings.create(model="fake", input=[[1, 2, 3]])
