"""`explain` and `classes` of /v1/adapters/{ref}/predict, through the whole service."""

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.registry.signatures import keep

LABELS = {"refund": "money back please", "delivery": "where is my parcel", "password": "forgot my password"}


@pytest.fixture
def by_words(service):
    """An adapter whose classes are told by words alone."""
    made = service.client.post("/v1/adapters/words/versions", json={"labels": LABELS, "backbone": "fake"})
    assert made.status_code == 201, made.text
    return service


def test_neighbours_are_items_of_the_fit(service):
    service.adapt()
    body = service.predict("intents", "where is my parcel", explain=True).json()
    nearest = body["predictions"][0]["neighbours"][0]
    assert (nearest["label"], nearest["similarity"]) == ("delivery", pytest.approx(1, abs=1e-3))
    assert "warnings" not in body
    assert "neighbours" not in service.predict("intents", "x").json()["predictions"][0]


def test_classes_of_the_call_are_told_by_words(by_words):
    given = [{"name": "card_arrival"}, {"name": "pin", "description": "change the pin code"}]
    body = by_words.predict("words", "change the pin code", classes=given).json()
    assert body["adapter"] == "words:1"
    assert body["predictions"][0]["label"] == "pin"
    assert {name for name, _ in body["predictions"][0]["top"]} == {"card_arrival", "pin"}
    both = by_words.predict("words", "change the pin code", classes=given, with_own=True, top_k=9).json()
    assert {name for name, _ in both["predictions"][0]["top"]} == {*LABELS, "card_arrival", "pin"}


def test_its_own_words_give_its_own_answers(by_words):
    own = by_words.predict("words", "my parcel").json()["predictions"][0]["top"]
    again = by_words.predict("words", "my parcel", classes=[{"name": name} for name in LABELS]).json()
    assert again["predictions"][0]["top"] == [[name, pytest.approx(p, abs=1e-5)] for name, p in own]


def test_a_mixture_lies_between(by_words):
    mixture = {"name": "both", "mixture": [["refund", 1], ["delivery", 1]]}
    body = by_words.predict("words", "money back please where is my parcel", classes=[mixture], with_own=True).json()
    assert body["predictions"][0]["label"] == "both"


@pytest.fixture
def by_attributes(service):
    """Fits versions of four classes by three attributes; of the last class there is no row."""
    table = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]], np.float32)
    names = ("refund", "delivery", "password", "lost card")
    state = service.state
    signatures = Signatures(names, ("secret", "parcel", "money"), table)
    kept, _ = keep(state.engine, state.blobs, "default", signatures, name="n", facts_extra={}, now_s=1.0)

    def fit(method):
        body = {"name": "mine", "dataset": service.upload().json()["id"], "signatures": kept.id, "method": method}
        made = service.client.post("/v1/adapters?wait=30", json=body)
        assert made.status_code == 201, made.text
        return service

    return fit


def test_attributes_are_predicted_and_new_ones_answered(by_attributes):
    service = by_attributes("eszsl")
    (only,) = service.predict("mine", "where is my parcel", explain=True).json()["predictions"]
    told = dict(map(tuple, only["attributes"]))
    assert set(told) == {"secret", "parcel", "money"}
    assert max(told, key=told.get) == "parcel"
    assert only["neighbours"][0]["label"] == "delivery"
    given = [{"name": "invoice", "attributes": {"secret": 0, "parcel": 1, "money": 1}}, {"name": "password"}]
    body = service.predict("mine", "where is my parcel", classes=given).json()
    assert body["predictions"][0]["label"] == "invoice"
    own = service.predict("mine", "my parcel", top_k=4).json()["predictions"][0]["top"]
    again = service.predict("mine", "my parcel", top_k=4, classes=[{"name": name} for name, _ in own]).json()
    assert again["predictions"][0]["top"] == [[name, pytest.approx(p, abs=1e-5)] for name, p in own]


def test_what_averages_says_of_what_without_being_asked(by_attributes):
    service = by_attributes("conse")
    (only,) = service.predict("mine", "where is my parcel").json()["predictions"]
    assert only["mixture"][0][0] == "delivery"
    assert 0 <= only["entropy"] <= np.log(3) + 1e-6
    assert "sources" not in only
    (only,) = service.predict("mine", "where is my parcel", explain=True).json()["predictions"]
    assert only["sources"][0][0] == "delivery"
    assert {"attributes", "neighbours"} <= set(only)


def test_nothing_to_explain_is_a_warning(by_words):
    body = by_words.predict("words", "my parcel", explain=True).json()
    assert "nothing to explain" in body["warnings"][0]["detail"]


WRONG = [
    ({"classes": [{"name": "x"}]}, "/classes"),
    ({"classes": []}, "/classes"),
    ({"classes": [{"name": "x", "attributes": {"furry": 1}}, {"name": "y"}]}, "/classes/0/attributes"),
    ({"classes": [{"name": "x", "mixture": [["refund"]]}, {"name": "y"}]}, "/classes/0/mixture/0/1"),
    ({"classes": [{"name": "x", "mixture": [["nothing", 1]]}, {"name": "y"}]}, "/classes/0/mixture"),
    ({"classes": [{"name": "x", "colour": 1}, {"name": "y"}]}, "/classes/0/colour"),
    ({"classes": [{"name": ""}, {"name": "y"}]}, "/classes/0/name"),
    ({"classes": [{"name": "x", "description": "y" * 20_001}, {"name": "y"}]}, "/classes/0/description"),
    ({"classes": [{"name": str(at)} for at in range(1_001)]}, "/classes"),
    ({"with_own": True}, "/with_own"),
]


def test_what_is_wrong_is_pointed_at(by_words):
    for more, pointer in WRONG:  # one service for all: it takes a second to start
        answer = by_words.predict("words", "x", **more)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


def test_a_fitted_version_has_the_classes_that_it_has(service):
    service.adapt()
    answer = service.predict("intents", "x", classes=[{"name": "a"}, {"name": "b"}])
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/classes")
    assert "POST /v1/zero-shot" in answer.json()["detail"]


def test_a_file_is_answered_with_labels_alone(service):
    service.adapt()
    for option in ("explain", "classes"):
        answer = service.client.post(
            f"/v1/adapters/intents/predict?{option}=true", content="text\nx\n", headers={"Content-Type": "text/csv"}
        )
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{option}")
        assert "application/json" in answer.json()["detail"]
