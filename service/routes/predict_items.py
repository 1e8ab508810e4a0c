"""/v1/adapters/{ref}/predict for images and sounds sent as they are: one as the body, or several as a form's files."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.errors import Problem
from service.errors import BodyInvalid, BodyMalformed, FormatUnsupported
from service.routes.body import check, media_of, read_bytes, read_files
from service.routes.state import State
from service.schemas.requests import PredictItemsOptions
from service.serving.details import Wishes
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.media_inputs import NOUNS
from service.serving.prediction import envelope

ITEMS = ("image/*", "audio/*")
"""Media types of a body that is one image or one sound."""

_FORM = "multipart/form-data"
_BYTES = "application/octet-stream"


def is_item(request: Request) -> bool:
    """The body is one image or one sound, by its media type."""
    return media_of(request).startswith(("image/", "audio/"))


async def predict_items(request: Request, served: Served) -> Response:
    """Predict the images or sounds of a body; JSON, as for any other inputs.

    Raises:
        FormatUnsupported: The body is a file of rows.
        BodyInvalid: The adapter takes something else, or an option is wrong.
        BodyMalformed: It is empty, or the form cannot be parsed.
        BodyTooLarge: It is longer than the limit.
        WrongInput: A file cannot be decoded.
    """
    state: State = request.app.state.graft
    _check_kind(request, served.facts)
    items, given = await _received(request, state)
    options = check(PredictItemsOptions, given, where="query or form", strict=False)
    if options.explain or served.facts.mixes:
        wishes = Wishes(options.explain)
        answers = await state.details.answer(served, items, options.top_k, options.long, wishes)
    else:
        answers = await state.predictor.answer(served, items, options.top_k, options.long)
    state.meters.predicted(served.facts.modality, len(items))
    answer = envelope(served, answers) | {"request_id": request.state.request_id}
    return Response(orjson.dumps(answer), media_type="application/json")


async def _received(request: Request, state: State) -> tuple[list[bytes], dict[str, str]]:
    """The files, and the options beside them."""
    settings = state.settings
    given = dict(request.query_params)
    if media_of(request) == _FORM:
        async with read_files(request, settings.max_body_bytes, settings.max_inputs) as (files, fields):
            return [await file.read() for file in files], given | fields
    body = await read_bytes(request, settings.max_body_bytes)
    if not body:
        raise BodyMalformed("The body is empty; it takes the bytes of one image or sound.")
    return [body], given


def _check_kind(request: Request, facts: Facts) -> None:
    media = media_of(request)
    sent = media.partition("/")[0]
    taken = NOUNS.get(facts.modality, f"{facts.modality} inputs")
    if sent in NOUNS and sent != facts.modality:
        raise BodyInvalid(
            f"{facts.name}:{facts.number} takes {taken}, and the body is {NOUNS[sent]} ({media}).",
            problems=[Problem(f"must be {taken}", pointer="/inputs/0")],
        )
    if sent not in NOUNS and media not in {_FORM, _BYTES}:
        raise FormatUnsupported(
            f"The Content-Type is {media}, and {facts.name}:{facts.number} takes {taken}: send it as "
            f"{facts.modality}/*, several as the files of a form ({_FORM}), or as JSON: "
            f'{{"{facts.modality}": "<base64>"}} each.'
        )
