"""The real service as a child process: started on a free loopback port, stopped with everything that it started.

.bench/backbones/          exported backbones, kept between runs
.bench/<random>/           one run's state, deleted after it; its backbones/ is a link to the above
.bench/service.log         what the last service said
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from graft import Client, GraftError

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / ".bench"
LOG = BENCH / "service.log"

START_S = 300.0
"""Longest wait for the service; the first start exports the backbone."""
STOP_S = 20.0
"""Longest wait for the service to stop by itself."""
NO_CACHE = {"GRAFT_CACHE_BYTES": "0"}
"""Settings under which every item is embedded anew: a benchmark sends the same ones again and again."""
POLL_S = 0.02
"""Pause between two looks whether it is ready; start times are no finer."""


@dataclass(frozen=True)
class Service:
    """A service that answers.

    Attributes:
        client: Calls it.
        pid: Its first process; the others are below it.
        backbones: Folder of its exported backbones.
        live_s: From the start of its first process to the first answer of /livez.
        ready_s: From the start of its first process to the first 200 of /readyz.
    """

    client: Client
    pid: int
    backbones: Path
    live_s: float
    ready_s: float


@contextmanager
def fresh_home(root: Path = BENCH) -> Iterator[Path]:
    """A folder of state for one run, empty but for the backbones that earlier runs exported; deleted at the end."""
    backbones = root / "backbones"
    backbones.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as home:
        (Path(home) / "backbones").symlink_to(backbones, target_is_directory=True)
        yield Path(home)


@contextmanager
def serving(
    home: Path, *, threads: int | None = None, settings: Mapping[str, str] | None = None, log: Path = LOG
) -> Iterator[Service]:
    """Start the service, wait until it is ready, and stop it whatever happens.

    Args:
        home: Folder of its state.
        threads: Lanes of a backbone in an HTTP process, and threads of a fit; without, what the service chooses.
        settings: `GRAFT_*` variables of its own.
        log: Where its output goes.

    Raises:
        SystemExit: It ended, or was not ready after `START_S`; names the log.
    """
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "graft.cli", "serve", "--port", str(port), "--home", str(home)]
    names = () if threads is None else ("GRAFT_ENCODER_LANES", "GRAFT_FIT_THREADS")
    started = time.perf_counter()
    env = dict.fromkeys(names, str(threads)) | dict(settings or {})
    with launched(command, env, log) as child, Client(url) as client:
        live_s = wait_ready(client, child, log) - started
        yield Service(client, child.pid, home / "backbones", live_s, time.perf_counter() - started)


@contextmanager
def launched(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child in the checkout's root, stopped whatever happens.

    Args:
        command: What to run.
        env: Variables beside those of this process. `GRAFT_*` of the caller's own service are left out: they must not
            change what is measured.
        log: Where its output goes.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRAFT_")}
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=kept | dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            stop(child)


def wait_ready(client: Client, child: subprocess.Popen[bytes], log: Path, wait_s: float = START_S) -> float:
    """Return once /readyz answers 200: when it answered first, by `time.perf_counter`.

    Raises:
        SystemExit: The service ends, or takes longer than `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    live: float | None = None
    while time.monotonic() < deadline:
        with suppress(GraftError):
            readiness = client.readiness()
            live = live or time.perf_counter()
            if readiness.ready:
                return live
        if child.poll() is not None:
            raise SystemExit(f"The service ended with exit code {child.returncode} before it was ready. See {log}.")
        time.sleep(POLL_S)
    raise SystemExit(f"The service was not ready after {wait_s:g} s. See {log}.")


def stop(child: subprocess.Popen[bytes], wait_s: float = STOP_S) -> None:
    """Stop a child and what it started: politely, and then not."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def stop_on_terminate() -> None:
    """Turn SIGTERM into KeyboardInterrupt: whoever ends a benchmark must not leave its service behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
