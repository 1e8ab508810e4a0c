"""Puts the HTTP process together: the application with its routes, and the state that the routes work with."""

import asyncio
import time
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from models.session import cuda_devices
from models.warm import Limits
from service.database.engine import migrate, open_engine
from service.jobs import queue
from service.metrics import Meters, forget_the_dead
from service.registry.backbones import digests, everyones
from service.registry.events import Event
from service.routes import (
    adapters,
    backbones,
    datasets,
    embeddings,
    guard,
    health,
    jobs,
    keys,
    metrics,
    predict,
    signatures,
    versions,
    zero_shot,
)
from service.routes.ahead import Ahead
from service.routes.guard import Guard
from service.routes.in_time import InTime
from service.routes.observed import Observed
from service.routes.openapi import document
from service.routes.state import State
from service.serving.backbones import Backbones
from service.serving.details import Details
from service.serving.directory import Directory
from service.serving.graphs import Graphs
from service.serving.heads import HeadTable
from service.serving.keyring import Keyring
from service.serving.labels import Labels
from service.serving.prediction import Predictor
from service.serving.recall import Recall
from service.settings import Settings
from service.store.blobs import Blobs

LEVEL_S = 1.0

VERSION: str = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["version"]
"""Read where it is written: in a bento the project is a folder, not an installed package."""


def prepare(settings: Settings) -> None:
    """Bring both databases to the newest schema. Several processes may call it at once."""
    migrate(settings.database_url)
    queue.prepare(settings.queue_url)


def create_api() -> FastAPI:
    """The application: routes, errors, OpenAPI document and its page (from files beside it, not from the network)."""
    api = FastAPIOffline(title="Graft", version=VERSION, openapi_url="/openapi.json", docs_url="/docs", redoc_url=None)
    api.router.routes.insert(0, predict.route)
    about_data = (datasets, signatures, adapters, versions, jobs)
    for module in (health, metrics, backbones, embeddings, zero_shot, *about_data, keys):
        api.include_router(module.router)
    api.include_router(backbones.ranking)
    guard.install(api)

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = document(api, VERSION, predict.documented.routes)
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it
    return api


def enclosed(api: FastAPI) -> ASGIApp:
    """The application with everything that stands around it; its state must be there."""
    state: State = api.state.graft
    inside = InTime(Ahead(api, predict.route))
    return Observed(Guard(inside, allowed_hosts=state.settings.allowed_hosts, keys=state.keys), state.meters)


@asynccontextmanager
async def running(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[State]:
    """The state of one HTTP process, with its background work, for as long as the process serves."""
    home = settings.home.resolve()
    engine = open_engine(settings.database_url)
    blobs = Blobs(home, min_free_bytes=settings.min_free_bytes)
    heads = HeadTable(home / "serving", settings.heads_bytes, min_free_bytes=settings.min_free_bytes)
    meters = Meters(CollectorRegistry())
    recall = Recall(home / "cache", settings.cache_bytes, min_free_bytes=settings.min_free_bytes)
    hosted = Backbones(
        settings.backbones,
        settings.backbones_dir,
        lanes=1 if cuda_devices() else settings.lanes,  # one GPU runs one batch at a time anyway
        max_waiting=settings.max_waiting,
        limits=Limits(settings.gpu_memory_bytes, settings.max_image_pixels, settings.max_sound_s),
        watcher=meters,
        owned=lambda: everyones(engine),
        needed=lambda: digests(engine),
        recall=recall,
    )
    graphs = Graphs()
    keyring = Keyring.open(engine, settings)

    def notice(event: Event) -> None:
        keyring.notice(event)
        hosted.notice(event)

    directory = Directory(engine, blobs, heads, graphs, on_event=notice, prepare=hosted.open_for)
    directory.start()
    keyring.refresh()  # what changed before the directory began to follow
    submitter = queue.Submitter(settings.queue_url)
    predictor = Predictor(directory, hosted)
    labels = Labels(hosted)

    def level() -> tuple[int, int]:
        return hosted.waiting, len(heads) + len(graphs)

    forget_the_dead(settings.metrics_dir)
    tasks = [
        asyncio.create_task(hosted.prepare()),
        asyncio.create_task(hosted.follow()),
        asyncio.create_task(directory.follow()),
        asyncio.create_task(_tell(meters, level)),
    ]
    try:
        parts = (settings, home, engine, blobs, submitter, hosted, directory, predictor, meters, keyring, clock, labels)
        yield State(*parts, Details(predictor, hosted, labels, blobs))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hosted.close()
        recall.close()
        heads.close()
        submitter.close()
        engine.dispose()


async def _tell(meters: Meters, level: Callable[[], tuple[int, int]]) -> None:
    """Keep the meters of the moment: a figure that is asked for is at most a second old."""
    while True:
        meters.level(*level())
        await asyncio.sleep(LEVEL_S)
