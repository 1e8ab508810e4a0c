"""A closed loop of clients: each sends its next call when its last is answered. Runs as a process of its own.

``wrk`` where it is installed, because it takes little of the processor that it shares with the server; else
``benchmarks.closed_loop``, which takes more, so that rates of the two are not to be compared.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import ROOT

WRK = "wrk"
PYTHON = "benchmarks.closed_loop"
SCRIPT = Path(__file__).with_name("load.lua")
ANSWER_S = 30
"""Longest wait for one answer before it counts as an error."""
SPARE_S = 60.0
"""How much longer than asked a generator may take."""


@dataclass(frozen=True)
class Load:
    """What the clients saw.

    Attributes:
        clients: How many at once.
        seconds: For how long.
        requests: Answered in that time.
        errors: Calls without an answer, or with a status other than 2xx.
        p50_ms, p99_ms: Milliseconds from a call's first byte to its answer's last.
    """

    clients: int
    seconds: float
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        """Answered requests a second."""
        return self.requests / self.seconds


def generator() -> str:
    """The generator that this machine has."""
    return WRK if shutil.which(WRK) else PYTHON


def write_calls(path: Path, calls: Iterable[tuple[str, Any]]) -> Path:
    """Keep calls for the generators, one a line: path, tab, JSON body."""
    path.write_text("".join(f"{where}\t{json.dumps(body)}\n" for where, body in calls), encoding="utf-8")
    return path


def for_seconds(url: str, calls: Path, *, clients: int, seconds: float, tool: str | None = None) -> Load:
    """Send the calls round and round."""
    tool = tool or generator()
    command = _wrk(url, calls, clients, seconds) if tool == WRK else _python(url, calls, clients, seconds)
    return _run(command, clients, seconds)


def once(url: str, calls: Path, *, clients: int) -> Load:
    """Send each call once."""
    return _run(_python(url, calls, clients, None), clients, 600.0)


def _wrk(url: str, calls: Path, clients: int, seconds: float) -> list[str]:
    # wrk knows whole seconds only.
    shape = ["-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", f"--timeout={ANSWER_S}s"]
    return [WRK, *shape, "-s", str(SCRIPT), url, "--", str(calls)]


def _python(url: str, calls: Path, clients: int, seconds: float | None) -> list[str]:
    shape = ["--clients", str(clients)] + ([] if seconds is None else ["--seconds", str(seconds)])
    return [sys.executable, "-m", PYTHON, url, str(calls), *shape]


def _run(command: list[str], clients: int, seconds: float) -> Load:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + SPARE_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"The load generator {command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return Load(clients=clients, **json.loads(done.stdout.strip().splitlines()[-1]))
