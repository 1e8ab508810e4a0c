"""/v1/zero-shot."""

import math
import re

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.registry import signatures as registry

LABELS = {"refund": "money back please", "delivery": "where is my parcel", "password": "forgot my password"}


def ask(service, *inputs, **more):
    body = {"backbone": "fake", "inputs": list(inputs), "labels": LABELS} | more
    return service.client.post("/v1/zero-shot", json={name: value for name, value in body.items() if value is not None})


def test_an_input_has_the_label_whose_words_lie_nearest(service):
    answer = ask(service, "my parcel, where is it", "i forgot the password")
    body = answer.json()
    assert answer.status_code == 200
    assert (body["backbone"], body["calibrated"], "warnings" in body) == ("fake", False, False)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert [one["label"] for one in body["predictions"]] == ["delivery", "password"]
    first = body["predictions"][0]
    assert first["id"].startswith("pr_")
    assert (first["label"], first["probability"]) == tuple(first["top"][0])
    assert sum(p for _, p in first["top"]) == pytest.approx(1, abs=1e-5)


def test_probabilities_are_those_of_cosines_over_the_temperature(service):
    body = ask(service, "money back please").json()
    top = dict(map(tuple, body["predictions"][0]["top"]))
    # The words themselves: cosine 1, so that no other label can have more than e^((c - 1) / T) of it.
    apart = {name: 1 + body["temperature"] * math.log(p / top["refund"]) for name, p in top.items()}
    assert all(-1 <= cosine <= 1.0001 for cosine in apart.values())
    assert body["predictions"][0]["label"] == "refund"


def test_labels_may_be_names_alone_with_templates(service):
    answer = ask(
        service, "password", labels=["new_password", "my_parcel"], templates=["a customer asks about {}", "{}"]
    )
    assert answer.json()["predictions"][0]["label"] == "new_password"


def test_top_k(service):
    assert [len(ask(service, "x", top_k=k).json()["predictions"][0]["top"]) for k in (1, 2, 50)] == [1, 2, 3]


def examples(labels, times):
    return [{"input": f"{text} {at}", "label": label} for at in range(times) for label, text in labels.items()]


def test_a_few_examples_measure_the_temperature_and_enough_of_them_calibrate(service):
    few, enough = (ask(service, "parcel", examples=examples(LABELS, times)).json() for times in (2, 7))
    assert few["calibrated"] is False
    assert "6 examples; from 20 on" in few["warnings"][0]["detail"]
    assert enough["calibrated"] is True
    assert "warnings" not in enough
    assert len({ask(service, "parcel").json()["temperature"], few["temperature"], enough["temperature"]}) == 3


def test_inputs_that_are_cut_and_labels_that_are_cut_are_said(service):
    body = ask(service, "refund " * 200, labels=LABELS | {"long": "word " * 200}).json()
    assert body["predictions"][0]["truncated"] is True
    assert "'long' are longer than fake takes" in body["warnings"][0]["detail"]


def test_labels_that_read_the_same_are_answered_and_said(service):
    body = ask(service, "card", labels=["card_arrival", "Card arrival", "pin"]).json()
    assert "'card_arrival', 'Card arrival' say the same" in body["warnings"][0]["detail"]
    top = dict(map(tuple, body["predictions"][0]["top"]))
    assert top["card_arrival"] == top["Card arrival"]


WRONG = [
    ({"labels": {"a": "x", "b/c": " "}}, "/labels/b~1c", "a description that is empty"),
    ({"labels": [f"label {i}" for i in range(10_000)]}, "/labels", "10,000 labels, the limit is 1,000.*signatures"),
    ({"labels": None}, "/labels", "either"),
    ({"signatures": "sig_1"}, "/labels", "either"),
    ({"templates": ["no place"]}, "/templates/0", "must stand in it once"),
    ({"templates": []}, "/templates", "0 templates"),
    ({"inputs": []}, "/inputs", ""),
    ({"inputs": ["x", 3]}, "/inputs/1", "must be a text"),
    ({"inputs": [{"image": "aGVsbG8="}]}, "/inputs/0", "must be a text"),
    ({"inputs": ["x"] * 1001}, "/inputs", "1,001 inputs"),
    ({"inputs": ["x" * 20_001]}, "/inputs/0", "20,001 characters"),
    ({"examples": [{"input": "x", "label": "refund"}]}, "/examples", "1 example, .* 2 or more"),
    ({"examples": [{"input": "x", "label": "refund"}, {"input": "y", "label": "z"}]}, "/examples/1/label", "'z'"),
    ({"examples": [{"input": "x", "label": "refund"}, {"input": 1, "label": "refund"}]}, "/examples/1/input", ""),
    ({"examples": [{"input": "x" * 20_001, "label": "refund"}] * 2}, "/examples/0/input", "20,001 characters"),
    ({"top_k": 0}, "/top_k", ""),
    ({"colour": "red"}, "/colour", "no such field"),
]


def test_what_is_wrong_is_pointed_at(service):
    for more, pointer, words in WRONG:  # one service for all: it takes a second to start
        answer = ask(service, **({"inputs": ["x"]} | more))
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
        assert re.search(words, answer.json()["detail"]), answer.text


def test_an_unknown_backbone_names_those_there_are(service):
    answer = ask(service, "x", backbone="nope")
    assert (answer.status_code, answer.json()["code"]) == (422, "backbone-unknown")
    assert "fake" in answer.json()["detail"]


class TestSignatures:
    def kept(self, service, space=None):
        state = service.state
        (standing,) = state.backbones.standings()
        values = np.eye(3, standing.card.taps["pooled"][0], dtype=np.float32)
        space = standing.card.digest if space is None else space
        table = Signatures(("a", "b", "c"), tuple(map(str, range(values.shape[1]))), values, space)
        record, _ = registry.keep(state.engine, state.blobs, "default", table, name="s", facts_extra={}, now_s=1.0)
        return record.id

    def test_words_that_were_embedded_before_are_compared_as_they_are(self, service):
        answer = ask(service, "x", labels=None, signatures=self.kept(service))
        assert {name for name, _ in answer.json()["predictions"][0]["top"]} == {"a", "b", "c"}

    def test_those_of_another_space_are_refused(self, service):
        for space in ("", "another"):
            answer = ask(service, "x", labels=None, signatures=self.kept(service, space))
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/signatures")

    def test_templates_have_no_place_there(self, service):
        answer = ask(service, "x", labels=None, signatures=self.kept(service), templates=["{}"])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/templates")

    def test_unknown_ones(self, service):
        assert ask(service, "x", labels=None, signatures="sig_nothing").status_code == 404


def test_a_key_needs_the_scope_predict(locked):
    body = {"backbone": "fake", "inputs": ["x"], "labels": ["a", "b"]}
    for scopes, status in ((("predict",), 200), (("read",), 403)):
        assert locked.caller("acme", *scopes).client.post("/v1/zero-shot", json=body).status_code == status
    assert locked.nobody.client.post("/v1/zero-shot", json=body).status_code == 401


def test_inputs_are_counted(service):
    ask(service, "x", "y")
    assert 'graft_predictions_total{modality="text"} 2.0' in service.client.get("/metrics").text


def test_a_large_answer_made_in_a_thread_is_the_same(service, monkeypatch):
    small = ask(service, "refund", "parcel").json()["predictions"]
    monkeypatch.setattr("service.serving.zero_shot.INLINE_SCORES", 0)
    large = ask(service, "refund", "parcel").json()["predictions"]
    assert [one["top"] for one in large] == [one["top"] for one in small]
