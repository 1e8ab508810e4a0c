"""The worker's liveness probe: its heartbeat, and nothing else, says that it lives."""

import pytest

from service.jobs.alive import silence
from service.registry import workers
from service.registry.workers import Worker

HERE = "this-host"


@pytest.fixture
def url(home):
    return f"sqlite:///{home}/registry.sqlite"


def test_a_worker_that_was_heard_of_is_alive(engine, url):
    workers.arrive(engine, Worker("wk_1", HERE, 1), 100.0)
    assert silence(url, HERE, 30, 120.0) is None


def test_a_silent_worker_is_not(engine, url):
    workers.arrive(engine, Worker("wk_1", HERE, 1), 100.0)
    assert "40 s ago; the limit is 30 s" in silence(url, HERE, 30, 140.0)


def test_neither_another_hosts_worker_nor_one_that_stopped_counts(engine, url):
    workers.arrive(engine, Worker("wk_1", "elsewhere", 1), 100.0)
    stopped = Worker("wk_2", HERE, 1)
    workers.arrive(engine, stopped, 100.0)
    workers.leave(engine, stopped, 101.0)
    assert "No worker" in silence(url, HERE, 30, 110.0)


def test_a_registry_without_tables_is_no_life(tmp_path):
    assert "cannot be read" in silence(f"sqlite:///{tmp_path}/registry.sqlite", HERE, 30, 1.0)
