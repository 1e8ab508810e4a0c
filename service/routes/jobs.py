"""/v1/jobs: list, show, follow, cancel."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.registry import jobs
from service.routes.openapi import problems
from service.routes.state import Fitter, Graft, Part, Reader, State
from service.schemas.answers import JobOut, Page

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_S = 0.1
MAX_WAIT_S = 60.0
KEEP_ALIVE_S = 15.0

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@router.get("", response_model=Page[JobOut], summary="List jobs", responses=problems(422))
def list_jobs(
    state: Graft,
    tenant: Reader,
    part: Part,
    only: Annotated[JobState | None, Query(alias="state", description="Only jobs in this state.")] = None,
) -> Page[JobOut]:
    """Jobs, newest first."""
    page = jobs.page(state.engine, tenant, limit=part.limit, after=part.after, state=only).map(JobOut.of)
    return Page(data=list(page.data), has_more=page.has_more)


@router.get("/{job}", response_model=JobOut, summary="Show a job", responses=problems(404))
async def show(state: Graft, tenant: Reader, job: str) -> JobOut:
    """One job. When it shows a version, that version is served by this process."""
    return JobOut.of(await current(state, tenant, job))


@router.post("/{job}/cancel", status_code=202, response_model=JobOut, summary="Cancel", responses=problems(404, 409))
def cancel(state: Graft, tenant: Fitter, job: str) -> JobOut:
    """Stop a job: a queued one ends at once, a running one as soon as its fit has been stopped."""
    asked = jobs.ask_cancel(state.engine, tenant, job, state.clock())
    if asked.finished:
        state.queue.cancel(job)
    return JobOut.of(asked)


@router.get(
    "/{job}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "`progress` on each change, then `end`"},
        **problems(404),
    },
)
async def events(state: Graft, tenant: Reader, job: str) -> StreamingResponse:
    """Server-sent events: `progress` with the job on each change, and `end` with it when it has ended."""
    first = await current(state, tenant, job)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_follow(state, tenant, first), media_type="text/event-stream", headers=headers)


async def current(state: State, tenant: str, job_id: str) -> jobs.Job:
    """A job as it is now. What it has made, a version or a backbone, this process serves from here on."""
    job = await run_in_threadpool(jobs.get, state.engine, tenant, job_id)
    if job.version is not None:
        await run_in_threadpool(state.directory.refresh)
    if job.kind == "host" and job.result is not None:
        await run_in_threadpool(state.backbones.refresh)
        await state.backbones.warm(tenant, job.request["backbone"])
    return job


async def wait(state: State, tenant: str, job_id: str, seconds: float) -> jobs.Job:
    """A job when it has ended, or as it is after some seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    job = await current(state, tenant, job_id)
    while not job.finished and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(POLL_S)
        job = await current(state, tenant, job_id)
    return job


async def _follow(state: State, tenant: str, job: jobs.Job) -> AsyncIterator[str]:
    yield _event("progress", job)
    silent_s = 0.0
    while not job.finished:
        await asyncio.sleep(POLL_S)
        silent_s += POLL_S
        now = await current(state, tenant, job.id)
        if now != job:
            yield _event("progress", now)
            job, silent_s = now, 0.0
        elif silent_s >= KEEP_ALIVE_S:
            yield ": still here\n\n"
            silent_s = 0.0
    yield _event("end", job)


def _event(name: str, job: jobs.Job) -> str:
    return f"event: {name}\ndata: {JobOut.of(job).model_dump_json()}\n\n"
