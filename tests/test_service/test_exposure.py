"""Where the service may start."""

import pytest

from service.database.engine import open_engine
from service.exposure import Exposed, check_exposure, check_start, locked
from service.registry import keys
from service.settings import Settings

OUTSIDE = ["0.0.0.0", "::", "192.168.1.4", "10.0.0.1", "2001:db8::1", "graft.example", ""]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "localhost"]


@pytest.mark.parametrize("host", OUTSIDE)
def test_an_address_that_others_reach_needs_a_key(host):
    check_exposure(host, locked=True)
    with pytest.raises(Exposed) as caught:
        check_exposure(host, locked=False)
    message = str(caught.value)
    assert host in message
    for remedy in ("127.0.0.1", "graft keys create --scopes admin", "GRAFT_BOOTSTRAP_KEY"):
        assert remedy in message


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("is_locked", [True, False])
def test_loopback_needs_none(host, is_locked):
    check_exposure(host, locked=is_locked)


def test_a_key_locks_even_a_revoked_one_and_so_does_a_bootstrap_key(engine, home):
    settings = Settings(home=home)
    assert not locked(engine, settings)
    assert locked(engine, Settings(home=home, bootstrap_key="b" * 32))
    key, _ = keys.mint(b"p", "default", "", ["admin"], 1.0)
    keys.add(engine, key, bootstrap=False)
    assert locked(engine, settings)
    keys.revoke(engine, None, key.id, 2.0, bootstrap=True)
    assert locked(engine, settings)


def test_a_home_without_tables_is_not_locked(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/registry.sqlite")
    assert not locked(engine, Settings(home=tmp_path))
    engine.dispose()


class TestStart:
    """What the parent process asks before it starts anything."""

    def test_an_open_service_starts_on_loopback_alone(self, tmp_path):
        settings = Settings(home=tmp_path / "new")
        check_start("127.0.0.1", settings)
        with pytest.raises(SystemExit, match=r"0\.0\.0\.0 can be reached .*graft keys create"):
            check_start("0.0.0.0", settings)

    def test_with_a_key_it_starts_anywhere(self, engine, home):
        check_start("0.0.0.0", Settings(home=home, bootstrap_key="b" * 32))
        key, _ = keys.mint(b"p", "default", "", ["admin"], 1.0)
        keys.add(engine, key, bootstrap=False)
        check_start("0.0.0.0", Settings(home=home))

    def test_keys_without_their_pepper_stop_it(self, engine, home):
        key, _ = keys.mint(b"p", "default", "", ["admin"], 1.0)
        keys.add(engine, key, bootstrap=False)
        with pytest.raises(SystemExit, match="pepper is gone"):
            check_start("127.0.0.1", Settings(home=home))
