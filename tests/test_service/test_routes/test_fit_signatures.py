"""Signatures of a fit: what goes with which method, with rows and without."""

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.registry.signatures import keep

NAMES = ("refund", "delivery", "password", "lost card")


@pytest.fixture
def attributes(service):
    """Four classes by three attributes."""
    table = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]], np.float32)
    return _kept(service, Signatures(NAMES, ("x", "y", "z"), table))


def _kept(service, table):
    state = service.state
    return keep(state.engine, state.blobs, "default", table, name="n", facts_extra={}, now_s=1.0)[0].id


def _fit(service, **body):
    return service.client.post("/v1/adapters?wait=30", json={"name": "mine"} | body)


@pytest.fixture
def words(service):
    """Four classes in the space of the fake backbone."""
    labels = {"labels": list(NAMES), "backbone": "fake"}
    return service.client.post("/v1/adapters/words/versions", json=labels).json()["signatures"]


@pytest.mark.parametrize("method", ["eszsl", "auto"])
def test_classes_without_rows_are_answered_too(service, attributes, method):
    version = _fit(service, dataset=service.upload().json()["id"], signatures=attributes, method=method).json()
    assert (version["classes"], version["signatures"]) == (list(NAMES), attributes)


def test_words_in_the_backbones_space_stand_for_the_names(service, words):
    version = _fit(service, dataset=service.upload().json()["id"], signatures=words, method="names").json()
    assert version["classes"] == list(NAMES)
    assert version["signatures"] == words
    again = service.client.post("/v1/adapters/mine/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


def test_words_alone_are_enough_for_names(service, words):
    answer = _fit(service, signatures=words, method="names")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["classes"], answer.json()["dataset"], answer.json()["calibrated"]) == (list(NAMES), "", False)
    predicted = service.client.post("/v1/adapters/mine/predict", json={"inputs": ["refund"]}).json()
    assert predicted["predictions"][0]["label"] == "refund"
    again = service.client.post("/v1/adapters/mine/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


def test_answers_of_a_version_and_signatures_are_enough_for_conse(service, attributes):
    service.adapt(name="known", method="ridge")
    answer = _fit(service, parents=["known"], signatures=attributes, method="conse")
    assert answer.status_code == 201, answer.text
    assert set(answer.json()["classes"]) == set(NAMES)
    assert answer.json()["parents"] == ["known:1"]
    notes = service.client.get("/v1/adapters/mine/versions/1/report").json()["notes"]
    assert not any("does not start from" in note for note in notes), notes
    again = service.client.post("/v1/adapters/mine/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"method": "eszsl"}, "/dataset", "'eszsl' learns of labelled items"),
        ({"method": "eszsl", "signatures": True}, "/dataset", "Without any, use 'names'"),
        ({"method": "names", "signatures": True}, "/signatures", "the signatures are attributes"),
        (
            {"method": "ridge", "signatures": True, "dataset": True},
            "/signatures",
            "'ridge' learns nothing of",
        ),
        ({"method": "auto"}, "/dataset", "'auto' learns of labelled items"),
    ],
)
def test_what_is_missing_is_said(service, attributes, body, pointer, words):
    asked = dict(body)
    if "signatures" in asked:
        asked["signatures"] = attributes
    if "dataset" in asked:
        asked["dataset"] = service.upload().json()["id"]
    answer = _fit(service, **asked)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert words in answer.json()["detail"]


def test_a_class_without_a_row_in_the_signatures_is_named(service):
    few = _kept(service, Signatures(NAMES[:2], ("x", "y"), np.eye(2, dtype=np.float32)))
    dataset = service.upload().json()["id"]
    answer = _fit(service, dataset=dataset, signatures=few, method="eszsl")
    assert answer.status_code == 422, answer.text
    assert "no row for 1 of the 3 classes" in answer.json()["detail"]
    assert "'password'" in answer.json()["detail"]


MARKED = """text,labels
money back please,money|asks
refund my order,money
return the payment,money|asks
where is my parcel,parcel|asks
the parcel is late,parcel
parcel not delivered,parcel
when does my parcel come,parcel|asks
i want my money,money
"""


@pytest.mark.parametrize("method", ["dap", "auto"])
def test_rows_may_be_marked_with_attributes_instead_of_classes(service, method):
    table = Signatures(("refund", "late"), ("money", "parcel", "asks"), np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    dataset = service.upload(MARKED.encode(), "marked.csv", meta='{"task": "multilabel"}').json()["id"]
    answer = _fit(service, dataset=dataset, signatures=_kept(service, table), method=method)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["classes"], answer.json()["task"]) == (["refund", "late"], "classification")
    inputs = ["refund my order", "the parcel is late"]
    predicted = service.client.post("/v1/adapters/mine/predict", json={"inputs": inputs}).json()
    assert [p["label"] for p in predicted["predictions"]] == ["refund", "late"]


def test_a_method_that_needs_signatures_says_where_they_come_from(service):
    answer = _fit(service, dataset=service.upload().json()["id"], method="eszsl")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/signatures")
    assert "'signatures' is missing" in answer.json()["detail"]
    assert "POST /v1/signatures" in answer.json()["detail"]


def test_without_its_signatures_a_version_is_not_fitted_again_until_they_are_back(service, attributes):
    answer = _fit(service, dataset=service.upload().json()["id"], signatures=attributes, method="eszsl")
    assert answer.status_code == 201, answer.text
    assert service.client.delete(f"/v1/signatures/{attributes}").status_code == 204
    refused = service.client.post("/v1/adapters/mine/versions/1/refit")
    assert refused.status_code == 404
    assert f"mine:1 was made with the signatures {attributes}, which are deleted" in refused.json()["detail"]
    table = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]], np.float32)
    assert _kept(service, Signatures(NAMES, ("x", "y", "z"), table)) == attributes
    again = service.client.post("/v1/adapters/mine/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


def test_every_class_of_the_parent_is_described(service):
    service.adapt(name="known", method="ridge")
    table = np.array([[0, 1], [1, 0], [1, 1]], np.float32)
    short = _kept(service, Signatures(("refund", "lost card", "top up"), ("x", "y"), table))
    answer = _fit(service, parents=["known"], signatures=short, method="conse")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/signatures")
    assert "of the 3 classes of known:1: 'delivery', 'password'. Describe them too, or name" in answer.json()["detail"]


def test_what_is_not_there_is_404(service):
    dataset = service.upload().json()["id"]
    assert _fit(service, dataset=dataset, signatures="sig_none", method="eszsl").status_code == 404
