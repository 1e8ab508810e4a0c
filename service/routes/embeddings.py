"""/v1/embeddings and /v1/models: every hosted text backbone, in OpenAI's shape.

    body -> texts -> the backbone's embeddings, in batches with everybody else's -> floats or base64

Refusals are problems as everywhere, with OpenAI's `error` object as one more member, so that its clients and Graft's
both find what they look for.
"""

import asyncio
import base64
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from models.base import Card, Embedding
from models.errors import InputError, Problem
from models.long import Pieces
from service.errors import BodyInvalid, NotFound, NotReady, problem, status_of
from service.registry.jobs import FAILED
from service.registry.keys import PREDICT
from service.routes.body import json_body
from service.routes.guard import render
from service.routes.openapi import problems
from service.routes.state import Caller, Graft, Needs, State
from service.schemas.embeddings import EmbeddingsOut, EmbeddingsRequest, ModelOut, ModelsOut
from service.serving.standing import Standing
from service.settings import Settings

LISTED_PROBLEMS = 20

_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "server_error",
}
"""What OpenAI calls a refusal; every other one is an invalid_request_error."""


class _InBothShapes(APIRoute):
    """A route whose refusals are problems and OpenAI's errors at once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()

        async def in_both_shapes(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as refusal:
                return _refused(refusal, str(request.state.request_id))

        return in_both_shapes


router = APIRouter(prefix="/v1", tags=["embeddings"], route_class=_InBothShapes, dependencies=[Depends(Needs(PREDICT))])

_TAKES = {"content": {"application/json": {"schema": EmbeddingsRequest.model_json_schema()}}, "required": True}


@router.post(
    "/embeddings",
    response_model=EmbeddingsOut,
    summary="Embed texts, in OpenAI's shape",
    responses=problems(400, 404, 413, 415, 422, 429),
    openapi_extra={"requestBody": _TAKES},
)
async def embed(
    state: Graft, tenant: Caller, body: Annotated[EmbeddingsRequest, Depends(json_body(EmbeddingsRequest))]
) -> Response:
    """Embed texts with any hosted text backbone; `model` is its name.

    OpenAI's clients work as they are: `OpenAI(base_url="http://127.0.0.1:3000/v1", api_key=...)`. A refusal has the
    fields of a problem and an `error` object beside them.
    """
    card = await _card_of(state, tenant, body.model)
    texts = _texts_of(body.input, state.settings)
    _check_width(body, card)
    encoder = await state.backbones.encoder(body.model, card.digest)
    # For `usage` alone: the encoder tokenises what it does not know, which is 25 us beside the 4 ms that a text takes.
    pieces = await asyncio.to_thread(lambda: Pieces.of(encoder.backbone.prepare(texts), body.long))
    z, _ = await encoder.embed(texts, body.long, tenant)
    answer = await asyncio.to_thread(_answer, body, z, pieces)
    return Response(answer, media_type="application/json")


@router.get("/models", response_model=ModelsOut, summary="List text backbones, in OpenAI's shape", responses=problems())
async def list_models(state: Graft, tenant: Caller) -> ModelsOut:
    """The text backbones that can embed now."""
    data = [
        ModelOut(id=standing.id, object="model", created=0, owned_by=standing.card.source)
        for standing in state.backbones.visible(tenant)
        if standing.card is not None and standing.card.modality == "text"
    ]
    return ModelsOut(object="list", data=data)


async def _card_of(state: State, tenant: str, name: str) -> Card:
    """The text backbone of that name.

    Raises:
        NotFound: The tenant sees none of that name.
        NotReady: It is not ready.
        BodyInvalid: It does not take texts, or could not be hosted.
    """
    visible = _visible(state, tenant)
    if name not in visible:  # the tenant may have asked another process for it a moment ago
        await run_in_threadpool(state.backbones.refresh)
        visible = _visible(state, tenant)
    standing = visible.get(name)
    if standing is None:
        texts = ", ".join(sorted(s.id for s in visible.values() if s.modality == "text"))
        raise NotFound(
            f"There is no backbone {name[:100]!r} here; those for texts are {texts or 'none'} (GET /v1/models). An "
            "adapter is no model: POST /v1/adapters/{ref}/predict.",
            problems=[Problem("no such backbone", pointer="/model")],
        )
    if standing.modality not in {"text", None}:
        raise _wrong_model(
            f"The backbone {name} takes {standing.modality} items, and this call embeds texts; GET /v1/models lists "
            "the backbones that do."
        )
    if standing.state == FAILED:
        raise _wrong_model(f"The backbone {name} could not be hosted; GET /v1/backbones/{name} says why.")
    if standing.card is None:
        raise NotReady(f"The backbone {name} is being prepared; try again in some seconds.")
    return standing.card


def _visible(state: State, tenant: str) -> dict[str, Standing]:
    return {standing.id: standing for standing in state.backbones.visible(tenant)}


def _wrong_model(detail: str) -> BodyInvalid:
    return BodyInvalid(detail, problems=[Problem("not a backbone that embeds texts", pointer="/model")])


def _texts_of(given: Any, settings: Settings) -> list[str]:
    """The texts of a call.

    Raises:
        BodyInvalid: They are something else, too many, or too long.
    """
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _wrong_input("'input' must be a text or a list of 1 or more texts.")
    if isinstance(texts[0], int | list):
        raise _wrong_input(
            "'input' holds token ids, and each backbone has a tokenizer of its own; send texts (LangChain: "
            "OpenAIEmbeddings(check_embedding_ctx_length=False))."
        )
    wrong = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        raise _wrong_input(f"Each element of 'input' must be a text; element {wrong[0]} is not.", wrong)
    if len(texts) > settings.max_inputs:
        raise _wrong_input(
            f"The call has {len(texts):,} texts, the limit is {settings.max_inputs:,}; send them in several calls."
        )
    long = [i for i, text in enumerate(texts) if len(text) > settings.max_cell_chars]
    if long:
        raise _wrong_input(
            f"Text {long[0]} has {len(texts[long[0]]):,} characters, the limit is {settings.max_cell_chars:,}; shorten "
            "it, or send its parts as texts of their own.",
            long,
        )
    return texts


def _wrong_input(detail: str, places: Sequence[int] = ()) -> BodyInvalid:
    pointers = [f"/input/{place}" for place in places[:LISTED_PROBLEMS]] or ["/input"]
    return BodyInvalid(detail, problems=[Problem("see the detail", pointer=pointer) for pointer in pointers])


def _check_width(body: EmbeddingsRequest, card: Card) -> None:
    """Refuse a width that is not the backbone's own; raises BodyInvalid."""
    width = card.taps["pooled"][0]
    if body.dimensions not in {None, width}:
        raise BodyInvalid(
            f"'dimensions' is {body.dimensions}, and the embeddings of {body.model} have {width} numbers, which cannot "
            "be cut without harm; leave it out.",
            problems=[Problem(f"must be {width}, or left out", pointer="/dimensions")],
        )


def _answer(body: EmbeddingsRequest, z: Embedding, pieces: Pieces) -> bytes:
    """The answer as JSON."""
    rows = z.astype("<f4", order="C", copy=False)
    encoded = [base64.b64encode(row).decode() for row in rows] if body.encoding_format == "base64" else rows
    tokens = sum(piece.size for piece in pieces.encoded)
    answer: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(encoded)],
        "model": body.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    if pieces.cut.any():
        answer["truncated"] = np.flatnonzero(pieces.cut).tolist()
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _refused(refusal: InputError, request_id: str) -> Response:
    """A problem with OpenAI's `error` as one more member."""
    made = render(refusal, request_id)
    pointer = next((item.pointer for item in refusal.problems if item.pointer), None)
    error = {
        "message": refusal.message,
        "type": _TYPES.get(status_of(refusal), "invalid_request_error"),
        "param": pointer.split("/")[1] if pointer else None,
        "code": refusal.code,
    }
    made.body = orjson.dumps(problem(refusal, request_id) | {"error": error})
    made.headers["content-length"] = str(len(made.body))
    return made
