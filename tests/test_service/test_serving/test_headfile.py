"""Real processes on one file: they see each other's heads, and one that is killed harms nobody."""

import hashlib
import mmap
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.serving.headfile import NAME
from service.serving.heads import HeadTable

ROOT = Path(__file__).parents[3]
WIDTH = 16
HEAD_BYTES = 320
FIRST = mmap.PAGESIZE
LIMIT = 2**20
SMALL = 2 * (FIRST + 34 * HEAD_BYTES)
"""Room for 34 heads."""

COMMON = """
import hashlib, os, signal, sys
from pathlib import Path
import numpy as np
from service.serving import headfile
from service.serving.heads import HeadTable

folder, limit, *rest = sys.argv[1:]
table = HeadTable(Path(folder), int(limit))

def key(i):
    return hashlib.sha256(str(i).encode()).hexdigest()

def put(i, k=3):
    return table.put(key(i), np.full((k, 16), i, np.float32), np.full(k, i, np.float32), 1.0)

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def second(call):
    calls = []
    return lambda *given: die() if calls else calls.append(call(*given))
"""

PUT_MANY = """
first, last = map(int, rest)
kept = []
for i in range(first, last):
    slot = table.get(key(i)) or put(i)
    kept.append((i, slot))
    for j, old in kept[-20:]:
        assert (old.weight == j).all() and (old.bias == j).all(), (i, j)
for j, old in kept:
    assert (old.weight == j).all() and (old.bias == j).all(), j
print("done", flush=True)
"""

HOLD_ONE = """
slot = put(1)
print("ready", flush=True)
sys.stdin.readline()
assert (slot.weight == 1).all()
again = table.get(key(1))
print("held" if again is not None else "let go", flush=True)
assert (put(2).weight == 2).all()
print(table._file._end, flush=True)
sys.stdin.readline()
"""

DIE = """
put(1)
print("ready", flush=True)
headfile.{seam} = {then}
{act}
"""


def _start(program, folder, *args, limit=LIMIT):
    command = [sys.executable, "-c", COMMON + program, str(folder), str(limit), *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def started():
    running = []

    def start(*args, **more):
        running.append(_start(*args, **more))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=10)


def _say(process):
    process.stdin.write("\n")
    process.stdin.flush()


def _key(i):
    return hashlib.sha256(str(i).encode()).hexdigest()


def _put(table, i, k=3):
    return table.put(_key(i), np.full((k, WIDTH), i, np.float32), np.full(k, i, np.float32), 1.0)


@pytest.mark.parametrize("limit", [2**22, SMALL], ids=["one file", "many files"])
def test_processes_that_add_the_same_and_other_heads_at_once(started, tmp_path, limit):
    processes = [started(PUT_MANY, tmp_path, first, first + 300, limit=limit) for first in (0, 0, 150)]
    table = HeadTable(tmp_path, limit)
    for i in range(450):
        slot = _put(table, i)
        assert (slot.weight == i).all(), i
    for process in processes:
        assert process.stdout.readline() == "done\n"
        assert process.wait(30) == 0
    if limit == 2**22:
        _put(table, 0)
        assert table._file._end == FIRST + 450 * HEAD_BYTES
    table.close()


def test_a_head_is_in_memory_once(started, tmp_path):
    other = started(HOLD_ONE, tmp_path)
    assert other.stdout.readline() == "ready\n"
    table = HeadTable(tmp_path, LIMIT)
    _put(table, 1)
    _put(table, 3)
    _say(other)
    assert other.stdout.readline() == "held\n"
    assert int(other.stdout.readline()) == table._file._end
    table.close()
    assert (tmp_path / NAME).exists()


def test_a_full_file_is_given_up_by_all_and_what_they_hold_stays_valid(started, tmp_path):
    other = started(HOLD_ONE, tmp_path, limit=SMALL)
    assert other.stdout.readline() == "ready\n"
    table = HeadTable(tmp_path, SMALL)
    _put(table, 1)
    for i in range(10, 45):
        _put(table, i)
    assert table.get(_key(1)) is None
    _say(other)
    assert other.stdout.readline() == "let go\n"
    assert int(other.stdout.readline()) == table._file._end
    table.close()


@pytest.mark.parametrize(
    ("seam", "then", "act"),
    [
        ("_write", "die", "put(2)"),
        ("_write", "second(headfile._write)", "put(2)"),
        ("HeadFile._move_end", "die", "put(2)"),
        ("HeadFile.begin", "die", "put(2, k=158)"),
        ("Path.replace", "die", "put(2, k=158)"),
    ],
    ids=["before it writes", "between two writes", "before it tells", "before a new file", "before it has its name"],
)
def test_a_writer_that_is_killed_leaves_readers_right_and_no_lock(started, tmp_path, seam, then, act):
    reader = started(HOLD_ONE, tmp_path, limit=SMALL)
    assert reader.stdout.readline() == "ready\n"
    writer = started(DIE.format(seam=seam, then=then, act=act), tmp_path, limit=SMALL)
    assert writer.stdout.readline() == "ready\n"
    assert writer.wait(30) == -signal.SIGKILL
    _say(reader)
    superseded = seam == "Path.replace"
    assert reader.stdout.readline() == ("let go\n" if superseded else "held\n")
    assert int(reader.stdout.readline()) == FIRST + (1 if superseded else 2) * HEAD_BYTES
    table = HeadTable(tmp_path, SMALL)
    for i in (1, 2):
        assert (_put(table, i).weight == i).all()
    assert table._file._end == FIRST + 2 * HEAD_BYTES
    table.close()


def test_what_a_service_that_was_killed_left_is_not_read(started, tmp_path):
    dead = started(HOLD_ONE, tmp_path)
    assert dead.stdout.readline() == "ready\n"
    dead.kill()
    dead.wait(10)
    left = (tmp_path / NAME).stat().st_ino
    table = HeadTable(tmp_path, LIMIT)
    _put(table, 5)
    assert (tmp_path / NAME).stat().st_ino != left
    assert table._file._end == FIRST + HEAD_BYTES
    table.close()


@pytest.mark.parametrize("left", [b"", b"short", b"\0" * 10_000, b"\xff" * 10_000])
def test_whatever_lies_there_at_the_start(tmp_path, left):
    for name in (NAME, f"{NAME}.new"):
        (tmp_path / name).write_bytes(left)
    table = HeadTable(tmp_path, LIMIT)
    assert (_put(table, 1).weight == 1).all()
    assert table.get(_key(1)) is not None
    table.close()
