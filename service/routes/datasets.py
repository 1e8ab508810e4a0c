"""/v1/datasets: upload, list, show, delete."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from service.errors import BodyInvalid, BodyMalformed
from service.ids import new_id
from service.registry import datasets, requests
from service.registry.items import facts_of, pack
from service.routes.body import check, parse_json, read_form
from service.routes.openapi import form_with_file, problems
from service.routes.state import Fitter, Graft, IdempotencyKey, Part, Reader, State
from service.schemas.answers import DatasetOut, Page
from service.schemas.requests import DatasetMeta
from service.settings import Settings
from service.store.blobs import CHUNK_BYTES
from service.uploads.limits import Limits
from service.uploads.read import read_upload

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


def limits_of(settings: Settings) -> Limits:
    """The limits of an upload, from the settings."""
    return Limits(
        bytes=settings.max_upload_bytes,
        rows=settings.max_rows,
        columns=settings.max_columns,
        cell_chars=settings.max_cell_chars,
        pixels=settings.max_image_pixels,
        seconds=settings.max_sound_s,
        classes=settings.max_classes,
    )


def store_upload(
    state: State, tenant: str, file: UploadFile, meta: DatasetMeta, key: requests.Key | None = None
) -> tuple[datasets.Dataset, bool]:
    """Read an upload and register what is in it. Blocks.

    Returns:
        The dataset, and whether it is new: the same file read with the same options is one dataset.
    """
    size = file.size or 0
    state.blobs.check_room(2 * size)
    filename = Path(file.filename or "upload").name[:200]
    with state.blobs.staged() as path:
        sha256 = _spool(file.file, path)
        options = meta.model_dump_json(exclude={"name"})
        fingerprint = hashlib.sha256(f"{sha256}\n{options}\n{_suffix(filename)}".encode()).hexdigest()
        items = read_upload(path, filename, meta.reading(), limits_of(state.settings))
    packed = pack(items)
    blob = state.blobs.put(packed)
    now_s = state.clock()
    dataset = datasets.Dataset(
        id=new_id("ds", now_s),
        tenant=tenant,
        name=meta.name or filename,
        fingerprint=fingerprint,
        sha256=sha256,
        blob=blob.digest,
        facts=facts_of(items, size),
        created_at=now_s,
    )
    added = datasets.add(state.engine, dataset, key)
    state.blobs.put(packed)  # a deletion at the same moment may have taken it; from here on it is pointed to
    return added


def _suffix(filename: str) -> str:
    return Path(filename).suffix.lower()


def _spool(source: BinaryIO, path: Path) -> str:
    """Copy an upload to disk; returns its sha256."""
    source.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, CHUNK_BYTES)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _meta(fields: dict[str, str]) -> DatasetMeta:
    unknown = set(fields) - {"meta"}
    if unknown:
        raise BodyInvalid(
            f"The form has the field {min(unknown)[:100]!r}; it takes 'file' and 'meta' (JSON with "
            f"{', '.join(DatasetMeta.model_fields)})."
        )
    try:
        value = parse_json(fields["meta"].encode()) if "meta" in fields else {}
    except BodyMalformed as error:
        raise BodyMalformed(f"The form's field 'meta': {error.message}") from None
    return check(DatasetMeta, value, where="form's field 'meta'")


async def _reading(request: Request) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    async with read_form(request, request.app.state.graft.settings.max_upload_bytes) as form:
        yield form


Upload = Annotated[tuple[UploadFile, dict[str, str]], Depends(_reading)]


@router.post(
    "",
    status_code=201,
    response_model=DatasetOut,
    summary="Upload labelled items",
    responses={
        200: {"model": DatasetOut, "description": "The same upload is here already"},
        **problems(400, 413, 415, 422, 429, 507),
    },
    openapi_extra=form_with_file(meta=f"JSON text: {', '.join(DatasetMeta.model_fields)}."),
)
async def upload(
    state: Graft, tenant: Fitter, form: Upload, response: Response, idempotency_key: IdempotencyKey = None
) -> DatasetOut:
    """Upload a file of labelled items.

    Texts: CSV, TSV, JSON Lines or Parquet with a column of texts and one of labels. Tables: the same formats, with the
    `target` named. Vectors: .npz with the arrays `embedding` and `label`, or Parquet with a column of lists of numbers.
    Images and sounds: .zip, .tar, .tar.gz or .tar.bz2 with one folder for each class, or with a `metadata.csv`
    (`file_name`, `label`) beside them, or Parquet with a column of their bytes. Every file is decoded once.

    Bad rows, or files, are listed by number and reason and left out; the upload is refused when more than a tenth is
    bad or a class vanishes, or, with `strict`, when any row is bad.
    """
    file, fields = form
    meta = _meta(fields)
    sha256 = await asyncio.to_thread(hash_of, file)
    key = requests.key_of(tenant, idempotency_key, state.clock(), "datasets", sha256, meta.model_dump_json())
    made = await run_in_threadpool(requests.recall, state.engine, key)
    if made is not None:
        response.status_code = 200
        return DatasetOut.of(await run_in_threadpool(datasets.get, state.engine, tenant, made))
    dataset, new = await run_in_threadpool(store_upload, state, tenant, file, meta, key)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return DatasetOut.of(dataset)


def hash_of(file: UploadFile) -> str:
    """sha256 of an upload. Blocks."""
    file.file.seek(0)
    return hashlib.file_digest(file.file, "sha256").hexdigest()  # type: ignore[arg-type]


@router.get("", response_model=Page[DatasetOut], summary="List datasets", responses=problems(422))
def list_datasets(state: Graft, tenant: Reader, part: Part) -> Page[DatasetOut]:
    """Datasets, newest first."""
    page = datasets.page(state.engine, tenant, limit=part.limit, after=part.after).map(DatasetOut.of)
    return Page(data=list(page.data), has_more=page.has_more)


@router.get("/{dataset}", response_model=DatasetOut, summary="Show a dataset", responses=problems(404))
def show(state: Graft, tenant: Reader, dataset: str) -> DatasetOut:
    """One dataset."""
    return DatasetOut.of(datasets.get(state.engine, tenant, dataset))


@router.delete("/{dataset}", status_code=204, summary="Delete a dataset", responses=problems(404, 409))
def delete(state: Graft, tenant: Fitter, dataset: str) -> None:
    """Delete a dataset and its items. Versions fitted on it stay, and still name it."""
    datasets.remove(state.engine, state.blobs, tenant, dataset)
