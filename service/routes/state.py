"""What the routes work with: made once in `service/app.py`, reached through the application's state.

A route says what it needs a key for by the type of its tenant:

    Reader    to see the tenant's things          scope read
    Fitter    to make, change and delete them     scope fit
    Caller    to predict                          scope predict
    Admin     to manage keys                      scope admin
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from sqlalchemy import Engine
from starlette.types import Scope

from service.errors import Forbidden, Unauthorized
from service.jobs.queue import Submitter
from service.metrics import Meters
from service.registry.keys import ADMIN, FIT, PREDICT, READ, SCOPES
from service.serving.backbones import Backbones
from service.serving.details import Details
from service.serving.directory import Directory
from service.serving.keyring import Keyring
from service.serving.labels import Labels
from service.serving.prediction import Predictor
from service.settings import Settings
from service.store.blobs import Blobs


@dataclass(frozen=True)
class State:
    """The service's parts."""

    settings: Settings
    home: Path
    engine: Engine
    blobs: Blobs
    queue: Submitter
    backbones: Backbones
    directory: Directory
    predictor: Predictor
    meters: Meters
    keys: Keyring
    clock: Callable[[], float]
    labels: Labels
    details: Details


async def _state(request: Request) -> State:
    state: State = request.app.state.graft
    return state


def admit(scope: Scope, needed: str) -> str:
    """The tenant whose call it is, if its key is for this; for routes that are no FastAPI routes.

    Args:
        scope: Of the request, as the guard passes it on.
        needed: The scope that the key must have.

    Raises:
        Unauthorized: The guard knows nobody behind the request.
        Forbidden: The key has not the scope.
    """
    caller = scope.get("state", {})
    if "scopes" not in caller:
        raise Unauthorized("This needs a key, and the request has none.")
    if needed not in caller["scopes"]:
        has = ", ".join(name for name in SCOPES if name in caller["scopes"])
        raise Forbidden(
            f"This needs a key with the scope {needed!r}; key {caller['key']} has {has}. Use another key, or ask "
            "whoever manages keys for one."
        )
    return str(caller["tenant"])


@dataclass(frozen=True)
class Needs:
    """A dependency: the tenant of a request whose key has a scope."""

    scope: str

    async def __call__(self, request: Request) -> str:
        """The tenant; raises as `admit` does."""
        return admit(request.scope, self.scope)


@dataclass(frozen=True)
class Window:
    """Which part of a list."""

    limit: int
    after: str | None


async def _window(
    limit: Annotated[int, Query(ge=1, le=100, description="Most items.")] = 20,
    after: Annotated[str | None, Query(description="The last item of the page before.", max_length=100)] = None,
) -> Window:
    return Window(limit, after)


Graft = Annotated[State, Depends(_state)]
Reader = Annotated[str, Depends(Needs(READ))]
Fitter = Annotated[str, Depends(Needs(FIT))]
Caller = Annotated[str, Depends(Needs(PREDICT))]
Admin = Annotated[str, Depends(Needs(ADMIN))]
Part = Annotated[Window, Depends(_window)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key with the same request makes nothing new."),
]
