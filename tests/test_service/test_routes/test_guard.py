"""What stands around every route: who calls, ids, errors as problems."""

import logging
import sqlite3

import pytest
from fastapi import FastAPI, Request
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from service.errors import ArtifactCorrupt, Busy, DiskFull, NotReady
from service.registry.keys import SCOPES
from service.routes.guard import Guard, install
from service.serving.keyring import Principal
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
    async def fine(request: Request):
        return {
            name: getattr(request.state, name) for name in ("tenant", "key", "scopes") if hasattr(request.state, name)
        }

    @app.get("/livez")
    async def livez():
        return "ok"

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


class Keys:
    """A keyring of fixed keys, by their text; `later` are those that another look finds."""

    def __init__(self, later=None, **known):
        self.known = known
        self.later = later or {}
        self.looks = 0

    @property
    def locked(self):
        return bool(self.known)

    def principal(self, text):
        return self.known.get(text)

    async def look_again(self):
        self.looks += 1
        self.known |= self.later


def _client(address="127.0.0.1", app=None, keys=None):
    guarded = Guard(app or _app(), allowed_hosts=HOSTS, keys=keys or Keys())
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
        app, reached = _app(), []

        @app.get("/reached")
        async def reach():
            reached.append(True)

        client = _client(app=app)
        client.get("/reached", headers={"Host": "evil.example"})
        assert reached == []
        client.get("/reached")
        assert reached == [True]

    def test_whoever_calls_an_open_service_is_its_operator(self):
        seen = _client().get("/fine", headers={"Authorization": "Bearer of-another-service"}).json()
        assert (seen["tenant"], seen["key"], set(seen["scopes"])) == ("default", "open", set(SCOPES))

    def test_what_is_not_http_passes(self):
        passed = []

        async def app(scope, receive, send):
            passed.append(scope["type"])
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        with TestClient(Guard(app, allowed_hosts=HOSTS, keys=Keys())):
            pass
        assert passed == ["lifespan"]


ACME = Principal("acme", "k1", frozenset({"read"}))
GOOD = {"Authorization": "Bearer good"}


class TestLocked:
    def _client(self, address="203.0.113.9", **more):
        return _client(address, keys=Keys(good=ACME, **more))

    def test_a_key_says_whose_call_it_is_from_any_address_host_and_page(self):
        headers = GOOD | {"Host": "graft.example", "Origin": "https://pages.example"}
        answer = self._client().get("/fine", headers=headers)
        assert answer.json() == {"tenant": "acme", "key": "k1", "scopes": ["read"]}

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": ""},
            {"Authorization": "good"},
            {"Authorization": "Basic good"},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer good good"},
            {"Authorization": "Bearer wrong"},
            {"X-Api-Key": "good"},
            {"Cookie": "key=good"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("path", ["/fine", "/nothing", "/livez/", "/docs/x", "/livez//", "/raise/busy"])
    def test_without_a_good_one_nobody_is_let_in(self, headers, path):
        answer = self._client("127.0.0.1").get(path, headers=headers)
        assert "Authorization: Bearer <key>" in _problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_is_of_any_case(self, scheme):
        assert self._client().get("/fine", headers={"Authorization": f"{scheme} good"}).status_code == 200

    def test_two_authorization_headers_are_refused(self):
        answer = self._client().get(
            "/fine", headers=[("Authorization", "Bearer good"), ("authorization", "Bearer good")]
        )
        assert "2 Authorization headers" in _problem(answer, 400, "authorization-repeated")

    @pytest.mark.parametrize("key", [None, "wrong"])
    def test_health_needs_no_key(self, key):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        assert self._client().get("/livez", headers=headers).status_code == 200

    def test_a_key_that_was_made_elsewhere_just_now_is_looked_for_once(self):
        keys = Keys(later={"new": Principal("globex", "k2", frozenset())}, good=ACME)
        client = _client(keys=keys)
        assert client.get("/fine", headers=GOOD).json()["tenant"] == "acme"
        assert keys.looks == 0
        assert client.get("/fine", headers={"Authorization": "Bearer new"}).json()["tenant"] == "globex"
        assert keys.looks == 1

    def test_the_first_key_is_looked_for_too(self):
        keys = Keys(later={"new": ACME})
        client = _client(keys=keys)
        assert client.get("/fine", headers={"Authorization": "Bearer new"}).json()["tenant"] == "acme"
        _problem(client.get("/fine"), 401, "unauthorized")

    def test_a_refused_key_is_not_repeated(self):
        assert "s3cret" not in self._client().get("/fine", headers={"Authorization": "Bearer s3cret"}).text


SHAPE = "graft_0123456789ab_" + "0" * 52


class TestKeysInTheQuery:
    @pytest.mark.parametrize(
        "query",
        [
            "key=x",
            "API_KEY=x",
            "token=",
            "access_token=x",
            f"q={SHAPE}",
            f"a=1&{SHAPE}",
            f"q=Bearer+{SHAPE.replace('_', '%5F')}",
        ],
    )
    @pytest.mark.parametrize("keys", [{}, {"good": ACME}], ids=["open", "locked"])
    @pytest.mark.parametrize("path", ["/fine", "/livez"])
    def test_they_are_refused_and_not_repeated(self, query, keys, path):
        answer = _client(keys=Keys(**keys)).get(f"{path}?{query}", headers=GOOD)
        detail = _problem(answer, 400, "key-misplaced")
        assert "revoke it" in detail
        assert "0123456789ab" not in answer.text

    @pytest.mark.parametrize("query", ["after=graft_intents", "limit=3", "keys=1", "", "monkey=1", "name=token"])
    def test_what_only_looks_alike_passes(self, query):
        assert _client().get(f"/fine?{query}").status_code == 200


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
