"""Requests are counted by their route and logged with ids; nothing of what they hold is."""

import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.processes import JsonLines


@pytest.fixture
def lines(caplog):
    """The log as it is written."""
    caplog.set_level(logging.DEBUG, logger="service")

    def written():
        return [json.loads(JsonLines().format(record)) for record in caplog.records]

    return written


def requests_by_route(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (s.labels["route"], s.labels["method"], s.labels["status"]): s.value
        for family in families
        for s in family.samples
        if s.name == "graft_http_requests_total"
    }


def test_requests_are_counted_by_template(service):
    service.adapt()
    for text in ("refund", "parcel"):
        service.predict("intents", text)
    service.predict("nothing", "x")
    service.client.get("/v1/adapters/intents")
    service.client.get("/v1/jobs/job_unknown")
    service.client.get("/some/where/else")
    seen = requests_by_route(service.client)
    assert seen["/v1/adapters/{ref}/predict", "POST", "200"] == 2
    assert seen["/v1/adapters/{ref}/predict", "POST", "404"] == 1
    assert seen["/v1/adapters/{name}", "GET", "200"] == 1
    assert seen["(none)", "GET", "404"] == 1
    assert not any("unknown" in route or "else" in route for route, _, _ in seen)


def test_an_unknown_method_is_no_label_of_its_own(service):
    service.client.request("BREW", "/v1/adapters")
    assert not any(method == "BREW" for _, method, _ in requests_by_route(service.client))


def test_jobs_are_shown_by_state(service):
    service.adapt()
    assert 'graft_jobs{stage="",state="succeeded"} 1.0' in service.client.get("/metrics").text


def test_batches_are_shown(service):
    service.adapt()
    service.predict("intents", "refund", "a much longer text about parcels")
    text = service.client.get("/metrics").text
    assert "graft_batch_items_count 1.0" in text or "graft_batch_items_count 2.0" in text
    assert 'graft_predictions_total{modality="text"} 2.0' in text


def test_a_request_is_one_line_with_its_ids_and_without_its_content(service, lines):
    service.adapt()
    service.client.post(
        "/v1/adapters/intents/predict", json={"inputs": ["SECRET text"]}, headers={"X-Request-Id": "abc-1"}
    )
    service.client.get("/v1/adapters/intents?after=SECRET")
    mine = [line for line in lines() if line["event"] == "request"]
    predicted = next(line for line in mine if line["request"] == "abc-1")
    assert (predicted["route"], predicted["status"], predicted["level"]) == ("/v1/adapters/{ref}/predict", 200, "DEBUG")
    assert predicted["ms"] > 0
    assert mine[-1]["level"] == "INFO"
    assert "SECRET" not in json.dumps(lines())


def test_a_prediction_that_is_refused_is_worth_a_line(service, lines):
    service.predict("nothing", "x")
    assert [line["level"] for line in lines() if line["event"] == "request"] == ["INFO"]


def test_a_fits_request_names_its_job_and_the_jobs_lines_do(service, lines):
    version = service.adapt().json()
    job = version["job"]
    seen = {line["event"] for line in lines() if line.get("job") == job}
    assert {"request", "a job begins", "published", "a job is done"} <= seen
    assert all(line["tenant"] == "default" for line in lines() if line.get("job") == job)
