"""``examples/demo.py`` with a stand-in for the service."""

import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from graft import Client, Prediction, Version

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo"]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of the stopped process may be a zombie that nobody has collected.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_what_was_started_is_stopped_with_its_children(demo, tmp_path):
    script = (
        "import subprocess, sys, time; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "logs" / "demo.log"
    with demo.running([sys.executable, "-c", script], log) as child:
        while not log.read_text().endswith("\n"):
            time.sleep(0.01)
    grandchild = int(log.read_text())
    deadline = time.monotonic() + 5
    while is_running(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.returncode is not None
    assert not is_running(grandchild)


def test_a_child_that_will_not_stop_is_killed(demo, tmp_path):
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with demo.running([sys.executable, "-c", script], tmp_path / "demo.log") as child:
        while not (tmp_path / "demo.log").read_text():
            time.sleep(0.01)
        demo.stop(child, wait_s=0.1)
    assert child.returncode == -9


def test_a_service_that_ends_early_is_reported(demo, tmp_path):
    with (
        demo.running([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "demo.log") as child,
        Client(f"http://127.0.0.1:{demo.free_port()}") as client,
        Progress(disable=True) as progress,
    ):
        child.wait()
        with pytest.raises(demo.DemoFailed, match="exit code 7"):
            demo.wait_ready(client, child, progress)


def test_the_share_right_is_shown(demo):
    version = Version("intents", 1, "intents:1")
    outcome = demo.Outcome(version, [Prediction("refund", 0.9), Prediction("refund", 0.5)], 2.34)
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        demo.show(console, outcome, [("give it back", "refund"), ("[bold]lost[/]", "lost_card")])
        shown = console.export_text()
    assert "1 of 2 unseen sentences are right (50%)." in shown
    assert "wrong, expected lost_card" in shown
    assert "[bold]lost[/]" in shown
    assert "2.3 s from the start of the upload" in shown
