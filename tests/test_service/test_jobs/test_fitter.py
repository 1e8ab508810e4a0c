"""The real child process, on the fake backbone."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from models.catalog import entry
from service.jobs.fit import Order
from service.jobs.fitter import ChildDied, Exceeded, Failed, Fitter, Stopped
from service.registry.items import pack_items
from service.store.blobs import Blobs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

NOISY_CHILD = """
import os, subprocess
import service.jobs.child as child

def noisy(command, fitting, folder, on_stage):
    print("a library prints")
    os.write(1, b"a library writes")
    subprocess.run(["echo", "its program prints"])
    on_stage("embed", 0.5)
    return command

child.obey = noisy
child.main()
"""


def _never():
    return None


@pytest.fixture
def child_home(tmp_path, backbones_dir, monkeypatch):
    (tmp_path / "backbones").symlink_to(backbones_dir)
    monkeypatch.setenv("GRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("GRAFT_FIT_THREADS", "1")
    return tmp_path


@pytest.fixture
def fitter(child_home):
    made = Fitter(memory_bytes=2**40)
    yield made
    made.kill()


FACTS = {"modality": "text", "task": "classification"}


@pytest.fixture
def order(child_home):
    def make(job="job_1", n=20, **more):
        texts = [f"{word} number {i}" for i in range(n) for word in ("refund", "parcel")]
        blob = Blobs(child_home).put(pack_items(texts, ["a", "b"] * n, range(2 * n)))
        fields = {"method": {"method": "prototype"}, "seed": 0, "max_seconds": 60.0} | more
        return {
            "do": "fit",
            "order": asdict(Order(job, f"ds_of_{job}", "s" * 64, blob.digest, FACTS, "fake", "truncate", **fields)),
        }

    return make


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_fits_one_after_the_other_in_one_warm_process(fitter, order, child_home):
    seen = []
    first = fitter.run(order("job_1"), lambda *progress: seen.append(progress), _never)
    pid = fitter._process.pid
    second = fitter.run(order("job_2"), lambda *_: None, _never)
    assert fitter._process.pid == pid
    assert (first["dataset"], second["dataset"]) == ("ds_of_job_1", "ds_of_job_2")
    assert first["classes"] == ["a", "b"]
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert next(stage for stage, _ in seen) == "embed"
    for file in first["files"].values():
        assert len(Blobs(child_home).get(file["sha256"])) == file["size_bytes"]

    refused = order("job_3", limit_s=1e-9)
    with pytest.raises(Failed) as caught:
        fitter.run(refused, lambda *_: None, _never)
    assert caught.value.problem["code"] == "deadline-exceeded"
    wrong = order("job_4")
    wrong["order"]["blob"] = "0" * 64
    with pytest.raises(Failed) as caught:
        fitter.run(wrong, lambda *_: None, _never)
    assert caught.value.problem["code"] == "artifact-corrupt"
    with pytest.raises(Failed) as caught:
        fitter.run({"do": "fit", "order": {"nonsense": 1}}, lambda *_: None, _never)
    assert (caught.value.problem["status"], "nonsense" in str(caught.value.problem)) == (500, False)
    hosted = fitter.run({"do": "host", "entry": entry("fake").to_dict(), "pointer": True}, lambda *_: None, _never)
    assert (hosted["card"]["id"], hosted["torch"]) == ("fake", False)
    assert fitter._process.pid == pid


def test_a_reason_to_stop_kills_the_child_whatever_it_does_and_the_next_command_works(fitter, order):
    reason, pids = [], []

    def on_progress(stage, share):
        pids.append(fitter._process.pid)
        os.kill(pids[0], signal.SIGSTOP)  # deaf to everything but a kill
        reason.append("cancelled")

    with pytest.raises(Stopped, match="cancelled"):
        fitter.run(order(n=2_000), on_progress, lambda: reason[-1] if reason else None)
    assert not _alive(pids[0])
    assert fitter.run(order("job_2"), lambda *_: None, _never)["dataset"] == "ds_of_job_2"


def test_a_child_that_crashes_is_noticed_and_the_next_command_works(fitter, order):
    with pytest.raises(ChildDied, match="code -9"):
        fitter.run(order(), lambda *_: os.kill(fitter._process.pid, signal.SIGKILL), _never)
    assert fitter.run(order("job_2"), lambda *_: None, _never)["dataset"] == "ds_of_job_2"


def test_a_child_that_died_between_commands_is_replaced(fitter, order):
    fitter.warm()
    fitter._process.kill()
    fitter._process.wait()
    assert fitter.run(order(), lambda *_: None, _never)["dataset"] == "ds_of_job_1"


def test_an_interrupted_commands_answer_is_never_the_next_ones(fitter, order):
    def on_progress(stage, share):
        raise LookupError("the database is away")

    with pytest.raises(LookupError):
        fitter.run(order("job_1"), on_progress, _never)
    assert fitter.run(order("job_2"), lambda *_: None, _never)["dataset"] == "ds_of_job_2"


def test_a_child_that_says_nothing_for_too_long_is_killed(fitter, order):
    pids = []

    def on_progress(stage, share):
        pids.append(fitter._process.pid)
        os.kill(pids[0], signal.SIGSTOP)

    fitter.run(order("job_1"), lambda *_: None, _never)  # what is imported at its start is no progress either
    with pytest.raises(Exceeded, match=r"no progress for 3 seconds"):
        fitter.run(order(n=2_000), on_progress, _never, patience_s=3)
    assert not _alive(pids[0])
    assert fitter.run(order("job_2"), lambda *_: None, _never)["dataset"] == "ds_of_job_2"


def test_a_child_over_its_memory_is_killed(child_home, order):
    fitter = Fitter(memory_bytes=2**20)
    with pytest.raises(ChildDied, match=r"used [\d,]+ bytes of memory, the limit is 1,048,576"):
        fitter.run(order(), lambda *_: None, _never)
    assert fitter._process is None


def test_what_libraries_print_does_not_reach_the_answers(child_home):
    done = subprocess.run(
        [sys.executable, "-c", NOISY_CHILD],
        input='{"do": "x"}\n{"do": "y"}\n',
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    stage = {"stage": "embed", "progress": 0.5}
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        stage,
        {"done": {"do": "x"}},
        stage,
        {"done": {"do": "y"}},
    ]
    for noise in ("a library prints", "a library writes", "its program prints"):
        assert done.stderr.count(noise) == 2
