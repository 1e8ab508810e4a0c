"""The BentoML service: starts the worker once, and serves our application in each HTTP process.

    bentoml serve service.app:Graft       (or `graft serve`)

    parent     on_deployment: one worker started and supervised
    HTTP       on_startup: databases migrated, state opened; backbones opened as soon as they are hosted

Both processes import this file, and the parent needs little of it: the application is imported where it is opened.
"""

import atexit
import os
from contextlib import AsyncExitStack

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from starlette.types import ASGIApp, Receive, Scope, Send

from service.jobs.supervisor import Supervisor
from service.processes import ONE_THREAD, configure_logging, end_with_parent
from service.settings import Settings

REQUEST_TIMEOUT_S = 120
"""From a request's first byte to the answer's: the slowest upload that is still taken."""

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # nothing leaves this machine
usage_stats.do_not_track.cache_clear()  # `bentoml serve` has asked before it loads this file

settings = Settings.from_environment()


class Door:
    """The application behind a name that exists before it is opened."""

    def __init__(self) -> None:
        self._opened = AsyncExitStack()
        self._app: ASGIApp | None = None

    async def open(self) -> None:
        """Import the application, open its state, and serve from here on."""
        from service.routes.guard import Guard
        from service.wiring import create_api, prepare, running

        prepare(settings)
        api = create_api()
        api.state.graft = await self._opened.enter_async_context(running(settings))
        self._app = Guard(api, allowed_hosts=settings.allowed_hosts)

    async def close(self) -> None:
        """Close the state."""
        await self._opened.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._app is None:
            raise RuntimeError("the application is served before it is opened")
        await self._app(scope, receive, send)


class OwnPages:
    """Sends the paths that BentoML keeps for itself to our application.

    BentoML matches its own health pages before a mounted application; ours say what is being waited for.
    """

    PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/schema.json"})

    def __init__(self, app: ASGIApp, *, ours: ASGIApp) -> None:
        self._app = app
        self._ours = ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        mine = scope["type"] == "http" and scope["path"] in self.PATHS
        await (self._ours if mine else self._app)(scope, receive, send)


door = Door()


@bentoml.service(
    name="Graft",
    workers=1,
    traffic={"timeout": REQUEST_TIMEOUT_S},
    http={"host": "127.0.0.1", "port": 3000},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": value} for name, value in ONE_THREAD.items()],
)
@bentoml.asgi_app(door, path="/")
class Graft:
    """Frozen backbones, small uploads, thousands of adapters."""

    @bentoml.on_deployment
    def deploy() -> None:
        """Once, in the parent process: start the worker."""
        configure_logging(settings.log_level)
        if settings.workers:
            supervisor = Supervisor()
            supervisor.start()
            atexit.register(supervisor.stop)

    @bentoml.on_startup
    async def start(self) -> None:
        """In each HTTP process: open the application."""
        configure_logging(settings.log_level)
        end_with_parent()
        await door.open()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """In each HTTP process: close it."""
        await door.close()


Graft.add_asgi_middleware(OwnPages, ours=door)  # type: ignore[attr-defined]  # BentoML made it a Service
