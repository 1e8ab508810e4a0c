"""The client against a service in memory."""

import io
import json
from datetime import date
from types import SimpleNamespace
from typing import get_type_hints

import httpx
import pytest

from graft import (
    ApiError,
    Client,
    Dataset,
    Job,
    JobCancelled,
    JobFailed,
    Metrics,
    PredictedFile,
    Timeout,
    Unreachable,
    Version,
)
from graft._client import FitOptions


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "intents.csv"
    path.write_bytes(b"text,label\nwhere is my card,lost_card\n")
    return path


def test_fit_uploads_waits_and_returns_the_version(client, fake, csv_file, messages):
    seen: list[Job] = []

    version = client.fit(
        csv_file, name="intents", method={"method": "logistic", "prior": "names"}, on_progress=seen.append
    )

    assert version.ref == "intents:3"
    assert version.metrics == Metrics(0.91, (0.85, 0.95), 0.31, 0.04, 0.9)
    assert [job.state for job in seen] == ["queued", "running", "succeeded"]
    parts = messages["form"](fake.requests[0])
    assert parts["file"] == csv_file.read_bytes()
    assert json.loads(parts["method"]) == {"method": "logistic", "prior": "names"}
    assert set(parts) == {"file", "name", "method"}, "what was left out is the service's choice"


def test_the_options_of_fit_are_those_it_takes():
    takes = get_type_hints(Client.fit)
    named = {"data", "name", "wait", "return"}
    assert get_type_hints(FitOptions) == {name: type_ for name, type_ in takes.items() if name not in named}


def test_fit_takes_pairs(client, fake, messages):
    client.fit([("a, b", "x"), ('say "hi"', "y")], name="intents", strict=True, seed=7)

    parts = messages["form"](fake.requests[0])
    assert parts["file"] == b'text,label\r\n"a, b",x\r\n"say ""hi""",y\r\n'
    assert (parts["strict"], parts["seed"]) == (b"true", b"7")


def test_fit_refuses_a_row_that_is_no_pair(client, fake):
    with pytest.raises(TypeError, match=r"Row 2 is \('b',\)"):
        client.fit([("a", "x"), ("b",)], name="intents")
    assert fake.requests == []


def test_fit_names_a_dataset_that_is_there(client, fake):
    client.fit(Dataset("ds_1"), name="intents", backbone="minilm-l6", max_seconds=30)

    expected = {"name": "intents", "backbone": "minilm-l6", "method": "auto", "max_seconds": 30, "dataset": "ds_1"}
    assert json.loads(fake.requests[0].content) == expected
    with pytest.raises(TypeError, match="is there already"):
        client.fit(Dataset("ds_1"), name="intents", text="body")


def test_fit_says_what_the_file_holds(client, fake, csv_file, messages):
    chosen = {"modality": "table", "target": "price", "task": "regression", "columns": {"age": "number"}}
    client.fit(csv_file, name="prices", long="chunk", **chosen)

    parts = messages["form"](fake.requests[0])
    assert json.loads(parts["columns"]) == {"age": "number"}
    assert [parts[name] for name in ("modality", "target", "task", "long")] == [
        b"table", b"price", b"regression", b"chunk",
    ]  # fmt: skip
    with pytest.raises(TypeError, match="target: chosen when a dataset is uploaded"):
        client.fit(Dataset("ds_1"), name="prices", target="price", long="chunk")


def test_fit_says_what_rows_belong_to_and_how_they_count(client, fake, csv_file, messages):
    client.fit(csv_file, name="intents", task="multilabel", group="patient", weight="sure")
    parts = messages["form"](fake.requests[0])
    assert [parts[name] for name in ("task", "group", "weight")] == [b"multilabel", b"patient", b"sure"]
    client.datasets.upload(csv_file, task="multilabel", group="patient", weight="sure")
    meta = json.loads(messages["form"](fake.requests[-1])["meta"])
    assert meta == {"task": "multilabel", "group": "patient", "weight": "sure"}


@pytest.mark.parametrize("parents", ["intents:2", ["intents:2"], ("intents:2",)])
def test_fit_grows_from_a_version_and_looks_into_the_backbone(client, fake, csv_file, messages, parents):
    client.fit(csv_file, name="intents", parents=parents, tap="blocks", peft="/shared/lora")
    parts = messages["form"](fake.requests[0])
    assert [parts[name] for name in ("parents", "tap", "peft")] == [b"intents:2", b"blocks", b"/shared/lora"]
    client.fit(Dataset("ds_1"), name="intents", parents=parents)
    assert json.loads(fake.requests[-3].content)["parents"] == ["intents:2"]


def test_fit_takes_pairs_with_several_labels_or_a_number(client, fake, messages):
    client.fit([("a", ["x", "ü"]), ("b", ()), ("c", "x")], name="intents", task="multilabel")
    sent = messages["form"](fake.requests[0])["file"].decode().splitlines()
    assert [json.loads(line)["label"] for line in sent] == [["x", "ü"], [], "x"]
    assert b'filename="rows.jsonl"' in fake.requests[0].content
    client.fit([("a", 1.5), ("b", 2)], name="prices", task="regression")
    sent = messages["form"](fake.requests[-3])["file"].decode().splitlines()
    assert list(map(json.loads, sent)) == [{"text": "a", "label": 1.5}, {"text": "b", "label": 2}]
    with pytest.raises(TypeError, match=r"Row 1 is .*a list of them, or a number"):
        client.fit([("a", [1])], name="intents")


def test_refit_tells_whether_a_version_comes_out_the_same(client, fake, messages):
    seen = []
    found = client.refit("intents:3", on_progress=seen.append)
    assert (found.adapter, found.same, found.differing, found.differs_because) == ("intents:3", True, [], ())
    assert [(job.kind, job.state) for job in seen] == [("refit", "queued"), ("refit", "succeeded")]
    files = {
        "head.onnx": {"before": "a1", "after": "c3"},
        "report": {"before": "a1", "after": "a1"},
        "x": {"after": "d"},
    }
    fake.refit = messages["refit"] | {"same": False, "files": files, "differs_because": ["Other code."]}
    found = client.refit("intents:3")
    assert (found.same, found.differing, found.differs_because) == (False, ["head.onnx", "x"], ("Other code.",))
    assert found.files["head.onnx"].after == "c3"


def test_fit_without_waiting_returns_the_job(client, fake, csv_file):
    job = client.fit(csv_file, name="intents", wait=False)

    assert isinstance(job, Job)
    assert (job.id, job.finished) == ("job_1", False)
    assert len(fake.requests) == 1


def test_fit_takes_a_version_that_is_done_at_once(client, fake, csv_file, messages):
    fake.refusals = [httpx.Response(201, json=messages["version"])]

    assert isinstance(client.fit(csv_file, name="intents"), Version)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("state", "error"), [("failed", JobFailed), ("cancelled", JobCancelled)])
def test_fit_raises_how_the_job_ended(client, fake, csv_file, messages, state, error):
    fake.stream = messages["sse"](("end", messages["failed"] | {"state": state}))

    with pytest.raises(error, match="job_1") as caught:
        client.fit(csv_file, name="intents")
    if error is JobFailed:
        assert "3 of 20 rows" in str(caught.value)
        assert caught.value.problems[0].row == 7


def test_predict_keeps_the_order_over_several_calls_and_one_version(client, fake):
    texts = [f"text {n}" for n in range(2001)]

    answers = client.predict("intents", texts, top_k=2)

    assert [a.label for a in answers] == [t.upper() for t in texts]
    assert [len(json.loads(r.content)["inputs"]) for r in fake.requests] == [1000, 1000, 1]
    paths = [r.url.path for r in fake.requests]
    assert paths == ["/v1/adapters/intents/predict"] + ["/v1/adapters/intents:3/predict"] * 2
    assert answers[0].top == (("TEXT 0", 0.75), ("other", 0.25))
    assert (answers[0].adapter, answers[0].calibrated, answers[0].truncated) == ("intents:3", True, False)


def test_predict_of_nothing_asks_nothing(client, fake):
    assert client.predict("intents", []) == []
    assert fake.requests == []


def test_predict_refuses_a_single_string(client):
    with pytest.raises(TypeError, match="put it in a list"):
        client.predict("intents", "hello")


class Array(list):
    """What becomes a list as an array of NumPy does."""

    def tolist(self):
        return list(self)


class Number:
    """The same of one number."""

    def tolist(self):
        return 7


def test_predict_takes_rows_and_numbers(client, fake):
    row = {"age": Number(), "plan": float("nan"), "joined": date(2024, 3, 4), 5: None}
    client.predict("intents", [row, [0.5, 1], Array([1.5, float("nan")]), {"embedding": Array([2.0])}], long="chunk")

    assert json.loads(fake.requests[0].content) == {
        "inputs": [
            {"age": 7, "plan": None, "joined": "2024-03-04", "5": None},
            {"embedding": [0.5, 1]},
            {"embedding": [1.5, None]},
            {"embedding": [2.0]},
        ],
        "top_k": 3,
        "long": "chunk",
    }


@pytest.mark.parametrize("wrong", [5, None, Number()])
def test_predict_says_which_input_is_none(client, fake, wrong):
    with pytest.raises(TypeError, match="Input 1 is "):
        client.predict("intents", ["a", wrong])
    assert fake.requests == []


def test_predict_says_what_to_do_with_a_data_frame(client):
    with pytest.raises(TypeError, match="to_dict"):
        client.predict("intents", SimpleNamespace(columns=[]))


def test_a_regression_answers_values(client, fake):
    fake.refusals = [
        httpx.Response(
            200, json={"adapter": "prices:1", "calibrated": None, "predictions": [{"id": "pr_1", "value": 1.5}]}
        )
    ]
    (answer,) = client.predict("prices", [{"age": 3}])
    assert (answer.value, answer.label, answer.probability, answer.top) == (1.5, None, None, ())
    assert (answer.adapter, answer.calibrated) == ("prices:1", False)


def test_warnings_of_several_calls_count_their_inputs_from_the_first(client, fake):
    fake.said = {"warnings": [{"detail": "odd", "column": "age", "inputs": [0, 3], "count": 7}, {"detail": "more"}]}
    answers = client.predict("intents", ["a"] * 1001)
    assert [(w.detail, w.column, w.inputs, w.count) for w in answers.warnings] == [
        ("odd", "age", (0, 3), 7), ("more", None, (), None), ("odd", "age", (1000, 1003), 7), ("more", None, (), None),
    ]  # fmt: skip
    fake.said = {}
    assert client.predict("intents", ["a"]).warnings == ()


def test_a_file_is_predicted_into_another(client, fake, csv_file, messages, tmp_path):
    fake.file = messages["file_answer"](b"a\nb\nc\n", **{"graft-warnings": '["gr\\u00fcn"]'})
    moved = []
    done = client.predict_file(
        "intents", csv_file, tmp_path / "out.csv", text="body", long="chunk", on_progress=lambda *at: moved.append(at)
    )
    assert done == PredictedFile("intents:3", 2, ("grün",))
    assert (tmp_path / "out.csv").read_bytes() == b"answered\na\nb\nc\n"
    assert moved[-1] == (2, 2)
    parts = messages["form"](fake.requests[0])
    assert parts == {"file": csv_file.read_bytes(), "text": b"body", "top_k": b"1", "long": b"chunk"}


def test_a_file_is_predicted_into_an_open_one(client, csv_file):
    target = io.BytesIO()
    assert client.predict_file("intents", str(csv_file), target).warnings == ()
    assert target.getvalue() == b"answered\n" + csv_file.read_bytes()


def test_a_file_is_sent_again_as_a_whole(client, fake, csv_file, messages, tmp_path):
    fake.refusals = [messages["refusal"](429, headers={"retry-after": "0"}, detail="busy"), httpx.ReadError("reset")]
    client.predict_file("intents", csv_file, tmp_path / "out.csv")
    assert [messages["form"](request)["file"] for request in fake.requests] == [csv_file.read_bytes()] * 3


class _Broken(httpx.SyncByteStream):
    """An answer that breaks off."""

    closed = False

    def __iter__(self):
        yield b"text,label\n"
        raise httpx.RemoteProtocolError("incomplete chunked read")

    def close(self):
        self.closed = True


def test_an_answer_that_breaks_off_leaves_what_was_there(client, fake, csv_file, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("older")
    stream = _Broken()
    fake.file = httpx.Response(200, stream=stream)
    with pytest.raises(Unreachable, match="broke"):
        client.predict_file("intents", csv_file, out)
    assert stream.closed
    fake.refusals = [httpx.Response(422, json={"detail": "not a table", "code": "upload-refused"})]
    with pytest.raises(ApiError, match="not a table"):
        client.predict_file("intents", csv_file, out)
    assert out.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["intents.csv", "out.csv"]


def test_ready_waits_for_the_service(client, fake, messages):
    preparing = httpx.Response(
        503, json={"ready": False, "reason": "exporting minilm-l6"}, headers={"retry-after": "5"}
    )
    fake.refusals = [httpx.ConnectError("refused"), preparing]

    client.ready(timeout_s=5)

    assert len(fake.requests) == 3


def test_ready_says_what_it_waited_for(client, fake):
    fake.refusals = [httpx.Response(503, json={"ready": False, "reason": "exporting minilm-l6"})]

    with pytest.raises(Timeout, match="exporting minilm-l6"):
        client.ready()


def test_the_address_comes_from_the_argument_then_the_environment(monkeypatch):
    monkeypatch.setenv("GRAFT_URL", "http://graft.example:8080/")
    with Client() as from_env, Client("http://other.example") as given:
        assert (from_env.base_url, given.base_url) == ("http://graft.example:8080", "http://other.example")
    monkeypatch.delenv("GRAFT_URL")
    with Client() as default:
        assert default.base_url == "http://127.0.0.1:3000"


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://graft.example"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="write http://host:port"):
        Client(url)


def test_the_key_is_sent_as_a_bearer_token(fake):
    with Client("http://graft.test", key="s3cret", transport=httpx.MockTransport(fake)) as client:
        client.backbones.list()
    assert fake.requests[0].headers["authorization"] == "Bearer s3cret"


def test_the_key_comes_from_the_argument_then_the_environment(fake, monkeypatch):
    monkeypatch.setenv("GRAFT_KEY", " from-env\n")
    for given in (None, "given"):
        with Client("http://graft.test", key=given, transport=httpx.MockTransport(fake)) as client:
            client.backbones.list()
    monkeypatch.delenv("GRAFT_KEY")
    with Client("http://graft.test", transport=httpx.MockTransport(fake)) as client:
        client.backbones.list()
    seen = [request.headers.get("authorization") for request in fake.requests]
    assert seen == ["Bearer from-env", "Bearer given", None]


@pytest.mark.parametrize("key", ["two words", "two\nlines", "schlüssel", "tab\tbed"])
def test_a_key_that_can_be_none_is_refused_and_not_shown(key):
    with pytest.raises(ValueError, match="GRAFT_KEY") as caught:
        Client(key=key)
    assert key not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(monkeypatch):
    seen = SimpleNamespace(trust=[])
    original = httpx.Client.__init__

    def spy(self, *args, **options):
        seen.trust.append(options["trust_env"])
        original(self, *args, **options)

    monkeypatch.setattr(httpx.Client, "__init__", spy)
    for url in ("http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]:3000", "https://graft.example"):
        Client(url).close()
    assert seen.trust == [False, False, False, True]
