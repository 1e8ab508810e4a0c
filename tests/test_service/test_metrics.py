"""What is counted, and how it is shown."""

import os
import subprocess
import sys

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import JobsCollector, Meters, Seen, exposition


def shown(meters, jobs=(), workers=0, oldest_s=0.0):
    text = exposition(meters, JobsCollector(jobs, workers, oldest_s)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_method_and_status():
    meters = Meters(CollectorRegistry())
    for status in (200, 200, 404):
        meters.request(Seen("/v1/jobs/{job}", "GET", status), 0.004)
    samples = shown(meters)
    where = (("method", "GET"), ("route", "/v1/jobs/{job}"))
    assert samples["graft_http_requests_total", *where, ("status", "200")] == 2
    assert samples["graft_http_requests_total", *where, ("status", "404")] == 1
    assert samples["graft_http_request_seconds_bucket", ("le", "0.005"), *where] == 3
    assert samples["graft_http_request_seconds_bucket", ("le", "0.002"), *where] == 0


def test_batches_tell_items_and_padding():
    meters = Meters(CollectorRegistry())
    meters.batch(8, 120, 16)
    meters.batch(1, 10, 0)
    samples = shown(meters)
    assert samples["graft_batch_tokens_total", ("kind", "real")] == 130
    assert samples["graft_batch_tokens_total", ("kind", "padded")] == 16
    assert samples[("graft_batch_items_count",)] == 2
    assert samples[("graft_batch_items_sum",)] == 9


def test_levels_and_predictions():
    meters = Meters(CollectorRegistry())
    meters.level(waiting=5, held=7)
    meters.predicted("table", 3)
    samples = shown(meters)
    assert samples[("graft_waiting_items",)] == 5
    assert samples[("graft_adapters_held",)] == 7
    assert samples["graft_predictions_total", ("modality", "table")] == 3


def test_jobs_and_workers_are_shown_as_they_stand():
    samples = shown(Meters(CollectorRegistry()), [("running", "embed", 1), ("failed", "", 4)], workers=2, oldest_s=3.5)
    assert samples["graft_jobs", ("stage", "embed"), ("state", "running")] == 1
    assert samples["graft_jobs", ("stage", ""), ("state", "failed")] == 4
    assert samples[("graft_workers",)] == 2
    assert samples[("graft_oldest_queued_job_seconds",)] == 3.5


COUNT = """
import sys
from prometheus_client import CollectorRegistry
from service.metrics import JobsCollector, Meters, Seen, exposition, forget_the_dead
from pathlib import Path
import os
forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
meters = Meters(CollectorRegistry())
meters.request(Seen("/x", "GET", 200), 0.1)
meters.level(waiting=3, held=int(sys.argv[1]))
sys.stdout.buffer.write(exposition(meters, JobsCollector([], 0, 0.0)))
"""


def test_processes_are_added_up_and_the_dead_count_no_more_in_what_stands(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def count(held):
        return subprocess.run(
            [sys.executable, "-c", COUNT, str(held)], env=environment, capture_output=True, text=True, check=True
        ).stdout

    count(9)
    second = count(4)
    assert 'graft_http_requests_total{method="GET",route="/x",status="200"} 2.0' in second
    assert "graft_waiting_items 3.0" in second
    assert "graft_adapters_held 4.0" in second
