"""What the routes work with: made once in `service/app.py`, reached through the application's state."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from sqlalchemy import Engine

from service.jobs.queue import Submitter
from service.serving.backbones import Backbones
from service.serving.directory import Directory
from service.serving.prediction import Predictor
from service.settings import Settings
from service.store.blobs import Blobs

TENANT = "default"


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
    clock: Callable[[], float]


def _state(request: Request) -> State:
    state: State = request.app.state.graft
    return state


def _tenant() -> str:
    """Whose call it is. Without keys there is one tenant."""
    return TENANT


@dataclass(frozen=True)
class Window:
    """Which part of a list."""

    limit: int
    after: str | None


def _window(
    limit: Annotated[int, Query(ge=1, le=100, description="Most items.")] = 20,
    after: Annotated[str | None, Query(description="The last item of the page before.", max_length=100)] = None,
) -> Window:
    return Window(limit, after)


Graft = Annotated[State, Depends(_state)]
Tenant = Annotated[str, Depends(_tenant)]
Part = Annotated[Window, Depends(_window)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key with the same request makes nothing new."),
]
