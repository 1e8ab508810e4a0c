"""From inputs to the answer on the wire."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from service.errors import BodyInvalid
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.graphs import GraphHead
from service.serving.heads import Slot
from service.serving.prediction import DIGITS, Predictor
from service.serving.references import parse

FACTS = Facts(
    name="intents",
    number=3,
    kind="affine",
    modality="text",
    task="classification",
    backbone="fake",
    backbone_digest="d",
    width=2,
    classes=("a", "b", "c"),
    calibrated=True,
    columns=(),
    long="truncate",
    head="h",
)


class StubEncoder:
    """Embeds a text as its two numbers; one that ends in a blank counts as cut."""

    def __init__(self):
        self.long, self.tenants = [], []

    async def embed(self, texts, long, tenant):
        self.long.append(long)
        self.tenants.append(tenant)
        z = np.array([[float(number) for number in text.split()] for text in texts], np.float32)
        return z, np.array([text.endswith(" ") for text in texts])


class Stub:
    """Directory and backbones in one."""

    def __init__(self):
        weight = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
        self.served = Served(FACTS, Slot(weight, np.zeros(3, np.float32), 1.0), "acme")
        self.asked = []
        self.the_encoder = StubEncoder()

    def serves(self, head=None, **facts):
        self.served = Served(replace(FACTS, **facts), head or self.served.head, "acme")

    async def serve(self, tenant, reference):
        self.asked.append((tenant, reference))
        return self.served

    async def encoder(self, name, digest, tap):
        self.asked.append((name, digest, tap))
        return self.the_encoder


@pytest.fixture
def stub():
    return Stub()


async def _predict(stub, *inputs, top_k=3, long=None):
    return await Predictor(stub, stub).predict("default", parse("intents"), inputs, top_k, long)


async def test_the_answer_names_the_version_and_lists_the_best_first(stub):
    answer = await _predict(stub, "3 1", "0 2")
    assert stub.asked == [("default", parse("intents")), ("fake", "d", "pooled")]
    assert (answer["adapter"], answer["backbone"], answer["calibrated"]) == ("intents:3", "fake", True)
    first, second = answer["predictions"]
    assert [name for name, _ in first["top"]] == ["a", "b", "c"]
    assert (first["label"], second["label"]) == ("a", "b")
    shares = np.exp([3.0, 1.0, -4.0]) / np.exp([3.0, 1.0, -4.0]).sum()
    np.testing.assert_allclose([p for _, p in first["top"]], shares, atol=10**-DIGITS)
    assert first["probability"] == first["top"][0][1]
    assert "warnings" not in answer


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


async def test_long_texts_are_treated_as_in_the_fit_unless_the_call_says_otherwise(stub):
    await _predict(stub, "3 1")
    stub.serves(long="chunk")
    await _predict(stub, "3 1")
    await _predict(stub, "3 1", long="truncate")
    assert stub.the_encoder.long == ["truncate", "chunk", "truncate"]
    assert set(stub.the_encoder.tenants) == {"acme"}


async def test_vectors_go_to_the_head_as_they_are(stub):
    stub.serves(modality="vector", backbone="", backbone_digest="")
    answer = await _predict(stub, {"embedding": [0, 2]})
    assert (answer["backbone"], answer["predictions"][0]["label"]) == (None, "b")


async def test_a_regression_answers_values_and_says_nothing_of_calibration(stub):
    head = Slot(np.array([[2, 1]], np.float32), np.array([0.5], np.float32), 1.0)
    stub.serves(head, classes=(), task="regression", calibrated=False)
    answer = await _predict(stub, "3 1", "0 2 ")
    first, second = answer["predictions"]
    assert (first["value"], second["value"]) == (7.5, 2.5)
    assert set(first) == {"id", "value"}
    assert second["truncated"] is True
    assert answer["calibrated"] is None


async def test_a_graph_answers_its_own_probabilities(stub):
    from adapters.columns import infer

    schema, _ = infer({"age": [1, 2, 3, 4], "colour": ["red", "blue", "red", "blue"]})
    seen = []

    def run(names, feed):
        seen.append(feed)
        return [np.array([[0.2, 0.8]] * len(feed["numbers"]), np.float32)]

    inputs = [SimpleNamespace(name="numbers"), SimpleNamespace(name="categories")]
    session = SimpleNamespace(run=run, get_inputs=lambda: inputs)
    stub.serves(
        GraphHead(session, "probabilities", 1), modality="table", kind="graph", classes=("a", "b"), columns=schema
    )
    answer = await _predict(stub, {"age": 3, "colour": "red", "size": 1})
    assert answer["predictions"][0]["label"] == "b"
    np.testing.assert_array_equal(seen[0]["numbers"], [[3.0]])
    assert answer["warnings"] == [{"detail": "Columns that this adapter does not use were passed over: 'size'."}]


async def test_any_number_of_labels_each_by_its_threshold(stub):
    stub.serves(task="multilabel", thresholds=(0.9, 0.5, 0.0))
    first, second = (await _predict(stub, "3 1", "0 0 ", top_k=1))["predictions"]
    p = 1 / (1 + np.exp([-3.0, -1.0, 4.0]))
    assert [name for name, _ in first["labels"]] == ["a", "b", "c"]
    np.testing.assert_allclose([share for _, share in first["labels"]], p, atol=10**-DIGITS)
    assert first["top"] == first["labels"][:1]
    assert "label" not in first
    assert [name for name, _ in second["labels"]] == ["b", "c"]  # at its threshold is enough
    assert second["truncated"] is True


async def test_scores_far_from_zero_are_no_trouble(stub):
    stub.serves(task="multilabel", thresholds=(0.5, 0.5, 0.5))
    (only,) = (await _predict(stub, "1000 -1000"))["predictions"]
    assert only["top"] == [["a", 1.0], ["c", 0.5], ["b", 0.0]]


async def test_a_head_takes_its_parts_of_an_embedding(stub):
    stub.serves(parts=((2, 3), (0, 1)))
    await_plain = await _predict(stub, "1 9 3")
    stub.serves(parts=())
    assert await_plain["predictions"][0]["top"] == (await _predict(stub, "3 1"))["predictions"][0]["top"]


async def test_an_answer_that_would_list_too_much_is_refused_before_anything_is_embedded(stub, monkeypatch):
    monkeypatch.setattr("service.serving.prediction.MAX_LISTED", 5)
    with pytest.raises(BodyInvalid, match="top_k"):
        await _predict(stub, "0 0", "0 0")
    assert stub.the_encoder.long == []
