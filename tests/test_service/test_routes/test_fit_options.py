"""Options of a fit that do not go together, or not with the items, are refused before anything is queued."""

import io

import numpy as np
import pytest


@pytest.fixture
def vectors(service):
    """A dataset of vectors and an adapter fitted to it."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 10)
    file = io.BytesIO()
    np.savez(file, embedding=rng.normal(size=(20, 4)).astype(np.float32) + (labels == "a")[:, None], label=labels)
    dataset = service.upload(file.getvalue(), "mine.npz").json()["id"]
    assert _fit(service, dataset, method="ridge").status_code == 201
    return dataset


def _fit(service, dataset, name="mine", **body):
    return service.client.post("/v1/adapters?wait=30", json={"name": name, "dataset": dataset} | body)


def _pointer(answer):
    assert answer.status_code == 422, answer.text
    return [problem["pointer"] for problem in answer.json()["errors"]]


@pytest.mark.parametrize("method", ["auto", "ridge"])
def test_a_lora_adapter_that_nothing_would_start_from_is_refused(service, method):
    answer = service.adapt(method=method, peft="/anywhere")
    assert _pointer(answer) == ["/peft"]
    assert f"the method is '{method}'" in answer.json()["detail"]


def test_a_fit_starts_from_one_thing(service):
    service.adapt(method="ridge")
    answer = service.adapt(method="lora", peft="/anywhere", parents="intents:1")
    assert _pointer(answer) == ["/peft"]
    assert "send one of them" in answer.json()["detail"]


@pytest.mark.parametrize(("option", "value"), [("backbone", "fake"), ("tap", "pooled"), ("long", "truncate")])
@pytest.mark.parametrize("parents", [[], ["mine:1"]])
def test_vectors_have_no_such_option_whether_or_not_they_grow(service, vectors, option, value, parents):
    answer = _fit(service, vectors, parents=parents, **{option: value})
    assert _pointer(answer) == [f"/{option}"]
    assert "holds vector items" in answer.json()["detail"]


def test_vectors_grow_from_vectors(service, vectors):
    grown = _fit(service, vectors, parents=["mine"]).json()
    assert (grown["ref"], grown["parents"]) == ("mine:2", ["mine:1"])


@pytest.mark.parametrize("parents", [["intents:1", "intents:1"], "intents:1, intents:2"])
def test_several_parents_are_refused_with_a_sentence(service, parents):
    dataset = service.upload().json()["id"]
    answer = _fit(service, dataset, parents=parents)
    assert _pointer(answer) == ["/parents"]
    assert "2 versions are named, and a new one grows from one" in answer.json()["detail"]


def test_a_method_that_does_not_start_from_the_parent_says_so_in_the_report(service):
    service.adapt(method="ridge")
    service.adapt(method="prototype", parents="intents:1")
    notes = service.client.get("/v1/adapters/intents/versions/2/report").json()["notes"]
    assert any("'prototype'" in note and "intents:1" in note for note in notes), notes
    service.adapt(method='{"method": "logistic", "prior": "parent"}', parents="intents:1")
    notes = service.client.get("/v1/adapters/intents/versions/3/report").json()["notes"]
    assert not any("does not start from" in note for note in notes), notes


def test_another_tenants_version_is_no_parent(locked):
    locked.acme.adapt(method="ridge")
    answer = locked.globex.adapt(parents="intents:1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert locked.acme.adapt(parents="intents:1").status_code == 201
