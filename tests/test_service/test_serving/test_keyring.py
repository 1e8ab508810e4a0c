"""The keys as one process holds them."""

import hmac
import logging

import pytest
from sqlalchemy.exc import OperationalError

from service.database.engine import open_engine
from service.registry import keys
from service.registry.events import Event
from service.serving import keyring as module
from service.serving.directory import Directory
from service.serving.keyring import BOOTSTRAP, LOOK_AGAIN_S, Keyring, pepper_of
from service.settings import Settings
from service.store.pepper import PepperLost

PEPPER = b"p" * 32
SECRET = "correct-horse-battery-staple-0123456789"


@pytest.fixture
def ring(engine):
    made = Keyring(engine, PEPPER, None)
    made.refresh()
    return made


def _new(engine, tenant="default", *scopes, ring=None):
    """The text of a key that is in the registry."""
    key, text = (ring or Keyring(engine, PEPPER, None)).mint(tenant, "", scopes or ("admin",), 1.0)
    keys.add(engine, key, bootstrap=True)
    return text


def _gone(*_):
    raise OperationalError("select", {}, Exception("away"))


def test_it_is_open_until_there_is_a_key_and_never_again(engine, ring):
    assert not ring.locked
    text = _new(engine)
    ring.refresh()
    assert ring.locked
    keys.revoke(engine, None, keys.id_of(text), 2.0, bootstrap=True)
    ring.refresh()
    assert ring.locked
    assert ring.principal(text) is None


def test_a_key_is_its_tenant_and_what_its_scopes_include(engine, ring):
    text = _new(engine, "acme", "fit")
    ring.refresh()
    found = ring.principal(text)
    assert (found.tenant, found.key, found.scopes) == ("acme", keys.id_of(text), {"fit", "read"})


def test_what_is_not_exactly_the_key_is_nobody(engine, ring):
    text, other = _new(engine, "acme"), _new(engine, "globex")
    ring.refresh()
    mixed = text[:19] + other[19:]
    assert keys.id_of(mixed) == keys.id_of(text)
    for wrong in ("", text[:-1], text + "0", text.upper(), mixed, f" {text}", "é" * 71):
        assert ring.principal(wrong) is None, wrong


def test_another_pepper_makes_other_keys(engine):
    text = _new(engine)
    other = Keyring(engine, b"q" * 32, None)
    other.refresh()
    assert other.locked
    assert other.principal(text) is None


def test_the_bootstrap_key_is_an_operator_and_locks(engine):
    ring = Keyring(engine, PEPPER, SECRET)
    assert ring.locked
    assert ring.principal(SECRET) == BOOTSTRAP
    assert (BOOTSTRAP.tenant, BOOTSTRAP.scopes) == ("default", set(keys.SCOPES))
    assert ring.principal(SECRET + "x") is None
    assert SECRET not in str(vars(ring))


def test_without_a_bootstrap_key_nothing_is_one(ring):
    for guess in ("", "None", "\0" * 32):
        assert ring.principal(guess) is None


def test_every_refusal_takes_the_same_comparisons(engine, ring, monkeypatch):
    good, revoked = _new(engine), _new(engine, "acme")
    keys.revoke(engine, None, keys.id_of(revoked), 2.0, bootstrap=True)
    ring.refresh()
    compared: list[int] = []
    real = hmac.compare_digest

    def compare(a, b):
        compared.append(len(b))
        return real(a, b)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    for text in (good, revoked, good[:-1], "graft_" + "0" * 12 + "_" + "0" * 52, "nothing"):
        compared.clear()
        ring.principal(text)
        assert compared == [32, 32], text


def test_events_of_keys_are_followed_and_no_others(engine, ring):
    text = _new(engine)
    ring.notice(Event(1, "default", "intents", "published"))
    assert ring.principal(text) is None
    ring.notice(Event(2, "default", "", keys.CHANGED))
    assert ring.principal(text) is not None


def test_the_directory_passes_them_on(records):
    ring = Keyring(records.engine, PEPPER, None)
    directory = Directory(records.engine, records.blobs, {}.__getitem__, on_event=ring.notice)
    directory.start()
    text = _new(records.engine, "acme")
    directory.refresh()
    assert ring.principal(text).tenant == "acme"
    keys.revoke(records.engine, None, keys.id_of(text), 2.0, bootstrap=True)
    directory.refresh()
    assert ring.principal(text) is None


async def test_another_look_finds_what_was_made_elsewhere_but_not_each_time(engine):
    now = [100.0]
    ring = Keyring(engine, PEPPER, None, lambda: now[0])
    await ring.look_again()
    text = _new(engine)
    await ring.look_again()
    assert ring.principal(text) is None, "too soon after the last look"
    now[0] += LOOK_AGAIN_S
    await ring.look_again()
    assert ring.principal(text) is not None


async def test_what_is_held_stays_good_while_the_database_is_away(engine, ring, monkeypatch, caplog):
    text = _new(engine)
    ring.refresh()
    monkeypatch.setattr(keys, "everyone", _gone)
    with caplog.at_level(logging.ERROR):
        await ring.look_again()
    assert ring.principal(text) is not None
    assert "the keys could not be read" in caplog.text
    with pytest.raises(OperationalError):
        ring.notice(Event(1, "t", "", keys.CHANGED))


def test_no_check_asks_the_database(engine, ring, monkeypatch):
    text = _new(engine)
    ring.refresh()
    monkeypatch.setattr(keys, "everyone", _gone)
    monkeypatch.setattr(module, "asyncio", None)
    assert ring.principal(text) is not None
    assert ring.principal("x") is None


class TestOpening:
    def _settings(self, home, **more):
        return Settings(home=home, **more)

    def test_the_pepper_is_the_homes_file_or_the_setting(self, engine, home):
        made = pepper_of(engine, self._settings(home))
        assert made == (home / "pepper").read_bytes()
        assert pepper_of(engine, self._settings(home, key_pepper=SECRET)) == SECRET.encode()

    def test_the_keys_that_there_are_are_held(self, engine, home):
        settings = self._settings(home)
        text = _new(engine, ring=Keyring.open(engine, settings))
        again = Keyring.open(engine, settings)
        assert again.locked
        assert again.principal(text) is not None

    def test_a_lost_pepper_stops_the_start_where_there_are_keys(self, engine, home):
        _new(engine)
        with pytest.raises(PepperLost):
            Keyring.open(engine, self._settings(home))
        ring = Keyring.open(engine, self._settings(home, bootstrap_key=SECRET))
        assert ring.principal(SECRET) == BOOTSTRAP

    def test_a_key_is_good_after_a_restart(self, engine, home):
        text = _new(engine, "default", "admin", ring=Keyring.open(engine, self._settings(home)))
        url = engine.url.render_as_string()
        engine.dispose()
        second = open_engine(url)
        assert Keyring.open(second, self._settings(home)).principal(text) is not None
        second.dispose()
