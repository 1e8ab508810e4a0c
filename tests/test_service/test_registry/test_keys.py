"""Keys in the registry: their text, what is stored of it, and the two rules that keep somebody able to make more."""

import hashlib
import hmac
import re

import pytest
from sqlalchemy import text as sql

from service.database.engine import open_engine, writing
from service.errors import BodyInvalid, Conflict, NotFound
from service.registry import events, keys

PEPPER = b"p" * 32


def _add(engine, tenant="default", *scopes, at=1.0, bootstrap=False):
    key, _ = keys.mint(PEPPER, tenant, "", scopes or ("admin",), at)
    keys.add(engine, key, bootstrap=bootstrap)
    return key


def _revoke(engine, key, *, tenant=None, bootstrap=False):
    keys.revoke(engine, tenant, key.id, 9.0, bootstrap=bootstrap)


def test_the_text_has_the_public_id_and_a_secret_of_256_bits():
    key, text = keys.mint(PEPPER, "acme", "laptop", {"fit", "predict"}, 1.0)
    assert re.fullmatch(r"graft_[0-9a-z]{12}_[0-9a-z]{52}", text)
    assert keys.id_of(text) == key.id
    assert (key.tenant, key.name, key.scopes, key.revoked_at) == ("acme", "laptop", ("predict", "fit"), None)
    assert key.digest == hmac.new(PEPPER, text.encode(), hashlib.sha256).hexdigest()


def test_no_two_are_alike_and_later_ones_sort_later():
    made = [keys.mint(PEPPER, "t", "", ["read"], at) for at in (1.0, 1.7e9, 1.8e9, 4.0e9)]
    assert [key.id for key, _ in made] == sorted(key.id for key, _ in made)
    texts = {keys.mint(PEPPER, "t", "", ["read"], 1.0)[1].split("_")[2] for _ in range(100)}
    assert len(texts) == 100


@pytest.mark.parametrize("text", ["", "graft_", "graft_0123456789ab_short", "graft_0123456789AB_" + "0" * 52, "x" * 71])
def test_what_is_no_key_has_no_id(text):
    assert keys.id_of(text) == ""
    assert keys.id_of("graft_0123456789ab_" + "0" * 52) == "0123456789ab"
    assert keys.id_of("graft_0123456789ab_" + "0" * 53) == ""


def test_scopes_include_others():
    assert keys.granted(["predict"]) == {"predict"}
    assert keys.granted(["read"]) == {"read"}
    assert keys.granted(["fit"]) == {"fit", "read"}
    assert keys.granted(["fit", "predict"]) == {"fit", "read", "predict"}
    assert keys.granted(["admin"]) == set(keys.SCOPES)


def test_what_is_stored_comes_back_and_is_announced(engine):
    key = _add(engine)
    assert keys.everyone(engine) == [key]
    assert [(event.tenant, event.kind) for event in events.since(engine, 0)] == [("default", keys.CHANGED)]


@pytest.mark.parametrize(("tenant", "scope"), [("default", "fit"), ("acme", "admin")])
def test_the_first_key_must_be_the_operators(engine, tenant, scope):
    with pytest.raises(BodyInvalid, match="graft keys create --scopes admin"):
        _add(engine, tenant, scope)
    assert not keys.exist(engine)
    _add(engine, tenant, scope, bootstrap=True)
    assert keys.exist(engine)


def test_a_revoked_first_key_counts_as_one(engine):
    first = _add(engine)
    _revoke(engine, first, bootstrap=True)
    assert keys.exist(engine)
    _add(engine, "acme", "read")


def test_whether_there_are_keys_is_known_before_there_are_tables(tmp_path):
    empty = open_engine(f"sqlite:///{tmp_path}/empty.sqlite")
    assert not keys.exist(empty)
    empty.dispose()


def test_the_last_admin_key_of_the_operator_stays(engine):
    first = _add(engine)
    _add(engine, "default", "fit")
    _add(engine, "acme", "admin")
    with pytest.raises(Conflict, match="last admin key"):
        _revoke(engine, first)
    second = _add(engine)
    _revoke(engine, first)
    with pytest.raises(Conflict, match="last admin key"):
        _revoke(engine, second)
    _revoke(engine, second, bootstrap=True)
    assert [key.revoked_at for key in keys.everyone(engine) if key.id in {first.id, second.id}] == [9.0, 9.0]


def test_revoking_again_changes_nothing(engine):
    _add(engine)
    key = _add(engine, "acme", "read")
    _revoke(engine, key)
    before = events.newest(engine)
    keys.revoke(engine, None, key.id, 99.0, bootstrap=False)
    assert {k.revoked_at for k in keys.everyone(engine)} == {None, 9.0}
    assert events.newest(engine) == before


def test_a_key_of_another_tenant_is_not_there(engine):
    _add(engine)
    key = _add(engine, "acme", "read")
    with pytest.raises(NotFound, match="no key"):
        _revoke(engine, key, tenant="globex")
    _revoke(engine, key, tenant="acme")


def test_pages_are_of_one_tenant_or_of_all(engine):
    made = [_add(engine, tenant, "admin", at=at) for at, tenant in enumerate(["default", "acme", "acme", "globex"])]
    ids = [key.id for key in made]
    page = keys.page(engine, None, limit=3, after=None)
    assert ([key.id for key in page.data], page.has_more) == (ids[:0:-1], True)
    assert [key.id for key in keys.page(engine, None, limit=3, after=ids[1]).data] == [ids[0]]
    assert [key.id for key in keys.page(engine, "acme", limit=3, after=None).data] == [ids[2], ids[1]]


def test_the_database_holds_no_text(engine):
    key, text = keys.mint(PEPPER, "default", "", ["admin"], 1.0)
    keys.add(engine, key, bootstrap=False)
    with writing(engine) as connection:
        row = connection.execute(sql("select * from keys")).one()
    assert text.split("_")[2] not in str(row)
