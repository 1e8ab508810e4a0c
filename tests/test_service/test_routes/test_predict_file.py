"""/v1/adapters/{ref}/predict with a file: the same file comes back, with answers beside its rows."""

import asyncio
import csv
import io
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.requests import Request

from service.errors import Busy, DiskFull, UploadTooLarge
from service.routes.body import spool
from service.serving import file_rows, files

PATH = "/v1/adapters/it/predict"
CSV = b"id,text\n1,refund please\n2,where is my parcel\n"
TABLE = "age,plan,churn\n" + "".join(f"{20 + n},{'ab'[n % 2]},{'no' if n < 20 else 'yes'}\n" for n in range(40))
LINE = "x,y\n" + "".join(f"{n / 2},{n * 1.5}\n" for n in range(40))


def send(service, content, media="text/csv", path=PATH, **headers):
    return service.client.post(path, content=content, headers={"Content-Type": media, **headers})


def fit(service, content, filename="t.csv", **form):
    data = {"name": "it", "max_seconds": "60"} | form
    made = service.client.post("/v1/adapters?wait=30", files={"file": (filename, content)}, data=data)
    assert made.status_code == 201, made.text


def vectors():
    chance = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    return (chance.standard_normal((40, 3)) + 4 * np.eye(3)[y]).astype(np.float32), np.array(["a", "b"])[y]


def parquet_of(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def numpy_of(save, *args, **kwargs):
    buffer = io.BytesIO()
    save(buffer, *args, **kwargs)
    return buffer.getvalue()


def staged(service):
    return list((service.state.home / "staging").glob("*"))


PARQUET = "application/vnd.apache.parquet"
TEXTS = ["refund please", "where is my parcel"]
OBJECTS = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
ROUND_TRIPS = {
    "csv": ("text/csv", CSV, "text/csv; charset=utf-8", "csv"),
    "csv with a charset": ("text/csv; charset=utf-8", CSV, "text/csv; charset=utf-8", "csv"),
    "tsv": ("text/tab-separated-values", CSV.replace(b",", b"\t"), "text/tab-separated-values; charset=utf-8", "tsv"),
    "ndjson": ("application/x-ndjson", "\n".join(map(json.dumps, OBJECTS)), "application/x-ndjson", "jsonl"),
    "jsonl": ("application/jsonl", "\n".join(map(json.dumps, OBJECTS)), "application/jsonl", "jsonl"),
    "list": ("application/x-ndjson", json.dumps(OBJECTS), "application/json", "json"),
    "parquet": (PARQUET, parquet_of(id=[0, 1], text=TEXTS), PARQUET, "parquet"),
    "octets": ("application/octet-stream", parquet_of(id=[0, 1], text=TEXTS), PARQUET, "parquet"),
    "octets of text": ("application/octet-stream", CSV, "text/csv; charset=utf-8", "csv"),
}


def rows_of(answer, kind):
    if kind == "parquet":
        return pq.read_table(io.BytesIO(answer.content)).to_pylist()
    if kind == "json":
        return answer.json()
    if kind == "jsonl":
        return list(map(json.loads, answer.text.splitlines()))
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), delimiter="\t" if kind == "tsv" else ","))


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_each_format_comes_back_with_the_answers_of_a_json_call(service, name):
    media, content, answered, kind = ROUND_TRIPS[name]
    service.adapt("it")
    answer = send(service, content, media)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["x-graft-adapter"]) == (answered, "it:1")
    assert answer.headers["content-disposition"] == f'attachment; filename="rows-predicted.{kind}"'
    assert answer.headers["graft-rows"] == "2"
    assert "content-length" not in answer.headers
    assert "graft-warnings" not in answer.headers
    rows = rows_of(answer, kind)
    expected = service.predict("it", *TEXTS).json()["predictions"]
    assert list(rows[0]) == ["id", "text", "label", "probability", "truncated", "adapter", "warnings"]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == [one["label"] for one in expected]
    assert [float(row["probability"]) for row in rows] == pytest.approx([one["probability"] for one in expected])
    assert staged(service) == []


def test_a_form_has_the_file_and_the_options(service):
    service.adapt("it")
    long = "refund " * 200
    files = {"file": ("my list.csv", f"text,other\n{long},parcel\n".encode())}
    answer = service.client.post(PATH, files=files, data={"top_k": "2", "text": "text", "long": "chunk"})
    (row,) = rows_of(answer, "csv")
    assert (row["truncated"], row["label_2"] != "") == ("false", True)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''my%20list-predicted.csv"
    (row,) = rows_of(service.client.post(PATH, files=files, data={"text": "text"}), "csv")
    assert row["truncated"] == "true"
    assert "label_2" not in row


def test_the_name_of_a_body_is_kept_and_the_media_type_says_what_it_is(service):
    service.adapt("it")
    sent = "attachment; filename*=UTF-8''..%2F%E2%82%AC%22%0D%0A.parquet"
    answer = send(service, CSV, **{"Content-Disposition": sent})
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%E2%82%AC%22%0D%0A-predicted.csv"


def test_a_table_with_columns_missing_and_cells_that_are_odd(service):
    fit(service, TABLE, target="churn")
    answer = send(service, "\ufeffage;älter\r\n25;=1\r\nold;2\r\n".encode(), path=f"{PATH}?top_k=5")
    assert answer.content.startswith(b"\xef\xbb\xbfage;\xc3\xa4lter;label;probability;label_2;probability_2;adapter;")
    first, second = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""), delimiter=";")
    assert (first["label"], first["älter"], first["warnings"]) == ("no", "'=1", "")
    assert "'old'" in second["warnings"]
    warnings = answer.headers["graft-warnings"]
    assert warnings.isascii()
    assert json.loads(warnings)[:2] == [
        "Columns that are not there count as missing in every row: 'plan'.",
        "Columns that this adapter does not use: 'älter'.",
    ]


def test_warnings_of_the_whole_file_stay_short_and_the_first_is_kept(service):
    def header(first):
        return ",".join(["age", *(f"{first}{n}{'😀' * 50}" for n in range(6))])

    rows = "\n".join(f"{n}{',a' if n % 2 else ',b'}{',c' * 3}{',d' * 2},{n % 3 > 0}" for n in range(20, 60))
    fit(
        service,
        f"{header('x')},churn\n{rows}",
        target="churn",
        columns=json.dumps({f"x{n}{'😀' * 50}": "category" for n in range(6)}),
    )
    answer = send(service, f"{header('y')}\n{'1,' * 6}1\n".encode())
    assert answer.headers["graft-warnings"].isascii()
    assert len(answer.headers["graft-warnings"]) <= 2000
    (kept,) = json.loads(answer.headers["graft-warnings"])
    assert kept.startswith("Columns that are not there count as missing in every row: 'x0😀")


def test_the_example_comes_back_as_it_is_with_its_answers(service):
    given = (Path(__file__).parents[3] / "examples" / "leads.csv").read_bytes()
    fit(service, given, "leads.csv", target="won")
    answer = send(service, given)
    rows, before = rows_of(answer, "csv"), list(csv.DictReader(io.StringIO(given.decode(), newline="")))
    assert [{name: row[name] for name in before[0]} for row in rows] == before
    assert {row["warnings"] for row in rows} == {""}
    assert json.loads(answer.headers["graft-warnings"]) == ["Columns that this adapter does not use: 'won'."]


def test_a_regression(service):
    fit(service, LINE, target="y", task="regression")
    (row,) = rows_of(send(service, b"x\n5\n"), "csv")
    assert float(row["value"]) == pytest.approx(15, abs=0.5)
    assert list(row) == ["x", "value", "adapter", "warnings"]


@pytest.mark.parametrize("kind", ["npy", "npz", "jsonl", "parquet"])
def test_vectors(service, kind):
    z, y = vectors()
    fit(service, numpy_of(np.savez, embedding=z, label=y), "own.npz")
    content, media = {
        "npy": (numpy_of(np.save, z), "application/octet-stream"),
        "npz": (numpy_of(np.savez, embedding=z), "application/octet-stream"),
        "jsonl": ("\n".join(json.dumps({"embedding": row}) for row in z.tolist()), "application/x-ndjson"),
        "parquet": (parquet_of(embedding=z.tolist()), "application/vnd.apache.parquet"),
    }[kind]
    answer = send(service, content, media)
    assert answer.status_code == 200, answer.text
    rows = rows_of(answer, "parquet" if kind == "parquet" else "jsonl")
    assert [row["label"] for row in rows] == y.tolist()
    assert list(rows[0]) == ["label", "probability", "adapter", "warnings"]


REFUSED = {
    "no rows": (b"text\n", "text/csv", "", 422, "upload-refused", None),
    "empty": (b"", "text/csv", "", 422, "upload-unreadable", None),
    "ragged": (b"text,n\na,1\nb\n", "text/csv", "", 422, "upload-unreadable", None),
    "twice": (b"text,text\na,1\n", "text/csv", "", 422, "upload-refused", None),
    "no text column": (b"a,b\n1,2\n", "text/csv", "", 422, "body-invalid", "/text"),
    "vectors": (numpy_of(np.save, np.ones((2, 3))), "application/octet-stream", "", 415, "format-unsupported", None),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0", "application/octet-stream", "", 415, "format-unsupported", None),
    "a media type": (CSV, "text/html", "", 415, "format-unsupported", None),
    "top_k": (CSV, "text/csv", "?top_k=0", 422, "body-invalid", "/top_k"),
    "long": (CSV, "text/csv", "?long=never", 422, "body-invalid", "/long"),
    "an unknown option": (CSV, "text/csv", "?colour=red", 422, "body-invalid", "/colour"),
    "a key in the query": (CSV, "text/csv", "?token=x", 400, "key-misplaced", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_is_refused_as_a_whole(service, name):
    content, media, query, status, code, pointer = REFUSED[name]
    service.adapt("it")
    answer = send(service, content, media, PATH + query)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json().get("errors", [{}])[0].get("pointer") == pointer
    assert staged(service) == []


def test_a_file_of_another_modality_is_refused(service):
    fit(service, TABLE, target="churn")
    refused = send(service, CSV)
    assert (refused.status_code, refused.json()["code"]) == (422, "body-invalid")
    assert "it expects 'age', 'plan', and the file has 'id', 'text'" in refused.json()["detail"]
    assert send(service, CSV, path=f"{PATH}?text=text").json()["errors"][0]["pointer"] == "/text"


@pytest.mark.parametrize(("ref", "status"), [("nothing", 404), ("it:9", 404), ("a b", 422)])
def test_an_adapter_that_is_not_there_is_told_before_the_file_is_taken(service, ref, status, monkeypatch):
    monkeypatch.setattr("service.routes.predict_file.spool", lambda *_: pytest.fail("it was taken"))
    service.adapt("it")
    assert send(service, CSV, path=f"/v1/adapters/{ref}/predict").status_code == status


def test_a_file_needs_the_scope_and_the_tenant(locked):
    locked.acme.adapt("it")
    assert send(locked.caller("acme", "read"), CSV).status_code == 403
    assert send(locked.caller("globex", "predict"), CSV).status_code == 404
    assert send(locked.nobody, CSV).status_code == 401
    assert send(locked.caller("acme", "predict"), CSV).status_code == 200


def test_a_busy_service_says_so_before_anything_is_answered(service, monkeypatch):
    async def busy(*_):
        raise Busy("too much")

    service.adapt("it")
    monkeypatch.setattr(file_rows, "PAUSES_S", ())
    monkeypatch.setattr(service.state.predictor, "answer", busy)
    answer = send(service, CSV)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "busy", "1")
    assert staged(service) == []


def test_inputs_are_counted(service):
    service.adapt("it")
    send(service, CSV)
    assert 'graft_predictions_total{modality="text"} 2.0' in service.client.get("/metrics").text


class Caller:
    """Somebody at the other end of a connection, who sees each message and may hang up."""

    def __init__(self, service, body):
        self._app = service.client.app
        self._body = body
        self.hangs_up = asyncio.Event()
        self.first = asyncio.Event()
        self.sent = []

    async def call(self):
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"text/csv")]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        await self._app(scope, self._receive, self._send)

    async def _receive(self):
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)
        if message.get("body"):
            self.first.set()

    @property
    def whole(self):
        """Whether the answer was brought to its end."""
        return any(not message.get("more_body", True) for message in self.sent)

    @property
    def content(self):
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
def in_turns(service, monkeypatch):
    """Answers two rows at a time; the second two wait until `go` is set. `seen` holds what became of them."""

    service.adapt("it")
    answer = service.state.predictor.answer
    turns = SimpleNamespace(go=asyncio.Event(), seen=[], error=None, calls=0)

    async def answer_in_turns(*args):
        turns.calls += 1
        if turns.calls > 1:
            try:
                await turns.go.wait()
            except asyncio.CancelledError:
                turns.seen.append("cancelled")
                raise
            if turns.error is not None:
                raise turns.error
        return await answer(*args)

    monkeypatch.setattr(files, "BATCH_ROWS", 2)
    monkeypatch.setattr(service.state.predictor, "answer", answer_in_turns)
    return turns


ROWS = b"text\n" + b"refund\n" * 6


def test_the_first_rows_are_sent_before_the_last_are_computed(service, in_turns):
    caller = Caller(service, ROWS)

    async def read():
        calling = asyncio.create_task(caller.call())
        await caller.first.wait()
        assert caller.content.count(b"\n") == 3
        in_turns.go.set()
        await calling

    service.client.portal.call(read)
    assert caller.whole
    assert caller.content.count(b"it:1") == 6


def test_a_caller_who_hangs_up_ends_the_work_and_leaves_nothing_behind(service, in_turns):
    caller = Caller(service, ROWS)

    async def read():
        calling = asyncio.create_task(caller.call())
        await caller.first.wait()
        while in_turns.calls < 2:
            await asyncio.sleep(0)
        assert staged(service) != []
        caller.hangs_up.set()
        await calling

    service.client.portal.call(read)
    assert in_turns.seen == ["cancelled"]
    assert not caller.whole
    assert staged(service) == []


def test_an_answer_that_cannot_go_on_breaks_off_and_is_logged(service, in_turns, monkeypatch, caplog):
    monkeypatch.setattr(file_rows, "PAUSES_S", ())
    in_turns.error = Busy("too much")
    in_turns.go.set()
    caller = Caller(service, ROWS)

    async def read():
        with pytest.raises(RuntimeError):  # the server ends the connection for it
            await caller.call()

    with caplog.at_level(logging.WARNING, "service.routes.predict_file"):
        service.client.portal.call(read)
    assert caller.content.count(b"it:1") == 2
    assert not caller.whole
    assert staged(service) == []
    (record,) = [record for record in caplog.records if record.name == "service.routes.predict_file"]
    assert (record.adapter, record.tenant, len(record.request)) == ("it:1", "default", 32)


def request_of(*chunks, headers=()):
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": list(headers)}, receive), messages


async def test_a_body_is_spooled_as_it_comes(tmp_path):
    request, _ = request_of(b"a" * 2**20, b"b", b"c" * 2**20, b"d")
    asked = []
    await spool(request, tmp_path / "body", 2**22, asked.append)
    assert (tmp_path / "body").read_bytes() == b"a" * 2**20 + b"b" + b"c" * 2**20 + b"d"
    assert len(asked) == 3


async def test_a_body_over_the_limit_is_not_read_to_its_end(tmp_path):
    request, rest = request_of(b"a" * 6, b"b" * 6, b"c" * 6)
    with pytest.raises(UploadTooLarge):
        await spool(request, tmp_path / "body", 10, lambda _: None)
    assert len(rest) == 2
    request, rest = request_of(b"a", headers=[(b"content-length", b"11")])
    with pytest.raises(UploadTooLarge):
        await spool(request, tmp_path / "body", 10, lambda _: None)
    assert len(rest) == 2


async def test_a_disk_without_room_ends_the_spooling(tmp_path):
    def full(_):
        raise DiskFull("no room")

    request, rest = request_of(b"a" * 2**20, b"b")
    with pytest.raises(DiskFull):
        await spool(request, tmp_path / "body", 2**22, full)
    assert len(rest) == 2
