"""Averages of published versions: what goes together, and what does not."""

import io

import numpy as np
import pytest


def _vectors(service, classes=("a", "b", "c"), width=4, seed=0, name="mine.npz"):
    rng = np.random.default_rng(seed)
    labels = np.repeat(classes, 12)
    centres = {name: np.random.default_rng(sum(map(ord, name))).normal(size=width) for name in classes}
    z = np.stack([centres[label] for label in labels]) + 0.5 * rng.normal(size=(len(labels), width))
    file = io.BytesIO()
    np.savez(file, embedding=z.astype(np.float32), label=labels)
    return service.upload(file.getvalue(), name).json()["id"]


def _fit(service, name, **body):
    return service.client.post("/v1/adapters?wait=30", json={"name": name} | body)


@pytest.fixture
def two(service):
    """A dataset of vectors and two versions fitted to it."""
    dataset = _vectors(service)
    for name, method in (("one", "ridge"), ("two", "prototype")):
        assert _fit(service, name, dataset=dataset, method=method).status_code == 201
    return dataset


def _average(service, *parents, name="both", method="ensemble", **body):
    return _fit(service, name, parents=list(parents), method=method, **body)


def test_weights_are_learned_of_a_dataset(service, two):
    answer = _average(service, "one", "two:1", dataset=two)
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert (version["parents"], version["classes"]) == (["one:1", "two:1"], ["a", "b", "c"])
    report = service.client.get("/v1/adapters/both/versions/1/report").json()
    assert [entry["member"] for entry in report["ensemble"]] == ["one:1", "two:1"]
    assert sum(entry["share"] for entry in report["ensemble"]) == pytest.approx(1)
    again = service.client.post("/v1/adapters/both/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


def test_given_weights_need_no_dataset(service, two):
    answer = _average(service, "one", "two", method={"method": "ensemble", "weights": [3, 1], "of": "probabilities"})
    assert answer.status_code == 201, answer.text
    body = {"inputs": [{"embedding": [1, 2, 3, 4]}]}
    one, two_, both = (
        dict(service.client.post(f"/v1/adapters/{name}/predict", json=body).json()["predictions"][0]["top"])
        for name in ("one", "two", "both")
    )
    assert both == pytest.approx({name: 0.75 * one[name] + 0.25 * two_[name] for name in "abc"}, abs=1e-5)
    again = service.client.post("/v1/adapters/both/versions/1/refit?wait=30").json()
    assert again["result"]["same"], again


def test_labels_go_by_what_they_are_called(service, two):
    other = _vectors(service, ("A", "b"), name="other.npz")
    _fit(service, "other", dataset=other, method="ridge")
    weights = {"method": "ensemble", "weights": [1, 1]}
    answer = _average(service, "one", "other", method=weights, labels={"other": {"A": "a"}})
    assert answer.json()["classes"] == ["a", "b", "c"]


def test_a_version_that_is_held_cannot_be_deleted(service, two):
    _average(service, "one", "two", method={"method": "ensemble", "weights": [1, 1]})
    answer = service.client.delete("/v1/adapters/one/versions/1")
    assert answer.status_code == 409
    assert "both:1 was made of it" in answer.json()["detail"]
    assert service.client.delete("/v1/adapters/both/versions/1").status_code == 204
    assert service.client.delete("/v1/adapters/one/versions/1").status_code == 204


@pytest.mark.parametrize(
    ("parents", "more", "pointer", "words"),
    [
        (["one"], {}, "/parents", "1 version is named, and an average has at least 2"),
        (["one", "one:1"], {"method": {"method": "ensemble", "weights": [1, 1]}}, "/parents", "more than once"),
        (["one", "two"], {"method": {"method": "ensemble", "weights": [1] * 3}}, "/method/weights", "3 weight(s)"),
        (["one", "two"], {"dataset": None}, "/dataset", "Weights are learned from labelled items"),
        (["one", "two"], {"backbone": "fake"}, "/backbone", "brings its own backbone"),
        (["one", "two"], {"labels": {"three": {}}}, "/labels", "none of the versions that are averaged"),
        (["one", "two"], {"labels": {"one": {"z": "a"}}}, "/labels", "one has no label 'z'; it has 'a', 'b', 'c'"),
        (["one", "two"], {"labels": {"one": {"a": " "}}}, "/labels", "is to be called nothing"),
        (
            ["one", "two"],
            {"labels": {"one": {"a": "x", "b": "y", "c": None}}},
            "/parents/0",
            "one:1 answers 'x', 'y' and two:1 'a', 'b', 'c': they have no label in common",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(service, two, parents, more, pointer, words):
    answer = _average(service, *parents, **({"dataset": two} | more))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert words in answer.json()["detail"]


def test_so_are_other_items(service, two):
    service.adapt(name="texts", method="ridge")
    answer = _average(service, "one", "texts", dataset=two)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parents/1")
    assert "texts:1 is of modality 'text', and the others or the dataset are of 'vector'" in answer.json()["detail"]
    wide = _vectors(service, width=5, name="wide.npz")
    _fit(service, "wide", dataset=wide, method="ridge")
    assert "vectors of 5 numbers, not of 4" in _average(service, "one", "wide", dataset=two).json()["detail"]


def test_so_is_a_version_that_is_not_there(service, two):
    assert _average(service, "one", "two:9", dataset=two).status_code == 404


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2]])
def test_so_are_weights_that_make_no_average(service, two, weights):
    answer = _average(service, "one", "two", dataset=two, method={"method": "ensemble", "weights": weights})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "parameter-invalid"
    assert answer.json()["errors"][0]["pointer"].startswith("/method")


def test_other_methods_have_one_parent_and_no_labels(service, two):
    answer = _fit(service, "grown", dataset=two, parents=["one", "two"], method="logistic")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parents")
    answer = _fit(service, "grown", dataset=two, labels={"one": {"a": "b"}}, method="logistic")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/labels")
