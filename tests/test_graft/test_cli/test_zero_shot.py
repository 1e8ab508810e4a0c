"""Zero-shot commands: what they send, and what they show of reasons."""

import json

import httpx
import pytest


def sent(fake, place=-1):
    return json.loads(fake.requests[place].content)


@pytest.fixture
def labels_file(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


ZERO_SHOT = ("zero-shot", "--backbone", "minilm-l6", "where is my parcel", "--labels-file")


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("l.json", '["refund", "delivery"]', ["refund", "delivery"]),
        (
            "l.json",
            '{"refund": "money back", "delivery": ["a", "b"]}',
            {"refund": "money back", "delivery": ["a", "b"]},
        ),
        ("l.csv", "label\nrefund\ndelivery\n", ["refund", "delivery"]),
        (
            "l.csv",
            'label,description\nrefund,"money, back"\nrefund,reimburse\ndelivery,\n',
            {"refund": ["money, back", "reimburse"], "delivery": ["delivery"]},
        ),
    ],
)
def test_labels_come_from_a_file(run, fake, labels_file, name, text, labels):
    assert run(*ZERO_SHOT, labels_file(name, text)).exit_code == 0
    assert sent(fake)["labels"] == labels


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("l.json", "[1]", "neither a list of names"),
        ("l.json", "{", "is not JSON"),
        ("l.json", '{"refund": 3}', "neither a list of names"),
        ("l.csv", "name\nrefund\n", "it needs one called label"),
    ],
)
def test_a_file_of_another_form_is_refused(run, fake, labels_file, name, text, what):
    result = run(*ZERO_SHOT, labels_file(name, text))
    assert result.exit_code == 2
    assert what in " ".join(result.stderr.replace("│", " ").split())
    assert fake.requests == []


def test_texts_come_from_stdin(run, fake):
    words = ("zero-shot", "--backbone", "minilm-l6", "--labels", "a, b", "--template", "it is {}", "-")
    result = run(*words, input="one\n\ntwo\n")
    assert sent(fake) == {
        "backbone": "minilm-l6", "inputs": ["one", "two"], "labels": ["a", "b"], "templates": ["it is {}"], "top_k": 3,
    }  # fmt: skip
    assert "Answered by minilm-l6" in result.stdout
    assert run(*words, input="\n").exit_code == 2


def test_signatures_that_are_a_file_are_uploaded_first(run, fake, labels_file):
    path = labels_file("beasts.csv", "class,stripes\ntiger,1\n")
    run("version", "intents", "--from", "intents:3", "--signatures", path)
    assert [request.url.path for request in fake.requests] == ["/v1/signatures", "/v1/adapters/intents/versions"]
    assert sent(fake) == {"from": 3, "signatures": "sig_1"}


def test_a_version_without_figures_says_so(run, fake, messages):
    unmeasured = messages["version"] | {"metrics": {"accuracy": None}, "signatures": "sig_1", "made_from": "intents:2"}
    fake.refusals = [httpx.Response(201, json=unmeasured)]
    out = run("version", "intents", "--from", "2", "--signatures", "sig_1").stdout
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith(("accuracy", "signatures")))
    assert {name: value.strip() for name, value in rows.items()} == {"accuracy": "not measured", "signatures": "sig_1"}
    assert "intents:2, without a fit" in out
    assert "log loss" not in out


def test_what_was_made_can_be_tried(run):
    assert 'try it    graft predict intents "some text"' in run("version", "intents", "--labels", "a,b").stdout


@pytest.mark.parametrize("calibrated", [True, False])
def test_probabilities_that_nobody_measured_say_so(run, fake, calibrated):
    one = {"id": "pr_1", "label": "a", "probability": 0.9, "top": [["a", 0.9]]}
    answer = {"adapter": "it:2", "calibrated": calibrated, "predictions": [one]}
    fake.refusals = [httpx.Response(200, json=answer)]
    assert ("are guesses" in run("predict", "it", "a text").stdout) is not calibrated


def test_answers_of_no_version_name_none(run, fake):
    one = {"id": "pr_1", "label": "a", "probability": 0.9, "top": [["a", 0.9]]}
    fake.refusals = [httpx.Response(200, json={"backbone": "x", "calibrated": False, "predictions": [one]})]
    [answer] = json.loads(run("zero-shot", "--backbone", "x", "--labels", "a,b", "a text", "--json").stdout)
    assert "adapter" not in answer


def test_a_fit_tells_how_unseen_classes_do(run, fake, messages, labels_file, monkeypatch):
    path = labels_file("animals.csv", "text,label\nstripes,tiger\n")
    monkeypatch.setitem(messages["version"], "signatures", "sig_1")
    figures = {"seen_accuracy": 0.6, "unseen_accuracy": 0.625, "harmonic_mean": 0.6122, "raw": {"harmonic_mean": 0.23}}
    fake.report = {"zero_shot": figures}
    fit = ("fit", path, "--name", "intents", "--signatures", "sig_1")
    assert "60.0%, 62.5%  (harmonic mean 61.2%; 23.0% without stacking)" in run(*fit).stdout
    for nothing in ({}, {"zero_shot": figures | {"harmonic_mean": None}}):
        fake.report = nothing
        assert "unseen" not in run(*fit).stdout


def test_an_ensemble_has_several_parents_and_weights(run, fake):
    run(
        "fit", "--name", "both", "--parent", "a:1", "--parent", "b:2", "--method", "ensemble", "--weights", "0.25, 0.75"
    )
    assert sent(fake, 0) == {
        "name": "both", "parents": ["a:1", "b:2"], "method": {"method": "ensemble", "weights": [0.25, 0.75]},
    }  # fmt: skip


def test_reasons_stand_below_the_answers(run, fake):
    fake.because = {"attributes": [["stripes", 0.8], ["mane", 0.1]], "mixture": [["tiger", 0.6]], "entropy": 0.7}
    out = run("predict", "intents", "an orange cat", "--explain").stdout
    assert sent(fake)["explain"] is True
    header, first = (line.split() for line in out.splitlines()[:2])
    assert header[-3:] == ["mixture", "entropy", "second"]
    assert first[-4:] == ["tiger", "0.600", "0.700", "-"]
    assert "stripes 0.800, mane 0.100" in out
    fake.because = {"neighbours": [{"id": "row 7", "label": "tiger", "similarity": 0.9}]}
    assert "row 7 (tiger) 0.900" in run("predict", "intents", "an orange cat", "--explain").stdout
    fake.because = {}
    assert "entropy" not in run("predict", "intents", "an orange cat").stdout
    assert "explain" not in sent(fake)


def test_explained_answers_are_whole_as_json(run, fake):
    fake.because = {"attributes": [["stripes", 0.8]]}
    [answer] = json.loads(run("predict", "intents", "an orange cat", "--explain", "--json").stdout)
    assert (answer["adapter"], answer["attributes"]) == ("intents:3", [["stripes", 0.8]])
