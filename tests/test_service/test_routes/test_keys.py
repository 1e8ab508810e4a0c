"""/v1/keys: making, listing and revoking keys, and who may."""

import logging

import pytest


def _make(caller, **body):
    return caller.client.post("/v1/keys", json={"scopes": ["predict"]} | body)


def _problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()["detail"]


@pytest.fixture
def admin(service):
    """Somebody with the first key of a service that was open until then."""
    made = _make(service, scopes=["admin"]).json()
    service.client.headers["Authorization"] = f"Bearer {made['key']}"
    service.admin_id = made["id"]
    return service


class TestTheFirstKey:
    def test_locks_the_service_at_once(self, service):
        made = _make(service, scopes=["admin"], name="laptop")
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        assert _problem(service.client.get("/v1/datasets"), 401, "unauthorized")
        answer = service.client.get("/v1/datasets", headers={"Authorization": f"Bearer {made.json()['key']}"})
        assert answer.status_code == 200
        assert made.json() | {"key": "", "created_at": ""} == {
            "id": made.json()["key"].split("_")[1],
            "tenant": "default",
            "name": "laptop",
            "scopes": ["admin"],
            "created_at": "",
            "revoked_at": None,
            "key": "",
        }

    @pytest.mark.parametrize("body", [{}, {"scopes": ["fit", "read"]}, {"scopes": ["admin"], "tenant": "acme"}])
    def test_must_be_able_to_make_a_second_one(self, service, body):
        answer = _make(service, **body)
        assert "graft keys create --scopes admin" in _problem(answer, 422, "body-invalid")
        assert service.client.get("/v1/keys").json()["data"] == [], "the service is still open"

    def test_sees_what_was_made_before(self, service):
        dataset = service.upload().json()["id"]
        made = _make(service, scopes=["admin"]).json()
        answer = service.client.get(f"/v1/datasets/{dataset}", headers={"Authorization": f"Bearer {made['key']}"})
        assert answer.status_code == 200


class TestMaking:
    def test_the_text_is_shown_once(self, admin):
        made = _make(admin, tenant="acme", scopes=["fit", "predict"], name="ci").json()
        (listed,) = [key for key in admin.client.get("/v1/keys").json()["data"] if key["id"] == made["id"]]
        assert listed == {name: value for name, value in made.items() if name != "key"}
        assert listed["scopes"] == ["predict", "fit"]

    def test_nothing_of_it_is_logged_or_stored(self, admin, caplog):
        with caplog.at_level(logging.DEBUG):
            made = _make(admin).json()
        secret = made["key"].split("_")[2]
        assert [vars(record) for record in caplog.records if secret in str(vars(record))] == []
        (record,) = [record for record in caplog.records if record.message == "a key was made"]
        assert (record.key, record.by) == (made["id"], admin.admin_id)
        stored = b"".join(path.read_bytes() for path in admin.state.home.glob("registry*"))
        assert made["id"].encode() in stored
        assert secret.encode() not in stored

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["write"]}, "/scopes/0"),
            ({"scopes": "predict"}, "/scopes"),
            ({"tenant": "../up"}, "/tenant"),
            ({"tenant": "A"}, "/tenant"),
            ({"tenant": ""}, "/tenant"),
            ({"name": "x" * 101}, "/name"),
            ({"name": "a\nb"}, "/name"),
            ({"id": "0123456789ab"}, "/id"),
        ],
    )
    def test_what_cannot_be_made_is_pointed_at(self, admin, body, place):
        answer = _make(admin, **body)
        _problem(answer, 422, "body-invalid")
        assert answer.json()["errors"][0]["pointer"] == place


class TestRevoking:
    def test_a_revoked_key_is_refused_at_once_as_an_unknown_one_is(self, locked):
        text = locked.text("acme", "read")
        holder = locked.holder(text)
        assert holder.client.get("/v1/jobs").status_code == 200
        assert locked.acme.client.delete(f"/v1/keys/{text.split('_')[1]}").status_code == 204
        revoked = _problem(holder.client.get("/v1/jobs"), 401, "unauthorized")
        unknown = locked.holder(text.replace(text.split("_")[1], "0" * 12))
        wrong = locked.holder(text[:-1] + ("0" if text[-1] != "0" else "1"))
        assert {_problem(one.client.get("/v1/jobs"), 401, "unauthorized") for one in (unknown, wrong)} == {revoked}

    def test_it_stays_in_the_list_with_the_moment_of_its_end(self, admin):
        made = _make(admin).json()
        for _ in range(2):
            assert admin.client.delete(f"/v1/keys/{made['id']}").status_code == 204
        (listed,) = [key for key in admin.client.get("/v1/keys").json()["data"] if key["id"] == made["id"]]
        assert listed["revoked_at"] >= made["created_at"]

    def test_the_last_one_that_can_manage_keys_stays(self, admin):
        _make(admin, tenant="acme", scopes=["admin"])
        detail = _problem(admin.client.delete(f"/v1/keys/{admin.admin_id}"), 409, "conflict")
        assert "GRAFT_BOOTSTRAP_KEY" in detail
        second = _make(admin, scopes=["admin"]).json()
        assert admin.client.delete(f"/v1/keys/{admin.admin_id}").status_code == 204
        assert admin.client.get("/v1/keys").status_code == 401
        answer = admin.client.get("/v1/keys", headers={"Authorization": f"Bearer {second['key']}"})
        assert answer.status_code == 200

    @pytest.mark.parametrize("key", ["000000000000", "x" * 500])
    def test_one_that_there_is_not(self, admin, key):
        assert admin.client.delete(f"/v1/keys/{key}").status_code == 404


class TestTenants:
    def test_the_operator_manages_keys_of_all(self, locked):
        made = _make(locked.operator, tenant="acme").json()
        assert made["tenant"] == "acme"
        tenants = {key["tenant"] for key in locked.operator.client.get("/v1/keys").json()["data"]}
        assert tenants == {"default", "acme", "globex"}
        only = locked.operator.client.get("/v1/keys?tenant=acme").json()["data"]
        assert {key["tenant"] for key in only} == {"acme"}
        assert locked.operator.client.delete(f"/v1/keys/{made['id']}").status_code == 204

    def test_others_manage_their_own_alone(self, locked):
        assert _make(locked.acme).json()["tenant"] == "acme"
        assert _make(locked.acme, tenant="acme").status_code == 201
        assert "'acme'" in _problem(_make(locked.acme, tenant="globex"), 403, "forbidden")
        _problem(locked.acme.client.get("/v1/keys?tenant=default"), 403, "forbidden")
        theirs = locked.globex.client.get("/v1/keys").json()["data"][0]["id"]
        assert locked.acme.client.delete(f"/v1/keys/{theirs}").status_code == 404
        assert locked.globex.client.get("/v1/keys").status_code == 200

    def test_lists_come_in_pages_newest_first(self, locked):
        made = [_make(locked.acme, name=str(n)).json()["id"] for n in range(3)]
        first = locked.acme.client.get("/v1/keys?limit=2").json()
        rest = locked.acme.client.get(f"/v1/keys?limit=2&after={first['data'][-1]['id']}").json()
        listed = [key["id"] for key in [*first["data"], *rest["data"]]]
        assert listed == sorted(listed, reverse=True)
        assert set(made) < set(listed)
        assert (first["has_more"], rest["has_more"], len(listed)) == (True, False, 4)
