"""/v1/backbones: what is hosted, hosting more, and which fits some data."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from models.catalog import Entry, catalog
from models.errors import BackboneUnknown
from service.errors import BodyInvalid, Conflict, FormatUnsupported, NotFound
from service.ids import new_id
from service.registry import adapters, backbones, datasets, jobs, requests
from service.registry.adapters import Version
from service.registry.backbones import Own
from service.routes.body import check, json_body, media_of, parse_json, read_bytes
from service.routes.datasets import hash_of
from service.routes.graph_form import GraphForm, read_graph_form
from service.routes.jobs import MAX_WAIT_S, wait
from service.routes.openapi import problems, takes, takes_either
from service.routes.sources import entry_of, form_entry
from service.routes.state import Fitter, Graft, IdempotencyKey, Part, Reader, State
from service.schemas.answers import BackboneOut, JobOut, Page
from service.schemas.backbones import HostForm, HostRequest, RankRequest
from service.serving.choose import AUTO, WORDS, compared
from service.serving.references import parse

router = APIRouter(prefix="/v1/backbones", tags=["backbones"])

Wait = Annotated[float, Query(alias="wait", ge=0, le=MAX_WAIT_S, description="Seconds to wait for the end.")]


@router.get("", response_model=Page[BackboneOut], summary="List backbones", responses=problems(422))
async def list_backbones(state: Graft, tenant: Reader, part: Part) -> Page[BackboneOut]:
    """The operator's backbones and your own, by name."""
    await run_in_threadpool(state.backbones.refresh)
    later = [s for s in state.backbones.visible(tenant) if part.after is None or s.id > part.after]
    return Page(data=[BackboneOut.of(s) for s in later[: part.limit]], has_more=len(later) > part.limit)


@router.get("/{backbone}", response_model=BackboneOut, summary="Show a backbone", responses=problems(404))
async def show(state: Graft, tenant: Reader, backbone: str) -> BackboneOut:
    """One backbone."""
    await run_in_threadpool(state.backbones.refresh)
    try:
        return BackboneOut.of(state.backbones.find(tenant, backbone))
    except BackboneUnknown as error:
        raise NotFound(error.message) from None


async def _asked(request: Request) -> AsyncIterator[HostRequest | GraphForm]:
    """The body: JSON, or a form with an ONNX file."""
    settings = request.app.state.graft.settings
    media = media_of(request)
    if media == "multipart/form-data":
        async with read_graph_form(request, settings.max_backbone_bytes) as form:
            yield form
        return
    if media != "application/json":
        raise FormatUnsupported(
            f"The Content-Type is {media[:100] or 'missing'}; this takes application/json with a source, or "
            "multipart/form-data with an ONNX file."
        )
    yield check(HostRequest, parse_json(await read_bytes(request, settings.max_body_bytes)))


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    summary="Host another backbone",
    responses={
        201: {"model": BackboneOut, "description": "Hosted within `wait`"},
        202: {"model": JobOut, "description": "Under way, or ended without a backbone; see `state`"},
        **problems(400, 404, 409, 413, 415, 422, 429, 507),
    },
    openapi_extra=takes_either(HostRequest, HostForm, "tokenizer"),
)
async def host(
    state: Graft,
    tenant: Fitter,
    asked: Annotated[HostRequest | GraphForm, Depends(_asked)],
    request: Request,
    wait_s: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Fetch an encoder, turn it into ONNX, verify it, and keep it as a backbone of yours.

    The source is a repository of the Hugging Face hub, a folder that the operator allows, an entry of the catalogue, a
    version of an adapter, or an ONNX file sent along. Answers 202 with the job, or, with `wait`, 201 with the backbone
    when it is done in time.
    """
    fields = asked.fields if isinstance(asked, GraphForm) else asked
    sent = await asyncio.to_thread(_hashes_of, asked) if isinstance(asked, GraphForm) else ()
    key = requests.key_of(tenant, idempotency_key, state.clock(), "backbones", *sent, fields.model_dump_json())
    job_id = await run_in_threadpool(requests.recall, state.engine, key)
    if job_id is None:
        job_id = await run_in_threadpool(_enqueue, state, tenant, asked, key)
    request.state.job = job_id
    job = await wait(state, tenant, job_id, wait_s)
    await run_in_threadpool(state.backbones.refresh)
    if job.state == jobs.SUCCEEDED and (standing := _hosted(state, tenant, job)) is not None:
        headers = {"Location": f"/v1/backbones/{standing.id}"}
        return JSONResponse(standing.model_dump(mode="json"), 201, headers)
    return accepted(job)


def _hashes_of(form: GraphForm) -> tuple[str, str]:
    """sha256 of the graph and of the tokenizer. Blocks."""
    return hash_of(form.graph), hashlib.sha256(form.tokenizer).hexdigest()


def accepted(job: jobs.Job) -> JSONResponse:
    """The answer that names a job."""
    headers = {"Location": f"/v1/jobs/{job.id}"} | ({} if job.finished else {"Retry-After": "1"})
    return JSONResponse(JobOut.of(job).model_dump(mode="json"), 202, headers)


def _hosted(state: State, tenant: str, job: jobs.Job) -> BackboneOut | None:
    """The backbone that a job has hosted, unless it has been deleted since."""
    try:
        return BackboneOut.of(state.backbones.find(tenant, job.request["backbone"]))
    except BackboneUnknown:
        return None


def _enqueue(state: State, tenant: str, asked: HostRequest | GraphForm, key: requests.Key | None) -> str:
    """Store what was asked for with its job, and queue that. Blocks."""
    _check_id(state, (asked.fields if isinstance(asked, GraphForm) else asked).id, asked)
    entry, blobs = _stored(state, asked) if isinstance(asked, GraphForm) else (_entry(state, tenant, asked), ())
    state.blobs.check_room(0)
    now_s = state.clock()
    job = jobs.Job.new(new_id("job", now_s), tenant, "host", {"backbone": entry.id, "entry": entry.to_dict()}, now_s)
    own = Own(tenant, entry, blobs, job.id, None, now_s)
    backbones.add(state.engine, own, job, key, state.settings.max_queued_jobs)
    if isinstance(asked, GraphForm):
        _stored(state, asked)  # a sweep at the same moment may have taken it; from here on it is pointed to
    state.queue.submit(job.id)
    return job.id


def _check_id(state: State, id_: str, asked: HostRequest | GraphForm) -> None:
    """Refuse a name that means something already.

    Raises:
        Conflict: It is the operator's, or the catalogue's and asked for something else.
        BodyInvalid: It is a word of ours.
    """
    if id_ == AUTO:
        raise BodyInvalid(f"{AUTO!r} means that the data choose the backbone; choose another id.")
    if id_ in state.backbones.names:
        raise Conflict(f"{id_!r} is hosted here for everybody already (GET /v1/backbones/{id_}); choose another id.")
    source = asked.source if isinstance(asked, HostRequest) else asked.graph
    if id_ in catalog() and source is not None and getattr(source, "catalog", None) != id_:
        raise Conflict(
            f"{id_!r} is the name of an entry of the catalogue; choose another id, or leave the source out to host it."
        )


def _entry(state: State, tenant: str, asked: HostRequest) -> Entry:
    def resolve(text: str) -> Version:
        reference = parse(text)
        adapter = adapters.get(state.engine, tenant, reference.name)
        number = reference.pick(
            {name: alias.version for name, alias in adapter.aliases.items()}, list(adapter.versions)
        )
        return adapter.versions[number]

    return entry_of(asked, state.settings.backbone_folders, resolve, state.blobs.path)


def _stored(state: State, form: GraphForm) -> tuple[Entry, tuple[str, ...]]:
    """The entry of an uploaded graph, whose files are blobs now."""
    graph = state.blobs.put_file(form.graph.file, form.graph.size or 0)
    tokenizer = state.blobs.put(form.tokenizer) if form.tokenizer else None
    path = state.blobs.path(tokenizer.digest) if tokenizer else None
    entry = form_entry(form.fields, state.blobs.path(graph.digest), path)
    return entry, (graph.digest, *([tokenizer.digest] if tokenizer else []))


@router.delete("/{backbone}", status_code=204, summary="Delete a backbone", responses=problems(404, 409))
def delete(state: Graft, tenant: Fitter, backbone: str) -> None:
    """Delete one of your own, which no version and no job needs."""
    if backbones.find(state.engine, tenant, backbone) is None and backbone in state.backbones.names:
        raise Conflict(f"{backbone!r} is hosted for everybody; the operator takes it out of GRAFT_BACKBONES.")
    backbones.remove(state.engine, tenant, backbone, state.clock())
    state.backbones.refresh()


ranking = APIRouter(prefix="/v1/backbones:rank", tags=["backbones"])


@ranking.post(
    "",
    status_code=202,
    response_model=JobOut,
    summary="Rank backbones for a dataset",
    responses={
        200: {"model": JobOut, "description": "Ended within `wait`; the table is its `result`"},
        202: {"model": JobOut, "description": "Under way"},
        **problems(400, 404, 409, 415, 422, 429, 507),
    },
    openapi_extra=takes(RankRequest),
)
async def rank(
    state: Graft,
    tenant: Fitter,
    body: Annotated[RankRequest, Depends(json_body(RankRequest))],
    request: Request,
    wait_s: Wait = 0,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Compare hosted backbones on a dataset.

    A quick probe, LogME and nearest neighbours on the same folds, and the measured time an item. Answers 202 with the
    job, or, with `wait`, 200 with the job when it has ended.
    """
    key = requests.key_of(tenant, idempotency_key, state.clock(), "rank", body.model_dump_json())
    job_id = await run_in_threadpool(requests.recall, state.engine, key)
    if job_id is None:
        job_id = await run_in_threadpool(_enqueue_ranking, state, tenant, body, key)
    request.state.job = job_id
    job = await wait(state, tenant, job_id, wait_s)
    return JSONResponse(JobOut.of(job).model_dump(mode="json"), 200) if job.finished else accepted(job)


def _enqueue_ranking(state: State, tenant: str, body: RankRequest, key: requests.Key | None) -> str:
    """Store the job and queue it. Blocks."""
    dataset = datasets.get(state.engine, tenant, body.dataset)
    modality = dataset.facts["modality"]
    if modality not in WORDS:
        raise BodyInvalid(
            f"Dataset {dataset.id} holds {modality} items, which no backbone embeds; there is nothing to rank."
        )
    state.backbones.refresh()
    names = compared(state.backbones.visible(tenant), state.backbones.names, modality, body.backbones)
    state.blobs.check_room(0)
    now_s = state.clock()
    asked = {"dataset": dataset.id, "candidates": list(names), "seed": body.seed}
    job = jobs.Job.new(new_id("job", now_s), tenant, "rank", asked, now_s)
    jobs.add(state.engine, job, key, state.settings.max_queued_jobs)
    state.queue.submit(job.id)
    return job.id
