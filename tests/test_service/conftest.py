"""The whole HTTP process without BentoML, on the fake backbone, with a worker in a thread of the same process.

`client` is the application as a caller sees it; `locked` is the same with keys for two tenants. `hold` makes fits wait,
so that a test can look at a job under way.
"""

import asyncio
import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.heads import AffineHead, tables_bytes
from adapters.manifest import FileEntry, Manifest
from models.catalog import entry
from models.hosted import host
from service.database.engine import migrate, open_engine
from service.ids import new_id
from service.jobs.child import failure, obey
from service.jobs.fit import Fitting
from service.jobs.fitter import Failed, Fitter, Stopped
from service.jobs.work import Work
from service.jobs.worker import kinds_of
from service.registry import jobs, keys, publishing
from service.registry.datasets import Dataset
from service.routes.state import State
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache
from service.wiring import create_api, enclosed, prepare, running

WORDS = {
    "refund": ["money back please", "refund my order", "i want my money back", "return the payment to me"],
    "delivery": ["where is my parcel", "parcel not delivered", "when does my parcel come", "the parcel is late"],
    "password": ["forgot my password", "password reset link", "new password please", "password does not work"],
}


def csv_of(rows: dict[str, list[str]]) -> bytes:
    """Labelled texts as CSV."""
    return ("text,label\n" + "".join(f'"{text}",{label}\n' for label, texts in rows.items() for text in texts)).encode()


class InlineFitter(Fitter):
    """Does what the child would do in this process, on the thread that asks."""

    def __init__(self, fitting: Fitting, folder: Path, hold: threading.Event) -> None:
        super().__init__(memory_bytes=2**40)
        self._fitting = fitting
        self._folder = folder
        self._hold = hold

    def warm(self) -> None:
        """There is no child."""

    def run(
        self,
        command: dict[str, Any],
        on_progress: Callable[[str, float], None],
        why_stop: Callable[[], str | None],
        patience_s: float = 0.0,
    ) -> dict[str, Any]:
        on_progress("embed", 0.1)
        while not self._hold.wait(0.02):
            if (reason := why_stop()) is not None:
                raise Stopped(reason)
        try:
            return obey(command, self._fitting, self._folder, on_progress)
        except Exception as error:
            raise Failed(failure(error)) from error


class InlineQueue:
    """Runs each job in a thread of its own, one at a time."""

    def __init__(self, work: Work) -> None:
        self._jobs = work
        self._one = threading.Lock()
        self.threads: list[threading.Thread] = []
        self.cancelled: list[str] = []

    def submit(self, job_id: str) -> None:
        thread = threading.Thread(target=self._work, args=(job_id,))
        thread.start()
        self.threads.append(thread)

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def _work(self, job_id: str) -> None:
        with self._one:
            outcome = self._jobs.run(job_id)
            if outcome is not None:
                self._jobs.keep(job_id, outcome)


@pytest.fixture(scope="session")
def backbones_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake backbone, hosted once."""
    folder = tmp_path_factory.mktemp("backbones")
    host(entry("fake"), folder, lambda stage, share: None)
    return folder


@pytest.fixture
def settings(tmp_path: Path, backbones_dir: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    (home / "backbones").symlink_to(backbones_dir)
    return Settings(home=home, backbones=("fake",), fit_threads=1, encoder_lanes=1, min_free_bytes=0)


@pytest.fixture
def hold() -> threading.Event:
    """Fits go on while it is set; a test clears it to keep them waiting."""
    event = threading.Event()
    event.set()
    return event


class Service:
    """A client on a running state."""

    def __init__(self, client: TestClient, state: State, queue: InlineQueue) -> None:
        self.client = client
        self.state = state
        self.queue = queue

    words = WORDS
    csv = staticmethod(csv_of)

    def upload(self, data: bytes | None = None, filename: str = "intents.csv", **form: str) -> Any:
        return self.client.post(
            "/v1/datasets", files={"file": (filename, csv_of(WORDS) if data is None else data)}, data=form
        )

    def adapt(self, name: str = "intents", wait: float = 30, **form: Any) -> Any:
        files = {"file": ("intents.csv", csv_of(WORDS))}
        return self.client.post(f"/v1/adapters?wait={wait}", files=files, data={"name": name, **form})

    def host(self, id_: str = "mine", wait: float = 30, **body: Any) -> Any:
        """Host the fake backbone under a name of one's own."""
        return self.client.post(f"/v1/backbones?wait={wait}", json={"id": id_, "source": {"catalog": "fake"}} | body)

    def predict(self, ref: str, *inputs: Any, **more: Any) -> Any:
        return self.client.post(f"/v1/adapters/{ref}/predict", json={"inputs": list(inputs), **more})

    def wait(self, job_id: str, *states: str, timeout_s: float = 20) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            job = self.client.get(f"/v1/jobs/{job_id}").json()
            if job["state"] in states:
                return job
            time.sleep(0.02)
        raise AssertionError(f"job is {job['state']} ({job['stage']}), not {states}")


@pytest.fixture
def service(settings: Settings, hold: threading.Event) -> Iterator[Service]:
    prepare(settings)
    api = create_api()
    opened: list[ASGIApp] = []

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        await (opened[0] if opened else api)(scope, receive, send)

    with TestClient(door, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        portal = client.portal
        assert portal is not None
        with portal.wrap_async_context_manager(running(settings)) as state:
            cache = EmbeddingCache(state.home / "cache", settings.cache_bytes)
            fitting = Fitting(Blobs(state.home), settings.backbones_dir, 1, time.monotonic, cache)
            fitter = InlineFitter(fitting, settings.backbones_dir, hold)
            queue = InlineQueue(Work(state.engine, fitter, kinds_of(state.engine, settings), time.time))
            state.queue.close()
            api.state.graft = dataclasses.replace(state, queue=queue)
            opened.append(enclosed(api))
            portal.call(_ready, state)
            yield Service(client, api.state.graft, queue)
            hold.set()
            for thread in queue.threads:
                thread.join(30)
            cache.close()


async def _ready(state: State) -> None:
    while state.backbones.waiting_for():
        await asyncio.sleep(0.02)


@pytest.fixture
def client(service: Service) -> TestClient:
    return service.client


class Locked:
    """A service that has keys.

    Attributes:
        nobody: A caller without a key.
        operator: A caller with an admin key of tenant `default`.
        acme, globex: Callers with an admin key of a tenant of their own.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.state = service.state
        self.nobody = service
        self.operator = self.caller(keys.OPERATOR, keys.ADMIN)
        self.acme = self.caller("acme", keys.ADMIN)
        self.globex = self.caller("globex", keys.ADMIN)

    def text(self, tenant: str, *scopes: str) -> str:
        """The text of a new key."""
        key, text = self.state.keys.mint(tenant, "", scopes, time.time())
        keys.add(self.state.engine, key, bootstrap=False)
        self.state.keys.refresh()
        return text

    def caller(self, tenant: str, *scopes: str) -> Service:
        """Somebody with a new key."""
        return self.holder(self.text(tenant, *scopes))

    def holder(self, text: str) -> Service:
        """Somebody with a key of this text."""
        whole = self._service.client
        client = TestClient(
            whole.app, str(whole.base_url), headers={"Authorization": f"Bearer {text}"}, raise_server_exceptions=False
        )
        client.portal = whole.portal  # the same event loop, so the same batches and locks
        return Service(client, self.state, self._service.queue)


@pytest.fixture
def locked(service: Service) -> Locked:
    return Locked(service)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry of the newest schema, made once."""
    path = tmp_path_factory.mktemp("registry") / "registry.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Path:
    """A home with an empty registry."""
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(migrated, folder / "registry.sqlite")
    return folder


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{home}/registry.sqlite")
    yield opened
    opened.dispose()


@pytest.fixture
def blobs(home: Path) -> Blobs:
    return Blobs(home)


class Records:
    """Makes rows of the registry with everything filled in that a test does not care about."""

    def __init__(self, engine: Engine, home: Path, blobs: Blobs) -> None:
        self.engine = engine
        self.home = home
        self.blobs = blobs
        self._made = 0

    def dataset(self, fingerprint: str = "f1", *, items: bytes = b"items", at: float = 1.0, **more: Any) -> Dataset:
        fields = {"tenant": "default", "name": "intents.csv", "facts": {}, "sha256": "s" * 64, "created_at": at} | more
        blob = self.blobs.put(items).digest
        return Dataset(id=new_id("ds", at), fingerprint=fingerprint, blob=blob, **fields)

    def job(self, **more: Any) -> jobs.Job:
        """A job that is not stored yet."""
        self._made += 1
        request = {"dataset": "ds_1", "backbone": "fake", "method": {"method": "prototype"}, "seed": 0}
        fields: dict[str, Any] = {
            "id": f"job_{self._made}",
            "tenant": "default",
            "kind": "adapt",
            "adapter": "intents",
            "request": request | {"max_seconds": 60.0, "promote": "auto"},
            "state": jobs.QUEUED,
            "stage": "waiting",
            "progress": 0.0,
            "attempts": 0,
            "version": None,
            "error": None,
            "seconds": {},
            "cancel_at": None,
            "created_at": 1.0,
            "started_at": None,
            "finished_at": None,
            "result": None,
        }
        return jobs.Job(**(fields | more))

    def stored_job(self, **more: Any) -> jobs.Job:
        job = self.job(**more)
        jobs.add(self.engine, job, None, max_queued=1_000)
        return job

    def running_job(self, **more: Any) -> jobs.Job:
        job = self.stored_job(**more)
        assert jobs.begin(self.engine, job.id, 2.0)
        return job

    def draft(
        self, job: jobs.Job, *, moves: bool = True, weight: float = 1.0, metrics: dict[str, Any] | None = None
    ) -> publishing.Draft:
        """What a fit of two classes on an embedding of width 3 would publish."""
        head = AffineHead(np.full((2, 3), weight, np.float32), np.zeros(2, np.float32), ("a", "b"))
        tables = self.blobs.put(tables_bytes(head, 1.0))

        def manifest(number: int) -> Manifest:
            return Manifest(
                name=job.adapter,
                number=number,
                kind="affine",
                backbone="fake",
                backbone_digest="d" * 64,
                tap="pooled",
                width=3,
                classes=("a", "b"),
                method={"method": "prototype"},
                temperature=1.0,
                calibrated=True,
                dataset="ds_1",
                dataset_sha256="s" * 64,
                job=job.id,
                created_at="2026-01-01T00:00:00+00:00",
                seed=0,
                files={"head.safetensors": FileEntry(tables.digest, tables.size_bytes)},
            )

        return publishing.Draft(
            job.tenant, job.adapter, job.id, manifest, metrics or {}, {"fit": 0.1}, lambda live: (moves, "because")
        )

    def publish(self, name: str = "intents", *, at: float = 3.0, tenant: str = "default", **more: Any) -> int:
        """A version of an adapter, from its job to its row."""
        job = self.running_job(adapter=name, tenant=tenant)
        number = publishing.publish(self.engine, self.home, self.draft(job, **more), at)
        assert number is not None
        return number


@pytest.fixture
def records(engine: Engine, home: Path, blobs: Blobs) -> Records:
    return Records(engine, home, blobs)
