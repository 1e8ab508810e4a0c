"""Keeps one worker process beside the HTTP process: started once, started again when it ends, stopped with it."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
HEALTHY_S = 60.0
STOP_S = 10.0

_logger = logging.getLogger(__name__)


class Supervisor:
    """A thread that owns the worker process."""

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or [sys.executable, "-m", "service.jobs.worker", "--parent", str(os.getpid())]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process id of the worker that runs now."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the worker, and keep one running."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker and wait for it; kill it when it takes longer than `STOP_S`."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _keep(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = self._spawn()
            started = time.monotonic()
            code = self._process.wait() if self._process else None
            if self._stopping.is_set():
                return
            wait_s = FIRST_WAIT_S if time.monotonic() - started > HEALTHY_S else min(2 * wait_s, LONGEST_WAIT_S)
            _logger.error("the worker ended and is started again", extra={"code": code, "wait_s": wait_s})
            self._stopping.wait(wait_s)

    def _spawn(self) -> "subprocess.Popen[bytes] | None":
        try:
            # A session of its own: a Ctrl-C in the terminal is the parent's to handle, which then stops the worker.
            return subprocess.Popen(self._command, cwd=Path(__file__).parents[2], start_new_session=True)
        except OSError:  # no memory, no process to be had: it may be different at the next try
            _logger.exception("the worker cannot be started")
            return None
