"""What every process does alike."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.processes import JsonLines, configure_logging

ROOT = Path(__file__).parents[2]


def _formatted(**extra):
    record = logging.makeLogRecord(
        {"name": "service.x", "levelname": "INFO", "msg": "it is %s", "args": ("so",)} | extra
    )
    return json.loads(JsonLines().format(record))


def test_a_record_is_one_json_object_with_its_extra_fields():
    line = _formatted(created=12.34567, job="job_1")
    assert line == {"at": 12.346, "level": "INFO", "logger": "service.x", "event": "it is so", "job": "job_1"}


def test_values_that_are_no_json_and_line_breaks_stay_one_line():
    record = logging.makeLogRecord({"msg": "a\nb", "path": Path("x")})
    text = JsonLines().format(record)
    assert "\n" not in text
    assert json.loads(text)["path"] == "x"


def test_an_exception_is_a_field():
    try:
        raise ValueError("broken")
    except ValueError:
        line = _formatted(exc_info=sys.exc_info())
    assert "ValueError: broken" in line["exception"]


def test_configured_once_or_twice_a_record_is_logged_once(capsys, monkeypatch):
    names = ("service", "adapters", "models")
    for logger in map(logging.getLogger, names):
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.NOTSET)
    configure_logging("WARNING")
    configure_logging("WARNING")
    logging.getLogger("service.a.b").warning("once")
    logging.getLogger("models.a").info("never")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["once"]


CHILD = """
import os, sys, time
from service.processes import end_with_parent
end_with_parent({parent})
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
parent = os.getpid() if sys.argv[2] == "given" else ""
child = subprocess.Popen([sys.executable, "-c", sys.argv[1].format(parent=parent)])
time.sleep(60)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_until_gone(pid: int, timeout_s: float = 10) -> bool:
    deadline = time.monotonic() + timeout_s
    while not _gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return _gone(pid)


@pytest.mark.parametrize("how", ["given", "found"])
def test_a_process_ends_when_its_parent_is_killed(how):
    command = [sys.executable, "-c", PARENT, CHILD, how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not _gone(pid)
        parent.kill()
        parent.wait()
        assert _wait_until_gone(pid)


def test_a_process_whose_parent_had_gone_before_it_looked_ends():
    finished = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    program = CHILD.format(parent=int(finished.stdout))
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False, capture_output=True)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_process_goes_on_while_its_parent_lives():
    program = CHILD.format(parent=os.getpid()).replace("time.sleep(60)", "time.sleep(1.2)")
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False).returncode == 0
