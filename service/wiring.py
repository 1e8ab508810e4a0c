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

from service.database.engine import migrate, open_engine
from service.jobs import queue
from service.routes import adapters, backbones, datasets, guard, health, jobs, predict
from service.routes.openapi import document
from service.routes.state import State
from service.serving.backbones import Backbones
from service.serving.directory import Directory
from service.serving.heads import HeadTable
from service.serving.prediction import Predictor
from service.settings import Settings
from service.store.blobs import Blobs

VERSION: str = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["version"]
"""Read where it is written: in a bento the project is a folder, not an installed package."""


def prepare(settings: Settings) -> None:
    """Bring both databases to the newest schema. Several processes may call it at once."""
    migrate(settings.database_url)
    queue.prepare(settings.queue_url)


def create_api() -> FastAPI:
    """The application: routes, errors, OpenAPI document and its page (from files beside it, not from the network)."""
    api = FastAPIOffline(title="Graft", version=VERSION, openapi_url="/openapi.json", docs_url="/docs", redoc_url=None)
    for module in (health, backbones, datasets, adapters, predict, jobs):
        api.include_router(module.router)
    guard.install(api)

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = document(api, VERSION)
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it
    return api


@asynccontextmanager
async def running(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[State]:
    """The state of one HTTP process, with its background work, for as long as the process serves."""
    home = settings.home.resolve()
    engine = open_engine(settings.database_url)
    blobs = Blobs(home, min_free_bytes=settings.min_free_bytes)
    tables: dict[int, HeadTable] = {}

    def table_of(width: int) -> HeadTable:
        table = tables.get(width)
        return tables.setdefault(width, HeadTable(width, settings.heads_bytes)) if table is None else table

    hosted = Backbones(
        settings.backbones,
        settings.backbones_dir,
        threads=settings.threads_for_encoding,
        max_waiting=settings.max_waiting,
    )
    directory = Directory(engine, blobs, table_of)
    directory.start()
    submitter = queue.Submitter(settings.queue_url)
    tasks = [asyncio.create_task(hosted.prepare()), asyncio.create_task(directory.follow())]
    try:
        yield State(settings, home, engine, blobs, submitter, hosted, directory, Predictor(directory, hosted), clock)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hosted.close()
        submitter.close()
        engine.dispose()
