"""Around everything else: each request is counted by its route, and logged with ids and never with content."""

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Meters, Seen

UNKNOWN = "(none)"
"""Route of requests that no route takes: their paths are the caller's, and would be labels without end."""

ASKED_ALWAYS = frozenset({"/livez", "/readyz", "/metrics"})
"""Routes that machines ask every few seconds: their lines are for DEBUG."""

ASKED_OFTEN = frozenset({"/v1/adapters/{ref}/predict"})
"""Routes whose good answers are not worth a line each; at DEBUG they have one."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_logger = logging.getLogger(__name__)


class Observed:
    """Counts and logs the requests of an application."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def with_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, with_status)
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN)
        method = scope["method"] if scope["method"] in _METHODS else UNKNOWN
        self._meters.request(Seen(route, method, status), seconds)
        quiet = route in ASKED_ALWAYS or (route in ASKED_OFTEN and status < 400)
        level = logging.DEBUG if quiet else logging.INFO
        if _logger.isEnabledFor(level):
            _logger.log(level, "request", extra=_facts(scope, route, method, status, seconds))


def _facts(scope: Scope, route: str, method: str, status: int, seconds: float) -> dict[str, Any]:
    state = scope.get("state", {})
    known = {name: state[name] for name in ("tenant", "key", "job") if name in state}
    return {
        "request": state.get("request_id", ""),
        **known,
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1e3, 2),
    }
