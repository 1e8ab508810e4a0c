"""The BentoML service: starts the worker once, and serves our application in each HTTP process.

bentoml serve service.app:Graft       (or `graft serve`)

parent     on_deployment: databases migrated, one worker started and supervised
HTTP       on_startup: state opened, backbones opened as soon as they are hosted
"""

import atexit
import logging
import os
from contextlib import AsyncExitStack

import bentoml
from bentoml._internal.utils.analytics import usage_stats

from service.jobs.supervisor import Supervisor
from service.processes import configure_logging, end_with_parent
from service.routes.guard import Guard
from service.settings import Settings
from service.wiring import OwnPages, create_api, prepare, running

REQUEST_TIMEOUT_S = 120
"""From a request's first byte to the answer's: the slowest upload that is still taken."""

THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Heads are small: more threads would only spin. Sessions have threads of their own."""

_logger = logging.getLogger(__name__)

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # nothing leaves this machine
usage_stats.do_not_track.cache_clear()  # `bentoml serve` has asked before it loads this file

settings = Settings.from_environment()
api = create_api()
guarded = Guard(api, allowed_hosts=settings.allowed_hosts)


@bentoml.service(
    name="Graft",
    workers=1,
    traffic={"timeout": REQUEST_TIMEOUT_S},
    http={"host": "127.0.0.1", "port": 3000},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": value} for name, value in THREADS.items()],
)
@bentoml.asgi_app(guarded, path="/")
class Graft:
    """Frozen backbones, small uploads, thousands of adapters."""

    def __init__(self) -> None:
        self._running = AsyncExitStack()

    @bentoml.on_deployment
    def deploy() -> None:
        """Once, in the parent process: prepare the databases and start the worker."""
        configure_logging(settings.log_level)
        settings.home.mkdir(parents=True, exist_ok=True)
        prepare(settings)
        if settings.workers:
            supervisor = Supervisor()
            supervisor.start()
            atexit.register(supervisor.stop)

    @bentoml.on_startup
    async def start(self) -> None:
        """In each HTTP process: open the state."""
        configure_logging(settings.log_level)
        end_with_parent()
        api.state.graft = await self._running.enter_async_context(running(settings))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """In each HTTP process: close the state."""
        await self._running.aclose()


Graft.add_asgi_middleware(OwnPages, ours=guarded)  # type: ignore[attr-defined]  # BentoML made it a Service
