"""A real server and its keys: it locks, it may be reached once it is locked, and it stays locked."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from graft import Client, Forbidden, Unauthorized

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BOOTSTRAP = "b00tstrap-" * 4


def _serve(home, *arguments, **variables):
    """What `graft serve` says when it ends by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRAFT_")}
    return subprocess.run(
        [sys.executable, "-m", "graft.cli", "serve", "--home", str(home), *arguments],
        cwd=ROOT,
        env=environment | {"GRAFT_BACKBONES": "fake"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _graft(server, *arguments, key=""):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRAFT_")}
    return subprocess.run(
        [sys.executable, "-m", "graft.cli", *arguments],
        cwd=ROOT,
        env=environment | {"GRAFT_URL": server.url, "GRAFT_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_key_it_does_not_start_where_others_reach_it(tmp_path):
    ended = _serve(tmp_path / "home", "--host", "0.0.0.0")
    assert ended.returncode == 1
    assert "graft keys create --scopes admin" in ended.stderr
    assert "GRAFT_BOOTSTRAP_KEY" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_weak_bootstrap_key_stops_the_start_and_is_not_shown(tmp_path):
    ended = _serve(tmp_path / "home", GRAFT_BOOTSTRAP_KEY="hunter2")
    assert ended.returncode != 0
    assert "bootstrap_key" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout


def _unauthorized(call):
    """Whether a call is refused for its key; another HTTP process may learn of a change a quarter of a second later."""
    try:
        call()
    except Unauthorized:
        return True
    return False


def test_the_first_key_locks_it_and_a_restart_keeps_it_locked(make_server, rows, until):
    server = make_server().start()
    made = _graft(server, "keys", "create", "--scopes", "admin", "--name", "operator")
    assert made.returncode == 0, made.stderr
    admin = next(line for line in made.stdout.splitlines() if line.startswith("graft_"))
    assert stat.S_IMODE((server.home / "pepper").stat().st_mode) == 0o600

    with Client(server.url, key=admin) as operator, Client(server.url, key="") as nobody:
        until(lambda: _unauthorized(nobody.datasets.list), timeout_s=2)
        time.sleep(1)
        for _ in range(20):  # by whichever process it is served
            with pytest.raises(Unauthorized, match="GRAFT_KEY"):
                nobody.datasets.list()
        assert nobody.readiness().ready
        acme = operator.keys.create(["predict", "fit"], tenant="acme")
        caller = operator.keys.create(["predict"], tenant="acme")
        with Client(server.url, key=acme.key) as client, Client(server.url, key=caller.key) as predicting:
            assert client.fit(rows, name="intents").ref == "intents:1"
            assert predicting.predict("intents", ["reset my password"])[0].label == "password"
            with pytest.raises(Forbidden, match="scope 'read'"):
                predicting.adapters.list()
        assert operator.adapters.list() == [], "another tenant's"

    assert server.stop() == 0
    server.start()
    with Client(server.url, key=admin) as operator, Client(server.url, key=acme.key) as client:
        assert [adapter.name for adapter in client.adapters.list()] == ["intents"]
        operator.keys.revoke(acme.id)
        until(lambda: _unauthorized(client.adapters.list), timeout_s=2)
        time.sleep(1)
        for _ in range(20):
            assert _unauthorized(client.adapters.list)
    for text in (admin, acme.key):
        assert text.split("_")[2] not in server.log()
        assert text.split("_")[2].encode() not in b"".join(p.read_bytes() for p in server.home.glob("*.sqlite*"))
    listed = _graft(server, "keys", "list", key=admin)
    assert acme.id in listed.stdout
    refused = _graft(server, "keys", "list", key=acme.key)
    assert (refused.returncode, refused.stdout) == (1, "")


def test_a_bootstrap_key_opens_a_service_that_no_foreign_page_or_name_does(make_server, monkeypatch):
    server = make_server()
    monkeypatch.setenv("GRAFT_KEY", BOOTSTRAP)
    server.environment = {"GRAFT_BOOTSTRAP_KEY": BOOTSTRAP}
    server.start()
    foreign = {"Host": "graft.example", "Origin": "https://pages.example"}
    assert httpx.get(f"{server.url}/v1/keys", headers=foreign).status_code == 401
    answer = httpx.get(f"{server.url}/v1/keys", headers=foreign | {"Authorization": f"Bearer {BOOTSTRAP}"})
    assert answer.json() == {"data": [], "has_more": False}
    with Client(server.url) as operator:
        made = operator.keys.create(["read"], tenant="acme")
        with Client(server.url, key=made.key) as client:
            assert client.backbones.list()
    assert BOOTSTRAP not in server.log()
    assert server.stop() == 0
