"""Starting the service's processes."""

import os
import sys
from pathlib import Path

import pytest

from graft.cli import serve


@pytest.fixture
def started(monkeypatch, tmp_path):
    """What the process would be replaced by, from a checkout made for the test."""
    (tmp_path / "service").mkdir()
    for name in ("service/app.py", "bentofile.yaml"):
        (tmp_path / name).touch()
    calls: list[tuple[str, list[str], dict[str, str], Path]] = []
    monkeypatch.setattr(serve, "checkout", lambda _: tmp_path)
    monkeypatch.setattr(os, "execve", lambda path, argv, env: calls.append((path, argv, env, Path.cwd())))
    monkeypatch.chdir(Path.cwd())
    return calls


def test_serve_becomes_bentoml_in_the_checkout(run, started, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_URL", "http://elsewhere")
    monkeypatch.setenv("GRAFT_KEY", "s3cret")
    monkeypatch.delenv("GRAFT_HOME", raising=False)
    here = Path.cwd()

    assert run("serve", "--port", "3456", "--home", "state").exit_code == 0

    ((path, argv, env, cwd),) = started
    assert path == sys.executable
    listen = ["--host", "127.0.0.1", "--port", "3456"]
    leave = ["--timeout-graceful-shutdown", "30"]
    assert argv[1:] == ["-m", "bentoml", "serve", "service.app:Graft", *listen, *leave]
    assert cwd == tmp_path
    assert env["GRAFT_HOME"] == str(here / "state")
    assert not {"GRAFT_URL", "GRAFT_KEY"} & set(env), "they are the client's"
    assert env["BENTOML_DO_NOT_TRACK"] == "True"


def test_worker(run, started):
    assert run("worker").exit_code == 0
    assert started[0][1][1:] == ["-m", "service.jobs.worker"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "192.168.1.4"])
def test_whether_an_address_may_be_listened_on_is_the_services_matter(run, started, host):
    assert run("serve", "--host", host).exit_code == 0
    argv = started[0][1]
    assert argv[argv.index("--host") + 1] == host


def test_a_plain_wheel_says_what_to_do(run, monkeypatch):
    monkeypatch.setattr(serve, "checkout", lambda _: None)
    result = run("serve")
    assert result.exit_code == 2
    assert "make serve" in result.stderr


def test_missing_packages_are_named(run, started, monkeypatch):
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda _: None)
    result = run("serve")
    assert (result.exit_code, started) == (2, [])
    assert "make setup" in result.stderr


def test_a_checkout_is_known_by_its_files(tmp_path):
    assert serve.checkout((tmp_path,)) is None
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "app.py").touch()
    assert serve.checkout((tmp_path,)) is None
    (tmp_path / "bentofile.yaml").touch()
    assert serve.checkout((tmp_path / "service", tmp_path)) == tmp_path
