"""/metrics: what the service counts, for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.metrics import JobsCollector, exposition
from service.registry import jobs, workers
from service.routes.state import Graft

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, summary="Figures for Prometheus")
def metrics(state: Graft) -> Response:
    """Requests by route, batches and their padding, what waits, heads held, jobs by state and stage, workers alive."""
    now_s = state.clock()
    oldest = jobs.oldest_queued(state.engine)
    standing = JobsCollector(
        jobs.counts(state.engine),
        workers.count(state.engine, now_s, state.settings.worker_timeout_s),
        0.0 if oldest is None else max(0.0, now_s - oldest),
    )
    return Response(exposition(state.meters, standing), media_type=CONTENT_TYPE_LATEST)
