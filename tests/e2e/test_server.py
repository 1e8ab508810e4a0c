"""A real server through its life: upload, fit, predict, restart, predict; and what must survive a pulled plug."""

import os
import signal
import threading
import time

import httpx
import pytest

pytestmark = pytest.mark.slow


def test_the_whole_job_and_a_restart(make_server, rows):
    server = make_server().start()
    with server.client as client:
        version = client.fit(rows, name="intents")
        before = client.predict("intents", ["please reset my password", "where is the courier"])
        assert version.ref == "intents:1"
        assert [p.label for p in before] == ["password", "delivery"]
    assert server.stop() == 0
    server.start()
    with server.client as client:
        after = client.predict("intents", ["please reset my password", "where is the courier"])
        assert [(p.label, p.probability) for p in after] == [(p.label, p.probability) for p in before]
        assert client.fit(rows, name="intents", promote="always").version == 2
    assert server.stop() == 0
    assert "Traceback" not in server.log()


def test_bentoml_serve_starts_the_same_service_with_one_worker(make_server, rows):
    server = make_server(command="bentoml").start()
    assert len(server.named("service.jobs.worker")) == 1
    with server.client as client:
        assert client.fit(rows, name="intents").version == 1
    http_process = next(
        p for p in server.family() if p.net_connections("tcp") and "worker.service" in " ".join(p.cmdline())
    )
    assert {c.laddr.ip for c in http_process.net_connections("tcp") if c.status == "LISTEN"} == {"127.0.0.1"}
    assert server.stop() == 0


def test_ctrl_c_ends_everything_in_good_order(make_server):
    server = make_server().start()
    family = server.family()
    os.killpg(server.process.pid, signal.SIGINT)  # a terminal sends it to the whole foreground group
    assert server.process.wait(20) in {0, 1, 130}
    server.gone(family)
    assert "started again" not in server.log()
    assert "Traceback" not in server.log()


def begin_long_fit(client, rows, until):
    """A fit that is under way in the child."""
    job = client.fit(rows, name="long", wait=False)
    until(lambda: client.jobs.get(job.id).stage in {"compare", "fit"})
    return job


def test_a_killed_worker_is_replaced_and_its_fit_finishes_once(make_server, many_rows, until):
    server = make_server().start()
    with server.client as client:
        job = begin_long_fit(client, many_rows, until)
        (worker,) = server.named("service.jobs.worker")
        worker.kill()
        done = client.jobs.wait(job.id, timeout_s=120)
        assert (done.state, done.version) == ("succeeded", 1)
        assert done.attempts == 2
        assert [v.version for v in client.adapters.get("long").versions] == [1]
        assert client.predict("long", ["a b c"])


def test_a_killed_fit_process_is_replaced_too(make_server, many_rows, until):
    server = make_server().start()
    with server.client as client:
        job = begin_long_fit(client, many_rows, until)
        (child,) = server.named("service.jobs.child")
        child.kill()
        done = client.jobs.wait(job.id, timeout_s=120)
        assert (done.state, done.version, done.attempts) == ("succeeded", 1, 2)


def test_a_killed_service_finishes_the_fit_after_it_is_started_again(make_server, many_rows, until):
    server = make_server().start()
    with server.client as client:
        job = begin_long_fit(client, many_rows, until)
    server.kill()
    server.start()
    with server.client as client:
        done = client.jobs.wait(job.id, timeout_s=120)
        assert (done.state, done.version) == ("succeeded", 1)
        time.sleep(1)
        assert [v.version for v in client.adapters.get("long").versions] == [1]


def test_a_stopped_service_takes_its_fit_up_again_without_counting_an_attempt(make_server, many_rows, until):
    server = make_server().start()
    with server.client as client:
        job = begin_long_fit(client, many_rows, until)
    assert server.stop() == 0
    server.start()
    with server.client as client:
        done = client.jobs.wait(job.id, timeout_s=120)
        assert (done.state, done.attempts) == ("succeeded", 1)


def test_cancel_stops_a_running_fit_and_the_next_one_runs(make_server, many_rows, rows, until):
    server = make_server().start()
    with server.client as client:
        job = begin_long_fit(client, many_rows, until)
        asked = time.monotonic()
        client.jobs.cancel(job.id)
        until(lambda: client.jobs.get(job.id).state == "cancelled", timeout_s=10)
        assert time.monotonic() - asked < 5
        assert client.fit(rows, name="next").version == 1
        assert [a.name for a in client.adapters.list()] == ["next"]


def test_new_versions_are_served_without_a_failed_request(make_server, rows):
    server = make_server().start()
    with server.client as client:
        client.fit(rows, name="intents")
        stop, seen, failed = threading.Event(), [], []

        def ask() -> None:
            with httpx.Client(base_url=server.url) as http:
                while not stop.is_set():
                    answer = http.post("/v1/adapters/intents/predict", json={"inputs": ["refund please"]})
                    (seen if answer.status_code == 200 else failed).append(answer.json().get("adapter", answer.text))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            client.fit(rows, name="intents", method="prototype", promote="always")
        client.adapters.set_alias("intents", "live", 1)
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert {"intents:1", "intents:2", "intents:3", "intents:4"} <= set(seen)
    assert seen[-1] == "intents:1"


def test_minilm_end_to_end(make_server, tmp_path_factory):
    server = make_server(backbones="minilm-l6").start()
    with server.client as client:
        version = client.fit("examples/intents.csv", name="intents")
        assert version.metrics.accuracy > 0.5
        (predicted,) = client.predict("intents", ["I never got the code for my locker"])
        assert predicted.label == "pickup_code_missing"
    assert server.stop() == 0
    server.start()
    assert server.ready_s < 20
