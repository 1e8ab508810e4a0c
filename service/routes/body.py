"""Request bodies: read under a limit, parsed strictly, checked against a wire type.

FastAPI's own body parsing takes NaN, answers deep nesting with a 500 and reads without a limit; this is why bodies are
read here.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from models.errors import Problem
from service.errors import BodyInvalid, BodyMalformed, BodyTooLarge, FormatUnsupported, UploadTooLarge

M = TypeVar("M", bound=BaseModel)

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 2**10
FORM_OVERHEAD_BYTES = 2**20
SPOOL_BYTES = 2**20
"""What is held of a body before it is written to disk."""

_SEND_LESS = "send fewer rows or columns, or fewer or smaller images or sounds"
"""The remedy for an upload that is too large; what it holds is not known yet."""


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body, if it is not longer than the limit.

    Raises:
        BodyTooLarge: It is; what is over the limit has not been read.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(int(declared), limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(size, limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def spool(request: Request, path: Path, limit: int, check_room: Callable[[int], None]) -> None:
    """Write a body to a file as it comes.

    Args:
        request: Its body has not been read.
        path: Where to write.
        limit: Most bytes.
        check_room: Raises where the disk has not so many bytes left; asked for each piece.

    Raises:
        UploadTooLarge: It is longer; what is over the limit has not been read.
    """
    limit_stream(request, limit, limit)
    with path.open("wb") as file:

        def write(pieces: list[bytes], size: int) -> None:
            check_room(2 * size)
            file.writelines(pieces)

        pieces: list[bytes] = []
        async for chunk in request.stream():
            pieces.append(chunk)
            if sum(map(len, pieces)) >= SPOOL_BYTES:
                await run_in_threadpool(write, pieces, SPOOL_BYTES)
                pieces = []
        await run_in_threadpool(write, pieces, sum(map(len, pieces)))


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has {size:,} bytes or more, the limit is {limit:,}; send it in several calls.")


def parse_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, nesting bounded.

    Raises:
        BodyMalformed: It is not.
    """
    if not data.strip():
        raise BodyMalformed("The body is empty; it takes a JSON object.")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BodyMalformed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "NaN and Infinity are not JSON; nesting may be 1,024 deep."
        ) from None


def check(model: type[M], value: object, *, where: str = "body", strict: bool = True) -> M:
    """A value as a wire type.

    Args:
        model: The wire type.
        value: What was sent.
        where: What to call it in a message.
        strict: Take no text for a number; a form has nothing but texts.

    Raises:
        BodyInvalid: It is not one; one problem for each place, with its JSON pointer.
    """
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        raise invalid(error, model, where) from None


def invalid(error: ValidationError, model: type[BaseModel], where: str) -> BodyInvalid:
    """A pydantic error as ours: where, what is wrong, and what is known instead."""
    problems = [
        Problem(_sentence(item, model), pointer="".join(f"/{_escape(part)}" for part in item["loc"]))
        for item in error.errors(include_url=False, include_input=False)[:100]
    ]
    listed = "; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in problems[:3])
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return BodyInvalid(f"The {where} cannot be used: {listed}{more}.", problems=problems)


_WORDS = {
    "string_type": "must be a text (a JSON string)",
    "list_type": "must be a JSON list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}

_NAME = "a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins and ends with a letter or digit"
_FORMS = {"name": _NAME, "id": _NAME, "catalog": _NAME, "hub": "a repository of the hub is owner/name"}
"""What a field looks like whose pattern was not met."""


def _sentence(item: Any, model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        return f"there is no such field; known are {', '.join(sorted(model.model_fields))}"
    if item["type"] == "string_pattern_mismatch" and item["loc"][-1] in _FORMS:
        return _FORMS[item["loc"][-1]]
    return _WORDS.get(item["type"], str(item["msg"]).removeprefix("Value error, "))


def _escape(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def json_body(model: type[M]) -> Callable[[Request], Coroutine[Any, Any, M]]:
    """A dependency that reads a JSON body of a wire type."""

    async def read(request: Request) -> M:
        require(request, "application/json")
        limit = request.app.state.graft.settings.max_body_bytes
        return check(model, parse_json(await read_bytes(request, limit)))

    return read


def require(request: Request, media_type: str) -> None:
    """Refuse a body of another media type.

    Raises:
        FormatUnsupported: It is another, or none is named.
    """
    seen = request.headers.get("content-type", "")
    if media_of(request) != media_type:
        raise FormatUnsupported(f"The Content-Type is {seen[:100] or 'missing'}; this takes {media_type}.")


def media_of(request: Request) -> str:
    """The media type of a request's body, without parameters, lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def read_form(request: Request, max_file_bytes: int) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """A multipart form with one `file`: the file (on disk beyond 1 MiB) and the other fields, until it is left.

    Raises:
        FormatUnsupported: It is not multipart.
        BodyMalformed: It cannot be parsed, or has too many fields.
        BodyInvalid: There is no `file`, or a field twice.
        UploadTooLarge: The body is longer than a file may be.
    """
    async with _parsed(request, max_file_bytes, 1, _upload_too_large(max_file_bytes)) as form:
        yield _files_of(form)[0], _fields_of(form)


@asynccontextmanager
async def read_files(
    request: Request, max_body_bytes: int, max_files: int
) -> AsyncIterator[tuple[list[UploadFile], dict[str, str]]]:
    """A multipart form with one `file` or several, in their order; see `read_form`.

    Raises:
        BodyMalformed: It cannot be parsed, or has too many files or fields.
        BodyTooLarge: The body is longer than the limit.
    """
    too_large = BodyTooLarge(
        f"The body has more than {max_body_bytes:,} bytes, which is the limit; send its files in several calls."
    )
    async with _parsed(request, max_body_bytes, max_files, too_large) as form:
        yield _files_of(form), _fields_of(form)


@asynccontextmanager
async def _parsed(
    request: Request, max_bytes: int, max_files: int, too_large: UploadTooLarge | BodyTooLarge
) -> AsyncIterator[FormData]:
    require(request, "multipart/form-data")
    _stop_beyond(request, max_bytes + FORM_OVERHEAD_BYTES, too_large)
    try:
        form = await request.form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (MultiPartException, HTTPException) as error:
        reason = getattr(error, "message", None) or getattr(error, "detail", "it is not well-formed")
        files = "one file" if max_files == 1 else f"at most {max_files:,} files"
        raise BodyMalformed(
            f"The form cannot be read: {reason} It takes {files} and at most {MAX_FIELDS} fields of "
            f"{MAX_FIELD_BYTES:,} bytes."
        ) from None
    try:
        yield form
    finally:
        await form.close()


def limit_stream(request: Request, limit: int, max_file_bytes: int, remedy: str = _SEND_LESS) -> None:
    """Stop an upload that sends more than the limit, while it is read.

    Args:
        request: Its body has not been read.
        limit: Most bytes of the body.
        max_file_bytes: The limit that the message names.
        remedy: What the caller can do, as the end of a sentence.
    """
    _stop_beyond(request, limit, _upload_too_large(max_file_bytes, remedy))


def _upload_too_large(max_file_bytes: int, remedy: str = _SEND_LESS) -> UploadTooLarge:
    return UploadTooLarge(f"The upload is larger than {max_file_bytes:,} bytes, the limit for one file; {remedy}.")


def _stop_beyond(request: Request, limit: int, refusal: UploadTooLarge | BodyTooLarge) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise refusal
    receive, seen = request._receive, 0

    async def limited() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise refusal
        return message

    request._receive = limited


def _files_of(form: FormData) -> list[UploadFile]:
    files = form.getlist("file")
    whole = [file for file in files if isinstance(file, UploadFile)]
    if not whole or len(whole) < len(files):
        names = ", ".join(sorted(set(form))) or "nothing"
        raise BodyInvalid(
            f"The form has no whole file in its field 'file' (it has {names[:200]}); send the data there, to its end."
        )
    return whole


def _fields_of(form: FormData) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if name == "file":
            continue
        if not isinstance(value, str) or name in fields:
            raise BodyInvalid(f"The form's field {name[:100]!r} is a file or is there twice; send it once, as text.")
        fields[name] = value
    return fields
