"""Versions that need no fit."""

import io

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.registry.signatures import keep

EXAMPLES = b"""text,label
money back please,refund
refund my order,refund
return the payment,refund
where is my parcel,delivery
the parcel is late,delivery
parcel not delivered,delivery
"""


@pytest.fixture
def words(service):
    """An adapter that is told by words alone."""
    answer = _make(
        service, "told", labels={"refund": "money back please", "delivery": ["parcel", "the parcel is late"]}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def _make(service, name, backbone="fake", **body):
    return service.client.post(f"/v1/adapters/{name}/versions", json={"backbone": backbone} | body)


def test_labels_alone_make_a_version(service, words):
    assert (words["ref"], words["classes"], words["calibrated"]) == ("told:1", ["refund", "delivery"], False)
    assert words["signatures"].startswith("sig_")
    job = service.client.get(f"/v1/jobs/{words['job']}").json()
    assert (job["kind"], job["state"], job["version"]) == ("version", "succeeded", 1)
    answer = service.client.post("/v1/adapters/told/predict", json={"inputs": ["money back please", "parcel"]})
    assert [p["label"] for p in answer.json()["predictions"]] == ["refund", "delivery"]


def _animals(service, names, seed=0, extra=()):
    """Signatures of eight attributes, the same for a name whichever others there are."""
    values = np.stack([np.random.default_rng(sum(map(ord, name))).integers(0, 2, 8) for name in names])
    table = Signatures(tuple(names), tuple("abcdefgh"), values.astype(np.float32))
    state = service.state
    record, _ = keep(state.engine, state.blobs, "default", table, name="animals", facts_extra={}, now_s=1.0)
    return record.id, table


@pytest.fixture
def animals(service):
    """A version that has learned attributes on five classes and answers six."""
    names = ["cat", "dog", "cow", "hen", "bee", "owl"]
    signatures, table = _animals(service, names)
    rng = np.random.default_rng(1)
    mix = rng.standard_normal((8, 6))
    labels = np.repeat(names[:5], 12)
    z = np.stack([table.values[names.index(name)] for name in labels]) @ mix + 0.1 * rng.standard_normal((60, 6))
    file = io.BytesIO()
    np.savez(file, embedding=z.astype(np.float32), label=labels)
    dataset = service.upload(file.getvalue(), "animals.npz").json()["id"]
    body = {"name": "animals", "dataset": dataset, "signatures": signatures, "method": "eszsl"}
    answer = service.client.post("/v1/adapters?wait=30", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json(), lambda name: (table.values[names.index(name)] @ mix).tolist()


def test_unseen_classes_are_answered(service, animals):
    version, item_of = animals
    assert version["classes"][-1] == "owl"
    answer = service.client.post("/v1/adapters/animals/predict", json={"inputs": [{"embedding": item_of("owl")}]})
    assert answer.json()["predictions"][0]["label"] == "owl"


class TestFrom:
    def test_other_signatures_make_a_version_without_a_fit(self, service, animals):
        _, item_of = animals
        names = ["bee", "owl", "fox"]
        signatures, _ = _animals(service, names)
        answer = _make(service, "animals", None, signatures=signatures, **{"from": 1})
        assert answer.status_code == 201, answer.text
        version = answer.json()
        assert (version["ref"], version["classes"], version["made_from"]) == ("animals:2", names, "animals:1")
        assert (version["signatures"], version["calibrated"], version["dataset"]) == (
            signatures,
            False,
            animals[0]["dataset"],
        )
        assert version["aliases"] == ["latest", "live"]
        answer = service.client.post("/v1/adapters/animals/predict", json={"inputs": [{"embedding": item_of("owl")}]})
        assert (answer.json()["adapter"], answer.json()["predictions"][0]["label"]) == ("animals:2", "owl")
        report = service.client.get("/v1/adapters/animals/versions/2/report").json()
        assert "3 classes, 1 of them new and 4 of its own left out; examples of 1 were seen" in report["notes"][0]

    def test_scores_are_those_of_the_version_that_it_is_made_from(self, service, animals):
        version, item_of = animals
        signatures, _ = _animals(service, version["classes"][::-1])
        _make(service, "animals", None, signatures=signatures, **{"from": 1})
        body = {"inputs": [{"embedding": item_of("cat")}], "top_k": 6}
        before, after = (
            service.client.post(f"/v1/adapters/animals:{n}/predict", json=body).json()["predictions"][0]["top"]
            for n in (1, 2)
        )
        assert [name for name, _ in before] == [name for name, _ in after]
        assert [p for _, p in before] == pytest.approx([p for _, p in after], abs=1e-5)

    def test_live_stays_where_it_is_when_asked(self, service, animals):
        version, _ = animals
        signatures, _ = _animals(service, version["classes"][:3])
        made = _make(service, "animals", None, signatures=signatures, promote="never", **{"from": 1}).json()
        assert made["aliases"] == ["latest"]

    def test_it_cannot_be_fitted_again_and_says_why(self, service, animals):
        signatures, _ = _animals(service, ["cat", "fox"])
        _make(service, "animals", None, signatures=signatures, **{"from": 1})
        answer = service.client.post("/v1/adapters/animals/versions/2/refit")
        assert answer.status_code == 409
        assert "made without a fit, of animals:1" in answer.json()["detail"]

    def test_a_version_that_knows_examples_alone_is_refused(self, service, animals):
        service.client.post(
            "/v1/adapters?wait=30", json={"name": "plain", "dataset": animals[0]["dataset"], "method": "ridge"}
        )
        answer = _make(service, "plain", None, signatures=animals[0]["signatures"], **{"from": 1})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/from")
        assert "made by 'ridge', which knows classes by their examples alone" in answer.json()["detail"]

    def test_other_attributes_are_named(self, service, animals):
        table = Signatures(("a", "b"), ("x", "y"), np.eye(2, dtype=np.float32))
        state = service.state
        record, _ = keep(state.engine, state.blobs, "default", table, name="n", facts_extra={}, now_s=1.0)
        answer = _make(service, "animals", None, signatures=record.id, **{"from": 1})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/signatures")
        assert "they lack 'a', 'b', 'c'" in answer.json()["detail"]

    def test_labels_say_nothing_to_vectors(self, service, animals):
        answer = _make(service, "animals", None, labels=["fox", "owl"], **{"from": 1})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/labels")
        assert "animals:1 takes vector items" in answer.json()["detail"]

    def test_nor_to_attributes_and_none_are_kept(self, service):
        table = Signatures(("refund", "delivery"), ("money", "parcel"), np.eye(2, dtype=np.float32))
        state = service.state
        record, _ = keep(state.engine, state.blobs, "default", table, name="n", facts_extra={}, now_s=1.0)
        dataset = service.upload(EXAMPLES).json()["id"]
        body = {"name": "told", "dataset": dataset, "signatures": record.id, "method": "eszsl"}
        assert service.client.post("/v1/adapters?wait=30", json=body).status_code == 201
        answer = _make(service, "told", None, labels=["fox", "owl"], **{"from": 1})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/labels")
        assert "told:1 tells classes by 2 attributes, of which labels say nothing" in answer.json()["detail"]
        assert len(service.client.get("/v1/signatures").json()["data"]) == 1

    def test_a_fit_of_it_gives_the_same_bytes(self, service, animals):
        answer = service.client.post("/v1/adapters/animals/versions/1/refit?wait=30").json()
        assert answer["result"]["same"], answer["result"]


class TestWords:
    def test_they_are_the_signatures_that_the_same_labels_make(self, service, words):
        labels = {"refund": "money back please", "delivery": ["parcel", "the parcel is late"]}
        answer = service.client.post("/v1/signatures", json={"labels": labels, "backbone": "fake"})
        assert (answer.status_code, answer.json()["id"]) == (200, words["signatures"])

    def test_the_same_key_makes_one_version(self, service):
        headers = {"Idempotency-Key": "k"}
        body = {"backbone": "fake", "labels": ["a", "b"]}
        first, second = (
            service.client.post("/v1/adapters/told/versions", json=body, headers=headers).json() for _ in range(2)
        )
        assert first["ref"] == second["ref"] == "told:1"

    def test_examples_go_on_with_the_words_that_are_live(self, service, words):
        dataset = service.upload(EXAMPLES).json()["id"]
        body = {"name": "told", "dataset": dataset, "method": {"method": "logistic", "prior": "names"}}
        fitted = service.client.post("/v1/adapters?wait=30", json=body).json()
        assert (fitted["ref"], fitted["signatures"]) == ("told:2", words["signatures"])
        report = service.client.get("/v1/adapters/told/versions/2/report").json()
        assert report["signatures"] == words["signatures"]

    def test_other_classes_do_not(self, service, words):
        dataset = service.upload().json()["id"]
        body = {"name": "told", "dataset": dataset, "method": {"method": "logistic", "prior": "names"}}
        assert service.client.post("/v1/adapters?wait=30", json=body).json()["signatures"] is None

    @pytest.mark.parametrize(
        ("body", "pointer", "words"),
        [
            ({}, "/signatures", "send one of them"),
            ({"labels": ["a"], "signatures": "sig_1"}, "/signatures", "send one of them"),
            ({"labels": ["a", " "]}, "/labels/1", "the name is blank"),
            ({"labels": ["card_lost", "card lost"]}, None, "have the same row"),
            ({"labels": {"a": [], "b": ["x", ""]}}, "/labels/a", "an empty list of descriptions"),
            ({"labels": "a,b"}, "/labels", "must be a JSON list"),
            ({"labels": ["a", "b"], "templates": ["about"]}, "/templates/0", "0 times {}"),
            ({"labels": ["a", "b"], "backbone": None}, "/backbone", "name it in 'backbone'"),
            ({"labels": ["a", "b"], "backbone": "none"}, "/backbone", "There is no backbone 'none'"),
            ({"signatures": "sig_1", "templates": ["a {}"]}, "/templates", "are for 'labels'"),
            ({"labels": []}, None, "There are no classes"),
        ],
    )
    def test_what_cannot_be_told_is_refused(self, service, body, pointer, words):
        answer = _make(service, "told", **body)
        assert answer.status_code == 422, answer.text
        assert answer.json().get("errors", [{"pointer": None}])[0]["pointer"] == pointer
        assert words in answer.json()["detail"]

    def test_attributes_say_nothing_without_examples(self, service):
        signatures, _ = _animals(service, ["cat", "dog"])
        answer = _make(service, "told", signatures=signatures)
        assert answer.status_code == 422
        assert "learned of examples" in answer.json()["detail"]

    def test_what_is_not_there_is_404(self, service, words):
        assert _make(service, "told", signatures="sig_none").status_code == 404
        assert _make(service, "told", None, signatures=words["signatures"], **{"from": 7}).status_code == 404
        assert _make(service, "nobody", None, signatures=words["signatures"], **{"from": 1}).status_code == 404
