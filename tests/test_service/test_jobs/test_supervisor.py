"""The worker is started, started again with growing waits, and stopped."""

import logging
import os
import subprocess
import sys
import time

import pytest

from service.jobs import supervisor as module
from service.jobs.supervisor import Supervisor

STARTS = "import sys; open(sys.argv[1], 'a').write('x'); "


@pytest.fixture
def supervised(tmp_path):
    """Makes supervisors of a small program that notes each start, and stops them."""
    made = []

    def make(program):
        starts = tmp_path / f"starts-{len(made)}"
        starts.touch()
        made.append(Supervisor([sys.executable, "-S", "-c", STARTS + program, str(starts)]))
        return made[-1], starts

    yield make
    for supervisor in made:
        supervisor.stop()


def _wait(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_ends_is_started_again_after_growing_waits(supervised, monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 0.03)
    supervisor, starts = supervised("sys.exit(3)")
    with caplog.at_level(logging.ERROR, logger="service.jobs.supervisor"):
        supervisor.start()
        _wait(lambda: starts.stat().st_size >= 5)
        supervisor.stop()
    waits = [record.wait_s for record in caplog.records]
    assert waits[:4] == [0.01, 0.02, 0.03, 0.03]
    assert {record.code for record in caplog.records} <= {3, -15}


def test_after_a_healthy_life_the_wait_is_short_again(supervised, monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(module, "HEALTHY_S", 0.0)
    supervisor, starts = supervised("sys.exit(0)")
    with caplog.at_level(logging.ERROR, logger="service.jobs.supervisor"):
        supervisor.start()
        _wait(lambda: starts.stat().st_size >= 3)
        supervisor.stop()
    assert {record.wait_s for record in caplog.records} == {0.005}


def test_stopping_ends_the_worker_and_starts_no_other(supervised):
    supervisor, starts = supervised("import time; time.sleep(60)")
    supervisor.start()
    _wait(lambda: starts.stat().st_size == 1)
    pid = supervisor.pid
    supervisor.stop()
    supervisor._thread.join(10)
    assert not supervisor._thread.is_alive()
    assert not _exists(pid)
    assert starts.stat().st_size == 1


def test_a_worker_that_does_not_stop_is_killed(supervised, monkeypatch):
    monkeypatch.setattr(module, "STOP_S", 0.1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'a').write('x'); "
    supervisor, starts = supervised(deaf + "time.sleep(60)")
    supervisor.start()
    _wait(lambda: starts.stat().st_size == 2)
    pid = supervisor.pid
    supervisor.stop()
    assert not _exists(pid)


def test_stopping_during_the_wait_ends_it(supervised, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_S", 60.0)
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 60.0)
    supervisor, starts = supervised("sys.exit(1)")
    supervisor.start()
    _wait(lambda: starts.stat().st_size == 1 and supervisor._process.poll() is not None)
    supervisor.stop()
    supervisor._thread.join(10)
    assert not supervisor._thread.is_alive()


def test_stopping_before_starting_is_harmless(supervised):
    supervisor, starts = supervised("pass")
    supervisor.stop()
    supervisor.start()
    supervisor._thread.join(10)
    assert starts.stat().st_size == 0
    assert supervisor.pid is None


def test_a_worker_that_cannot_be_started_is_tried_again(supervised, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.005)
    real, failed = subprocess.Popen, []

    def popen(*args, **more):
        if len(failed) < 2:
            failed.append(args)
            raise BlockingIOError("no process to be had")
        return real(*args, **more)

    monkeypatch.setattr(module.subprocess, "Popen", popen)
    supervisor, starts = supervised("import time; time.sleep(60)")
    supervisor.start()
    _wait(lambda: starts.stat().st_size == 1)
    assert len(failed) == 2


def test_the_worker_is_told_whose_end_is_its_own():
    assert Supervisor()._command[-2:] == ["--parent", str(os.getpid())]
