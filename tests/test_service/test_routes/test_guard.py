"""What stands around every route: who may call, ids, errors as problems."""

import logging
import sqlite3

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from service.errors import ArtifactCorrupt, Busy, DiskFull, NotReady
from service.routes.guard import Guard, install
from service.settings import Settings
from service.wiring import create_api

HOSTS = Settings.model_fields["allowed_hosts"].default


def _sqlite(code):
    error = sqlite3.OperationalError("secret database")
    error.sqlite_errorcode = code
    return OperationalError("SELECT secret", {}, error)


ERRORS = {
    "busy": Busy("Too much."),
    "not-ready": NotReady("Later."),
    "disk-full": DiskFull("Full."),
    "corrupt": ArtifactCorrupt("secret blob"),
    "unexpected": ZeroDivisionError("secret division"),
    "locked": _sqlite(sqlite3.SQLITE_BUSY),
    "full": _sqlite(sqlite3.SQLITE_FULL),
    "teapot": HTTPException(418, "short and stout"),
}


def _app():
    app = FastAPI()
    install(app)

    @app.get("/fine")
    async def fine():
        return {"fine": True}

    @app.get("/number/{number}")
    async def number(number: int, limit: int = 1):
        return {"number": number, "limit": limit}

    @app.get("/raise/{name}")
    async def raise_(name: str):
        raise ERRORS[name]

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]), media_type="text/plain")

    return app


def _client(address="127.0.0.1", app=None):
    guarded = Guard(app or _app(), allowed_hosts=HOSTS)
    return TestClient(guarded, base_url=f"http://{address}", raise_server_exceptions=False)


def _problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return answer.json()["detail"]


class TestWhoMayCall:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:3000", "localhost:80", "LOCALHOST", "[::1]", "[::1]:3000"]
    )
    def test_own_names(self, host):
        assert _client().get("/fine", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil", "", "[", "192.168.1.5"],
    )
    def test_a_foreign_host_is_refused(self, host):
        detail = _problem(_client().get("/fine", headers={"Host": host}), 403, "host-refused")
        assert "GRAFT_ALLOWED_HOSTS" in detail
        assert "127.0.0.1, ::1, localhost" in detail

    @pytest.mark.parametrize("origin", ["http://localhost:8080", "https://127.0.0.1", "http://[::1]:3000"])
    def test_own_pages(self, origin):
        assert _client().get("/fine", headers={"Origin": origin}).status_code == 200

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "null", "", "http://", "http://[", "http://localhost.evil", "file://", "localhost"],
    )
    def test_a_foreign_page_is_refused(self, origin):
        assert "Origin" in _problem(_client().get("/fine", headers={"Origin": origin}), 403, "host-refused")

    @pytest.mark.parametrize("address", ["192.168.1.5", "0.0.0.0", "10.0.0.1", "[2001:db8::1]"])
    def test_a_connection_from_outside_is_refused_even_under_an_own_name(self, address):
        answer = _client(address).get("/fine", headers={"Host": "localhost"})
        assert "loopback" in _problem(answer, 403, "host-refused")

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "[::1]"])
    def test_every_loopback_address_answers(self, address):
        assert _client(address).get("/fine", headers={"Host": "localhost"}).status_code == 200

    def test_a_refused_request_reaches_no_route(self):
        reached = []

        async def app(scope, receive, send):
            reached.append(scope)

        _client(app=app).get("/fine", headers={"Host": "evil.example"})
        assert reached == []

    def test_what_is_not_http_passes(self):
        passed = []

        async def app(scope, receive, send):
            passed.append(scope["type"])
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        with TestClient(Guard(app, allowed_hosts=HOSTS)):
            pass
        assert passed == ["lifespan"]


class TestRequestIds:
    @pytest.mark.parametrize("given", ["abc-1", "A.b_c", "x" * 64])
    def test_a_good_one_is_kept(self, given):
        assert _client().get("/fine", headers={"X-Request-Id": given}).headers["x-request-id"] == given

    @pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "<script>", "a;b", "ä".encode()])
    def test_a_bad_one_is_replaced(self, given):
        made = _client().get("/fine", headers={"X-Request-Id": given}).headers["x-request-id"]
        assert len(made) == 32
        assert made.isalnum()

    def test_each_request_has_its_own(self):
        client = _client()
        assert len({client.get("/fine").headers["x-request-id"] for _ in range(5)}) == 5

    def test_every_kind_of_answer_carries_it(self):
        client = _client()
        for path in ("/fine", "/stream", "/nothing", "/raise/unexpected", "/raise/busy"):
            assert client.get(path, headers={"X-Request-Id": "r-1"}).headers["x-request-id"] == "r-1"


class TestProblems:
    @pytest.mark.parametrize(
        ("name", "status", "code", "after"),
        [
            ("busy", 429, "busy", "1"),
            ("not-ready", 503, "not-ready", "2"),
            ("disk-full", 507, "disk-full", "60"),
            ("corrupt", 500, "artifact-corrupt", None),
            ("unexpected", 500, "internal", None),
            ("locked", 503, "not-ready", "2"),
            ("full", 507, "disk-full", "60"),
            ("teapot", 422, "invalid-input", None),
        ],
    )
    def test_errors_of_routes(self, name, status, code, after):
        answer = _client().get(f"/raise/{name}")
        _problem(answer, status, code)
        assert answer.headers.get("retry-after") == after
        assert "secret" not in answer.text

    @pytest.mark.parametrize("name", ["corrupt", "unexpected", "locked"])
    def test_what_is_ours_is_logged_under_the_request_id(self, name, caplog):
        with caplog.at_level(logging.ERROR, logger="service.routes.guard"):
            _client().get(f"/raise/{name}", headers={"X-Request-Id": "r-1"})
        (record,) = [record for record in caplog.records if record.name == "service.routes.guard"]
        assert record.request == "r-1"
        assert record.exc_info

    def test_what_is_the_callers_is_not_logged(self, caplog):
        _client().get("/raise/busy")
        assert [record for record in caplog.records if record.name.startswith("service")] == []

    def test_a_parameter_that_cannot_be_used_is_named(self):
        answer = _client().get("/number/x?limit=y")
        detail = _problem(answer, 422, "body-invalid")
        assert "path.number" in detail
        assert "query.limit" in detail
        assert len(answer.json()["errors"]) == 2

    @pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/adapters/a/b/c", "/favicon.ico"])
    def test_an_unknown_path(self, path):
        answer = _client(app=create_api()).get(path, follow_redirects=False)
        assert f"no GET {path}" in _problem(answer, 404, "not-found")

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("DELETE", "/v1/adapters", {"GET", "POST"}),
            ("PATCH", "/v1/jobs/job_1", {"GET"}),
            ("GET", "/v1/adapters/a/predict", {"POST"}),
            ("POST", "/livez", {"GET"}),
        ],
    )
    def test_a_method_that_is_not_possible(self, method, path, allow):
        answer = _client(app=create_api()).request(method, path)
        _problem(answer, 405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) <= allow
        assert answer.headers["allow"]
