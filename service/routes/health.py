"""/livez and /readyz."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from service.routes.state import Graft
from service.schemas.answers import ReadyOut

router = APIRouter(tags=["health"])


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """A browser that comes to the front door is shown the API's page."""
    return RedirectResponse("/docs")


@router.get("/livez", response_class=PlainTextResponse, summary="Is the process alive")
async def livez() -> PlainTextResponse:
    """It is, if it answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", response_model=ReadyOut, summary="Can it predict", responses={503: {"model": ReadyOut}})
async def readyz(state: Graft) -> JSONResponse:
    """200 once every backbone is open. It says nothing of the worker: predictions do not need one."""
    waiting = state.backbones.waiting_for()
    reason = (
        f"A worker is preparing {', '.join(waiting)}; the first time this takes about half a minute." if waiting else ""
    )
    body = ReadyOut(ready=not waiting, reason=reason)
    headers = {"Retry-After": "2"} if waiting else {}
    return JSONResponse(body.model_dump(), 503 if waiting else 200, headers)
