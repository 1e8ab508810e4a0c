"""The BentoML service: starts the worker once, and serves our application in each HTTP process.

    bentoml serve service.app:Graft       (or `graft serve`)

    parent     on_deployment: one worker started and supervised
    HTTP       on_startup: databases migrated, state opened; backbones opened as soon as they are hosted

Both processes import this file, and the parent needs little of it: the application is imported where it is opened.
"""

import atexit
import os
import shutil
from contextlib import AsyncExitStack

import _bentoml_impl.server.app as factory
import bentoml
import click
from _bentoml_impl.server.app import ServiceAppFactory
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.utils.analytics import usage_stats
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.exposure import check_start
from service.jobs.supervisor import Supervisor
from service.processes import ONE_THREAD, calm_collector, configure_logging, end_with_parent
from service.settings import Settings

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # nothing leaves this machine
usage_stats.do_not_track.cache_clear()  # `bentoml serve` has asked before it loads this file

settings = Settings.from_environment()


def bind_host() -> str:
    """The address that BentoML was told to listen on: --host or BENTOML_HOST, else the service's own."""
    context = click.get_current_context(silent=True)
    given = context.params.get("host") if context else None
    return str(given or BentoMLContainer.http.host.get())


class Door:
    """The application behind a name that exists before it is opened."""

    def __init__(self) -> None:
        self._opened = AsyncExitStack()
        self._app: ASGIApp | None = None

    async def open(self) -> None:
        """Import the application, open its state, and serve from here on."""
        # Read by prometheus-client when it is imported. BentoML's own folder is one for all services of a user.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.metrics_dir)
        from service.wiring import create_api, enclosed, prepare, running

        prepare(settings)
        api = create_api()
        api.state.graft = await self._opened.enter_async_context(running(settings))
        self._app = enclosed(api)
        calm_collector()

    async def close(self) -> None:
        """Close the state."""
        await self._opened.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._app is None:
            raise RuntimeError("the application is served before it is opened")
        await self._app(scope, receive, send)


class Ours:
    """Sends every request to our application, before BentoML's router sees it: it has pages of its own."""

    def __init__(self, app: ASGIApp, *, ours: ASGIApp) -> None:
        self._app = app
        self._ours = ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await (self._ours if scope["type"] == "http" else self._app)(scope, receive, send)


class Quiet(ServiceAppFactory):  # type: ignore[misc]  # BentoML carries no types
    """BentoML's application without the layers that it puts around every service.

    Its tracing and its timer (which keeps something of each request for the whole timeout) cannot be switched off, and
    cost a small call a fifth of its time in Python. What they do is ours: `service/routes/in_time.py`, `observed.py`.
    """

    @property
    def middlewares(self) -> list[Middleware]:
        """Ours alone."""
        return [Middleware(Ours, ours=door)]


door = Door()


@bentoml.service(
    name="Graft",
    workers=settings.processes,
    http={"host": "127.0.0.1", "port": 3000},
    # Metrics and logs are our own (service/metrics.py): BentoML's label is the raw path, one series an adapter.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": value} for name, value in ONE_THREAD.items()],
)
@bentoml.asgi_app(door, path="/")
class Graft:
    """Frozen backbones, small uploads, thousands of adapters."""

    @bentoml.on_deployment
    def deploy() -> None:
        """Once, in the parent process: refuse an address that is open to others, and start the worker."""
        check_start(bind_host(), settings)
        configure_logging(settings.log_level)
        shutil.rmtree(settings.metrics_dir, ignore_errors=True)
        settings.metrics_dir.mkdir(parents=True)
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


factory.ServiceAppFactory = Quiet  # BentoML asks for it by this name when it opens the service
