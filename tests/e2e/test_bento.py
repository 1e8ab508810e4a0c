"""The bento: what is in it, and that it serves from its own folder, where nothing of the checkout can be imported.

The tests' environment has the checkout on `sys.path` (it is installed editable), so a file that the bento lacks would
be found there and nobody would notice. Every process of the server therefore loads `WATCH` as `sitecustomize`, which
takes the checkout off the path and writes down each file of Python source that is opened, and each file that is opened
to be written.
"""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from graft import Client

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = (sys.prefix, sys.base_prefix)
PACKAGES = ("service", "adapters", "models")

_spec = importlib.util.spec_from_file_location("servers", Path(__file__).with_name("conftest.py"))
servers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(servers)

WATCH = """
import os, sys

root, log = os.environ["WATCHED_ROOT"], os.open(os.environ["WATCHED_LOG"], os.O_WRONLY | os.O_APPEND)
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != root]


def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode, flags = os.path.abspath(os.fsdecode(arguments[0])), arguments[1] or "", arguments[2] or 0
        writes = set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR)
        if writes or path.endswith((".py", ".pyc")):
            os.write(log, f"{'write' if writes else 'read'} {os.getpid()} {path}\\n".encode())


sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def bento(tmp_path_factory):
    """The folder of a bento as `make bento` builds it."""
    home = tmp_path_factory.mktemp("built")
    (recipe,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "bentoml build" in line]
    words = [word for word in recipe.split() if "=" not in word][1:]
    subprocess.run(
        [sys.executable, "-m", "bentoml", *words],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"},
        check=True,
        capture_output=True,
    )
    (found,) = home.glob("bentos/graft/*/bento.yaml")
    return found.parent


class BentoServer(servers.Server):
    """`bentoml serve` on a bento's folder, in that folder, with nothing of this test's environment but PATH."""

    def __init__(self, bento: Path, folder: Path) -> None:
        for name in ("home", "tmp", "site"):
            (folder / name).mkdir()
        super().__init__(folder / "home", "fake")
        self.bento = bento
        self.tmp = folder / "tmp"
        self.watched = folder / "watched.log"
        self.watched.touch()
        (folder / "site" / "sitecustomize.py").write_text(WATCH)
        self.site = folder / "site"

    def start(self, timeout_s: float = 120) -> "BentoServer":
        baked = {entry["name"]: entry["value"] for entry in yaml.safe_load(self.read("bento.yaml"))["envs"]}
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCHED_ROOT": str(ROOT),
            "WATCHED_LOG": str(self.watched),
            "HOME": str(self.tmp),
            "TMPDIR": str(self.tmp),
            "BENTOML_HOME": str(self.tmp / "bentoml"),
            "GRAFT_HOME": str(self.home),
            "GRAFT_BACKBONES": self.backbones,
            "GRAFT_API_PROCESSES": "2",
        }
        with (self.home.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", "serve", str(self.bento), "--port", str(self.port)],
                cwd=self.bento / "src",
                env=baked | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with Client(self.url) as client:
            client.ready(timeout_s=timeout_s)
        return self

    def read(self, name: str) -> str:
        return (self.bento / name).read_text("utf-8")

    def opened(self, how: str) -> set[str]:
        """Files that any process opened to read (source only) or to write."""
        lines = (line.split(" ", 2) for line in self.watched.read_text("utf-8").splitlines())
        return {path for kind, _, path in lines if kind == how}


@pytest.fixture
def server(bento, tmp_path):
    served = BentoServer(bento, tmp_path)
    yield served
    if served.process is not None and served.process.poll() is None:
        served.stop()


def files(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def state(folder: Path) -> dict[Path, int]:
    """When each file and folder below was changed last."""
    return {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_the_bento_has_what_runs_and_nothing_else(bento):
    wanted = {f"{package}/{name}" for package in PACKAGES for name in files(ROOT / package)}
    assert files(bento / "src") == wanted | {"LICENSE", "pyproject.toml", "bentofile.yaml"}
    assert {"models/catalog.toml", "service/database/migrations/env.py"} <= wanted
    assert not list(bento.rglob("__pycache__"))


def test_its_image_is_the_one_that_the_manifests_expect(bento):
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    pod = yaml.safe_load((ROOT / "deploy" / "k8s" / "base" / "deployment.yaml").read_text("utf-8"))
    user = pod["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert {f"ARG BENTO_USER_UID={user}", f"ARG BENTO_USER_GID={user}"} <= set(dockerfile)
    assert {"ARG BENTO_PATH=/home/bentoml/bento", "ARG ORT_DISABLE_TELEMETRY=1", "EXPOSE 3000"} <= set(dockerfile)
    assert [line for line in dockerfile if line.startswith("FROM")] == ["FROM python:3.11-slim AS base-container"]
    pinned = (bento / "env" / "python" / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in pinned if line and not line.startswith("#") and "==" not in line] == []


def test_it_serves_from_its_own_folder_and_writes_nowhere_else(server, bento, rows):
    before, beside = state(bento), set(ROOT.iterdir())
    server.start()
    with server.client as client:
        assert client.fit(rows, name="intents").version == 1
        answers = client.predict("intents", ["please reset my password", "where is the courier"])
        assert [answer.label for answer in answers] == ["password", "delivery"]
    (worker,) = server.named("service.jobs.worker")
    assert Path(worker.cwd()) == bento / "src"
    assert len([p for p in server.named("_bentoml_impl.worker.service") if p.cwd() == str(bento / "src")]) == 2
    time.sleep(1.5)  # a heartbeat more
    assert server.stop() == 0
    assert "Traceback" not in server.log()

    source = server.opened("read")
    ran = ("service/app.py", "service/wiring.py", "service/jobs/worker.py", "service/jobs/child.py", "models/text.py")
    assert {str(bento / "src" / name) for name in ran} <= source
    assert {path for path in source if not path.startswith((str(bento), str(server.site), *PYTHON))} == set()

    places = (str(server.home), str(server.tmp), "/dev/", "/proc/")
    assert {path for path in server.opened("write") if not path.startswith(places)} == set()
    assert state(bento) == before
    assert set(ROOT.iterdir()) == beside
    assert {path.name for path in server.tmp.iterdir() if not path.name.startswith("bentoml")} == set()
