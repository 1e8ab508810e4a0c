"""The worker process: hosts backbones, runs jobs, says that it is alive, and looks after jobs that nobody works on.

python -m service.jobs.worker      (or `graft worker`; `graft serve` starts one beside the HTTP process)
"""

import argparse
import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from sqlalchemy import Engine

from models.catalog import entry
from service.database.engine import migrate, open_engine
from service.ids import new_id
from service.jobs import queue
from service.jobs.adapting import Adapting
from service.jobs.fitter import ChildDied, Failed, Fitter, Stopped
from service.jobs.hosting import Hosting, Hosts, sweep_hosted
from service.jobs.ranking import Rankings
from service.jobs.recovery import recover
from service.jobs.refitting import Refitting
from service.jobs.work import Kind, Work
from service.processes import configure_logging, end_with_parent
from service.registry import backbones, jobs, references, requests, workers
from service.settings import Settings
from service.store.blobs import Blobs

BEAT_S = 1.0
SWEEP_S = 3600.0
LEFTOVER_TTL_S = 86_400.0
HOST_RETRY_S = 30.0

_logger = logging.getLogger("service.jobs.worker")  # run with -m, its __name__ is __main__


def _survives(work: Callable[["WorkerProcess"], None]) -> Callable[["WorkerProcess"], None]:
    """A database that is away must not end the fit under way: it is logged, and the next beat tries again."""

    @functools.wraps(work)
    def tried(process: "WorkerProcess") -> None:
        try:
            work(process)
        except Exception:
            _logger.exception("a heartbeat failed")

    return tried


def kinds_of(engine: Engine, settings: Settings) -> dict[str, Kind]:
    """What is done for each kind of job, by its name."""
    hosts = Hosts(engine, settings.backbones_dir)
    adapting = Adapting(engine, settings.home.resolve(), hosts, settings.max_fit_s)
    return {
        "adapt": adapting,
        "refit": Refitting(engine, adapting),
        "host": Hosting(engine, settings.max_host_step_s),
        "rank": Rankings(engine, hosts, settings.max_fit_s),
    }


class WorkerProcess:
    """Everything that the worker does, in the order of its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        home = settings.home.resolve()
        self._engine = open_engine(settings.database_url)
        self._blobs = Blobs(home)
        self._fitter = Fitter(settings.fit_memory_bytes)
        self._jobs = Work(self._engine, self._fitter, kinds_of(self._engine, settings), time.time)
        self._worker = workers.Worker(new_id("wk", time.time()), socket.gethostname(), os.getpid())
        self._queue = queue.Submitter(settings.queue_url)
        self._runner = queue.Runner(settings.queue_url, self._worker.id, self._jobs.run, self._jobs.keep)
        self._stop = threading.Event()
        self._code = 0
        self._torch = False

    def run(self) -> None:
        """Work until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        workers.arrive(self._engine, self._worker, time.time())
        self._fitter.warm()
        threading.Thread(target=self._work, name="work", daemon=True).start()
        swept_at = 0.0
        while not self._stop.wait(BEAT_S):
            self._beat()
            if time.time() - swept_at > SWEEP_S:
                self._sweep()
                swept_at = time.time()
        self._leave()

    def _work(self) -> None:
        """Host the backbones, then take jobs; a worker that cannot is ended, and started again by its supervisor."""
        try:
            for name in self._settings.backbones:
                while not self._host(name) and not self._stop.is_set():
                    self._stop.wait(HOST_RETRY_S)
            if self._torch:  # the exports leave it in memory, and no fit needs it
                self._fitter.kill()
                self._fitter.warm()
            if not self._stop.is_set():
                self._beat()  # what a dead worker held goes back into the queue before this one takes from it
                self._runner.launch()
                _logger.info("worker takes jobs", extra={"worker": self._worker.id})
        except Exception:
            _logger.exception("the worker cannot take jobs")
            self._code = 1
            self._stop.set()

    def _host(self, name: str) -> bool:
        started = time.monotonic()
        try:
            hosted = self._fitter.run(
                {"do": "host", "entry": entry(name).to_dict(), "pointer": True},
                lambda stage, share: _logger.info(
                    "hosting", extra={"backbone": name, "stage": stage, "progress": round(share, 2)}
                ),
                lambda: "the worker stops" if self._stop.is_set() else None,
            )
        except (Failed, ChildDied, Stopped) as error:
            _logger.error(  # noqa: TRY400  # the child has logged the traceback
                "backbone not hosted", extra={"backbone": name, "reason": str(error), "retry_s": HOST_RETRY_S}
            )
            return False
        self._torch = hosted["torch"]
        _logger.info("backbone hosted", extra={"backbone": name, "seconds": round(time.monotonic() - started, 2)})
        return True

    @_survives
    def _beat(self) -> None:
        now_s = time.time()
        workers.beat(self._engine, self._worker, now_s)
        alive = workers.alive(self._engine, self._worker.host, now_s, self._settings.worker_timeout_s)
        recover(self._engine, self._queue, alive, now_s)

    @_survives
    def _sweep(self) -> None:
        now_s = time.time()
        requests.forget(self._engine, now_s - self._settings.idempotency_ttl_s)
        workers.forget(self._engine, now_s - LEFTOVER_TTL_S)
        self._blobs.sweep(references.digests(self._engine), LEFTOVER_TTL_S, now_s)
        sweep_hosted(self._settings.backbones_dir, backbones.digests(self._engine), LEFTOVER_TTL_S, now_s)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._jobs.stopping = True
        self._stop.set()

    def _leave(self) -> None:
        """Let the running job go back to the queue, without counting it as an attempt, and end at once."""
        job = self._jobs.job
        if job is not None:
            jobs.give_back(self._engine, job)
        workers.leave(self._engine, self._worker, time.time())
        self._fitter.kill()
        _logger.info("worker stops", extra={"worker": self._worker.id, "job": job})
        logging.shutdown()
        os._exit(self._code)  # threads of the queue must not checkpoint a step that was cut off


def main() -> None:
    """Read the settings, prepare the databases, work."""
    parser = argparse.ArgumentParser(description="Graft's worker: hosts backbones and runs fits.")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process, which started it, ends")
    parent = parser.parse_args().parent
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    if parent is not None:
        end_with_parent(parent)
    migrate(settings.database_url)
    queue.prepare(settings.queue_url)
    WorkerProcess(settings).run()
    sys.exit(0)


if __name__ == "__main__":
    main()
