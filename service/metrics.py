"""What the service counts, for Prometheus.

Labels are few and known beforehand: routes by their template, never a path, a name or a tenant.

Each HTTP process counts for itself. With several of them, prometheus-client keeps the numbers in files (its
multi-process mode), and whichever process is asked adds them up.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.processes import exists

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Variable by which prometheus-client is told where the files lie; read when it is imported."""

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
ITEMS = (1, 2, 4, 8, 16, 32)


class Seen(NamedTuple):
    """What a request is counted under."""

    route: str
    method: str
    status: int


class Meters:
    """The counters of one process.

    Args:
        registry: What they are registered with; in multi-process mode the files matter and not the registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "graft_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "graft_http_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ["route", "method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._inputs = Counter("graft_predictions", "Inputs predicted.", ["modality"], registry=registry)
        self._batch_items = Histogram(
            "graft_batch_items", "Items in one run of a backbone.", buckets=ITEMS, registry=registry
        )
        tokens = Counter(
            "graft_batch_tokens",
            "Tokens run through a backbone: the items' own, and padding.",
            ["kind"],
            registry=registry,
        )
        self._real, self._padding = tokens.labels("real"), tokens.labels("padded")
        self._waiting = Gauge(
            "graft_waiting_items",
            "Items that wait for a backbone.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._held = Gauge(
            "graft_adapters_held",
            "Heads held ready, in the process that holds most.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        # Looking labels up costs more than counting.
        self._request = lru_cache(maxsize=1_000)(lambda seen: self._requests.labels(*map(str, seen)))
        self._duration = lru_cache(maxsize=1_000)(self._seconds.labels)

    def request(self, seen: Seen, seconds: float) -> None:
        """One request was answered."""
        self._request(seen).inc()
        self._duration(seen.route, seen.method).observe(seconds)

    def predicted(self, modality: str, inputs: int) -> None:
        """One call was predicted."""
        self._inputs.labels(modality).inc(inputs)

    def batch(self, items: int, tokens: int, padding: int) -> None:
        """One run of a backbone; see `service.serving.encoder.Watcher`."""
        self._batch_items.observe(items)
        self._real.inc(tokens)
        self._padding.inc(padding)

    def level(self, waiting: int, held: int) -> None:
        """What stands at this moment."""
        self._waiting.set(waiting)
        self._held.set(held)


class JobsCollector:
    """Jobs and workers, counted in the database at the moment somebody asks."""

    def __init__(self, jobs: Iterable[tuple[str, str, int]], workers: int, oldest_queued_s: float) -> None:
        self._jobs = jobs
        self._workers = workers
        self._oldest_queued_s = oldest_queued_s

    def collect(self) -> Iterable[Metric]:
        """See prometheus-client."""
        jobs = GaugeMetricFamily(
            "graft_jobs", "Jobs by state; unfinished ones also by stage.", labels=["state", "stage"]
        )
        for state, stage, count in self._jobs:
            jobs.add_metric([state, stage], count)
        yield jobs
        yield GaugeMetricFamily("graft_workers", "Workers that are alive.", value=self._workers)
        yield GaugeMetricFamily(
            "graft_oldest_queued_job_seconds", "Age of the job that has waited longest.", value=self._oldest_queued_s
        )


def exposition(meters: Meters, jobs: JobsCollector) -> bytes:
    """Everything as Prometheus' text format, of all processes. Reads files: call it from a worker thread."""
    registry = meters.registry
    if DIRECTORY in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    asked = CollectorRegistry()
    asked.register(jobs)
    return generate_latest(registry) + generate_latest(asked)


def forget_the_dead(folder: Path) -> None:
    """Drop what processes that have ended said of the moment; what they counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not exists(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
