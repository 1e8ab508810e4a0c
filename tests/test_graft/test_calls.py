"""Repeating calls, and turning refusals into errors."""

from datetime import UTC, datetime

import httpx
import pytest

from graft import ApiError, Busy, NotFound, Retry, Timeout, Unreachable
from graft._calls import Calls, retry_after_s


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def calls(fake, pauses):
    with httpx.Client(base_url="http://graft.test", transport=httpx.MockTransport(fake)) as http:
        yield Calls(http, Retry(attempts=4, first_s=0.5), sleep=pauses.append)


def test_a_call_that_never_arrived_is_repeated_whatever_it_is(calls, fake, pauses):
    fake.refusals = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")]
    assert calls.json("POST", "/v1/jobs/job_1/cancel")["id"] == "job_1"
    assert pauses == [0.5, 1.0]


def test_it_gives_up_and_says_how_to_start(calls, fake, pauses):
    fake.refusals = [httpx.ConnectError("refused")] * 9
    with pytest.raises(Unreachable, match="make serve"):
        calls.json("GET", "/v1/jobs")
    assert len(fake.requests) == 4
    assert pauses == [0.5, 1.0, 2.0]


def test_a_call_that_broke_on_the_way_is_repeated_only_where_that_is_safe(calls, fake):
    fake.refusals = [httpx.ReadError("reset"), httpx.RemoteProtocolError("closed")]
    calls.json("GET", "/v1/jobs")
    assert len(fake.requests) == 3

    fake.refusals = [httpx.ReadError("reset")]
    with pytest.raises(Unreachable, match="broke"):
        calls.json("POST", "/v1/jobs/job_1/cancel")
    assert len(fake.requests) == 4


def test_silence_is_not_repeated(calls, fake):
    fake.refusals = [httpx.ReadTimeout("silent")]
    with pytest.raises(Timeout, match="did not answer in time"):
        calls.json("GET", "/v1/jobs")
    assert len(fake.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(calls, fake, pauses, messages, status):
    fake.refusals = [messages["refusal"](status, headers={"retry-after": "3"}, detail="busy")]
    calls.json("POST", "/v1/jobs/job_1/cancel")
    assert pauses == [3.0]


def test_a_service_that_is_busy_for_long_is_an_error_at_once(calls, fake, pauses, messages):
    fake.refusals = [messages["refusal"](429, headers={"retry-after": "3600"}, detail="queue is full", code="busy")]
    with pytest.raises(Busy, match="queue is full") as caught:
        calls.json("GET", "/v1/jobs")
    assert (caught.value.retry_after_s, pauses) == (3600.0, [])


def test_the_sum_of_pauses_is_bounded(fake, messages):
    fake.refusals = [messages["refusal"](429, headers={"retry-after": "25"}, detail="busy") for _ in range(9)]
    pauses: list[float] = []
    with httpx.Client(base_url="http://graft.test", transport=httpx.MockTransport(fake)) as http:
        calls = Calls(http, Retry(attempts=9), sleep=pauses.append)
        with pytest.raises(Busy):
            calls.json("GET", "/v1/jobs")
    assert pauses == [25.0, 25.0]


def test_a_repeated_upload_has_the_same_key_and_the_whole_file(client, fake, messages, tmp_path):
    path = tmp_path / "intents.csv"
    path.write_bytes(b"text,label\nhello,x\n")
    fake.refusals = [
        httpx.ReadError("reset"),
        messages["refusal"](503, headers={"retry-after": "0"}, detail="starting"),
    ]

    client.fit(path, name="intents", wait=False)

    keys = [r.headers["idempotency-key"] for r in fake.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert [messages["form"](r)["file"] for r in fake.requests] == [path.read_bytes()] * 3
    client.datasets.upload(path)
    assert fake.requests[-1].headers["idempotency-key"] != keys[0], "another call is another creation"


def test_a_problem_becomes_an_error_with_all_it_says(calls, fake, messages):
    fake.refusals = [httpx.Response(422, json=messages["problem"] | {"request_id": "req_1"})]
    with pytest.raises(ApiError) as caught:
        calls.json("GET", "/v1/jobs")
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "upload-refused", "req_1")
    assert error.detail == "3 of 20 rows are bad; at most a tenth may be."
    assert [(p.row, p.pointer, p.detail) for p in error.problems] == [(7, None, "the label is empty")]


def test_not_found(calls):
    with pytest.raises(NotFound, match="There is no /v1/nothing"):
        calls.json("GET", "/v1/nothing")


def test_a_refusal_that_is_no_problem_shows_its_beginning(calls, fake):
    fake.refusals = [httpx.Response(502, text="<html>\nBad gateway " + "x" * 1000)]
    with pytest.raises(ApiError, match="answered HTTP 502: <html> Bad gateway") as caught:
        calls.json("GET", "/v1/jobs")
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize("answer", [httpx.Response(200, html="<p>hello</p>"), httpx.Response(200, json=[1])])
def test_another_service_at_the_address_is_recognised(calls, fake, answer):
    fake.refusals = [answer]
    with pytest.raises(ApiError, match="Is a Graft service at that address") as caught:
        calls.json("GET", "/v1/jobs")
    assert caught.value.code == "not-graft"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value, expected):
    assert retry_after_s(value, datetime(2026, 1, 1, tzinfo=UTC)) == expected
