"""The worker's handle on its child process: give it a command, follow its progress, kill it when asked to."""

import contextlib
import json
import logging
import math
import os
import queue
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.processes import ONE_THREAD

POLL_S = 0.1

_logger = logging.getLogger(__name__)


class ChildDied(Exception):  # a fact, not a fault of the caller
    """The child ended without an answer."""


class Stopped(Exception):  # a fact, not a fault
    """The child was killed because somebody asked for it; the message says why."""


class Exceeded(Exception):  # a fact, not a fault
    """The child was killed because it said nothing for longer than it may; the message says so."""


class Failed(Exception):  # the domain error behind it is in `problem`
    """The command cannot be done; `problem` is the problem object."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["detail"])
        self.problem = problem


class Fitter:
    """One child process, started when it is needed and kept for the next command. Used by one thread at a time."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._unread = 0

    def warm(self) -> None:
        """Start the child and let it import what a fit needs, without waiting for it."""
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self._start()
            self._send({"do": "warm"})
            self._unread = 1

    def run(
        self,
        command: dict[str, Any],
        on_progress: Callable[[str, float], None],
        why_stop: Callable[[], str | None],
        patience_s: float = math.inf,
    ) -> dict[str, Any]:
        """Give the child a command and wait for its answer.

        Args:
            command: As `service/jobs/child.py` takes them.
            on_progress: Called with each stage and share.
            why_stop: Called every `POLL_S`; a reason kills the child.
            patience_s: Longest that it may go without progress.

        Raises:
            Exceeded: There was no progress for `patience_s`.
            Failed: The command cannot be done.
            Stopped: `why_stop` gave a reason.
            ChildDied: The child crashed, or was killed for its memory.
        """
        self.warm()
        self._send(command)
        try:
            return self._follow(on_progress, why_stop, patience_s)
        except Failed:
            raise
        except BaseException:  # a child left at work would give its answer to the next command
            self.kill()
            raise

    def _follow(
        self, on_progress: Callable[[str, float], None], why_stop: Callable[[], str | None], patience_s: float
    ) -> dict[str, Any]:
        heard_s = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=POLL_S)
            except queue.Empty:
                self._check(why_stop)
                if time.monotonic() - heard_s > patience_s:
                    raise Exceeded(f"there was no progress for {patience_s:g} seconds") from None
                continue
            heard_s = time.monotonic()
            if line is None:
                code = self._process.wait() if self._process else None
                raise ChildDied(f"the fitting process ended with code {code}")
            answer = json.loads(line)
            if "stage" in answer:
                self._check(why_stop)
                on_progress(answer["stage"], answer["progress"])
            elif self._unread:
                self._unread -= 1
            elif "failed" in answer:
                raise Failed(answer["failed"])
            else:
                return dict(answer["done"])

    def kill(self) -> None:
        """End the child, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # a command that it did not take any more
                    self._process.stdin.close()
            self._process = None

    def _check(self, why_stop: Callable[[], str | None]) -> None:
        reason = why_stop()
        if reason is not None:
            raise Stopped(reason)
        used = self._resident_bytes()
        if used > self._memory_bytes:
            raise ChildDied(f"it used {used:,} bytes of memory, the limit is {self._memory_bytes:,}")

    def _resident_bytes(self) -> int:
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text().split() if self._process else ["0", "0"]
        except (FileNotFoundError, ProcessLookupError):  # it has just ended, or this system has no /proc
            return 0
        return int(fields[1]) * resource.getpagesize()

    def _start(self) -> None:
        self._unread = 0
        self._lines = queue.SimpleQueue()
        self._process = subprocess.Popen(  # our own module
            [sys.executable, "-m", "service.jobs.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=Path(__file__).parents[2],
            env=os.environ | ONE_THREAD,
            start_new_session=True,  # a Ctrl-C in the terminal is the worker's to handle
        )
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()

    def _send(self, command: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise ChildDied("the fitting process is not running")
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.kill()
            raise ChildDied("the fitting process ended before it took the command") from None


def _read(process: subprocess.Popen[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Pass the child's whole lines on, then the news that it has ended."""
    if process.stdout is not None:
        with process.stdout as stdout:
            for line in stdout:
                if line.endswith("\n"):  # a killed child may leave half a line
                    lines.put(line)
    lines.put(None)
