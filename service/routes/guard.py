"""What stands around every route: ids, who calls, errors as problems. Pure ASGI: streams stay streams."""

import ipaddress
import logging
import re
import sqlite3
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import GraftError, InputError, InternalError, Problem
from service.errors import (
    RETRY_AFTER_S,
    BodyInvalid,
    BodyMalformed,
    DiskFull,
    HostRefused,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Unauthorized,
    problem,
    status_of,
)
from service.routes.credentials import REFUSED, bearer, refuse_in_query
from service.serving.keyring import ANYBODY, Keyring, Principal

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_logger = logging.getLogger(__name__)


OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
OPEN_FOLDER = "/static-offline-docs/"
"""What needs no key: health, figures without content, and the API's description with its page."""


class Guard:
    """Gives each request an id, and finds out who calls.

    As long as there is no key, whoever reaches the port can use the service; so it answers only connections to a
    loopback address, under a host name that is allowed (a foreign page could rebind its own name to 127.0.0.1), and
    from pages of such a host (a foreign page's form would be sent along otherwise).

    Once there is a key, every request outside `OPEN_PATHS` has to bring one, and address, Host and Origin do not matter
    any more: unlike a cookie, a bearer token is never sent by a browser by itself, so a foreign page has nothing to
    ride on, and a rebound name finds a door that is locked for it too.

    The request's state then has `tenant`, `key` (its id, never its text) and `scopes`; see `service.routes.state`.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: tuple[str, ...], keys: Keyring) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        answer = self._app
        try:
            await self._let_in(scope, headers)
        except InputError as refusal:
            answer = render(refusal, request_id)
        await answer(scope, receive, with_id)

    async def _let_in(self, scope: Scope, headers: Headers) -> None:
        """Note in the request's state who calls, or refuse the request."""
        refuse_in_query(scope.get("query_string", b""))
        if not self._keys.locked and "authorization" in headers:
            await self._keys.look_again()  # the first key may have been made in another process in this very moment
        if not self._keys.locked:
            self._refuse_foreigners(scope, headers)
            _note(scope, ANYBODY)
        elif not _is_open(scope["path"]):
            _note(scope, await self._owner(headers))

    async def _owner(self, headers: Headers) -> Principal:
        """Who has the key that the request comes with."""
        text = bearer(headers)
        owner = self._keys.principal(text)
        if owner is None:
            await self._keys.look_again()
            owner = self._keys.principal(text)
        if owner is None:
            raise Unauthorized(REFUSED)
        return owner

    def _refuse_foreigners(self, scope: Scope, headers: Headers) -> None:
        address = (scope.get("server") or ("", None))[0]
        if not _loopback(address):
            raise HostRefused(
                f"The connection came in on {address}. This service has no keys yet and answers on loopback only; "
                "make one there: graft keys create --scopes admin."
            )
        host = _hostname(headers.get("host", ""))
        if host not in self._hosts:
            raise self._refused("Host", host)
        origin = headers.get("origin")
        if origin is not None and _hostname(origin.partition("://")[2]) not in self._hosts:
            raise self._refused("Origin", origin)

    def _refused(self, header: str, seen: str) -> HostRefused:
        return HostRefused(
            f"The {header} is {seen[:100]!r}; allowed are {', '.join(sorted(self._hosts))} (GRAFT_ALLOWED_HOSTS)."
        )


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _note(scope: Scope, who: Principal) -> None:
    scope["state"].update(tenant=who.tenant, key=who.key, scopes=who.scopes)


def _hostname(host: str) -> str:
    """A Host header without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a unix socket, or a test that calls the application directly
        return True


def render(error: GraftError, request_id: str) -> Response:
    """An error as a problem+json response."""
    status = status_of(error)
    headers = {"Retry-After": str(seconds)} if (seconds := _retry_after(error)) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(problem(error, request_id)), status, headers, "application/problem+json")


def _retry_after(error: GraftError) -> int | None:
    return next((RETRY_AFTER_S[kind] for kind in type(error).__mro__ if kind in RETRY_AFTER_S), None)


def _id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


async def _on_domain_error(request: Request, error: Exception) -> Response:
    if isinstance(error, InternalError):
        _logger.error("internal error", exc_info=error, extra={"request": _id(request)})
    return render(cast(GraftError, error), _id(request))


async def _on_parameters(request: Request, error: Exception) -> Response:
    """A path, query or header parameter that is wrong."""
    items = cast(RequestValidationError, error).errors()
    found = [Problem(f"{'.'.join(map(str, item['loc']))}: {item['msg']}") for item in items]
    listed = "; ".join(item.detail for item in found[:3])
    return render(BodyInvalid(f"A parameter of the request cannot be used: {listed}.", problems=found), _id(request))


async def _on_http(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    refused = cast(HTTPException, error)
    what = f"{request.method} {request.url.path[:200]}"
    if refused.status_code == HTTPStatus.NOT_FOUND:
        return render(NotFound(f"There is no {what}; see /docs."), _id(request))
    if refused.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response = render(MethodNotAllowed(f"{what} is not possible; see /docs for what is."), _id(request))
        response.headers.update(refused.headers or {})
        return response
    return render(InputError(f"{what}: {refused.detail}"), _id(request))


async def _on_database(request: Request, error: Exception) -> Response:
    _logger.error("the database did not answer", exc_info=error, extra={"request": _id(request)})
    if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return render(DiskFull("There is no room left on the disk that holds the database; free some."), _id(request))
    return render(NotReady("The service's database does not answer at the moment; try again."), _id(request))


async def _on_disconnect(request: Request, _error: Exception) -> Response:
    """Nobody will read the answer; it is no fault of ours either."""
    _logger.info("the caller hung up before the end of the body", extra={"request": _id(request)})
    return render(BodyMalformed("The body ended before its end."), _id(request))


async def _on_anything(request: Request, error: Exception) -> Response:
    _logger.error("unexpected error", exc_info=error, extra={"request": _id(request)})
    return render(InternalError(str(error)), _id(request))


def install(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""
    app.add_exception_handler(GraftError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_parameters)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(OperationalError, _on_database)
    app.add_exception_handler(PoolTimeout, _on_database)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_anything)
