"""A Graft service in memory, answering as the real one does over HTTP, and ways to call it."""

import json
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from graft import Client, Retry
from graft.cli import app, session

JOB = {"id": "job_1", "kind": "adapt", "adapter": "intents", "attempts": 1, "created_at": "2026-01-01T00:00:00Z"}
QUEUED = JOB | {"state": "queued", "stage": "", "progress": 0.0, "version": None, "error": None, "seconds": {}}
RUNNING = QUEUED | {"state": "running", "stage": "embed", "progress": 0.5}
DONE = QUEUED | {"state": "succeeded", "progress": 1.0, "version": 3, "seconds": {"embed": 0.4, "compare": 1.1}}
PROBLEM = {
    "type": "urn:graft:upload-refused",
    "title": "Upload refused",
    "status": 422,
    "code": "upload-refused",
    "detail": "3 of 20 rows are bad; at most a tenth may be.",
    "errors": [{"detail": "the label is empty", "row": 7}],
}
FAILED = QUEUED | {"state": "failed", "error": PROBLEM}
VERSION = {
    "adapter": "intents",
    "version": 3,
    "ref": "intents:3",
    "backbone": {"id": "minilm-l6", "digest": "d1"},
    "method": {"method": "logistic", "l2": 1.0},
    "classes": ["lost_card", "refund"],
    "metrics": {"accuracy": 0.91, "accuracy_interval": [0.85, 0.95], "log_loss": 0.31, "ece": 0.04, "macro_f1": 0.9},
    "aliases": ["latest", "live"],
    "live": True,
    "job": "job_1",
    "from_the_future": {"unknown": 1},
}
ADAPTER = {"name": "intents", "latest": 3, "live": 2, "aliases": {"safe": 1}, "backbone": "minilm-l6"}
DATASET = {
    "id": "ds_1",
    "name": "intents.csv",
    "items": 20,
    "classes": {"lost_card": 10, "refund": 10},
    "columns": {"text": "text", "label": "label"},
    "problems": [{"row": 4, "detail": "blank text"}],
}
COLUMNS = [
    {"name": "age", "kind": "number", "low": 18.0, "high": 79.5, "categories": [], "missing": 2, "examples": [42, 31]},
    {
        "name": "plan",
        "kind": "category",
        "low": None,
        "high": None,
        "categories": list("abcdefghij"),
        "examples": ["a"],
    },
    {"name": "joined", "kind": "date", "low": "2024-01-11", "high": "2024-09-11", "examples": ["2024-03-04"]},
]
TABLE = VERSION | {
    "modality": "table", "task": "regression", "backbone": None, "classes": [], "columns": COLUMNS, "width": 9,
    "metrics": {"accuracy": None, "accuracy_interval": None, "r2": 0.87654, "rmse": 12.5, "mae": 9.25},
}  # fmt: skip
ROWS_DATASET = DATASET | {
    "modality": "table", "task": "regression", "classes": {}, "columns": {"target": "price"}, "schema": COLUMNS,
    "target": {"low": 1.0, "high": 9.0, "mean": 4.5},
}  # fmt: skip
VALUES_DATASET = DATASET | {"modality": "vector", "width": 384, "columns": {"embedding": "x", "label": "y"}}
BACKBONE = {
    "id": "minilm-l6", "modality": "text", "taps": {"pooled": [384], "block3": [-1, 384]}, "state": "ready",
    "max_tokens": 256, "provider": "cpu", "provider_why": "there is no GPU", "own": False, "trained": True,
}  # fmt: skip
EYE = BACKBONE | {"id": "eye", "modality": "image", "max_tokens": None, "own": True, "job": "job_2"}
HOSTING = QUEUED | {"id": "job_2", "kind": "host", "adapter": None, "dataset": None, "backbone": "eye"}
HOSTED = HOSTING | {"state": "succeeded", "progress": 1.0}
RANKING = {
    "dataset": "ds_1", "items": 20, "recommended": "eye", "why": "eye is the best by 12 points.",
    "backbones": [
        {"id": "eye", "rank": 1, "probe_accuracy": 0.9, "probe_log_loss": 0.3, "logme": 1.2, "knn_accuracy": 0.8,
         "ms_per_item": 4.5, "width": 64},
        {"id": "scatter-2d", "rank": 2, "probe_accuracy": 0.78},
    ],
}  # fmt: skip
RANKED = HOSTING | {"id": "job_3", "kind": "rank", "state": "succeeded", "dataset": "ds_1", "result": RANKING}
REFIT = {
    "adapter": "intents:3", "same": True, "differs_because": [],
    "files": {"head.onnx": {"before": "a1", "after": "a1"}, "head.safetensors": {"before": "b2", "after": "b2"}},
}  # fmt: skip
SIGNATURES = {
    "id": "sig_1", "name": "beasts.csv", "classes": ["tiger", "lion", "zebra"], "attributes": ["stripes", "mane"],
    "class_count": 3, "attribute_count": 2, "kinds": ["binary", "binary"], "missing": 1,
    "groups": {"legs": ["legs=2", "legs=4"]}, "backbone": None, "space": None,
    "notes": ["Nothing varies in 'tail'."], "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt "

KEY = {"id": "0123456789ab", "tenant": "acme", "name": "laptop", "scopes": ["predict", "fit"], "revoked_at": None}
KEY_TEXT = "graft_0123456789ab_" + "s" * 52


def sse(*events: tuple[str, dict[str, Any]]) -> bytes:
    """A stream of server-sent events."""
    return b": keep-alive\n\n" + b"".join(f"event: {n}\ndata: {json.dumps(d)}\n\n".encode() for n, d in events)


def form(request: httpx.Request) -> dict[str, bytes]:
    """The parts of a multipart body, by name."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.content)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


class FakeGraft:
    """Answers by the first rule that takes a request; `requests` holds all that were made."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.stream = sse(("progress", RUNNING), ("end", DONE))
        self.job: dict[str, Any] = DONE
        self.report: dict[str, Any] = {"accuracy": 0.91, "note": "größer"}
        self.hosting: dict[str, Any] = HOSTED
        """How the job that hosts a backbone ends."""
        self.refit: dict[str, Any] = REFIT
        """What came of fitting a version again."""
        self.said: dict[str, Any] = {}
        """Beside the answers to inputs."""
        self.because: dict[str, Any] = {}
        """Why, in every answer to an input."""
        self.file: httpx.Response | None = None
        """The answer to a file; the file itself behind a first line otherwise."""
        self.refusals: list[httpx.Response | BaseException] = []
        """Given out before any answer, one a request."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        if self.refusals:
            refusal = self.refusals.pop(0)
            if isinstance(refusal, BaseException):
                raise refusal
            return refusal
        return self._answer(request.method, request.url.path, request)

    def _answer(self, method: str, path: str, request: httpx.Request) -> httpx.Response:
        known: dict[tuple[str, str], Any] = {
            ("GET", "/readyz"): {"ready": True},
            ("GET", "/v1/backbones"): page(BACKBONE),
            ("GET", "/v1/backbones/eye"): EYE,
            ("GET", "/v1/jobs/job_2"): self.hosting,
            ("GET", "/v1/datasets"): page(DATASET),
            ("GET", "/v1/datasets/ds_1"): DATASET,
            ("GET", "/v1/jobs"): page(DONE),
            ("GET", "/v1/keys"): page(KEY),
            ("GET", "/v1/signatures"): page(SIGNATURES),
            ("GET", "/v1/signatures/sig_1"): SIGNATURES,
            ("GET", "/v1/jobs/job_1"): self.job,
            ("GET", "/v1/adapters"): page(ADAPTER | {"versions": 1}),
            ("GET", "/v1/adapters/intents"): ADAPTER | {"versions": [VERSION]},
            ("GET", "/v1/adapters/intents/versions/3"): VERSION,
            ("GET", "/v1/adapters/intents/versions/3/report"): self.report,
        }
        if (method, path) in known:
            return httpx.Response(200, json=known[method, path])
        match method, path:
            case "GET", "/v1/jobs/job_1/events":
                return events(self.stream)
            case "GET", "/v1/adapters/intents/versions/3/adapter.onnx":
                return httpx.Response(200, content=b"\x08\x08onnx")
            case "GET", "/v1/jobs/job_2/events":
                return events(("progress", HOSTING | {"state": "running", "stage": "export"}), ("end", self.hosting))
            case "GET", "/v1/jobs/job_3/events":
                return events(("end", RANKED))
            case "POST", "/v1/adapters/intents/versions/3/refit":
                return httpx.Response(202, json=HOSTING | {"id": "job_4", "kind": "refit", "backbone": None})
            case "GET", "/v1/jobs/job_4/events":
                done = {"id": "job_4", "kind": "refit", "state": "succeeded", "result": self.refit}
                return events(("end", HOSTING | done))
            case "POST", "/v1/backbones":
                return httpx.Response(202, json=HOSTING, headers={"location": "/v1/jobs/job_2"})
            case "POST", "/v1/backbones:rank":
                return httpx.Response(202, json=RANKED | {"state": "queued", "result": None})
            case "POST", "/v1/signatures":
                return httpx.Response(201, json=SIGNATURES)
            case "DELETE", "/v1/signatures/sig_1":
                return httpx.Response(204)
            case "POST", "/v1/adapters/intents/versions":
                return httpx.Response(201, json=VERSION)
            case "POST", "/v1/zero-shot":
                return httpx.Response(200, json=self._predictions(json.loads(request.content)))
            case "POST", "/v1/datasets":
                return httpx.Response(201, json=DATASET)
            case "POST", "/v1/keys":
                return httpx.Response(201, json=KEY | {"key": KEY_TEXT})
            case "POST", "/v1/adapters":
                return httpx.Response(202, json=QUEUED, headers={"location": "/v1/jobs/job_1"})
            case "POST", "/v1/jobs/job_1/cancel":
                return httpx.Response(202, json=RUNNING)
            case "PUT", "/v1/adapters/intents/aliases/live":
                return httpx.Response(
                    200, json={"adapter": "intents", "alias": "live", "version": 3}, headers={"etag": '"e3"'}
                )
            case "DELETE", "/v1/datasets/ds_1" | "/v1/adapters/intents/versions/3" | "/v1/keys/0123456789ab":
                return httpx.Response(204)
            case "DELETE", "/v1/backbones/eye":
                return httpx.Response(204)
            case "POST", "/v1/adapters/intents/predict" | "/v1/adapters/intents:3/predict":
                if request.headers["content-type"].startswith("multipart"):
                    return self.file or file_answer(form(request)["file"])
                if not request.headers["content-type"].startswith("application/json"):
                    inputs = [request.headers["content-type"]]
                    asked = {"inputs": inputs, "top_k": int(request.url.params["top_k"])}
                    return httpx.Response(200, json=predictions(asked))
                return httpx.Response(200, json=self._predictions(json.loads(request.content)) | self.said)
        return refusal(404, code="not-found", detail=f"There is no {path}.", request_id="req_9")

    def _predictions(self, body: dict[str, Any]) -> dict[str, Any]:
        body = predictions(body)
        return body | {"predictions": [one | self.because for one in body["predictions"]]}


def events(*told: tuple[str, dict[str, Any]] | bytes) -> httpx.Response:
    """An answer of server-sent events, or of the bytes of such a stream."""
    content = told[0] if isinstance(told[0], bytes) else sse(*told)
    return httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})


def page(*objects: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    """A page of a list."""
    return {"data": list(objects), "has_more": has_more}


def refusal(status: int, *, headers: dict[str, str] | None = None, **problem: Any) -> httpx.Response:
    """A problem+json answer."""
    kind = {"content-type": "application/problem+json"}
    return httpx.Response(status, json={"status": status} | problem, headers=kind | (headers or {}))


def predictions(body: dict[str, Any]) -> dict[str, Any]:
    """The label of a text is the text itself in capitals, so that a mixed-up order shows."""
    labels = [given.upper() if isinstance(given, str) else json.dumps(given) for given in body["inputs"]]
    answers = [
        {"id": f"pr_{n}", "label": label, "probability": 0.75, "top": [[label, 0.75], ["other", 0.25]][: body["top_k"]]}
        for n, label in enumerate(labels)
    ]
    return {"adapter": "intents:3", "calibrated": True, "predictions": answers}


def file_answer(content: bytes, rows: int = 2, **headers: str) -> httpx.Response:
    """The answer to a file: the file behind a first line, in pieces."""
    pieces = [b"answered\n", content[:5], content[5:]]
    known = {"x-graft-adapter": "intents:3", "graft-rows": str(rows)}
    return httpx.Response(200, content=iter(pieces), headers=known | headers)


@pytest.fixture
def fake() -> FakeGraft:
    return FakeGraft()


@pytest.fixture
def client(fake: FakeGraft) -> Iterator[Client]:
    with Client("http://graft.test", transport=httpx.MockTransport(fake), retry=Retry(first_s=0.0)) as made:
        yield made


@pytest.fixture
def run(fake: FakeGraft, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command line against the fake service; the result has exit_code, stdout and stderr."""

    def connect(url: str | None) -> Client:
        transport = httpx.MockTransport(fake)
        return Client(url or "http://graft.test", transport=transport, retry=Retry(first_s=0.0, attempts=2))

    monkeypatch.setattr(session, "Client", connect)
    return lambda *args, **options: CliRunner().invoke(app, list(args), catch_exceptions=False, **options)


@pytest.fixture
def messages() -> dict[str, Any]:
    """What the service sends, for a test to change."""
    return {
        "queued": QUEUED, "running": RUNNING, "done": DONE, "failed": FAILED, "version": VERSION, "problem": PROBLEM,
        "dataset": DATASET, "adapter": ADAPTER, "sse": sse, "form": form, "refusal": refusal, "page": page,
        "backbone": BACKBONE, "eye": EYE, "hosting": HOSTING, "hosted": HOSTED, "ranking": RANKING, "refit": REFIT,
        "signatures": SIGNATURES, "wav": WAV, "png": PNG,
        "key": KEY_TEXT, "file_answer": file_answer, "table": TABLE, "rows": ROWS_DATASET, "values": VALUES_DATASET,
    }  # fmt: skip
