"""Jobs change state under conditions, so that each ends once."""

import threading

import pytest

from service.errors import Busy, Conflict, NotFound
from service.registry import jobs, requests
from service.registry.jobs import CANCELLED, FAILED, QUEUED, RUNNING, STATES, SUCCEEDED, UNFINISHED


def _state(records, job):
    return jobs.get(records.engine, None, job.id).state


def test_a_job_is_read_as_it_was_stored(records):
    job = records.stored_job()
    assert jobs.get(records.engine, "default", job.id) == job
    assert jobs.get(records.engine, None, job.id) == job
    with pytest.raises(NotFound):
        jobs.get(records.engine, "other", job.id)


@pytest.mark.parametrize("state", STATES)
def test_what_has_ended_does_not_change_any_more(records, state):
    job = records.stored_job(state=state, version=None)
    before = jobs.get(records.engine, None, job.id)
    open_still = state in UNFINISHED
    assert job.finished is not open_still
    if open_still:
        return
    assert jobs.begin(records.engine, job.id, 5.0) is False
    assert jobs.fail(records.engine, job.id, {"code": "x"}, 5.0) is False
    assert jobs.end_cancelled(records.engine, job.id, 5.0) is False
    jobs.report(records.engine, job.id, "fit", 0.5)
    jobs.give_back(records.engine, job.id)
    with pytest.raises(Conflict, match=f"ended already .{state}."):
        jobs.ask_cancel(records.engine, "default", job.id, 5.0)
    assert jobs.get(records.engine, None, job.id) == before


def test_beginning_counts_attempts_and_keeps_the_first_start(records):
    job = records.stored_job()
    assert jobs.begin(records.engine, job.id, 5.0)
    jobs.report(records.engine, job.id, "fit", 0.5)
    assert jobs.begin(records.engine, job.id, 9.0)
    now = jobs.get(records.engine, None, job.id)
    assert (now.state, now.attempts, now.started_at) == (RUNNING, 2, 5.0)
    assert (now.stage, now.progress) == ("starting", 0.0)


def test_progress_is_noted_on_a_running_job_alone(records):
    waiting, running = records.stored_job(), records.running_job()
    for job in (waiting, running):
        jobs.report(records.engine, job.id, "fit", 0.5)
    assert jobs.get(records.engine, None, waiting.id) == waiting
    now = jobs.get(records.engine, None, running.id)
    assert (now.stage, now.progress) == ("fit", 0.5)


def test_giving_back_does_not_count_the_attempt(records):
    job = records.running_job()
    jobs.give_back(records.engine, job.id)
    now = jobs.get(records.engine, None, job.id)
    assert (now.state, now.attempts, now.stage) == (QUEUED, 0, "waiting")
    jobs.give_back(records.engine, job.id)
    assert jobs.get(records.engine, None, job.id).attempts == 0


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked(records):
    waiting, running = records.stored_job(), records.running_job()
    assert jobs.ask_cancel(records.engine, "default", waiting.id, 5.0).state == CANCELLED
    asked = jobs.ask_cancel(records.engine, "default", running.id, 5.0)
    assert (asked.state, asked.cancel_at) == (RUNNING, 5.0)
    assert jobs.begin(records.engine, waiting.id, 6.0) is False
    with pytest.raises(NotFound):
        jobs.ask_cancel(records.engine, "other", running.id, 5.0)


def test_a_job_ends_once_whoever_tries(records):
    job, won = records.running_job(), []
    start = threading.Barrier(8)

    def end(number):
        start.wait()
        if number % 2:
            done = jobs.fail(records.engine, job.id, {"code": "x"}, 5.0)
        else:
            done = jobs.end_cancelled(records.engine, job.id, 5.0)
        if done:
            won.append(FAILED if number % 2 else CANCELLED)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [_state(records, job)]


def test_a_full_queue_takes_no_more_and_running_jobs_do_not_count(records):
    records.running_job()
    jobs.add(records.engine, records.job(), None, max_queued=1)
    refused = records.job()
    with pytest.raises(Busy, match="1 jobs are waiting, the limit is 1"):
        jobs.add(records.engine, refused, None, max_queued=1)
    with pytest.raises(NotFound):
        jobs.get(records.engine, None, refused.id)


def test_the_key_and_the_job_are_stored_together_or_not_at_all(records):
    key = requests.key_of("default", "k", 1.0, "body")
    with pytest.raises(Busy):
        jobs.add(records.engine, records.job(), key, max_queued=0)
    assert requests.recall(records.engine, key) is None
    first, second = records.job(), records.job()
    jobs.add(records.engine, first, key, max_queued=9)
    with pytest.raises(Conflict):
        jobs.add(records.engine, second, key, max_queued=9)
    assert requests.recall(records.engine, key) == first.id
    with pytest.raises(NotFound):
        jobs.get(records.engine, None, second.id)


def test_unfinished_are_those_of_some_age_that_have_not_ended(records):
    made = {state: records.stored_job(state=state) for state in STATES}
    records.stored_job(created_at=9.0)
    assert sorted(jobs.unfinished(records.engine, 9.0)) == sorted([made[QUEUED].id, made[RUNNING].id])


def test_pages_are_filtered_by_state_and_tenant(records):
    ids = [records.stored_job(state=state).id for state in (SUCCEEDED, FAILED, SUCCEEDED, SUCCEEDED)]
    records.stored_job(state=SUCCEEDED, tenant="other")
    page = jobs.page(records.engine, "default", limit=2, after=None, state=SUCCEEDED)
    assert ([job.id for job in page.data], page.has_more) == ([ids[3], ids[2]], True)
    rest = jobs.page(records.engine, "default", limit=2, after=ids[2], state=SUCCEEDED)
    assert ([job.id for job in rest.data], rest.has_more) == ([ids[0]], False)
    assert len(jobs.page(records.engine, "default", limit=9, after=None, state=None).data) == 4
