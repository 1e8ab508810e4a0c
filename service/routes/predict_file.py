"""/v1/adapters/{ref}/predict for a file of rows: the same file goes out again, with answers beside the rows.

    spool (to disk, under the limit) -> open_file (every row is checked) -> the first rows -> the answer, streamed

Everything that can be wrong with a file is an error before the first byte. What goes wrong later ends the connection in
the middle, so that nobody takes what they have for the whole.
"""

import json
import logging
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from email.message import Message
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from models.errors import Problem
from service.errors import BodyInvalid
from service.routes.body import check, media_of, read_form, spool
from service.routes.datasets import limits_of
from service.routes.state import State
from service.schemas.requests import PredictFileOptions
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.files import FileOptions, OpenFile, answered, check_options, open_file
from service.store.blobs import CHUNK_BYTES, Blobs

FORM = "multipart/form-data"
SUFFIXES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/octet-stream": "",
}
"""Media types of a file sent by itself, and the suffix that each stands for; "" = by its name and its bytes."""

ANSWERS = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
"""Media type of an answer in each format."""

ROWS = "Graft-Rows"
"""Header with the number of rows, so that a caller can see how far the answer is."""

WARNINGS = "Graft-Warnings"
"""Header with what is to be said of the file as a whole: a JSON list of sentences, in ASCII."""

_IN_JSON_ALONE = ("explain", "classes", "with_own")

_WARNINGS_BYTES = 2000
_SENTENCE_CHARS = 150

_logger = logging.getLogger(__name__)


async def predict_file(request: Request, tenant: str, served: Served) -> StreamingResponse:
    """Predict the rows of a file; see the module.

    Raises:
        FormatUnsupported: The file is of a format that is not taken.
        BodyInvalid: An option is wrong, or the file is none for this adapter.
        InputError: The file cannot be read (`open_file`), or there is no room for it.
    """
    state: State = request.app.state.graft
    facts = served.facts
    with ExitStack() as held:
        path, clean = held.enter_context(state.blobs.staged()), held.enter_context(state.blobs.staged())
        filename, options = await _received(request, path, state, facts)
        limits = limits_of(state.settings)
        file = await run_in_threadpool(open_file, path, filename, limits, facts, options, clean=clean)
        pieces = answered(file, state.predictor, served, options, partial(state.meters.predicted, facts.modality))
        about = {"request": request.state.request_id, "tenant": tenant, "adapter": f"{facts.name}:{facts.number}"}
        whole = _whole(await anext(pieces), pieces, about)
        headers = {"X-Graft-Adapter": about["adapter"], ROWS: str(file.incoming.count)} | _headers(file, filename)
        answer = _Streamed(whole, headers, _media_type(request, file))
        answer.hold(held.pop_all())
    return answer


class _Streamed(StreamingResponse):
    """An answer that is made while it is sent; whatever becomes of it, nothing is left behind."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._pieces = pieces
        self._held = ExitStack()

    def hold(self, held: ExitStack) -> None:
        """Close `held` when the answer has ended."""
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            async with aclosing(self._pieces):
                await super().__call__(scope, receive, send)


async def _whole(
    first: bytes, rest: AsyncGenerator[bytes, None], about: Mapping[str, Any]
) -> AsyncGenerator[bytes, None]:
    """The pieces of an answer that has begun. An error must reach the server, which then breaks the connection off."""
    async with aclosing(rest):
        yield first
        try:
            async for piece in rest:
                yield piece
        except Exception:
            _logger.warning(
                "the answer to a file broke off", extra=dict(about)
            )  # the error itself is logged further out
            raise


async def _received(request: Request, path: Path, state: State, facts: Facts) -> tuple[str, FileOptions]:
    """Bring the file to disk; its name, and how it is to be answered."""
    query = dict(request.query_params)
    if media_of(request) != FORM:
        options = _options(query, "query", facts)
        await spool(request, path, state.settings.max_upload_bytes, state.blobs.check_room)
        return _filename(request), options
    async with read_form(request, state.settings.max_upload_bytes) as (file, fields):
        options = _options(query | fields, "form", facts)
        await run_in_threadpool(_copy, file, path, state.blobs)
        return _base(file.filename or ""), options


def _options(given: Mapping[str, str], where: str, facts: Facts) -> FileOptions:
    told = next((name for name in _IN_JSON_ALONE if name in given), None)
    if told is not None:
        raise BodyInvalid(
            f"{told!r} has no place with a file, whose answer is labels in columns; send the rows as inputs "
            "(application/json).",
            problems=[Problem("not with a file", pointer=f"/{told}")],
        )
    options = FileOptions(**check(PredictFileOptions, given, where=where, strict=False).model_dump())
    check_options(facts, options)
    return options


def _copy(file: UploadFile, path: Path, blobs: Blobs) -> None:
    blobs.check_room(2 * (file.size or 0))
    file.file.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target, CHUNK_BYTES)


def _filename(request: Request) -> str:
    """The name that a body was sent under, with the suffix that its media type stands for."""
    disposition = Message()
    disposition["Content-Disposition"] = request.headers.get("content-disposition", "")
    name = PurePosixPath(_base(disposition.get_filename("")))
    return f"{name.stem}{SUFFIXES[media_of(request)] or name.suffix}"


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2][:200] or "rows"


def _headers(file: OpenFile, filename: str) -> dict[str, str]:
    name = f"{PurePosixPath(filename).stem}-predicted.{file.format}"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    if name.isascii() and quote(name) == name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return headers | ({WARNINGS: _ascii_list(file.warnings)} if file.warnings else {})


def _ascii_list(sentences: Sequence[str]) -> str:
    """As JSON of at most `_WARNINGS_BYTES`: proxies cut answers off whose headers are long."""
    shown = [s if len(s) <= _SENTENCE_CHARS else f"{s[:_SENTENCE_CHARS]}..." for s in sentences]
    while len(made := json.dumps(shown)) > _WARNINGS_BYTES:
        shown.pop()
    return made


def _media_type(request: Request, file: OpenFile) -> str:
    sent = media_of(request)
    return sent if file.format == "jsonl" and sent in SUFFIXES and SUFFIXES[sent] == ".jsonl" else ANSWERS[file.format]
