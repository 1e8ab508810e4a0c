"""One job from claim to publish: attempts are counted, ends are noted, poison is given up."""

import pytest

from service.errors import BodyInvalid, problem
from service.jobs import adapting as module
from service.jobs.adapting import MAX_ATTEMPTS, Adapting
from service.jobs.fitter import ChildDied, Failed, Stopped
from service.registry import adapters, datasets, jobs


class StubFitter:
    """Plays one scripted end after the other."""

    def __init__(self, *ends):
        self._ends = list(ends)
        self.commands = []

    def run(self, command, on_progress, why_stop):
        self.commands.append(command)
        on_progress("embed", 0.25)
        end = self._ends.pop(0)
        end = end(why_stop) if callable(end) else end
        if isinstance(end, Exception):
            raise end
        return end


class Clock:
    def __init__(self):
        self.now_s = 10.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def job(records):
    dataset, _ = datasets.add(records.engine, records.dataset())
    request = records.job().request | {"dataset": dataset.id}
    return records.stored_job(request=request)


@pytest.fixture
def adapting(records):
    def make(*ends):
        return Adapting(records.engine, records.home, StubFitter(*ends), Clock())

    return make


def _now(records, job):
    return jobs.get(records.engine, None, job.id)


def _outcome(records, job):
    """What the child would answer, taken from a manifest of a draft."""
    given = records.draft(job).manifest(1).to_dict()
    given = {key: value for key, value in given.items() if key not in {"name", "number", "job", "created_at", "format"}}
    return given | {"metrics": {"accuracy": 1.0}, "seconds": {"fit": 0.5}}


def test_a_fit_is_ordered_and_its_outcome_handed_on(records, job, adapting):
    work = adapting({"kind": "affine"})
    assert work.fit(job.id) == {"kind": "affine"}
    (command,) = work._fitter.commands
    assert command["do"] == "fit"
    assert command["order"] | {"blob": ""} == {
        "job": job.id,
        "dataset": job.request["dataset"],
        "dataset_sha256": "s" * 64,
        "blob": "",
        "facts": {},
        "backbone": "fake",
        "long": "truncate",
        "method": {"method": "prototype"},
        "seed": 0,
        "max_seconds": 60.0,
    }
    now = _now(records, job)
    assert (now.state, now.attempts, now.stage, now.progress) == ("running", 1, "embed", 0.25)
    assert work.job is None


def test_a_fit_that_died_is_tried_again(records, job, adapting):
    work = adapting(ChildDied("killed"), ChildDied("killed"), {"kind": "affine"})
    assert work.fit(job.id) == {"kind": "affine"}
    assert _now(records, job).attempts == 3


def test_poison_is_given_up_and_the_message_says_what_to_do(records, job, adapting):
    work = adapting(*[ChildDied("killed")] * MAX_ATTEMPTS)
    assert work.fit(job.id) is None
    ended = _now(records, job)
    assert (ended.state, ended.attempts, ended.error["status"]) == ("failed", MAX_ATTEMPTS, 500)
    assert "ended its process 3 times" in ended.error["detail"]
    assert "GRAFT_FIT_MEMORY_BYTES" in ended.error["detail"]


def test_attempts_of_workers_that_died_count_too(records, job, adapting):
    for _ in range(MAX_ATTEMPTS):
        jobs.begin(records.engine, job.id, 2.0)
    work = adapting()
    assert work.fit(job.id) is None
    assert work._fitter.commands == []
    assert _now(records, job).state == "failed"


def test_a_fit_that_cannot_be_done_fails_with_its_problem_at_once(records, job, adapting):
    body = problem(BodyInvalid("too few rows"), "")
    assert adapting(Failed(body)).fit(job.id) is None
    ended = _now(records, job)
    assert (ended.state, ended.error, ended.attempts) == ("failed", body, 1)


def test_a_dataset_that_is_gone_fails_the_job(records, adapting):
    job = records.stored_job()
    work = adapting()
    assert work.fit(job.id) is None
    assert work._fitter.commands == []
    ended = _now(records, job)
    assert (ended.state, ended.error["code"]) == ("failed", "not-found")


def test_cancel_while_it_runs_reaches_the_fitter(records, job, adapting):
    def cancelled(why_stop):
        assert why_stop() is None
        jobs.ask_cancel(records.engine, "default", job.id, 11.0)
        return Stopped(why_stop())

    assert adapting(cancelled).fit(job.id) is None
    assert _now(records, job).state == "cancelled"


def test_a_job_that_was_cancelled_before_is_never_begun(records, job, adapting):
    jobs.ask_cancel(records.engine, "default", job.id, 5.0)
    work = adapting()
    assert work.fit(job.id) is None
    assert work._fitter.commands == []
    assert _now(records, job).attempts == 0


@pytest.mark.parametrize("end", [Stopped("the worker stops"), ChildDied("killed with the worker")])
def test_a_worker_that_stops_waits_for_its_end_and_ends_no_job(records, job, adapting, monkeypatch, end):
    class ProcessEnded(BaseException):
        pass

    def sleep(_seconds):
        raise ProcessEnded

    monkeypatch.setattr(module.time, "sleep", sleep)

    def stops(why_stop):
        work.stopping = True
        assert why_stop() == "the worker stops"
        return end

    work = adapting(stops)
    with pytest.raises(ProcessEnded):
        work.fit(job.id)
    assert _now(records, job).state == "running"
    jobs.give_back(records.engine, job.id)
    assert (_now(records, job).state, _now(records, job).attempts) == ("queued", 0)


def test_progress_is_written_at_most_every_so_often_within_a_stage(records, job, adapting, monkeypatch):
    noted = []
    monkeypatch.setattr(module.jobs, "report", lambda engine, job_id, stage, share: noted.append((stage, share)))
    work = adapting()
    report = work._reporter(job.id)
    for share in (0.1, 0.2, 0.3):
        report("embed", share)
    report("fit", 0.4)
    work._clock.now_s += 2 * module.REPORT_EVERY_S
    report("fit", 0.51239)
    assert noted == [("embed", 0.1), ("fit", 0.4), ("fit", 0.512)]


class TestPublish:
    def test_makes_the_version_of_the_outcome(self, records, job, adapting):
        outcome = _outcome(records, job)
        work = adapting(outcome)
        work.publish(job.id, work.fit(job.id))
        version = adapters.get(records.engine, "default", "intents").versions[1]
        assert (version.manifest.job, version.metrics) == (job.id, {"accuracy": 1.0})
        assert version.manifest.created_at == "1970-01-01T00:00:10+00:00"
        assert _now(records, job).seconds == {"fit": 0.5}

    def test_again_changes_nothing(self, records, job, adapting):
        work = adapting(_outcome(records, job))
        outcome = work.fit(job.id)
        work.publish(job.id, outcome)
        before = adapters.get(records.engine, "default", "intents")
        work._clock.now_s += 100
        work.publish(job.id, outcome)
        assert adapters.get(records.engine, "default", "intents") == before
        assert _now(records, job).finished_at == 10.0

    def test_of_a_job_cancelled_after_its_fit_makes_no_version(self, records, job, adapting):
        work = adapting(_outcome(records, job))
        outcome = work.fit(job.id)
        jobs.ask_cancel(records.engine, "default", job.id, 11.0)
        work.publish(job.id, outcome)
        assert (_now(records, job).state, _now(records, job).version) == ("cancelled", None)

    def test_of_a_job_given_back_after_its_fit_makes_its_version(self, records, job, adapting):
        work = adapting(_outcome(records, job))
        outcome = work.fit(job.id)
        jobs.give_back(records.engine, job.id)
        work.publish(job.id, outcome)
        assert (_now(records, job).state, _now(records, job).version) == ("succeeded", 1)
