"""Following a job: the stream, and polling where it breaks."""

import httpx
import pytest

from graft import NotFound, Retry, Timeout, Unreachable
from graft._calls import Calls
from graft._waiting import Follower, events


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def follower(fake, clock):
    with httpx.Client(base_url="http://graft.test", transport=httpx.MockTransport(fake)) as http:
        yield Follower(Calls(http, Retry(attempts=1), clock.sleep), clock=clock, sleep=clock.sleep)


def paths(fake):
    return [request.url.path.removeprefix("/v1/jobs/job_1") for request in fake.requests]


def test_the_stream_tells_each_change_once(follower, fake, messages):
    running = messages["running"]
    fake.stream = messages["sse"](("progress", running), ("progress", running), ("end", messages["done"]))
    assert [job.state for job in follower.follow("job_1")] == ["running", "succeeded"]
    assert paths(fake) == ["/events"]


def test_a_stream_that_stops_short_is_followed_by_polling(follower, fake, messages):
    fake.stream = messages["sse"](("progress", messages["running"]))
    assert [job.state for job in follower.follow("job_1")] == ["running", "succeeded"]
    assert paths(fake) == ["/events", ""]


def test_a_stream_that_is_cut_within_an_event_is_followed_by_polling(follower, fake, messages):
    fake.stream = messages["sse"](("progress", messages["running"])) + b'event: progress\ndata: {"id": "jo'
    assert [job.state for job in follower.follow("job_1")] == ["running", "succeeded"]


@pytest.mark.parametrize("refusal", [httpx.ReadError("reset"), httpx.ReadTimeout("silent"), httpx.Response(500)])
def test_a_stream_that_cannot_be_had_is_replaced_by_polling(follower, fake, refusal):
    fake.refusals = [refusal]
    assert [job.state for job in follower.follow("job_1")] == ["succeeded"]
    assert paths(fake) == ["/events", ""]


def test_a_service_that_restarts_is_waited_for(follower, fake, clock):
    fake.refusals = [httpx.ReadError("reset"), *[httpx.ConnectError("refused")] * 20, httpx.Response(503)]
    assert [job.state for job in follower.follow("job_1")] == ["succeeded"]
    assert clock.now == 21.0


def test_a_service_that_stays_away_is_unreachable(follower, fake, clock):
    fake.refusals = [httpx.ConnectError("refused")] * 100
    with pytest.raises(Unreachable):
        list(follower.follow("job_1"))
    assert 60 < clock.now <= 62


def test_an_unknown_job_is_not_waited_for(follower, fake, messages):
    fake.refusals = [messages["refusal"](404, detail="There is no job_1.")]
    with pytest.raises(NotFound):
        list(follower.follow("job_1"))
    assert paths(fake) == ["/events"]


def test_the_wait_is_bounded(follower, fake, messages, clock):
    fake.stream, fake.job = b"", messages["running"]
    with pytest.raises(Timeout, match="not finished after 5 s"):
        list(follower.follow("job_1", timeout_s=5))
    assert clock.now == 5.0


def test_events_are_decoded_as_they_come():
    lines = [
        ": keep-alive",
        "",
        "event: progress",
        'data: {"id": "job_1",',
        'data: "state": "running"}',
        "",
        "data: not json",
        "",
        "event: end",
        'data:{"id": "job_1", "state": "succeeded"}',
        "",
        "event: progress",
        "data: after the end",
    ]
    running, done = {"id": "job_1", "state": "running"}, {"id": "job_1", "state": "succeeded"}
    assert list(events(lines)) == [None, running, None, done]


def test_an_end_without_data_ends_the_stream():
    assert list(events(["event: end", "data:", "", "data: x", ""])) == [None]
