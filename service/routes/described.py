"""What POST /v1/signatures was sent: a file by itself or in a form, or JSON; and the signatures that it says.

file, classes with attributes                  -> table      typed, checked
labels, descriptions, classes with texts       -> words      embedded by a text backbone
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from adapters.signatures import Signatures
from models.errors import InputError, Problem
from service.errors import BodyInvalid, BodyMalformed, FormatUnsupported
from service.routes.body import check, media_of, parse_json, read_bytes, read_form, spool
from service.routes.datasets import limits_of
from service.routes.state import State
from service.schemas.signatures import ClassIn, SignaturesMeta, SignaturesRequest
from service.serving.choose import choose
from service.serving.labels import PLAIN
from service.uploads.limits import Limits
from service.uploads.signatures.entries import Entry, attributes_of, grid_of, texts_of
from service.uploads.signatures.files import read_file
from service.uploads.signatures.given import MAX_ATTRIBUTES, MAX_CLASSES, InEntries
from service.uploads.signatures.table import Built, build, check_whole
from service.uploads.signatures.typed import value_of

JSON = "application/json"
FORM = "multipart/form-data"
SUFFIXES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
}
"""Media types of a file sent by itself, and the suffix that each stands for."""

_FIELDS = ("classes", "labels", "descriptions")


@dataclass(frozen=True)
class Asked:
    """What was sent.

    Attributes:
        fingerprint: sha256 over its bytes and what was said of them.
        meta: How to read a file; of JSON the body itself.
        mapped: Fields of the body that were objects with the names of classes as keys.
        file: A file of classes, on disk, and what the caller called it.
    """

    fingerprint: str
    meta: SignaturesMeta
    mapped: frozenset[str] = frozenset()
    file: tuple[Path, str] | None = None

    @property
    def name(self) -> str:
        """What to call the signatures."""
        return self.meta.name or (self.file[1] if self.file else "signatures")


@dataclass(frozen=True, eq=False)
class Made:
    """Signatures, and what is to be kept beside them.

    Attributes:
        signatures: Themselves.
        facts: `notes`, and of texts `backbone` and `templates`.
        content: What they say, where that is not their bytes.
    """

    signatures: Signatures
    facts: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None


async def asked(request: Request) -> AsyncIterator[Asked]:
    """A dependency: the body, read under its limits.

    Raises:
        FormatUnsupported: It is of another media type.
        BodyMalformed, BodyInvalid, BodyTooLarge, UploadTooLarge: It cannot be read.
    """
    state: State = request.app.state.graft
    media = media_of(request)
    if media == JSON:
        yield await run_in_threadpool(_of_json, await read_bytes(request, state.settings.max_body_bytes))
    elif media == FORM:
        async with _of_form(request, state) as form:
            yield form
    elif media in SUFFIXES:
        meta = check(SignaturesMeta, dict(request.query_params), where="query", strict=False)
        with state.blobs.staged() as path:
            await spool(request, path, state.settings.max_upload_bytes, state.blobs.check_room)
            yield await run_in_threadpool(_of_file, path, f"signatures{SUFFIXES[media]}", meta)
    else:
        raise FormatUnsupported(
            f"The Content-Type is {media[:100] or 'missing'}; this takes {JSON}, {FORM} with a file, or a file by "
            f"itself ({', '.join(SUFFIXES)})."
        )


async def made_of(state: State, tenant: str, given: Asked) -> Made:
    """The signatures that were sent, or that are made of the texts that were sent.

    Raises:
        InputError: They mean nothing; see `service.uploads.signatures`.
        BackboneUnknown, NotReady, Busy: The texts cannot be embedded; see `service.serving.labels`.
    """
    if given.file is not None:
        return await run_in_threadpool(_from_file, *given.file, given.meta, _limits(state))
    body = given.meta
    if not isinstance(body, SignaturesRequest):
        raise TypeError("there is neither a file nor a body")
    name, entries = _entries(body)
    places = InEntries(name, [entry.name for entry in entries] if name in given.mapped else None)
    if name != "classes" or body.backbone is not None or any(entry.texts is not None for entry in entries):
        return await _from_words(state, tenant, body, entries, places)
    return await run_in_threadpool(_from_classes, body, entries, places)


def _limits(state: State) -> Limits:
    return replace(limits_of(state.settings), rows=MAX_CLASSES, columns=MAX_ATTRIBUTES + 1)


def _of_json(data: bytes) -> Asked:
    value = parse_json(data)
    return Asked(hashlib.sha256(data).hexdigest(), check(SignaturesRequest, value), _mapped(value))


def _mapped(value: object) -> frozenset[str]:
    return frozenset(name for name in _FIELDS if isinstance(value, dict) and isinstance(value.get(name), dict))


@asynccontextmanager
async def _of_form(request: Request, state: State) -> AsyncIterator[Asked]:
    async with read_form(request, state.settings.max_upload_bytes) as (file, fields):
        if unknown := set(fields) - {"meta"}:
            raise BodyInvalid(
                f"The form has the field {min(unknown)[:100]!r}; it takes 'file' and 'meta' (JSON with "
                f"{', '.join(SignaturesMeta.model_fields)})."
            )
        try:
            value = parse_json(fields["meta"].encode()) if "meta" in fields else {}
        except BodyMalformed as error:
            raise BodyMalformed(f"The form's field 'meta': {error.message}") from None
        meta = check(SignaturesMeta, value, where="form's field 'meta'")
        name = Path((file.filename or "").replace("\\", "/")).name[:200] or "signatures"
        with state.blobs.staged() as path:
            state.blobs.check_room(2 * (file.size or 0))
            await asyncio.to_thread(_copy, file.file, path)
            yield await run_in_threadpool(_of_file, path, name, meta, state.settings.max_body_bytes)


def _copy(source: Any, path: Path) -> None:
    source.seek(0)
    with path.open("wb") as target:
        while piece := source.read(2**20):
            target.write(piece)


def _of_file(path: Path, name: str, meta: SignaturesMeta, max_body_bytes: int = 0) -> Asked:
    """A file of classes; one that holds what could have been the body is the body."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if path.stat().st_size <= max_body_bytes and (body := _body_in(path.read_bytes())) is not None:
        known = {"name": name} | body | meta.model_dump(exclude_unset=True)
        fingerprint = hashlib.sha256(f"{sha256}\n{meta.model_dump_json()}".encode()).hexdigest()
        return Asked(fingerprint, check(SignaturesRequest, known, where="file"), _mapped(body))
    fingerprint = hashlib.sha256(f"{sha256}\n{meta.model_dump_json()}\n{Path(name).suffix}".encode()).hexdigest()
    return Asked(fingerprint, meta, file=(path, name))


def _body_in(data: bytes) -> dict[str, Any] | None:
    if data.lstrip()[:1] != b"{":
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None  # several lines of JSON, or none at all: whoever reads files says so
    return value if isinstance(value, dict) and any(isinstance(value.get(n), dict | list) for n in _FIELDS) else None


def _from_file(path: Path, name: str, meta: SignaturesMeta, limits: Limits) -> Made:
    given = read_file(path, name, limits)
    return _whole(build(given, _groups(meta)), given.places.error)


def _whole(built: Built, error: type[InputError]) -> Made:
    check_whole(built.signatures, error)
    return Made(built.signatures, {"notes": list(built.notes)})


def _groups(meta: SignaturesMeta) -> dict[str, tuple[str, ...]]:
    """Values of groups as cells of the same would be called."""
    groups = {}
    for name, values in meta.groups.items():
        told = [value_of(value) for value in values]
        if not all(told) or len(set(told)) < len(told):
            sentence = (
                f"The values of the group {name[:60]!r} must be different words or numbers, none of them missing."
            )
            raise BodyInvalid(sentence, problems=[Problem(sentence, pointer=f"/groups/{name}")])
        groups[name] = tuple(one for one in told if one)
    return groups


def _entries(body: SignaturesRequest) -> tuple[str, list[Entry]]:
    """The one field that has classes, and those."""
    given = [name for name in _FIELDS if getattr(body, name) is not None]
    if len(given) != 1:
        seen = f"{' and '.join(given)} are there" if given else "none is there"
        raise BodyInvalid(f"Exactly one of {', '.join(_FIELDS)} says what the classes are, and {seen}.")
    for name in ("attributes", "values"):
        if getattr(body, name) is not None and (given[0] != "classes" or None in (body.attributes, body.values)):
            raise _wrong(name, f"{name!r} goes with 'classes', 'attributes' and 'values' alone; send all three.")
    classes: list[ClassIn] = getattr(body, given[0])
    return given[0], [Entry(one.name, one.attributes, one.mixture, one.description) for one in classes]


def _from_classes(body: SignaturesRequest, entries: list[Entry], places: InEntries) -> Made:
    """Classes with attributes: each with its own, or all in a grid."""
    if body.templates is not None:
        raise _wrong("templates", "'templates' go with texts of classes, and these have attributes; leave them out.")
    if body.attributes is not None and body.values is not None:
        if any(entry.attributes or entry.mixture for entry in entries):
            raise _wrong("classes", "Beside 'attributes' and 'values', 'classes' are names alone.")
        given = grid_of([entry.name for entry in entries], body.attributes, body.values)
        return _whole(build(given, _groups(body)), BodyInvalid)
    given, mixtures = attributes_of(entries, places)
    built = build(given, _groups(body))
    return _whole(replace(built, signatures=mixtures.into(built.signatures)), BodyInvalid)


async def _from_words(
    state: State, tenant: str, body: SignaturesRequest, entries: list[Entry], places: InEntries
) -> Made:
    if body.groups or body.values is not None:
        name = "groups" if body.groups else "values"
        raise _wrong(name, f"{name!r} goes with attributes, and these classes are told by texts; leave it out.")
    texts, mixtures = texts_of(entries, places)
    backbone = body.backbone
    if backbone is None:
        backbone = await run_in_threadpool(_default, state, tenant)
    templates = tuple(body.templates) if body.templates is not None else PLAIN
    embedded = await state.labels.embed(tenant, backbone, texts.of, templates)
    table = Signatures(tuple(texts.of), tuple(map(str, range(embedded.z.shape[1]))), embedded.z, space=embedded.digest)
    signatures = mixtures.into(table)
    check_whole(signatures, BodyInvalid)
    notes = [
        f"Texts of {name[:60]!r} are longer than the backbone takes; their end was left out." for name in embedded.cut
    ]
    facts = {"backbone": embedded.backbone, "templates": list(templates), "notes": notes[:20]}
    return Made(signatures, facts, texts.content(templates, embedded.digest, mixtures))


def _default(state: State, tenant: str) -> str:
    state.backbones.refresh()
    return choose(state.backbones.visible(tenant), state.backbones.names, "text", None).backbone


def _wrong(name: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=f"/{name}")])
