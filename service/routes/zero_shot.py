"""/v1/zero-shot: labels by their words, and nothing fitted."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from adapters.signatures import Signatures
from models.errors import Problem
from service.errors import BodyInvalid
from service.registry import signatures as registry
from service.routes.body import json_body
from service.routes.inputs import check_inputs
from service.routes.labels import labels_of
from service.routes.openapi import problems, takes
from service.routes.state import Caller, Graft, State
from service.schemas.zero_shot import ZeroShotOut, ZeroShotRequest
from service.serving.labels import PLAIN, check_templates
from service.serving.zero_shot import Question, ZeroShot

router = APIRouter(prefix="/v1", tags=["predictions"])


@router.post(
    "/zero-shot",
    response_model=ZeroShotOut,
    summary="Predict with nothing fitted",
    responses=problems(400, 404, 413, 415, 422, 429),
    openapi_extra=takes(ZeroShotRequest),
)
async def zero_shot(
    request: Request,
    state: Graft,
    tenant: Caller,
    body: Annotated[ZeroShotRequest, Depends(json_body(ZeroShotRequest))],
) -> Response:
    """Predict labels by their words alone: an input has the label whose words lie nearest to it.

    `labels` are names, or one or several descriptions of each; `templates` are filled with each of them, and the mean
    stands for the label. With a few `examples` the probabilities are calibrated. As soon as there are examples of each
    label, `POST /v1/adapters` does better: `method` `auto` begins from the same words and takes over only where
    held-out items say so.
    """
    question = await _question(state, tenant, body)
    answer = await ZeroShot(state.backbones, state.labels).answer(tenant, body.backbone, question)
    state.meters.predicted(answer.modality, len(body.inputs))
    made: dict[str, Any] = {
        "backbone": body.backbone,
        "calibrated": answer.calibrated,
        "temperature": answer.temperature,
        "predictions": answer.predictions,
        "request_id": request.state.request_id,
    }
    made |= {"warnings": answer.warnings} if answer.warnings else {}
    return Response(orjson.dumps(made), media_type="application/json")


async def _question(state: State, tenant: str, body: ZeroShotRequest) -> Question:
    """What is asked; raises BodyInvalid, or NotFound where there are no such signatures."""
    check_inputs(body.inputs, state.settings)
    check_inputs([example.input for example in body.examples], state.settings, "/examples/{at}/input")
    if (body.labels is None) == (body.signatures is None):
        raise _unclear("labels", "Send either 'labels' or 'signatures'", "one of labels and signatures")
    templates = body.templates
    if body.signatures is not None and templates is not None:
        raise _unclear(
            "templates", "'templates' are for 'labels', and signatures are embedded already; leave them out", "no place"
        )
    if templates is not None:
        check_templates(templates)
        too_long = [at for at, text in enumerate(templates) if len(text) > state.settings.max_cell_chars]
        if too_long:
            at, limit = too_long[0], state.settings.max_cell_chars
            raise _unclear(f"templates/{at}", f"Template {at} has more than {limit:,} characters; shorten it", "long")
    labels = labels_of(body.labels, state.settings.max_cell_chars) if body.labels is not None else {}
    return Question(
        body.inputs,
        labels,
        await run_in_threadpool(_signatures, state, tenant, body.signatures) if body.signatures is not None else None,
        templates or PLAIN,
        [(example.input, example.label) for example in body.examples],
        body.top_k,
    )


def _signatures(state: State, tenant: str, id_: str) -> Signatures:
    return registry.load(state.blobs, registry.get(state.engine, tenant, id_))


def _unclear(field: str, sentence: str, reason: str) -> BodyInvalid:
    return BodyInvalid(f"{sentence}.", problems=[Problem(reason, pointer=f"/{field}")])
