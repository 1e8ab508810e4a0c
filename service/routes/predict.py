"""/v1/adapters/{ref}/predict: the hot path's front.

A bare route of Starlette, first in the router: FastAPI's dependencies and response models cost as much as all the rest
of a small call. `documented` holds the same function as FastAPI sees it, for the OpenAPI document alone.
"""

import orjson
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service.errors import FormatUnsupported
from service.registry.keys import PREDICT
from service.routes.body import check, media_of, parse_json, read_bytes
from service.routes.inputs import check_inputs
from service.routes.openapi import answers_file, problems, takes_rows
from service.routes.predict_file import ANSWERS, FORM, ROWS, SUFFIXES, WARNINGS, predict_file
from service.routes.predict_items import ITEMS, is_item, predict_items
from service.routes.state import Needs, State, admit
from service.routes.wishes import wishes_of
from service.schemas.answers import PredictOut
from service.schemas.requests import PredictFileOptions, PredictRequest
from service.serving.media_inputs import NOUNS
from service.serving.prediction import envelope
from service.serving.references import parse

PATH = "/v1/adapters/{ref}/predict"


async def predict(request: Request, ref: str) -> Response:
    """Predict labels with calibrated probabilities, any number of labels, or values, as the adapter was fitted.

    With `explain` each prediction says why, and with `classes` a version that was made with signatures answers among
    classes that are given in the call.

    `ref` is `name` (its live version), `name@alias` or `name:3`. An input is a text, `{"image": "<base64>"}`,
    `{"audio": "<base64>"}`, `{"embedding": [...]}`, or an object of columns, as the adapter was fitted.

    An image or a sound may also be the whole body, or each `file` of a form, with `top_k` and `long` in the query or
    beside them.

    A file of any other of these media types is answered in its own format, as it comes in, with columns added:
    `label` and `probability` (with `top_k` also `label_2`, ...), `labels` where a row has any number of them (`a|b` in
    CSV and TSV, else a list), or `value`; `truncated` of texts, `adapter`, and `warnings` of the row. NumPy files are
    answered as JSON Lines.
    """
    state: State = request.app.state.graft
    tenant = admit(request.scope, PREDICT)
    if media_of(request) != "application/json":
        return await _predict_sent(request, state, tenant, ref)
    body = check(PredictRequest, parse_json(await read_bytes(request, state.settings.max_body_bytes)))
    reference = parse(ref)
    check_inputs(body.inputs, state.settings)
    served = await state.predictor.serve(tenant, reference)
    if body.explain or body.classes is not None or body.with_own or served.facts.mixes:
        answers = await state.details.answer(
            served, body.inputs, body.top_k, body.long, wishes_of(body, state.settings)
        )
    else:
        answers = await state.predictor.answer(served, body.inputs, body.top_k, body.long)
    state.meters.predicted(served.facts.modality, len(body.inputs))
    answer = envelope(served, answers) | {"request_id": request.state.request_id}
    return Response(orjson.dumps(answer), media_type="application/json")


async def _predict_sent(request: Request, state: State, tenant: str, ref: str) -> Response:
    """A body that is no JSON: images or sounds as they are, or a file of rows."""
    reference = parse(ref)
    _check_media(request)
    served = await state.predictor.serve(tenant, reference)
    if is_item(request) or served.facts.modality in NOUNS:
        return await predict_items(request, served)
    return await predict_file(request, tenant, served)


def _check_media(request: Request) -> None:
    if media_of(request) not in {*SUFFIXES, FORM} and not is_item(request):
        seen = request.headers.get("content-type", "")[:100] or "missing"
        raise FormatUnsupported(
            f"The Content-Type is {seen}; this takes inputs as application/json, an image or a sound as image/* or "
            f"audio/*, and a file as {', '.join(SUFFIXES)} or {FORM}."
        )


class _Bare(Route):
    """A route that says which one it was, as FastAPI's do: requests are counted by it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "route": self} if match is not Match.NONE else child


async def _endpoint(request: Request) -> Response:
    return await predict(request, request.path_params["ref"])


route = _Bare(PATH, _endpoint, methods=["POST"], include_in_schema=False)

documented = APIRouter(tags=["predictions"])
documented.post(
    PATH,
    response_model=PredictOut,
    summary="Predict",
    responses={
        200: answers_file(
            sorted({media.partition(";")[0] for media in ANSWERS.values()} - {"application/json"}),
            **{
                "X-Graft-Adapter": "Of a file: the version that answered, `name:number`.",
                ROWS: "Of a file: how many rows it has.",
                WARNINGS: "Of a file: what is to be said of it as a whole, a JSON list of sentences.",
            },
        ),
        **problems(400, 404, 413, 415, 422, 429, 507),
    },
    openapi_extra=takes_rows(PredictRequest, PredictFileOptions, (*SUFFIXES, *ITEMS), FORM),
    dependencies=[Depends(Needs(PREDICT))],
)(predict)
