"""The worker goes on beating whatever happens, ends when it cannot take jobs, and leaves in good order."""

import logging
import os
import signal
import sqlite3
import threading
import time

import pytest
from sqlalchemy.exc import OperationalError

from service.jobs import worker as module
from service.jobs.fitter import ChildDied
from service.jobs.worker import WorkerProcess
from service.registry import jobs, workers
from service.wiring import prepare


class Ended(BaseException):
    """Stands for the end of the process."""


class StubFitter:
    """Hosts at the second try."""

    def __init__(self):
        self.hosted, self.killed, self.warmed, self.tries = [], 0, 0, 0
        self.torch = False

    def warm(self):
        self.warmed += 1

    def run(self, command, on_progress, why_stop):
        self.tries += 1
        if self.tries == 1:
            raise ChildDied("out of luck")
        assert command["pointer"] is True
        self.hosted.append(command["entry"]["id"])
        return {"card": {}, "torch": self.torch}

    def kill(self):
        self.killed += 1


class StubRunner:
    def __init__(self, error=None):
        self.launched = threading.Event()
        self._error = error

    def launch(self):
        if self._error is not None:
            raise self._error
        self.launched.set()


@pytest.fixture
def process(settings, monkeypatch):
    def end(code):
        raise Ended(code)

    monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr(module, "HOST_RETRY_S", 0.01)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr(os, "_exit", end)
    prepare(settings)
    made = WorkerProcess(settings)
    made._fitter = StubFitter()
    made._runner = StubRunner()
    yield made
    made._queue.close()
    made._engine.dispose()


def _run_until(process, condition):
    """Run the worker in this thread; another one tells it to stop when the condition holds."""

    def stop():
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        process._on_signal(signal.SIGTERM, None)

    watcher = threading.Thread(target=stop)
    watcher.start()
    with pytest.raises(Ended) as ended:
        process.run()
    watcher.join()
    return ended.value.args[0]


def test_hosts_what_it_must_then_takes_jobs_then_leaves(process, settings):
    assert _run_until(process, process._runner.launched.is_set) == 0
    assert process._fitter.hosted == ["fake"]
    assert process._fitter.killed == 1
    assert process._jobs.stopping
    assert workers.alive(process._engine, process._worker.host, time.time(), 1e9) == set()


def test_a_child_that_holds_torch_is_replaced_before_jobs_are_taken(process):
    process._fitter.torch = True
    process._settings = process._settings.model_copy(update={"backbones": ("fake", "scatter-2d")})
    _run_until(process, process._runner.launched.is_set)
    assert process._fitter.hosted == ["fake", "scatter-2d"]
    assert (process._fitter.killed, process._fitter.warmed) == (2, 2), "once for both, and at the end"


def test_what_a_dead_worker_held_is_queued_again_before_jobs_are_taken(process, monkeypatch):
    order = []
    monkeypatch.setattr(module, "BEAT_S", 60.0)
    monkeypatch.setattr(module, "recover", lambda *_: order.append("recover"))
    launch = process._runner.launch
    process._runner.launch = lambda: (order.append("launch"), launch())
    _run_until(process, process._runner.launched.is_set)
    assert order == ["recover", "launch"]


def test_a_beat_that_fails_is_logged_and_the_next_one_works(process, monkeypatch, caplog):
    errors = [OperationalError("x", {}, sqlite3.OperationalError("locked")), FileNotFoundError("gone")]
    beats, real = [], module.recover

    def recover(*args):
        beats.append(args)
        if errors:
            raise errors.pop()
        return real(*args)

    monkeypatch.setattr(module, "recover", recover)
    with caplog.at_level(logging.ERROR, logger="service.jobs.worker"):
        assert _run_until(process, lambda: len(beats) >= 4) == 0
    assert [record.message for record in caplog.records].count("a heartbeat failed") == 2


def test_a_worker_that_cannot_take_jobs_ends_so_that_it_is_started_again(process):
    process._runner = StubRunner(RuntimeError("the queue is broken"))
    assert _run_until(process, process._stop.is_set) == 1


def test_the_job_under_way_goes_back_without_counting_the_attempt(process, records):
    job = records.job()
    jobs.add(process._engine, job, None, 10)
    jobs.begin(process._engine, job.id, 2.0)
    process._jobs.job = job.id
    _run_until(process, process._runner.launched.is_set)
    now = jobs.get(process._engine, None, job.id)
    assert (now.state, now.attempts) == ("queued", 0)


def test_the_sweep_keeps_what_names_tenants_and_versions_need(process, settings, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "sweep_hosted", lambda *args: asked.append(args[:2]))
    monkeypatch.setattr(module.backbones, "digests", lambda engine: {"d" * 64})
    process._sweep()
    assert asked == [(settings.backbones_dir, {"d" * 64})]
