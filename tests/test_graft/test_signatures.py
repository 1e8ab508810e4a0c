"""Signatures, versions without a fit, and answers with nothing fitted, as the client asks for them."""

import json

import pytest

from graft import Signatures


def sent(fake, place=-1):
    return json.loads(fake.requests[place].content)


def test_a_table_is_uploaded_as_it_is(client, fake, messages, tmp_path):
    path = tmp_path / "beasts.csv"
    path.write_bytes(b"class,stripes\ntiger,1\n")
    made = client.signatures.create(path, name="beasts", groups=["legs"])
    parts = messages["form"](fake.requests[0])
    assert parts == {"file": path.read_bytes(), "meta": b'{"name": "beasts", "groups": ["legs"]}'}
    assert (made.class_count, made.missing, made.groups) == (3, 1, {"legs": ("legs=2", "legs=4")})
    assert (made.id, made.classes, made.notes) == ("sig_1", ("tiger", "lion", "zebra"), ("Nothing varies in 'tail'.",))
    assert fake.requests[0].headers["idempotency-key"]


def test_a_mapping_is_sent_as_json(client, fake):
    client.signatures.create({"tiger": {"stripes": 1, "mane": 0}, "lion": {"stripes": None, "mane": 1}})
    assert sent(fake) == {
        "classes": {"tiger": {"stripes": 1, "mane": 0}, "lion": {"stripes": None, "mane": 1}},
    }


@pytest.mark.parametrize("labels", [["tiger", "lion"], {"tiger": "a striped cat", "lion": ["a cat", "with a mane"]}])
def test_words_are_sent_with_the_backbone_that_embeds_them(client, fake, labels):
    client.signatures.create(labels=labels, backbone="minilm-l6", templates=("a {}",))
    assert sent(fake) == {"backbone": "minilm-l6", "templates": ["a {}"], "labels": labels}


def test_a_table_or_words_and_not_both(client, fake):
    for wrong in ({}, {"table": b"class,x\n", "labels": ["a"]}):
        with pytest.raises(TypeError, match="a table, or labels"):
            client.signatures.create(**wrong)
    with pytest.raises(TypeError, match="put it in a list"):
        client.signatures.create(labels="tiger", backbone="minilm-l6")
    assert fake.requests == []


@pytest.mark.parametrize("words", [{"backbone": "minilm-l6"}, {"templates": ["a {}"]}])
def test_nothing_embeds_a_file(client, fake, words):
    with pytest.raises(TypeError, match=f"{next(iter(words))}: what embeds labels"):
        client.signatures.create(b"class,x\na,1\nb,0\n", **words)
    assert fake.requests == []


def test_they_are_listed_and_deleted(client, fake):
    assert [one.id for one in client.signatures.list()] == ["sig_1"]
    assert client.signatures.get("sig_1").attributes == ("stripes", "mane")
    client.signatures.get("sig_1", values=True)
    assert fake.requests.pop().url.params["values"] == "true"
    client.signatures.delete("sig_1")
    assert [(r.method, r.url.path) for r in fake.requests] == [
        ("GET", "/v1/signatures"), ("GET", "/v1/signatures/sig_1"), ("DELETE", "/v1/signatures/sig_1"),
    ]  # fmt: skip


@pytest.mark.parametrize("signatures", ["sig_1", Signatures("sig_1")])
def test_a_fit_names_them(client, fake, signatures):
    client.fit(name="beasts", signatures=signatures, method="names")
    assert sent(fake, 0) == {"name": "beasts", "method": "names", "signatures": "sig_1"}
    with pytest.raises(TypeError, match="none is given"):
        client.fit(name="beasts", signatures=signatures, text="body")


def test_an_ensemble_names_its_parents(client, fake):
    labels = {"old:3": {"cat": "pet", "rock": None}}
    client.fit(name="both", parents=["a:1", "old:3"], method={"method": "ensemble", "weights": [1, 2]}, labels=labels)
    assert sent(fake, 0) == {
        "name": "both", "parents": ["a:1", "old:3"], "labels": labels,
        "method": {"method": "ensemble", "weights": [1, 2]},
    }  # fmt: skip


@pytest.mark.parametrize(("from_", "number"), [(3, 3), ("intents:3", 3), ("3", 3)])
def test_a_version_from_other_signatures(client, fake, from_, number):
    assert client.version("intents", from_=from_, signatures="sig_2").ref == "intents:3"
    assert (fake.requests[0].url.path, sent(fake)) == (
        "/v1/adapters/intents/versions", {"from": number, "signatures": "sig_2"},
    )  # fmt: skip
    assert fake.requests[0].headers["idempotency-key"]


@pytest.mark.parametrize("from_", ["live", "other:3", "intents", "intents@live"])
def test_a_version_from_none_of_this_adapter(client, fake, from_):
    with pytest.raises(ValueError, match=r"no version of intents; write its number, or intents:3|no reference"):
        client.version("intents", from_=from_, signatures="sig_2")
    assert fake.requests == []


def test_a_version_from_labels_alone(client, fake):
    client.version("intents", labels={"refund": "money back"}, backbone="minilm-l6", promote="never")
    assert sent(fake) == {"labels": {"refund": "money back"}, "backbone": "minilm-l6", "promote": "never"}
    for wrong in ({}, {"labels": ["a"], "signatures": "sig_1"}):
        with pytest.raises(TypeError, match="Give signatures"):
            client.version("intents", **wrong)


def test_zero_shot_goes_in_parts_and_keeps_the_order(client, fake):
    texts = [f"text {n}" for n in range(1001)]
    answers = client.zero_shot("minilm-l6", texts, ["a", "b"], templates=["{}!"], examples=[("x", "a")], top_k=2)
    assert [answer.label for answer in answers] == [text.upper() for text in texts]
    assert sent(fake) == {
        "backbone": "minilm-l6", "inputs": ["text 1000"], "labels": ["a", "b"], "templates": ["{}!"], "top_k": 2,
        "examples": [{"input": "x", "label": "a"}],
    }  # fmt: skip


@pytest.mark.parametrize("labels", ["sig_1", Signatures("sig_1")])
def test_zero_shot_takes_signatures(client, fake, labels):
    client.zero_shot("minilm-l6", ["a"], labels)
    assert sent(fake) == {"backbone": "minilm-l6", "inputs": ["a"], "signatures": "sig_1", "top_k": 3}


def test_zero_shot_refuses_what_is_single(client, fake):
    with pytest.raises(TypeError, match="give a list of labels"):
        client.zero_shot("minilm-l6", ["a"], "refund")
    with pytest.raises(TypeError, match="inputs is a single one"):
        client.zero_shot("minilm-l6", "a", ["refund"])
    assert fake.requests == []


def test_answers_say_why(client, fake):
    near = [{"id": "row 3", "label": "tiger", "similarity": 0.9}]
    fake.because = {
        "mixture": [["tiger", 0.5], ["lion", 0.5]], "entropy": 0.69, "second": ["lion", 0.5],
        "sources": [["tiger", 0.5]],
        "attributes": [["stripes", 0.8]], "neighbours": near,
    }  # fmt: skip
    classes = [{"name": "liger", "mixture": [["tiger", 0.5], ["lion", 0.5]]}]
    [answer] = client.predict("intents", ["x"], explain=True, classes=classes, with_own=True)
    assert sent(fake) == {"inputs": ["x"], "top_k": 3, "explain": True, "classes": classes, "with_own": True}
    assert answer.mixture == (("tiger", 0.5), ("lion", 0.5))
    assert (answer.entropy, answer.second, answer.attributes) == (0.69, ("lion", 0.5), (("stripes", 0.8),))
    assert [(n.id, n.label, n.similarity) for n in answer.neighbours] == [("row 3", "tiger", 0.9)]
    fake.because = {}
    [plain] = client.predict("intents", ["x"])
    assert (plain.mixture, plain.entropy, plain.attributes, plain.sources, plain.neighbours) == (None,) * 5
