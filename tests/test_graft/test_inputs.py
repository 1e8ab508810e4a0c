"""Inputs of predictions: how each is sent, and in how many calls."""

import base64
import json

import pytest

from graft import ApiError, _inputs


def inputs(request):
    return json.loads(request.content)["inputs"]


def test_images_and_sounds_are_sent_by_what_their_bytes_are(client, fake, messages, tmp_path):
    (tmp_path / "odd.name").write_bytes(messages["wav"])
    client.predict("intents", [tmp_path / "odd.name", messages["png"]])
    assert inputs(fake.requests[0]) == [
        {"audio": base64.b64encode(messages["wav"]).decode()},
        {"image": base64.b64encode(messages["png"]).decode()},
    ]


def test_large_ones_go_in_several_calls_in_order(client, fake, messages, monkeypatch):
    monkeypatch.setattr(_inputs, "LARGEST_CALL_BYTES", 2 * len(messages["png"]) + 2)
    given = [messages["png"] + bytes([n]) for n in range(5)]
    answers = client.predict("intents", given)
    assert [len(inputs(request)) for request in fake.requests] == [2, 2, 1]
    sent = [base64.b64decode(one["image"]) for request in fake.requests for one in inputs(request)]
    assert sent == given
    assert len(answers) == 5


def test_one_that_is_too_large_for_json_is_sent_as_it_is(client, fake, messages, monkeypatch):
    for module in ("_inputs", "_predicting"):
        monkeypatch.setattr(f"graft.{module}.LARGEST_CALL_BYTES", 20)
    client.predict("intents", [messages["png"], messages["wav"] + bytes(100)], top_k=2)
    small, large = fake.requests
    assert len(inputs(small)) == 1
    assert large.headers["content-type"] == "audio/wav"
    assert large.content == messages["wav"] + bytes(100)
    assert large.url.params["top_k"] == "2"


@pytest.mark.parametrize("given", [b"\x89PNG\r\n\x1a\n", "path"])
def test_a_single_one_is_not_a_list(client, fake, tmp_path, given):
    with pytest.raises(TypeError, match="put it in a list"):
        client.predict("intents", tmp_path if given == "path" else given)
    assert fake.requests == []


def test_bytes_that_are_neither(client, fake, tmp_path):
    (tmp_path / "rows.csv").write_text("text\nhello\n")
    with pytest.raises(ValueError, match=r"Input 1, the file .*rows.csv', begins like no image and no sound"):
        client.predict("intents", ["a text", tmp_path / "rows.csv"])
    with pytest.raises(ValueError, match="Input 0, 3 bytes"):
        client.predict("intents", [b"abc"])
    with pytest.raises(FileNotFoundError):
        client.predict("intents", [tmp_path / "nothing.jpg"])
    assert fake.requests == []


def test_a_refusal_of_a_later_call_points_at_its_inputs_among_all(client, fake, messages, monkeypatch):
    monkeypatch.setattr(_inputs, "LARGEST_CALL", 2)
    problem = {"detail": "is cut off", "pointer": "/inputs/1/image"}
    refused = messages["refusal"](422, code="wrong-input", detail="Input 1 is cut off.", errors=[problem])
    answers = iter([None, refused])
    usual = fake._answer
    monkeypatch.setattr(fake, "_answer", lambda *asked: next(answers) or usual(*asked))
    with pytest.raises(ApiError, match=r"Input 1 is cut off\. \(Input 0 of this call is input 2 of all\.\)") as error:
        client.predict("intents", ["a", "b", "c", "d"])
    assert [problem.pointer for problem in error.value.problems] == ["/inputs/3/image"]
    assert error.value.code == "wrong-input"
