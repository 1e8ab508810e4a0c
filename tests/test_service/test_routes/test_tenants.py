"""No route shows one tenant's things to another, and every route asks for a scope.

Both tests walk the routes of the application. A new route fails them until it stands in `ROUTES`.
"""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from service.registry.keys import SCOPES, granted
from service.wiring import create_api

OURS, LIST, SHARED, NEW = "ours", "list", "shared", "new"


@dataclass(frozen=True)
class Known:
    """What a route does.

    Attributes:
        needs: Its scope.
        kind: OURS: its path names a tenant's thing. LIST: it lists a tenant's things. SHARED: the same for everybody.
            NEW: it makes something for the caller; if `body` names another tenant's thing, that is not found.
        body: What makes a call of it whole.
    """

    needs: str
    kind: str
    body: Any = None


ROUTES = {
    ("GET", "/v1/backbones"): Known("read", SHARED),
    ("POST", "/v1/backbones"): Known("fit", NEW, {"id": "stolen", "source": {"adapter": "{ref}"}}),
    ("GET", "/v1/backbones/{backbone}"): Known("read", OURS),
    ("DELETE", "/v1/backbones/{backbone}"): Known("fit", OURS),
    ("POST", "/v1/backbones:rank"): Known("fit", NEW, {"dataset": "{dataset}"}),
    ("POST", "/v1/embeddings"): Known("predict", SHARED, {"model": "fake", "input": "money back"}),
    ("GET", "/v1/models"): Known("predict", SHARED),
    ("POST", "/v1/zero-shot"): Known(
        "predict", NEW, {"backbone": "fake", "inputs": ["money back"], "signatures": "{signatures}"}
    ),
    ("POST", "/v1/datasets"): Known("fit", NEW),
    ("GET", "/v1/datasets"): Known("read", LIST),
    ("GET", "/v1/datasets/{dataset}"): Known("read", OURS),
    ("DELETE", "/v1/datasets/{dataset}"): Known("fit", OURS),
    ("POST", "/v1/signatures"): Known("fit", NEW),
    ("GET", "/v1/signatures"): Known("read", LIST),
    ("GET", "/v1/signatures/{signatures}"): Known("read", OURS),
    ("DELETE", "/v1/signatures/{signatures}"): Known("fit", OURS),
    ("POST", "/v1/adapters"): Known("fit", NEW, {"name": "stolen", "dataset": "{dataset}"}),
    ("GET", "/v1/adapters"): Known("read", LIST),
    ("GET", "/v1/adapters/{name}"): Known("read", OURS),
    ("POST", "/v1/adapters/{name}/versions"): Known("fit", NEW, {"backbone": "fake", "signatures": "{signatures}"}),
    ("GET", "/v1/adapters/{name}/versions/{number}"): Known("read", OURS),
    ("DELETE", "/v1/adapters/{name}/versions/{number}"): Known("fit", OURS),
    ("GET", "/v1/adapters/{name}/versions/{number}/report"): Known("read", OURS),
    ("GET", "/v1/adapters/{name}/versions/{number}/adapter.onnx"): Known("read", OURS),
    ("POST", "/v1/adapters/{name}/versions/{number}/refit"): Known("fit", OURS),
    ("GET", "/v1/adapters/{name}/aliases/{alias}"): Known("read", OURS),
    ("PUT", "/v1/adapters/{name}/aliases/{alias}"): Known("fit", OURS, {"version": 1}),
    ("POST", "/v1/adapters/{ref}/predict"): Known("predict", OURS, {"inputs": ["money back"]}),
    ("GET", "/v1/jobs"): Known("read", LIST),
    ("GET", "/v1/jobs/{job}"): Known("read", OURS),
    ("GET", "/v1/jobs/{job}/events"): Known("read", OURS),
    ("POST", "/v1/jobs/{job}/cancel"): Known("fit", OURS),
    ("POST", "/v1/keys"): Known("admin", NEW),
    ("GET", "/v1/keys"): Known("admin", LIST),
    ("DELETE", "/v1/keys/{key}"): Known("admin", OURS),
}

NEEDS_NO_KEY = {"/", "/livez", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json"}


def _served():
    """Method and path of every route of the application."""
    for route in iter_route_contexts(create_api().routes):
        for method in (route.methods or {"MOUNT"}) - {"HEAD"}:
            yield method, str(route.path)


def test_every_route_stands_in_the_table():
    served = set(_served())
    assert {where for where in served if where[1].startswith("/v1")} == set(ROUTES)
    others = {path for _, path in served if not path.startswith("/v1")}
    assert others <= NEEDS_NO_KEY | {"/static-offline-docs"}


@pytest.fixture
def things(locked):
    """One of everything of tenant acme, by the name of its path parameter."""
    version = locked.acme.adapt().json()
    key = locked.acme.client.post("/v1/keys", json={"scopes": ["read"]}).json()
    described = locked.acme.client.post("/v1/signatures", json={"classes": {"a": {"x": 1}, "b": {"x": 0}}}).json()
    return {
        "dataset": version["dataset"],
        "name": "intents",
        "ref": "intents:1",
        "number": "1",
        "alias": "live",
        "job": version["job"],
        "key": key["id"],
        "signatures": described["id"],
        "backbone": locked.acme.host().json()["id"],
    }


def _filled(value, things):
    if isinstance(value, dict):
        return {name: _filled(item, things) for name, item in value.items()}
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: things[match[1]], value) if isinstance(value, str) else value


def _call(caller, method, path, known, things):
    body = {} if known.body is None else {"json": _filled(known.body, things)}
    return caller.client.request(method, _filled(path, things), **body)


def test_what_is_one_tenants_is_not_there_for_another(locked, things):
    wrong = {}
    for (method, path), known in ROUTES.items():
        for name, caller in {"globex": locked.globex, "operator": locked.operator}.items():
            if name == "operator" and path.startswith("/v1/keys"):
                continue  # keys of every tenant are the operator's matter
            answer = _call(caller, method, path, known, things)
            if known.kind == OURS or (known.kind == NEW and known.body):
                good = answer.status_code == 404 and answer.json()["code"] == "not-found"
            elif known.kind == LIST and path != "/v1/keys":
                good = answer.json() == {"data": [], "has_more": False}
            elif known.kind == LIST:
                good = {key["tenant"] for key in answer.json()["data"]} == {name}
            else:
                good = True
            if not good:
                wrong[name, method, path] = answer.text
    assert wrong == {}


def test_what_is_ones_own_is_there(locked, things):
    """The same calls with the owner's key: what the test above sees as missing is not missing for everybody."""
    deletions_last = sorted(ROUTES.items(), key=lambda item: item[0][0] == "DELETE")
    seen = {
        (method, path): _call(locked.acme, method, path, known, things).status_code
        for (method, path), known in deletions_last
        if known.kind in {OURS, LIST, SHARED}
    }
    cancel = ("POST", "/v1/jobs/{job}/cancel")
    assert seen.pop(cancel) == 409, "it has ended, and it is there"
    refit = ("POST", "/v1/adapters/{name}/versions/{number}/refit")
    assert seen.pop(refit) == 202, "a job, which may find the version deleted"
    assert {where for where, status in seen.items() if status not in {200, 204}} == set()


def test_a_known_and_an_unknown_thing_of_others_look_alike(locked, things):
    theirs = locked.globex.client.get(f"/v1/datasets/{things['dataset']}").json()
    nobodys = locked.globex.client.get("/v1/datasets/ds_nobodys").json()
    for answer in (theirs, nobodys):
        del answer["request_id"]
    assert theirs["detail"].replace(things["dataset"], "ds_nobodys") == nobodys["detail"]
    assert theirs | {"detail": ""} == nobodys | {"detail": ""}


def test_every_route_asks_for_its_scope(locked):
    named = ("dataset", "name", "ref", "alias", "job", "key", "backbone", "signatures")
    nothing = {"number": "1"} | dict.fromkeys(named, "none")
    callers = {scope: locked.caller("initech", scope) for scope in SCOPES}
    wrong = {}
    for (method, path), known in ROUTES.items():
        anonymous = _call(locked.nobody, method, path, known, nothing)
        if anonymous.status_code != 401:
            wrong[method, path, "nobody"] = anonymous.text
        for scope, caller in callers.items():
            answer = _call(caller, method, path, known, nothing)
            refused = answer.status_code == 403
            if refused != (known.needs not in granted([scope])) or answer.status_code == 401:
                wrong[method, path, scope] = answer.text
            if refused:
                assert f"scope '{known.needs}'" in answer.json()["detail"]
    assert wrong == {}


def test_the_same_idempotency_key_of_two_tenants_makes_two_things(locked):
    made = [
        caller.client.post(
            "/v1/datasets", files={"file": ("a.csv", caller.csv(caller.words))}, headers={"Idempotency-Key": "k1"}
        )
        for caller in (locked.acme, locked.globex)
    ]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["id"] != made[1].json()["id"]


def test_the_same_file_of_two_tenants_is_two_datasets_and_lives_as_long_as_either(locked):
    mine, theirs = (caller.upload().json()["id"] for caller in (locked.acme, locked.globex))
    assert mine != theirs
    assert locked.acme.client.delete(f"/v1/datasets/{mine}").status_code == 204
    fitted = locked.globex.client.post("/v1/adapters?wait=30", json={"name": "intents", "dataset": theirs})
    assert fitted.status_code == 201


def test_the_same_name_of_two_tenants_is_two_adapters(locked):
    assert locked.acme.adapt().json()["version"] == 1
    assert locked.globex.adapt().json()["version"] == 1
    assert locked.acme.adapt(promote="always").json()["version"] == 2
    assert locked.globex.predict("intents", "parcel").json()["adapter"] == "intents:1"
    assert locked.acme.predict("intents", "parcel").json()["adapter"] == "intents:2"


def test_a_backbone_of_one_tenant_is_seen_and_used_by_nobody_else(locked, things):
    assert things["backbone"] == "mine"
    listed = {
        name: [one["id"] for one in getattr(locked, name).client.get("/v1/backbones").json()["data"]]
        for name in ("acme", "globex", "operator")
    }
    assert listed == {"acme": ["fake", "mine"], "globex": ["fake"], "operator": ["fake"]}
    refused = locked.globex.adapt(backbone="mine")
    assert (refused.status_code, refused.json()["code"]) == (422, "backbone-unknown")
    assert "mine" not in refused.json()["detail"].replace("'mine'", "")
    assert locked.globex.host().status_code == 201
    assert locked.globex.client.delete("/v1/backbones/mine").status_code == 204
    assert locked.acme.client.get("/v1/backbones/mine").json()["state"] == "ready"
