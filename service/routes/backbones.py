"""/v1/backbones: what is hosted."""

from fastapi import APIRouter, Depends

from service.errors import NotFound
from service.registry.keys import READ
from service.routes.openapi import problems
from service.routes.state import Graft, Needs, Part
from service.schemas.answers import BackboneOut, Page

router = APIRouter(prefix="/v1/backbones", tags=["backbones"], dependencies=[Depends(Needs(READ))])


@router.get("", response_model=Page[BackboneOut], summary="List backbones", responses=problems(422))
async def list_backbones(state: Graft, part: Part) -> Page[BackboneOut]:
    """Hosted backbones by name."""
    later = [s for s in state.backbones.standings() if part.after is None or s.id > part.after]
    return Page(data=[BackboneOut.of(s) for s in later[: part.limit]], has_more=len(later) > part.limit)


@router.get("/{backbone}", response_model=BackboneOut, summary="Show a backbone", responses=problems(404))
async def show(state: Graft, backbone: str) -> BackboneOut:
    """One backbone."""
    for standing in state.backbones.standings():
        if standing.id == backbone:
            return BackboneOut.of(standing)
    names = ", ".join(sorted(state.backbones.names))
    raise NotFound(f"There is no backbone {backbone!r} here; hosted are {names}.")
