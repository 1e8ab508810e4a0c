"""/v1/adapters: adapt, list, show, versions, reports, files, aliases."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from service.errors import FormatUnsupported, NotFound
from service.ids import new_id
from service.registry import adapters, datasets, jobs, requests, signatures
from service.registry.refits import request_of
from service.routes.body import check, json_body, media_of, parse_json, read_bytes, read_form
from service.routes.datasets import hash_of, store_upload
from service.routes.fit_options import options_for, options_of
from service.routes.jobs import MAX_WAIT_S, wait
from service.routes.openapi import problems, takes, takes_either
from service.routes.state import Fitter, Graft, IdempotencyKey, Part, Reader, State
from service.schemas.answers import AdapterOut, AdapterSummary, AliasOut, JobOut, Page, VersionOut
from service.schemas.requests import AdaptForm, AdaptRequest, AliasRequest, DatasetMeta
from service.serving.choose import AUTO
from service.serving.references import NAME

router = APIRouter(prefix="/v1/adapters", tags=["adapters"])

Alias = Annotated[str, Path(pattern=f"^{NAME}$", description="`live`, or a name of your own.")]
Number = Annotated[int, Path(ge=1, lt=2**31)]


async def _asked(request: Request) -> AsyncIterator[tuple[AdaptRequest | AdaptForm, UploadFile | None]]:
    """The body: JSON, or a form with a file."""
    settings = request.app.state.graft.settings
    media = media_of(request)
    if media == "multipart/form-data":
        async with read_form(request, settings.max_upload_bytes) as (file, fields):
            yield check(AdaptForm, fields, where="form", strict=False), file
        return
    if media != "application/json":
        raise FormatUnsupported(
            f"The Content-Type is {media[:100] or 'missing'}; this takes application/json with a dataset's id, or "
            "multipart/form-data with a file."
        )
    yield check(AdaptRequest, parse_json(await read_bytes(request, settings.max_body_bytes))), None


Asked = Annotated[tuple[AdaptRequest | AdaptForm, UploadFile | None], Depends(_asked)]


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    summary="Adapt",
    responses={
        201: {"model": VersionOut, "description": "Done within `wait`"},
        202: {"model": JobOut, "description": "Under way, or ended without a version; see `state`"},
        **problems(400, 404, 409, 413, 415, 422, 429, 507),
    },
    openapi_extra=takes_either(AdaptRequest, AdaptForm),
)
async def adapt(
    state: Graft,
    tenant: Fitter,
    asked: Asked,
    request: Request,
    wait_s: Annotated[float, Query(alias="wait", ge=0, le=MAX_WAIT_S, description="Seconds to wait for the end.")] = 0,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Fit an adapter: from a dataset, or from a file sent along (upload and adapt in one call).

    Answers 202 with the job, or, with `wait`, 201 with the version when it is done in time.
    """
    body, file = asked
    options = options_of(state, body)
    await run_in_threadpool(state.backbones.refresh)
    if body.backbone not in (None, AUTO):
        state.backbones.check_known(tenant, body.backbone)
    sha256 = await asyncio.to_thread(hash_of, file) if file else ""
    key = requests.key_of(tenant, idempotency_key, state.clock(), "adapters", sha256, body.model_dump_json())
    job_id = await run_in_threadpool(requests.recall, state.engine, key)
    if job_id is None:
        job_id = await run_in_threadpool(_enqueue, state, tenant, body, file, options, key)
    request.state.job = job_id  # for the log: from here on the job's lines carry it
    return await _answer(state, tenant, await wait(state, tenant, job_id, wait_s))


def _enqueue(
    state: State,
    tenant: str,
    body: AdaptRequest | AdaptForm,
    file: UploadFile | None,
    options: dict[str, Any],
    key: requests.Key | None,
) -> str:
    """Store the job and queue it. Blocks."""
    dataset: datasets.Dataset | None = None
    if isinstance(body, AdaptRequest):
        if body.dataset is not None:
            dataset = datasets.get(state.engine, tenant, body.dataset)
    else:
        meta = DatasetMeta(**{name: getattr(body, name) for name in DatasetMeta.model_fields if name != "name"})
        dataset, _ = store_upload(state, tenant, cast(UploadFile, file), meta)
    options |= options_for(state, tenant, body, dataset)
    state.blobs.check_room(0)
    now_s = state.clock()
    asked = {"dataset": "" if dataset is None else dataset.id, **options}
    job = jobs.Job.new(new_id("job", now_s), tenant, "adapt", asked, now_s, adapter=body.name)
    jobs.add(state.engine, job, key, state.settings.max_queued_jobs)
    state.queue.submit(job.id)
    return job.id


async def _answer(state: State, tenant: str, job: jobs.Job) -> JSONResponse:
    adapter = await _published(state, tenant, job)
    if job.version is None or adapter is None:
        headers = {"Location": f"/v1/jobs/{job.id}"} | ({} if job.finished else {"Retry-After": "1"})
        return JSONResponse(JobOut.of(job).model_dump(mode="json"), 202, headers)
    location = f"/v1/adapters/{job.adapter}/versions/{job.version}"
    return JSONResponse(VersionOut.of(adapter, job.version).model_dump(mode="json"), 201, {"Location": location})


async def _published(state: State, tenant: str, job: jobs.Job) -> adapters.Adapter | None:
    """The adapter with the version that a job made, unless it made none or that has been deleted since."""
    if job.version is None:
        return None
    try:
        adapter = await run_in_threadpool(adapters.get, state.engine, tenant, job.adapter)
    except NotFound:
        return None
    return adapter if job.version in adapter.versions else None


@router.post(
    "/{name}/versions/{number}/refit",
    status_code=202,
    response_model=JobOut,
    summary="Fit a version again",
    responses=problems(404, 409, 429),
)
async def refit(
    state: Graft,
    tenant: Fitter,
    name: str,
    number: Number,
    wait_s: Annotated[float, Query(alias="wait", ge=0, le=MAX_WAIT_S, description="Seconds to wait for the end.")] = 0,
) -> JSONResponse:
    """Fit a version again from what it was made of, and compare the bytes; nothing is published.

    The job's `result` says whether all files are the `same`, their digests before and after, and what may explain a
    difference.
    """
    job_id = await run_in_threadpool(_enqueue_refit, state, tenant, name, number)
    job = await wait(state, tenant, job_id, wait_s)
    headers = {"Location": f"/v1/jobs/{job.id}"} | ({} if job.finished else {"Retry-After": "1"})
    return JSONResponse(JobOut.of(job).model_dump(mode="json"), 202, headers)


def _enqueue_refit(state: State, tenant: str, name: str, number: int) -> str:
    """Store the job and queue it. Blocks."""
    version = adapters.get_version(adapters.get(state.engine, tenant, name), number)
    request_of(version.manifest)
    if version.manifest.dataset:
        datasets.get(state.engine, tenant, version.manifest.dataset)
    needed = version.manifest.signatures
    if needed and signatures.find(state.engine, tenant, needed) is None:
        raise NotFound(
            f"{name}:{number} was made with the signatures {needed}, which are deleted. Send the same table again "
            "(POST /v1/signatures): it has the same id, and the version can be fitted again."
        )
    now_s = state.clock()
    asked = {"adapter": name, "version": number}
    job = jobs.Job.new(new_id("job", now_s), tenant, "refit", asked, now_s)
    jobs.add(state.engine, job, None, state.settings.max_queued_jobs)
    state.queue.submit(job.id)
    return job.id


@router.get("", response_model=Page[AdapterSummary], summary="List adapters", responses=problems(422))
def list_adapters(state: Graft, tenant: Reader, part: Part) -> Page[AdapterSummary]:
    """Adapters by name."""
    page = adapters.page(state.engine, tenant, limit=part.limit, after=part.after).map(AdapterSummary.of)
    return Page(data=list(page.data), has_more=page.has_more)


@router.get("/{name}", response_model=AdapterOut, summary="Show an adapter", responses=problems(404))
def show(state: Graft, tenant: Reader, name: str) -> AdapterOut:
    """An adapter with its versions and aliases."""
    return AdapterOut.of(adapters.get(state.engine, tenant, name))


@router.get("/{name}/versions/{number}", response_model=VersionOut, summary="Show a version", responses=problems(404))
def show_version(state: Graft, tenant: Reader, name: str, number: Number) -> VersionOut:
    """One version."""
    return VersionOut.of(adapters.get(state.engine, tenant, name), number)


@router.delete("/{name}/versions/{number}", status_code=204, summary="Delete a version", responses=problems(404, 409))
def delete_version(state: Graft, tenant: Fitter, name: str, number: Number) -> None:
    """Delete a version and its files; its number is never given again. The last version takes the adapter with it."""
    adapters.remove_version(state.engine, state.home, state.blobs, tenant, name, number, state.clock())
    state.directory.refresh()


def _file(state: State, tenant: str, name: str, number: int, file: str) -> tuple[bytes, str]:
    version = adapters.get_version(adapters.get(state.engine, tenant, name), number)
    if file not in version.manifest.files:
        raise NotFound(f"Version {name}:{number} has no {file}; it has {', '.join(version.manifest.files)}.")
    digest = version.manifest.files[file].sha256
    return state.blobs.get(digest), digest


@router.get(
    "/{name}/versions/{number}/report",
    summary="Report of a version",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **problems(404)},
)
def report(state: Graft, tenant: Reader, name: str, number: Number) -> Response:
    """Cross-validated figures, baselines, every candidate's score and seconds a stage, as JSON."""
    data, _ = _file(state, tenant, name, number, "report.json")
    return JSONResponse({"adapter": f"{name}:{number}", **json.loads(data)})


@router.get(
    "/{name}/versions/{number}/adapter.onnx",
    summary="The head as ONNX",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems(404)},
)
def onnx(state: Graft, tenant: Reader, name: str, number: Number) -> Response:
    """The published function: outputs `scores` and `probabilities` (n, k), or `value` (n, 1) of a regression.

    Its inputs depend on the version's `tap`: `embedding` (n, d); `numbers` and `categories` of a table's rows;
    `hidden_states` (and `attention_mask`) behind a block; the backbone's own inputs.
    """
    data, digest = _file(state, tenant, name, number, "head.onnx")
    headers = {"Content-Disposition": f'attachment; filename="{name}-{number}.onnx"', "ETag": f'"{digest}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.get("/{name}/aliases/{alias}", response_model=AliasOut, summary="Show an alias", responses=problems(404))
def show_alias(state: Graft, tenant: Reader, name: str, alias: Alias, response: Response) -> AliasOut:
    """Where an alias points; its ETag goes into `If-Match` of the switch."""
    adapter = adapters.get(state.engine, tenant, name)
    if alias not in adapter.aliases:
        raise NotFound(f"Adapter {name!r} has no alias {alias!r}; it has {', '.join(adapter.aliases)}.")
    response.headers["ETag"] = adapter.aliases[alias].etag
    return AliasOut(adapter=name, alias=alias, version=adapter.aliases[alias].version)


@router.put(
    "/{name}/aliases/{alias}",
    response_model=AliasOut,
    summary="Switch an alias",
    responses=problems(400, 404, 409, 412, 415, 422),
    openapi_extra=takes(AliasRequest),
)
def set_alias(
    state: Graft,
    tenant: Fitter,
    name: str,
    alias: Alias,
    body: Annotated[AliasRequest, Depends(json_body(AliasRequest))],
    response: Response,
    if_match: Annotated[str | None, Header(description="Switch only if the alias still has this ETag.")] = None,
) -> AliasOut:
    """Point an alias to a version; calls see the old or the new one, never neither."""
    switched = adapters.set_alias(
        state.engine, tenant, name, alias, body.version, if_match=if_match, now_s=state.clock()
    )
    state.directory.refresh()
    response.headers["ETag"] = switched.etag
    return AliasOut(adapter=name, alias=alias, version=switched.version)
