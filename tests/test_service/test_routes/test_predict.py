"""/v1/adapters/{ref}/predict."""

import concurrent.futures

import numpy as np
import pytest


def test_answers_name_version_request_and_predictions(service):
    service.adapt()
    answer = service.client.post(
        "/v1/adapters/intents/predict", json={"inputs": ["refund", "parcel"]}, headers={"X-Request-Id": "abc-1"}
    )
    body = answer.json()
    assert (body["adapter"], body["backbone"], body["request_id"]) == ("intents:1", "fake", "abc-1")
    assert answer.headers["x-request-id"] == "abc-1"
    assert len({p["id"] for p in body["predictions"]}) == 2
    assert all(p["id"].startswith("pr_") for p in body["predictions"])
    first = body["predictions"][0]
    assert (first["label"], first["probability"]) == tuple(first["top"][0])
    assert sum(p for _, p in first["top"]) == pytest.approx(1, abs=1e-5)


def test_top_k(service):
    service.adapt()
    assert len(service.predict("intents", "x", top_k=1).json()["predictions"][0]["top"]) == 1
    assert len(service.predict("intents", "x", top_k=50).json()["predictions"][0]["top"]) == 3
    assert service.predict("intents", "x", top_k=0).status_code == 422


def test_a_thousand_inputs_keep_their_order_and_do_not_depend_on_their_neighbours(service):
    service.adapt()
    texts = [f"{'refund parcel password '[i % 20 :]} number {i} " * (1 + i % 3) for i in range(1000)]
    together = service.predict("intents", *texts).json()["predictions"]
    assert len(together) == 1000
    for i in (0, 1, 17, 500, 999):
        alone = service.predict("intents", texts[i]).json()["predictions"][0]
        assert dict(map(tuple, alone["top"])) == pytest.approx(dict(map(tuple, together[i]["top"])), abs=1e-6)


def test_calls_for_several_adapters_at_once_get_their_own_answers(service):
    for name, method in (("a", "prototype"), ("b", "ridge"), ("c", "logistic")):
        service.adapt(name, method=method)
    expected = {name: service.predict(name, "my parcel is late").json()["predictions"][0]["top"] for name in "abc"}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        names = "abc" * 40
        answers = list(pool.map(lambda name: service.predict(name, "my parcel is late").json(), names))
    for name, answer in zip(names, answers, strict=True):
        assert answer["adapter"] == f"{name}:1"
        np.testing.assert_allclose(
            [p for _, p in answer["predictions"][0]["top"]], [p for _, p in expected[name]], atol=1e-6
        )


def test_a_text_over_the_token_limit_is_answered_and_said_so(service):
    service.adapt()
    short, long = service.predict("intents", "refund", "refund " * 200).json()["predictions"]
    assert "truncated" not in short
    assert long["truncated"] is True


def test_an_empty_text_is_answered(service):
    service.adapt()
    assert service.predict("intents", "").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"inputs": []}, "/inputs"),
        ({"inputs": "one text"}, "/inputs"),
        ({"inputs": ["x", {"image": "aGVsbG8="}]}, "/inputs/1"),
        ({"inputs": [1]}, "/inputs/0"),
        ({"inputs": ["x"], "colour": "red"}, "/colour"),
        ({}, "/inputs"),
        ([], ""),
        ({"inputs": ["x"] * 1001}, "/inputs"),
        ({"inputs": ["x", "y" * 20_001]}, "/inputs/1"),
    ],
)
def test_wrong_inputs_are_pointed_at(service, body, pointer):
    service.adapt()
    answer = service.client.post("/v1/adapters/intents/predict", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "body-invalid")
    assert answer.json()["errors"][0].get("pointer") == pointer


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"inputs": [NaN]}', 400, "body-malformed"),
        (b'{"inputs": ["x"], "top_k": Infinity}', 400, "body-malformed"),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "body-malformed"),
        (b"", 400, "body-malformed"),
        (b'{"inputs": ["\xff"]}', 400, "body-malformed"),
        (b'{"inputs": ["' + b"x" * 50 * 2**20 + b'"]}', 413, "body-too-large"),
        (b'{"inputs": ["\\ud800"]}', 400, "body-malformed"),
    ],
    ids=["nan", "infinity", "deep", "empty", "not utf-8", "50 MB", "lone surrogate"],
)
def test_malformed_bodies(service, content, status, code):
    service.adapt()
    answer = service.client.post(
        "/v1/adapters/intents/predict", content=content, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert service.predict("intents", "still here").status_code == 200


def test_a_body_that_is_not_json_by_name_is_refused(service):
    answer = service.client.post("/v1/adapters/intents/predict", content=b"x", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "format-unsupported")


@pytest.mark.parametrize(
    ("ref", "status"),
    [("nothing", 404), ("intents:9", 404), ("intents@canary", 404), ("Intents", 422), ("intents:0", 422), ("a b", 422)],
)
def test_unknown_references(service, ref, status):
    service.adapt()
    answer = service.predict(ref, "x")
    assert answer.status_code == status
    assert "intents" in answer.json()["detail"] or status == 404 or "name" in answer.json()["detail"]


def test_an_answer_that_would_list_too_many_labels_is_refused(service, monkeypatch):
    monkeypatch.setattr("service.serving.prediction.MAX_LISTED", 5)
    service.adapt()
    refused = service.predict("intents", "a", "b", top_k=3)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/top_k")
    assert service.predict("intents", "a", "b", top_k=2).status_code == 200


def test_a_large_answer_made_in_a_thread_is_the_same(service, monkeypatch):
    service.adapt()
    small = service.predict("intents", "refund", "parcel").json()["predictions"]
    monkeypatch.setattr("service.serving.prediction.INLINE_SCORES", 0)
    large = service.predict("intents", "refund", "parcel").json()["predictions"]
    assert [answer["top"] for answer in large] == [answer["top"] for answer in small]


@pytest.mark.parametrize("body", [{"inputs": ["x"], "top_k": "2"}, {"inputs": ["x"], "top_k": True}])
def test_texts_are_not_taken_for_numbers(service, body):
    service.adapt()
    assert service.client.post("/v1/adapters/intents/predict", json=body).status_code == 422
