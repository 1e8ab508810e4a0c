"""Classes that nobody has an example of, on a real server: from signatures to answers, explained, without a fit."""

import csv
import json
from pathlib import Path

import pytest

from graft import ApiError

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
ANIMALS, TABLE = EXAMPLES / "animals.csv", EXAMPLES / "animals_signatures.csv"
UNSEEN = ("zebra", "penguin", "bat")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def client(make_shared):
    server = make_shared(backbones="minilm-l6").start()
    with server.client as made:
        yield made


@pytest.fixture(scope="module")
def table(client):
    return client.signatures.create(TABLE)


@pytest.fixture(scope="module")
def animals(client, table):
    return client.fit(ANIMALS, name="animals", method="eszsl", signatures=table)


@pytest.fixture(scope="module")
def unseen():
    rows = rows_of(EXAMPLES / "animals_unseen.csv")
    return [row["text"] for row in rows], [row["label"] for row in rows]


def test_classes_without_rows_are_told_apart(client, animals, table, unseen):
    texts, truth = unseen
    assert animals.classes == table.classes
    assert client.signatures.create(TABLE).id == table.id, "the same table is the same signatures"
    answers = client.predict("animals", texts, top_k=len(table.classes))
    best = [next(name for name, _ in answer.top if name in UNSEEN) for answer in answers]
    assert sum(map(str.__eq__, best, truth)) >= 8, "4 would be chance"
    assert {answer.label for answer in answers} & set(UNSEEN), "stacking lets them win against seen classes"
    report = client.adapters.report(animals.ref)
    assert {"seen_accuracy", "unseen_accuracy", "harmonic_mean"} <= set(report["zero_shot"])


def test_a_class_that_is_known_from_this_call_on(client, animals):
    griffin = {"name": "griffin", "attributes": {"feathers": 1, "wings": 1, "flies": 1, "furry": 1, "legs=four": 1}}
    liger = {"name": "liger", "mixture": [["tiger", 0.5], ["lion", 0.5]]}
    text = "It circles high above the mountain."
    [answer] = client.predict("animals", [text], top_k=99, classes=[griffin, liger], with_own=True)
    assert set(dict(answer.top)) == {*animals.classes, "griffin", "liger"}
    [among] = client.predict("animals", [text], top_k=99, classes=[griffin, liger])
    assert (among.label, len(among.top)) == ("griffin", 2)
    [plain] = client.predict("animals", [text], top_k=99)
    assert set(dict(plain.top)) == set(animals.classes)
    with pytest.raises(ApiError, match="scaled") as refused:
        client.predict("animals", [text], classes=[{"name": "x", "attributes": {"scaled": 1}}], with_own=True)
    assert refused.value.problems[0].pointer.startswith("/classes/0")


def test_other_classes_without_a_fit(client, animals):
    """The version is served as soon as the call has answered, knows its own classes alone."""
    kept = [row for row in rows_of(TABLE) if row["class"] in {"tiger", "zebra", "penguin"}]
    legs = {"legs": ["two", "four", "none", "six", "eight"]}
    narrow = client.signatures.create({row.pop("class"): row for row in kept}, groups=legs)
    made = client.version("animals", from_=animals.version, signatures=narrow, promote="never")
    answers = client.predict(made.ref, ["Striped from head to tail, it grazes on the plain."])
    assert (made.classes, made.live, made.signatures) == (("tiger", "zebra", "penguin"), False, narrow.id)
    assert answers[0].label == "zebra"
    with pytest.raises(ApiError, match="without a fit"):
        client.refit(made.ref)
    with pytest.raises(ApiError, match="attributes"):
        client.version("animals", from_=animals.version, signatures=_words(client))


def _words(client):
    return client.signatures.create(labels=["tiger", "lion"], backbone="minilm-l6")


def test_it_says_which_attributes_it_saw(client, animals):
    [answer] = client.predict(animals.ref, ["An orange cat with black stripes in the jungle."], explain=True)
    assert answer.attributes
    assert answer.label == "tiger"
    assert len(answer.attributes) <= 10


def test_a_version_with_signatures_comes_out_the_same(client, animals):
    found = client.refit(animals.ref)
    assert found.same, (found.differing, found.differs_because)


def test_a_mixture_of_two_is_told_from_one(client, table):
    version = client.fit(ANIMALS, name="mixed", method="conse", signatures=table)
    texts = [
        "A grey furry hunter that howls with its pack at night.",
        "A big cat with bold stripes and a thick mane.",
        "Something moved in the dark.",
    ]
    one, two, hard = client.predict(version.ref, texts, explain=True)
    assert one.mixture[0][0] == "wolf"
    assert one.mixture[0][1] > 0.5
    assert {name for name, _ in two.mixture[:2]} == {"tiger", "lion"}
    assert hard.entropy > max(one.entropy, two.entropy) + 0.3
    assert one.sources[:2] == one.mixture[:2]


def test_labels_alone(client):
    """Nothing is fitted: the likeness of embeddings decides."""
    labels = {"refund": "the customer wants money back", "delivery": ["where is my parcel", "the courier is late"]}
    texts = ["I want you to return what I paid", "the package has not arrived"]
    answers = client.zero_shot("minilm-l6", texts, labels, templates=["{}", "a customer says: {}"])
    assert [answer.label for answer in answers] == ["refund", "delivery"]
    assert not answers[0].calibrated
    signatures = client.signatures.create(labels=labels, backbone="minilm-l6")
    assert [answer.label for answer in client.zero_shot("minilm-l6", texts, signatures)] == ["refund", "delivery"]
    for wrong in (["refund", "refund"], ["refund", " "], [f"label {n}" for n in range(10_000)]):
        with pytest.raises(ApiError) as refused:
            client.zero_shot("minilm-l6", texts, wrong)
        assert refused.value.status == 422


def test_instant_start(client):
    """One name: first it knows labels, then it has learned."""
    labels = json.loads((EXAMPLES / "intents_labels.json").read_text())
    rows = rows_of(EXAMPLES / "unseen.csv")
    texts, truth = [row["text"] for row in rows], [row["expected"] for row in rows]
    first = client.version("intents", labels=labels, backbone="minilm-l6")
    assert (first.ref, first.live, first.classes) == ("intents:1", True, tuple(labels))
    before = _right(client.predict("intents", texts), truth)
    second = client.fit(EXAMPLES / "intents.csv", name="intents")
    assert (second.ref, second.live) == ("intents:2", True)
    after = _right(client.predict("intents", texts), truth)
    assert after >= before > len(truth) / 3


def _right(answers, truth):
    return sum(answer.label == label for answer, label in zip(answers, truth, strict=True))
