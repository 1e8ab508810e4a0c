"""A real server: `graft serve` or `bentoml serve` as a process, killed and started again at will."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from graft import Client, Timeout

ROOT = Path(__file__).parents[2]

TOPICS = {
    "refund": ["money back", "refund", "return the payment", "reimburse me", "charged twice"],
    "delivery": ["where is my parcel", "not delivered", "shipping is late", "courier lost it", "tracking number"],
    "password": ["forgot my password", "reset link", "cannot log in", "new password", "locked account"],
}


class Server:
    """A server on a loopback port, with its state in a folder that outlives it."""

    def __init__(self, home: Path, backbones: str, command: str = "graft") -> None:
        self.home = home
        self.backbones = backbones
        self.command = command
        self.environment: dict[str, str] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0

    def start(self, timeout_s: float = 120) -> "Server":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GRAFT_")}
        environment |= {"GRAFT_HOME": str(self.home), "GRAFT_BACKBONES": self.backbones} | self.environment
        port = str(self.port)
        arguments = {
            "graft": ["-m", "graft.cli", "serve", "--port", port],
            "bentoml": ["-m", "bentoml", "serve", "service.app:Graft", "--port", port],
        }[self.command]
        begun = time.monotonic()
        while not self._started([sys.executable, *arguments], environment, begun + timeout_s):
            assert self.process is not None
            self.kill()
        self.ready_s = time.monotonic() - begun
        return self

    def _started(self, command: list[str], environment: dict[str, str], deadline_s: float) -> bool:
        """Start it and wait until it is ready; False where it lost a port.

        BentoML's process supervisor chooses a free port, lets go of it and binds it a moment later: on a machine that
        opens many connections at once another may have it by then.
        """
        path = self.home.parent / "server.log"
        with path.open("ab") as log:
            seen = log.tell()
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        with Client(self.url) as client:
            while True:
                try:
                    client.ready(timeout_s=2)
                except Timeout:
                    if b"Address already in use (addr='tcp:" in path.read_bytes()[seen:]:
                        return False
                    if time.monotonic() > deadline_s:
                        raise
                else:
                    return True

    @property
    def client(self) -> Client:
        return Client(self.url)

    def family(self) -> list[psutil.Process]:
        """Every process of the server, the first one included."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def named(self, module: str) -> list[psutil.Process]:
        """Processes that run a module."""
        return [p for p in self.family() if module in " ".join(p.cmdline())]

    def stop(self, timeout_s: float = 20) -> int:
        """End it as an operator would; returns its exit code."""
        assert self.process is not None
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self.gone(family)
        return code

    def kill(self) -> None:
        """Pull the plug on the first process; the others must notice by themselves."""
        assert self.process is not None
        family = self.family()
        self.process.kill()
        self.process.wait()
        self.gone(family)

    def gone(self, family: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not alive, f"still running after the end: {alive}"

    def log(self) -> str:
        return (self.home.parent / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def started_in(parent: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers, and stops those that are still up at the end."""
    servers: list[Server] = []

    def make(backbones: str = "fake", command: str = "graft", home: Path | None = None) -> Server:
        folder = home or parent / "home"
        folder.mkdir(parents=True, exist_ok=True)
        servers.append(Server(folder, backbones, command))
        return servers[-1]

    yield make
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.stop()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with started_in(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Makes a server for all tests of a module."""
    with started_in(tmp_path_factory.mktemp("server")) as make:
        yield make


@pytest.fixture(scope="module")
def server(make_shared: Callable[..., Server]) -> Server:
    """One server for all tests of a module."""
    return make_shared().start()


@pytest.fixture
def rows() -> list[tuple[str, str]]:
    """A few labelled texts."""
    return [(text, label) for label, texts in TOPICS.items() for text in texts]


@pytest.fixture
def many_rows() -> list[tuple[str, str]]:
    """Enough rows that a fit takes some seconds: time to kill things."""
    chance = random.Random(0)
    words = [" ".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(400)]
    return [(" ".join(chance.choices(words, k=6)), f"class_{i % 40}") for i in range(2_500)]


def wait_for(condition: Callable[[], object], timeout_s: float = 60, every_s: float = 0.02) -> object:
    """The first true value of a condition."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every_s)
    raise AssertionError(f"nothing came of it in {timeout_s} s")


@pytest.fixture
def until() -> Callable[..., object]:
    return wait_for
