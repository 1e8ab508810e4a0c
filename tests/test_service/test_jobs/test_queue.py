"""The real queue on a file. Its worker side is one of a kind in a process, so it runs in processes of its own."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.jobs.queue import PENDING, Submitter, prepare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

WORKER = """
import os, sys, time
from pathlib import Path
from service.jobs.queue import Runner

url, executor, log, crash_in = sys.argv[1:]

def note(*words):
    with open(log, "a") as file:
        file.write(" ".join(words) + "\\n")

def fit(job):
    note(executor, "fit", job)
    if crash_in == "fit":
        os._exit(9)
    if job == "nothing":
        return None
    if job == "error":
        raise RuntimeError("ours")
    time.sleep(0.1)
    note(executor, "fitted", job)
    return {"of": job, "number": 1.5, "classes": ["a"]}

def publish(job, outcome):
    assert outcome == {"of": job, "number": 1.5, "classes": ["a"]}, outcome
    note(executor, "publish", job)
    if crash_in == "publish":
        os._exit(9)

Runner(url, executor, fit, publish).launch()
note(executor, "ready")
sys.stdin.read()
os._exit(0)
"""


class Bench:
    """A queue with workers that note what they do."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/queue.sqlite"
        self._log = folder / "log"
        self._log.touch()
        self._workers = []
        prepare(self.url)
        self.submitter = Submitter(self.url)

    def worker(self, executor, crash_in="-"):
        command = [sys.executable, "-c", WORKER, self.url, executor, str(self._log), crash_in]
        self._workers.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE))
        return self._workers[-1]

    def notes(self):
        return self._log.read_text().splitlines()

    def wait(self, note, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while note not in self.notes():
            assert time.monotonic() < deadline, self.notes()
            time.sleep(0.02)

    def wait_status(self, job, *statuses, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while (seen := self.submitter.standings([job]).get(job, ("", None)))[0] not in statuses:
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
        return seen

    def close(self):
        for worker in self._workers:
            worker.kill()
            worker.wait()
            worker.stdin.close()
        self.submitter.close()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


def test_jobs_run_once_each_one_at_a_time_in_order(bench):
    for job in ("one", "two", "one", "nothing", "one"):
        bench.submitter.submit(job)
    assert {status for status, _ in bench.submitter.standings(["one", "two", "nothing"]).values()} == {"ENQUEUED"}
    bench.worker("wk_a")
    for job in ("one", "two", "nothing"):
        assert bench.wait_status(job, "SUCCESS") == ("SUCCESS", "wk_a")
    assert sorted(bench.notes()) == sorted(
        ["wk_a ready"]
        + [f"wk_a {what} {job}" for job in ("one", "two") for what in ("fit", "fitted", "publish")]
        + ["wk_a fit nothing"]
    )
    fits = [note.split()[1] for note in bench.notes() if note != "wk_a ready"]
    assert fits == ["fit", "fitted", "publish", "fit", "fitted", "publish", "fit"]


def test_a_worker_that_dies_in_its_fit_leaves_the_job_to_another(bench):
    bench.submitter.submit("one")
    bench.worker("wk_a", crash_in="fit").wait(30)
    assert bench.submitter.standings(["one"]) == {"one": (PENDING, "wk_a")}
    bench.worker("wk_b")
    bench.wait("wk_b ready")
    assert bench.submitter.standings(["one"]) == {"one": (PENDING, "wk_a")}
    bench.submitter.resume(["one"])
    assert bench.wait_status("one", "SUCCESS") == ("SUCCESS", "wk_b")
    assert [note for note in bench.notes() if "one" in note] == [
        "wk_a fit one",
        "wk_b fit one",
        "wk_b fitted one",
        "wk_b publish one",
    ]


def test_a_worker_that_dies_while_it_publishes_leaves_a_fit_that_is_not_repeated(bench):
    bench.submitter.submit("one")
    bench.worker("wk_a", crash_in="publish").wait(30)
    bench.submitter.resume(["one"])
    bench.worker("wk_b")
    bench.wait_status("one", "SUCCESS")
    assert [note for note in bench.notes() if "one" in note] == [
        "wk_a fit one",
        "wk_a fitted one",
        "wk_a publish one",
        "wk_b publish one",
    ]


def test_a_cancelled_job_never_runs_and_an_error_is_told(bench):
    for job in ("cancelled", "error", "one"):
        bench.submitter.submit(job)
    bench.submitter.cancel("cancelled")
    bench.worker("wk_a")
    bench.wait_status("one", "SUCCESS")
    assert bench.wait_status("error", "ERROR")[0] == "ERROR"
    assert bench.wait_status("cancelled", "CANCELLED")[0] == "CANCELLED"
    assert "wk_a fit cancelled" not in bench.notes()
    assert "wk_a publish error" not in bench.notes()


def test_cancelling_a_job_that_is_not_there_is_harmless_and_it_has_no_standing(bench):
    bench.submitter.cancel("nobody")
    assert bench.submitter.standings(["nobody"]) == {}
    assert bench.submitter.standings([]) == {}


def test_preparing_again_keeps_what_is_queued(bench):
    bench.submitter.submit("one")
    prepare(bench.url)
    assert bench.submitter.standings(["one"])["one"][0] == "ENQUEUED"
