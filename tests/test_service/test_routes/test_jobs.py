"""/v1/jobs."""

import json
import threading


def events_of(text: str) -> list[tuple[str, dict]]:
    """Server-sent events as (name, data)."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def start(service, name="a", **more):
    dataset = service.upload().json()["id"]
    return service.client.post("/v1/adapters", json={"name": name, "dataset": dataset, **more}).json()["id"]


def test_jobs_are_listed_newest_first_and_filtered(service, hold):
    service.adapt("done", method="prototype")
    hold.clear()
    running = start(service)
    service.wait(running, "running")
    listed = service.client.get("/v1/jobs").json()["data"]
    assert [job["state"] for job in listed] == ["running", "succeeded"]
    only = service.client.get("/v1/jobs?state=succeeded").json()["data"]
    assert [job["adapter"] for job in only] == ["done"]
    assert service.client.get("/v1/jobs?state=sleeping").status_code == 422
    page = service.client.get("/v1/jobs?limit=1").json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == ([running], True)


def test_a_running_job_is_cancelled(service, hold):
    hold.clear()
    job = start(service)
    service.wait(job, "running")
    asked = service.client.post(f"/v1/jobs/{job}/cancel")
    assert asked.status_code == 202
    assert asked.json()["cancelling"] is True
    done = service.wait(job, "cancelled")
    assert (done["version"], done["cancelling"]) == (None, False)
    hold.set()
    assert service.client.get("/v1/adapters/a").status_code == 404


def test_a_queued_job_is_cancelled_at_once_and_never_runs(service, hold):
    hold.clear()
    first, second = start(service), start(service, "b")
    service.wait(first, "running")
    asked = service.client.post(f"/v1/jobs/{second}/cancel")
    assert (asked.status_code, asked.json()["state"]) == (202, "cancelled")
    assert service.queue.cancelled == [second]
    hold.set()
    service.wait(first, "succeeded")
    for thread in service.queue.threads:
        thread.join(20)
    assert service.client.get(f"/v1/jobs/{second}").json()["state"] == "cancelled"
    assert service.client.get("/v1/adapters/b").status_code == 404


def test_a_finished_job_cannot_be_cancelled(service):
    job = service.adapt(method="prototype").json()["job"]
    answer = service.client.post(f"/v1/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "succeeded" in answer.json()["detail"]


def test_unknown_jobs(service):
    for answer in (
        service.client.get("/v1/jobs/job_x"),
        service.client.get("/v1/jobs/job_x/events"),
        service.client.post("/v1/jobs/job_x/cancel"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_events_tell_the_progress_and_end(service, hold):
    hold.clear()
    job = start(service)
    threading.Timer(0.5, hold.set).start()
    answer = service.client.get(f"/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    seen = events_of(answer.text)
    assert [name for name, _ in seen][-1] == "end"
    assert {name for name, _ in seen[:-1]} == {"progress"}
    assert seen[-1][1]["state"] == "succeeded"
    shares = [data["progress"] for _, data in seen]
    assert shares == sorted(shares)
    assert len(seen) >= 3


def test_events_of_a_finished_job_end_at_once(service):
    job = service.adapt(method="prototype").json()["job"]
    assert [name for name, _ in events_of(service.client.get(f"/v1/jobs/{job}/events").text)] == ["progress", "end"]


def test_too_many_waiting_jobs_are_answered_429(service, hold):
    hold.clear()
    object.__setattr__(service.state.settings, "max_queued_jobs", 1)
    service.wait(start(service), "running")
    start(service, "b")
    dataset = service.upload().json()["id"]
    refused = service.client.post("/v1/adapters", json={"name": "c", "dataset": dataset})
    assert (refused.status_code, refused.json()["code"]) == (429, "busy")
    assert refused.headers["retry-after"] == "1"
