"""What was used lately stays, up to a number of bytes, however many threads use it."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from service.serving.recent import Recent


@pytest.fixture
def recent():
    """Room for three values of ten bytes."""
    return Recent(30, len)


def fill(recent, keys, size=10):
    for key in keys:
        recent.put(key, key * size)


def held(recent, keys="abcdefg"):
    """Which of these keys are there; asking so is no use of them."""
    return "".join(key for key in keys if key in recent)


def test_what_was_put_is_there(recent):
    fill(recent, "ab")
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == ("a" * 10, "b" * 10, None)
    assert len(recent) == 2
    assert recent.bytes == 20


def test_the_limit_itself_is_not_over_it(recent):
    fill(recent, "abc")
    assert held(recent) == "abc"
    assert recent.bytes == 30


def test_the_oldest_leaves_first(recent):
    fill(recent, "abcde")
    assert held(recent) == "cde"
    assert recent.bytes == 30


def test_what_was_asked_for_is_young_again(recent):
    fill(recent, "abc")
    recent.get("a")
    fill(recent, "d")
    assert held(recent) == "acd"


def test_looking_whether_it_is_there_is_no_use(recent):
    fill(recent, "abc")
    assert "a" in recent
    fill(recent, "d")
    assert held(recent) == "bcd"


def test_what_is_put_again_is_young_again_and_counts_once(recent):
    fill(recent, "abc")
    recent.put("b", "B" * 5)
    assert held(recent) == "abc"
    assert recent.bytes == 25
    recent.put("d", "d" * 20)
    assert held(recent) == "bd"
    assert recent.get("b") == "BBBBB"


def test_a_large_one_takes_the_place_of_as_many_as_it_needs(recent):
    fill(recent, "abc")
    recent.put("d", "d" * 15)
    assert held(recent) == "cd"
    assert recent.bytes == 25


def test_one_that_is_larger_than_the_limit_stays_alone_until_the_next(recent):
    fill(recent, "ab")
    recent.put("c", "c" * 100)
    assert held(recent) == "c"
    assert recent.bytes == 100
    fill(recent, "d")
    assert held(recent) == "d"
    assert recent.bytes == 10


def test_what_is_let_go_gives_its_bytes_back(recent):
    fill(recent, "ab")
    for _ in range(2):
        recent.pop("a")
        assert held(recent) == "b"
        assert recent.bytes == 10
    recent.pop("nobody")
    assert recent.bytes == 10


def _between_all_steps(code, act):
    """A trace function that acts before each operation of the interpreter in that code, as another thread may."""

    def trace(frame, event, _):
        if frame.f_code is not code:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            act()
        return trace

    return trace


@pytest.fixture
def traced():
    before = sys.gettrace()
    yield sys.settrace
    sys.settrace(before)


def test_a_put_bears_a_get_between_any_two_of_its_steps(recent, traced):
    fill(recent, "abc")
    asked = []

    def ask():
        asked.append([recent.get(key) for key in "abc"])

    traced(_between_all_steps(Recent.put.__code__, ask))
    recent.put("d", "d" * 10)
    traced(None)
    assert len(asked) > 10
    assert len(recent) == 3
    assert "d" in recent
    assert recent.bytes == 30


def test_a_get_bears_that_its_key_leaves_between_any_two_of_its_steps(recent, traced):
    steps = []
    code = Recent.get.__code__
    fill(recent, "a")
    traced(_between_all_steps(code, lambda: steps.append(0)))
    recent.get("a")
    for leaves_at in range(len(steps)):
        fill(recent, "a")
        left = iter(range(len(steps)))
        traced(_between_all_steps(code, lambda left=left, at=leaves_at: next(left, None) == at and recent.pop("a")))
        assert recent.get("a") in ("a" * 10, None)
        traced(None)
        assert "a" not in recent
    assert len(steps) > 5


def test_while_one_thread_makes_room_another_one_waits():
    others = []

    def size_bytes(value):
        if value == "a" * 10 and "d" in coming:
            others.append(pool.submit(recent.put, "e", "e" * 10))
            assert wait(others, 0.1).not_done
        return len(value)

    recent, coming = Recent(30, size_bytes), []
    fill(recent, "abc")
    with ThreadPoolExecutor(1) as pool:
        coming.append("d")
        fill(recent, "d")
    assert len(others) == 1
    assert held(recent) == "cde"
    assert recent.bytes == 30


def test_many_threads_leave_it_whole(recent):
    def use(seed):
        chance = random.Random(seed)
        for _ in range(2_000):
            key = chance.choice("abcdefg")
            recent.get(key)
            recent.put(key, key * chance.randrange(1, 15))
            recent.get(chance.choice("abcdefg"))
            recent.pop(chance.choice("abcdefg"))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert recent.bytes == sum(len(recent.get(key)) for key in held(recent))
    assert recent.bytes <= 30
