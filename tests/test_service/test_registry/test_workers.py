"""Heartbeats tell which workers live."""

import os
import subprocess
import sys

import pytest

from service.registry import workers
from service.registry.workers import Worker

HERE = Worker("wk_here", "host", os.getpid())
ELSEWHERE = Worker("wk_elsewhere", "other-host", 1)


@pytest.fixture
def ended_pid():
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


def _alive(engine, now_s=12.0):
    return workers.alive(engine, "host", now_s, timeout_s=10.0)


def test_a_worker_lives_until_it_is_silent_for_too_long(engine):
    workers.arrive(engine, HERE, 1.0)
    assert _alive(engine, 11.0) == {HERE.id}
    assert _alive(engine, 11.1) == set()
    workers.beat(engine, HERE, 11.0)
    assert _alive(engine, 21.0) == {HERE.id}


def test_a_worker_that_left_is_not_alive(engine):
    workers.arrive(engine, HERE, 11.0)
    workers.leave(engine, HERE, 11.5)
    assert _alive(engine) == set()


def test_on_this_host_the_process_must_exist_and_elsewhere_the_heartbeat_is_believed(engine, ended_pid):
    workers.arrive(engine, Worker("wk_dead", "host", ended_pid), 11.0)
    workers.arrive(engine, Worker("wk_far", "other-host", ended_pid), 11.0)
    assert _alive(engine) == {"wk_far"}


def test_a_process_of_another_user_exists(engine, monkeypatch):
    def refused(_pid, _signal):
        raise PermissionError

    workers.arrive(engine, HERE, 11.0)
    monkeypatch.setattr(os, "kill", refused)
    assert _alive(engine) == {HERE.id}


def test_a_worker_that_was_forgotten_arrives_again_with_its_next_beat(engine):
    workers.arrive(engine, HERE, 1.0)
    workers.arrive(engine, ELSEWHERE, 11.0)
    workers.forget(engine, before_s=5.0)
    assert _alive(engine, 11.0) == {ELSEWHERE.id}
    workers.beat(engine, HERE, 11.0)
    assert _alive(engine, 11.0) == {HERE.id, ELSEWHERE.id}
