"""One job from claim to end: attempts are counted, ends are noted, poison is given up, whatever the kind."""

import pytest

from service.database.engine import writing
from service.errors import BodyInvalid, NotFound, NotReady, problem
from service.jobs import work as module
from service.jobs.fitter import ChildDied, Exceeded, Failed, Stopped
from service.jobs.work import MAX_ATTEMPTS, Work
from service.registry import jobs


class StubFitter:
    """Plays one scripted end after the other."""

    def __init__(self, *ends):
        self._ends = list(ends)
        self.commands, self.killed, self.warmed = [], 0, 0

    def run(self, command, on_progress, why_stop, patience_s):
        self.commands.append(command)
        self.patience_s = patience_s
        on_progress("embed", 0.25)
        end = self._ends.pop(0)
        end = end(why_stop) if callable(end) else end
        if isinstance(end, Exception):
            raise end
        return end

    def kill(self):
        self.killed += 1

    def warm(self):
        self.warmed += 1


class StubKind:
    """Keeps the outcome as the job's result."""

    given_up = "Ask for less."
    patience_s = 9.0

    def __init__(self, engine, refusal):
        self._engine = engine
        self._refusal = refusal

    def command(self, job):
        if self._refusal is not None:
            raise self._refusal
        return {"do": "it", "job": job.id}

    def keep(self, job, outcome, now_s):
        with writing(self._engine) as connection:
            return jobs.succeed(connection, job.id, outcome, now_s)


class Clock:
    def __init__(self):
        self.now_s = 10.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def job(records):
    return records.stored_job()


@pytest.fixture
def working(records):
    def make(*ends, refusal=None):
        return Work(records.engine, StubFitter(*ends), {"adapt": StubKind(records.engine, refusal)}, Clock())

    return make


def _now(records, job):
    return jobs.get(records.engine, None, job.id)


def test_the_child_is_told_and_its_outcome_handed_on(records, job, working):
    work = working({"found": 1})
    assert work.run(job.id) == {"found": 1}
    assert work._fitter.commands == [{"do": "it", "job": job.id}]
    assert (work._fitter.killed, work._fitter.warmed) == (0, 0)
    now = _now(records, job)
    assert (now.state, now.attempts, now.stage, now.progress) == ("running", 1, "embed", 0.25)
    assert work.job is None


def test_a_child_that_holds_torch_is_replaced(job, working):
    work = working({"torch": True})
    work.run(job.id)
    assert (work._fitter.killed, work._fitter.warmed) == (1, 1)


def test_a_child_that_died_is_tried_again(records, job, working):
    work = working(ChildDied("killed"), ChildDied("killed"), {"found": 1})
    assert work.run(job.id) == {"found": 1}
    assert _now(records, job).attempts == 3


def test_poison_is_given_up_and_the_message_says_what_to_do(records, job, working):
    work = working(*[ChildDied("killed")] * MAX_ATTEMPTS)
    assert work.run(job.id) is None
    ended = _now(records, job)
    assert (ended.state, ended.attempts, ended.error["status"]) == ("failed", MAX_ATTEMPTS, 500)
    assert "ended its process 3 times" in ended.error["detail"]
    assert "given up (killed)" in ended.error["detail"]
    assert "Ask for less." in ended.error["detail"]


def test_a_job_that_stands_still_ends_at_once_with_a_sentence(records, job, working):
    work = working(Exceeded("there was no progress for 9 seconds"))
    assert work.run(job.id) is None
    ended = _now(records, job)
    assert (ended.state, ended.attempts, ended.error["code"]) == ("failed", 1, "job-stalled")
    assert work._fitter.patience_s == 9.0
    assert "no progress for 9 seconds" in ended.error["detail"]
    assert "Ask for less." in ended.error["detail"]


def test_attempts_of_workers_that_died_count_too(records, job, working):
    for _ in range(MAX_ATTEMPTS):
        jobs.begin(records.engine, job.id, 2.0)
    work = working()
    assert work.run(job.id) is None
    assert work._fitter.commands == []
    assert _now(records, job).state == "failed"


def test_what_cannot_be_done_fails_with_its_problem_at_once(records, job, working):
    body = problem(BodyInvalid("too few rows"), "")
    assert working(Failed(body)).run(job.id) is None
    ended = _now(records, job)
    assert (ended.state, ended.error, ended.attempts) == ("failed", body, 1)


@pytest.mark.parametrize("refusal", [NotFound("the dataset is gone"), NotReady("not hosted")])
def test_what_a_job_needs_and_is_gone_fails_it_before_the_child_is_told(records, job, working, refusal):
    work = working(refusal=refusal)
    assert work.run(job.id) is None
    assert work._fitter.commands == []
    ended = _now(records, job)
    assert (ended.state, ended.error["code"]) == ("failed", refusal.code)


def test_cancel_while_it_runs_reaches_the_fitter(records, job, working):
    def cancelled(why_stop):
        assert why_stop() is None
        jobs.ask_cancel(records.engine, "default", job.id, 11.0)
        return Stopped(why_stop())

    assert working(cancelled).run(job.id) is None
    assert _now(records, job).state == "cancelled"


def test_a_job_that_was_cancelled_before_is_never_begun(records, job, working):
    jobs.ask_cancel(records.engine, "default", job.id, 5.0)
    work = working()
    assert work.run(job.id) is None
    assert work._fitter.commands == []
    assert _now(records, job).attempts == 0


@pytest.mark.parametrize("end", [Stopped("the worker stops"), ChildDied("killed with the worker")])
def test_a_worker_that_stops_waits_for_its_end_and_ends_no_job(records, job, working, monkeypatch, end):
    class ProcessEnded(BaseException):
        pass

    def sleep(_seconds):
        raise ProcessEnded

    monkeypatch.setattr(module.time, "sleep", sleep)

    def stops(why_stop):
        work.stopping = True
        assert why_stop() == "the worker stops"
        return end

    work = working(stops)
    with pytest.raises(ProcessEnded):
        work.run(job.id)
    assert _now(records, job).state == "running"
    jobs.give_back(records.engine, job.id)
    assert (_now(records, job).state, _now(records, job).attempts) == ("queued", 0)


def test_progress_is_written_at_most_every_so_often_within_a_stage(job, working, monkeypatch):
    noted = []
    monkeypatch.setattr(module.jobs, "report", lambda engine, job_id, stage, share: noted.append((stage, share)))
    work = working()
    report = work._reporter(job.id)
    for share in (0.1, 0.2, 0.3):
        report("embed", share)
    report("fit", 0.4)
    work._clock.now_s += 2 * module.REPORT_EVERY_S
    report("fit", 0.51239)
    assert noted == [("embed", 0.1), ("fit", 0.4), ("fit", 0.512)]


def test_the_outcome_is_kept_once(records, job, working):
    work = working({"found": 1})
    outcome = work.run(job.id)
    work.keep(job.id, outcome)
    work._clock.now_s += 100
    work.keep(job.id, outcome)
    ended = _now(records, job)
    assert (ended.state, ended.result, ended.finished_at) == ("succeeded", {"found": 1}, 10.0)


def test_the_outcome_of_a_job_cancelled_meanwhile_is_dropped(records, job, working):
    work = working({"found": 1})
    outcome = work.run(job.id)
    jobs.ask_cancel(records.engine, "default", job.id, 11.0)
    work.keep(job.id, outcome)
    ended = _now(records, job)
    assert (ended.state, ended.result) == ("cancelled", None)


def test_a_job_given_back_after_its_work_is_still_kept(records, job, working):
    work = working({"found": 1})
    outcome = work.run(job.id)
    jobs.give_back(records.engine, job.id)
    work.keep(job.id, outcome)
    assert _now(records, job).state == "succeeded"
