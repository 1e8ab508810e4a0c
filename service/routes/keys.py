"""/v1/keys: make, list, revoke."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.errors import Forbidden
from service.registry import keys
from service.registry.keys import OPERATOR
from service.routes.body import json_body
from service.routes.openapi import problems, takes
from service.routes.state import Admin, Graft, Part
from service.schemas.answers import Page
from service.schemas.keys import KeyMade, KeyOut, KeyRequest

router = APIRouter(prefix="/v1/keys", tags=["keys"])

_logger = logging.getLogger(__name__)


@router.post(
    "",
    status_code=201,
    response_model=KeyMade,
    summary="Make a key",
    responses=problems(400, 413, 415, 422),
    openapi_extra=takes(KeyRequest),
)
def create(
    state: Graft,
    tenant: Admin,
    body: Annotated[KeyRequest, Depends(json_body(KeyRequest))],
    request: Request,
    response: Response,
) -> KeyMade:
    """Make a key. Its text is in this answer and nowhere else; if the answer was lost, revoke the key and make another.

    It takes no Idempotency-Key, as the text could not be shown again. The operator (an admin key of tenant `default`,
    the bootstrap key, or anybody as long as there is no key) makes keys of any tenant, others of their own.
    """
    owner = body.tenant or tenant
    _refuse_foreign(tenant, owner)
    key, text = state.keys.mint(owner, body.name, body.scopes, state.clock())
    keys.add(state.engine, key, bootstrap=state.keys.has_bootstrap)
    state.keys.refresh()
    _log("a key was made", request, key.id, tenant=key.tenant, scopes=key.scopes)
    response.headers["Cache-Control"] = "no-store"
    return KeyMade.with_text(key, text)


@router.get("", response_model=Page[KeyOut], summary="List keys", responses=problems(422))
def list_keys(
    state: Graft,
    tenant: Admin,
    part: Part,
    of: Annotated[str | None, Query(alias="tenant", description="Only keys of this tenant.", max_length=64)] = None,
) -> Page[KeyOut]:
    """Keys, newest first, revoked ones too: the operator sees everybody's, others see their own."""
    if of is not None:
        _refuse_foreign(tenant, of)
    owner = None if of is None and tenant == OPERATOR else of or tenant
    page = keys.page(state.engine, owner, limit=part.limit, after=part.after).map(KeyOut.of)
    return Page(data=list(page.data), has_more=page.has_more)


@router.delete("/{key}", status_code=204, summary="Revoke a key", responses=problems(404, 409))
def revoke(state: Graft, tenant: Admin, key: str, request: Request) -> None:
    """Revoke a key: from now on it is refused, in other processes of the service within a second.

    The operator's last admin key stays, unless there is a bootstrap key.
    """
    owner = None if tenant == OPERATOR else tenant
    keys.revoke(state.engine, owner, key, state.clock(), bootstrap=state.keys.has_bootstrap)
    state.keys.refresh()
    _log("a key was revoked", request, key)


def _refuse_foreign(tenant: str, asked: str) -> None:
    if tenant not in {asked, OPERATOR}:
        raise Forbidden(
            f"The key belongs to tenant {tenant!r} and manages keys of that tenant alone; leave 'tenant' out. "
            f"Keys of other tenants are for an admin key of tenant {OPERATOR!r}."
        )


def _log(event: str, request: Request, key: str, **more: object) -> None:
    _logger.info(event, extra={"key": key, "by": request.state.key, "request": request.state.request_id, **more})
