"""Jobs that nobody works on are found by comparing the registry with the queue."""

import pytest

from service.jobs.recovery import GRACE_S, recover
from service.jobs.work import Work
from service.registry import jobs

NOW_S = 100.0


class StubQueue:
    """What the queue knows, and what it was told."""

    def __init__(self, **standings):
        self._standings = standings
        self.asked, self.submitted, self.resumed = [], [], []

    def standings(self, job_ids):
        self.asked.append(list(job_ids))
        return {job: self._standings[job] for job in job_ids if job in self._standings}

    def submit(self, job_id):
        self.submitted.append(job_id)

    def resume(self, job_ids):
        self.resumed.extend(job_ids)


def _recover(records, queue, alive=("wk_alive",)):
    return recover(records.engine, queue, set(alive), NOW_S)


def test_nothing_to_do_asks_the_queue_nothing(records):
    records.stored_job(state="succeeded")
    records.stored_job(created_at=NOW_S - GRACE_S / 2)
    queue = StubQueue()
    assert _recover(records, queue) == 0
    assert queue.asked == []


def test_a_job_that_the_queue_does_not_know_is_queued(records):
    job = records.stored_job()
    queue = StubQueue()
    assert _recover(records, queue) == 1
    assert (queue.submitted, queue.resumed) == ([job.id], [])


def test_a_job_that_a_dead_executor_holds_is_taken_from_it(records):
    dead, alive = records.running_job(), records.running_job()
    queue = StubQueue(**{dead.id: ("PENDING", "wk_dead"), alive.id: ("PENDING", "wk_alive")})
    assert _recover(records, queue) == 1
    assert (queue.submitted, queue.resumed) == ([], [dead.id])


@pytest.mark.parametrize("status", ["ENQUEUED", "DELAYED"])
def test_a_job_that_waits_is_left_alone(records, status):
    job = records.stored_job()
    queue = StubQueue(**{job.id: (status, None)})
    assert _recover(records, queue) == 0
    assert (queue.submitted, queue.resumed) == ([], [])
    assert jobs.get(records.engine, None, job.id) == job


@pytest.mark.parametrize("status", ["ERROR", "CANCELLED", "SUCCESS", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
def test_a_workflow_that_ended_without_ending_its_job_ends_it(records, status):
    job = records.running_job()
    assert _recover(records, StubQueue(**{job.id: (status, "wk_alive")})) == 0
    ended = jobs.get(records.engine, None, job.id)
    assert (ended.state, ended.error["status"], ended.finished_at) == ("failed", 500, NOW_S)
    assert status not in str(ended.error)


def test_a_workflow_that_ended_after_somebody_asked_to_stop_is_cancelled(records):
    job = records.running_job()
    jobs.ask_cancel(records.engine, "default", job.id, 50.0)
    _recover(records, StubQueue(**{job.id: ("ERROR", "wk_dead")}))
    ended = jobs.get(records.engine, None, job.id)
    assert (ended.state, ended.error) == ("cancelled", None)


def test_a_job_that_ended_while_the_queue_was_asked_keeps_its_end(records):
    job = records.running_job()

    class Late(StubQueue):
        def standings(self, job_ids):
            return dict.fromkeys(job_ids, ("SUCCESS", "wk_alive"))

    ended_between = jobs.unfinished(records.engine, NOW_S)
    assert ended_between == [job.id]
    queue = Late()
    real = jobs.unfinished
    try:
        jobs.unfinished = lambda engine, older_than: ended_between
        jobs.end_cancelled(records.engine, job.id, 60.0)
        _recover(records, queue)
    finally:
        jobs.unfinished = real
    assert jobs.get(records.engine, None, job.id).finished_at == 60.0


def test_a_job_cancelled_while_its_worker_was_dead_goes_back_and_ends_as_soon_as_it_is_taken(records):
    job = records.running_job()
    jobs.ask_cancel(records.engine, "default", job.id, 50.0)
    queue = StubQueue(**{job.id: ("PENDING", "wk_dead")})
    assert _recover(records, queue) == 1
    work = Work(records.engine, None, {}, lambda: NOW_S)
    assert [work.run(job_id) for job_id in queue.resumed] == [None]
    assert jobs.get(records.engine, None, job.id).state == "cancelled"
