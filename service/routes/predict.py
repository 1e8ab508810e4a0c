"""/v1/adapters/{ref}/predict: the hot path's front."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response

from models.errors import Problem
from service.errors import BodyInvalid
from service.routes.body import json_body
from service.routes.openapi import problems, takes
from service.routes.state import Graft, Tenant
from service.schemas.answers import PredictOut
from service.schemas.requests import PredictRequest
from service.serving.references import parse
from service.settings import Settings

router = APIRouter(prefix="/v1/adapters", tags=["predictions"])


@router.post(
    "/{ref}/predict",
    response_model=PredictOut,
    summary="Predict",
    responses=problems(400, 404, 413, 415, 422, 429),
    openapi_extra=takes(PredictRequest),
)
async def predict(
    state: Graft,
    tenant: Tenant,
    ref: str,
    body: Annotated[PredictRequest, Depends(json_body(PredictRequest))],
    request: Request,
) -> Response:
    """Predict labels with calibrated probabilities. `ref` is `name` (its live version), `name@alias` or `name:3`."""
    reference = parse(ref)
    _check_inputs(body.inputs, state.settings)
    answer = await state.predictor.predict(tenant, reference, body.inputs, body.top_k)
    answer["request_id"] = request.state.request_id
    return Response(orjson.dumps(answer), media_type="application/json")


def _check_inputs(inputs: list[str], settings: Settings) -> None:
    if len(inputs) > settings.max_inputs:
        raise BodyInvalid(
            f"The call has {len(inputs):,} inputs, the limit is {settings.max_inputs:,}; send them in several calls.",
            problems=[Problem(f"at most {settings.max_inputs:,} inputs", pointer="/inputs")],
        )
    long = [i for i, text in enumerate(inputs) if len(text) > settings.max_cell_chars]
    if long:
        raise BodyInvalid(
            f"Input {long[0]} has {len(inputs[long[0]]):,} characters, the limit is {settings.max_cell_chars:,}; "
            "shorten it, the backbone reads only its beginning.",
            problems=[
                Problem(f"at most {settings.max_cell_chars:,} characters", pointer=f"/inputs/{i}") for i in long[:100]
            ],
        )
