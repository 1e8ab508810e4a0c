"""What stands side by side: this service, and peers that compute the same behind other servers.

Every one of them takes ``{"inputs": [text or image]}`` and answers ``{"predictions": [{"label": ...}]}``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.server import BENCH, POLL_S, START_S, Service, free_port, launched

PEERS_PYTHON = "PEERS_PYTHON"
"""Variable that names a Python in which LitServe is installed."""

GRAFT, FASTAPI_PROCESSES, FASTAPI_THREADS, LITSERVE = "graft", "fastapi 2 x 1", "fastapi 1 x 2", "litserve"


@dataclass(frozen=True)
class Contender:
    """A server that answers.

    Attributes:
        name: In tables.
        url: Where it listens.
        path: Of its predict call.
        pid: Its first process; the others are below it.
    """

    name: str
    url: str
    path: str
    pid: int

    def predict(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Its answers, one call an input."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            answers = [http.post(self.path, json={"inputs": [one]}).raise_for_status().json() for one in inputs]
        return [answer["predictions"][0] for answer in answers]


@dataclass(frozen=True)
class Files:
    """What all of them load: the folder of the exported backbone, and the adapter's ``head.onnx``."""

    backbone: Path
    head: Path


def graft(service: Service, ref: str) -> Contender:
    """This service, which runs already."""
    return Contender(GRAFT, service.client.base_url, f"/v1/adapters/{ref}/predict", service.pid)


@contextmanager
def fastapi(
    files: Files,
    *,
    name: str,
    processes: int,
    threads: int,
    app: str = "benchmarks.peers.fastapi_ort:app",
    probe: Any = "ready?",
) -> Iterator[Contender]:
    """FastAPI that batches nothing, under uvicorn; it is ready when it answers `probe`."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--workers", str(processes)]
    command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    with _peer(command, _environment(files, threads), name, port, probe) as contender:
        yield contender


@contextmanager
def litserve(files: Files, python: str, *, processes: int) -> Iterator[Contender]:
    """LitServe with its own batching."""
    port = free_port()
    env = _environment(files, 1) | {"PEER_PORT": str(port), "PEER_PROCESSES": str(processes)}
    with _peer([python, "-m", "benchmarks.peers.litserve_ort"], env, LITSERVE, port) as contender:
        yield contender


def litserve_python() -> tuple[str | None, str]:
    """A Python that has LitServe, and its version; or None and why not."""
    python = os.environ.get(PEERS_PYTHON, sys.executable)
    code = "import litserve, importlib.metadata as m; print(m.version('litserve'))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        return None, f"{PEERS_PYTHON} is {python!r}, which cannot be run: {error}"
    if done.returncode != 0:
        return None, f"{python} has no LitServe; install it in a venv of its own and name its python in {PEERS_PYTHON}"
    return python, done.stdout.strip()


def labels(contender: Contender, texts: Sequence[str]) -> list[str]:
    """The label that it gives to each text."""
    return [answer["label"] for answer in contender.predict(texts)]


def _environment(files: Files, threads: int) -> dict[str, str]:
    return {"PEER_BACKBONE": str(files.backbone), "PEER_HEAD": str(files.head), "PEER_THREADS": str(threads)}


@contextmanager
def _peer(
    command: Sequence[str], env: Mapping[str, str], name: str, port: int, probe: Any = "ready?"
) -> Iterator[Contender]:
    log = BENCH / f"{name.replace(' ', '')}.log"
    with launched(command, env, log) as child:
        contender = Contender(name, f"http://127.0.0.1:{port}", "/predict", child.pid)
        _wait(contender, child, log, probe)
        yield contender


def _wait(contender: Contender, child: subprocess.Popen[bytes], log: Path, probe: Any) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            contender.predict([probe])
        except httpx.HTTPError:
            if child.poll() is not None:
                break
            time.sleep(POLL_S)
        else:
            return
    raise SystemExit(f"{contender.name} did not become ready. See {log}.")
