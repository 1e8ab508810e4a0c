"""/v1/signatures: tables of classes and attributes, for classes that nobody has an example of."""

from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Path, Query
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from adapters.signatures import Signatures
from service.registry import requests, signatures
from service.registry.signatures import Record
from service.routes.described import SUFFIXES, Asked, Made, asked, made_of
from service.routes.openapi import problems, takes_either
from service.routes.state import Fitter, Graft, IdempotencyKey, Part, Reader, State
from service.schemas.answers import Page
from service.schemas.signatures import SignaturesMeta, SignaturesOut, SignaturesRequest

router = APIRouter(prefix="/v1/signatures", tags=["signatures"])

Id = Annotated[str, Path(alias="signatures")]


def _takes() -> dict[str, Any]:
    """The body: JSON, a form with a file, or the file by itself."""
    body = takes_either(SignaturesRequest, SignaturesMeta)
    content = body["requestBody"]["content"]
    meta = {"type": "string", "description": f"JSON text: {', '.join(SignaturesMeta.model_fields)}."}
    content["multipart/form-data"]["schema"] = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}, "meta": meta},
        "additionalProperties": False,
    }
    content |= {media: {"schema": {"type": "string", "format": "binary"}} for media in SUFFIXES}
    return body


@router.post(
    "",
    status_code=201,
    response_model=SignaturesOut,
    summary="Describe classes",
    responses={
        200: {"model": SignaturesOut, "description": "The same signatures are here already"},
        **problems(400, 413, 415, 422, 429, 507),
    },
    openapi_extra=_takes(),
)
async def create(
    state: Graft,
    tenant: Fitter,
    sent: Annotated[Asked, Depends(asked)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Describe classes by attributes, by texts, or as mixtures of one another.

    Attributes: CSV, TSV or JSON with the classes in a column `class`, or the first one, and an attribute in each other
    column; or JSON with an object for each class. Numbers, yes and no, true and false; an empty cell, NA, NaN, null and
    ? are missing, and nothing else is. A column of words becomes a group of attributes, one for each word. Texts: names
    or descriptions of classes, which a hosted text backbone embeds.
    """
    key = requests.key_of(tenant, idempotency_key, state.clock(), "signatures", sent.fingerprint)
    known = await run_in_threadpool(requests.recall, state.engine, key)
    if known is not None:
        return await run_in_threadpool(_known, state, tenant, known)
    made = await made_of(state, tenant, sent)
    record, new = await run_in_threadpool(_keep, state, tenant, sent.name, made, key)
    return await run_in_threadpool(_answer, record, made.signatures, status=201 if new else 200)


def _known(state: State, tenant: str, id_: str) -> Response:
    record = signatures.get(state.engine, tenant, id_)
    return _answer(record, signatures.load(state.blobs, record))


def _keep(state: State, tenant: str, name: str, made: Made, key: requests.Key | None) -> tuple[Record, bool]:
    return signatures.keep(
        state.engine,
        state.blobs,
        tenant,
        made.signatures,
        name=name,
        facts_extra=made.facts,
        now_s=state.clock(),
        key=key,
        content=made.content,
    )


@router.get("", response_model=Page[SignaturesOut], summary="List signatures", responses=problems(422))
def list_signatures(state: Graft, tenant: Reader, part: Part) -> Page[SignaturesOut]:
    """Signatures, newest first, each with its first names of classes and attributes."""
    page = signatures.page(state.engine, tenant, limit=part.limit, after=part.after).map(SignaturesOut.of)
    return Page(data=list(page.data), has_more=page.has_more)


@router.get("/{signatures}", response_model=SignaturesOut, summary="Show signatures", responses=problems(404))
def show(
    state: Graft,
    tenant: Reader,
    id_: Id,
    values: Annotated[bool, Query(description="With the table itself.")] = False,
) -> Response:
    """One table of classes and attributes, with all its names."""
    record = signatures.get(state.engine, tenant, id_)
    return _answer(record, signatures.load(state.blobs, record), values=values)


@router.delete("/{signatures}", status_code=204, summary="Delete signatures", responses=problems(404, 409))
def delete(state: Graft, tenant: Fitter, id_: Id) -> None:
    """Delete signatures that no job under way needs. Versions made with them stay, and still name them."""
    signatures.remove(state.engine, state.blobs, tenant, id_)


def _answer(record: Record, table: Signatures, *, status: int = 200, values: bool = False) -> Response:
    """Everything by name, and the numbers too where they are asked for: those are written without a model's detour."""
    out: dict[str, Any] = SignaturesOut.of(record, table).model_dump(mode="json", exclude={"values"})
    if values:
        out["values"] = np.ascontiguousarray(table.values)
    data = orjson.dumps(out, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, {"Location": f"/v1/signatures/{record.id}"}, media_type="application/json")
