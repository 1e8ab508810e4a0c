"""A multipart form with an ONNX file, and, for texts, its tokenizer as a second file.

What comes as a file goes to disk, and what comes as a text is held in memory: so the large parts must be files.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from service.errors import BodyInvalid, BodyMalformed
from service.routes.body import FORM_OVERHEAD_BYTES, MAX_FIELD_BYTES, check, limit_stream
from service.schemas.backbones import HostForm

MAX_FIELDS = 16
MAX_TOKENIZER_BYTES = 32 * 2**20
"""Largest tokenizer: those of a hundred languages have 17 MB."""


@dataclass(frozen=True)
class GraphForm:
    """What was sent.

    Attributes:
        fields: The texts.
        graph: The ONNX file, on disk beyond 1 MiB.
        tokenizer: Of texts; empty where there is none.
    """

    fields: HostForm
    graph: UploadFile
    tokenizer: bytes


@asynccontextmanager
async def read_graph_form(request: Request, max_file_bytes: int) -> AsyncIterator[GraphForm]:
    """The form, until it is left.

    Raises:
        BodyMalformed: It cannot be parsed, or has too many fields.
        BodyInvalid: There is no `file`, a field is there twice, or cannot be used.
        UploadTooLarge: The body is longer than a file may be.
    """
    limit = max_file_bytes + MAX_TOKENIZER_BYTES + FORM_OVERHEAD_BYTES
    limit_stream(request, limit, max_file_bytes, "export a smaller graph, or one in float16")
    try:
        form = await request.form(max_files=2, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (MultiPartException, HTTPException) as error:
        reason = getattr(error, "message", None) or getattr(error, "detail", "it is not well-formed")
        raise BodyMalformed(
            f"The form cannot be read: {reason} It takes two files, the graph as 'file' and perhaps a 'tokenizer', and "
            f"at most {MAX_FIELDS} fields of {MAX_FIELD_BYTES:,} bytes."
        ) from None
    try:
        yield await _checked(form)
    finally:
        await form.close()


async def _checked(form: FormData) -> GraphForm:
    fields, files = _parts(form)
    graph = files.pop("file", None)
    if graph is None:
        names = ", ".join(sorted(set(form))) or "nothing"
        raise BodyInvalid(
            f"The form has no whole file in its field 'file' (it has {names[:200]}); send the graph there."
        )
    tokenizer = b""
    if "tokenizer" in files:
        sent = files.pop("tokenizer")
        tokenizer = await sent.read(MAX_TOKENIZER_BYTES + 1)
        if len(tokenizer) > MAX_TOKENIZER_BYTES:
            raise BodyInvalid(f"The tokenizer has more than {MAX_TOKENIZER_BYTES:,} bytes, which is the limit.")
    if files:
        raise BodyInvalid(f"The form has a file in its field {min(files)[:100]!r}; it takes 'file' and 'tokenizer'.")
    checked = check(HostForm, fields, where="form", strict=False)
    return GraphForm(checked, graph, tokenizer)


def _parts(form: FormData) -> tuple[dict[str, str], dict[str, UploadFile]]:
    fields: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name in fields or name in files:
            raise BodyInvalid(f"The form's field {name[:100]!r} is there twice; send it once.")
        if isinstance(value, UploadFile):
            files[name] = value
        else:
            fields[name] = value
    return fields, files
