"""One session shared by everybody: in order, fair, and a failure stays with its own callers.

A fake backbone embeds the text "7" as [7, 7] and counts its batches, so nothing here depends on time.
"""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from models.base import BatchLimits, Encoded
from service.errors import Busy, NotReady
from service.serving.encoder import CANDIDATES, Encoder


class NumberBackbone:
    """Embeds numbers. `gate` holds every batch until it is set; `entered` tells that one is held."""

    def __init__(self):
        self.card = SimpleNamespace(id="numbers", taps={"pooled": (2,)}, recipe={})
        self.size_of = lambda number: 1
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches = []
        self.fail_on = None
        self.held = 0

    limits = BatchLimits(384, 32)

    def prepare(self, items):
        return [self._encoded(int(item)) for item in items]

    def _encoded(self, number):
        ids = np.array([number] * self.size_of(number), np.int64)
        return Encoded(ids, rest=(ids + 2,) if number == 9 else ())

    def run(self, batch):
        self.held += 1
        self.entered.set()
        assert self.gate.wait(20)
        self.held -= 1
        numbers = [int(item.values[0]) for item in batch]
        self.batches.append(numbers)
        if self.fail_on in numbers:
            raise RuntimeError(f"cannot embed {self.fail_on}")
        return np.array([[number, number] for number in numbers], np.float32)


@pytest.fixture
def backbone():
    return NumberBackbone()


@pytest.fixture
def encoder(backbone):
    made = Encoder(backbone, max_waiting=2_000)
    yield made
    backbone.gate.set()
    made.close()
    assert not any(thread.is_alive() for thread in made._threads)


def _texts(*numbers):
    return [str(number) for number in numbers]


async def _held(encoder, backbone, texts=("0",)):
    """A call whose batch is held, so that what comes now has to wait."""
    backbone.gate.clear()
    backbone.entered.clear()
    first = asyncio.create_task(encoder.embed(list(texts)))
    await asyncio.to_thread(backbone.entered.wait, 20)
    return first


async def _until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def _waiting(encoder, number):
    await _until(lambda: encoder.waiting == number)


async def test_rows_come_back_in_the_order_given(encoder):
    numbers = [(i * 37) % 1000 for i in range(1000)]
    z, truncated = await encoder.embed(_texts(*numbers))
    np.testing.assert_array_equal(z[:, 0], numbers)
    assert z.dtype == np.float32
    assert [i for i, cut in zip(numbers, truncated, strict=True) if cut] == [9]
    assert encoder.waiting == 0


async def test_many_calls_at_once_get_their_own_rows(encoder):
    calls = [[i * 10 + j for j in range(i % 7 + 1)] for i in range(60)]
    answers = await asyncio.gather(*(encoder.embed(_texts(*numbers)) for numbers in calls))
    for numbers, (z, _) in zip(calls, answers, strict=True):
        np.testing.assert_array_equal(z[:, 1], numbers)


async def test_calls_that_wait_share_batches(encoder, backbone):
    first = await _held(encoder, backbone)
    others = [asyncio.create_task(encoder.embed(_texts(i))) for i in range(1, 21)]
    await _waiting(encoder, 20)
    backbone.gate.set()
    await asyncio.gather(first, *others)
    assert sorted(map(len, backbone.batches)) == [1, 20]


async def test_a_small_call_waits_for_one_batch_of_a_large_one(encoder, backbone):
    large = await _held(encoder, backbone, _texts(*range(1000, 2000)))
    small = asyncio.create_task(encoder.embed(_texts(5)))
    await _waiting(encoder, 1000 - CANDIDATES + 1)
    backbone.gate.set()
    z, _ = await small
    assert z[0, 0] == 5
    await large
    assert any(5 in numbers for numbers in backbone.batches[:2])


async def test_no_call_is_starved_by_many_small_ones(encoder, backbone):
    first = await _held(encoder, backbone)
    large = asyncio.create_task(encoder.embed(_texts(*range(1000, 1008))))
    small = [asyncio.create_task(encoder.embed(_texts(i))) for i in range(1, 2 * CANDIDATES)]
    await _waiting(encoder, 8 + 2 * CANDIDATES - 1)
    backbone.gate.set()
    await asyncio.gather(first, large, *small)
    assert 1000 in backbone.batches[1]
    assert list(map(len, backbone.batches)) == [1, CANDIDATES, CANDIDATES, 7]


async def test_items_are_batched_with_others_of_their_length(encoder, backbone):
    backbone.size_of = lambda number: 100 if number % 2 else 3
    first = await _held(encoder, backbone)
    calls = [asyncio.create_task(encoder.embed(_texts(i))) for i in range(1, 9)]
    await _waiting(encoder, 8)
    backbone.gate.set()
    await asyncio.gather(first, *calls)
    assert sorted(map(sorted, backbone.batches[1:])) == [[1, 3, 5], [2, 4, 6, 8], [7]]


async def test_the_call_that_has_waited_longest_is_in_the_next_batch(encoder, backbone):
    backbone.size_of = lambda number: 200 if number == 1 else 3
    first = await _held(encoder, backbone)
    calls = [asyncio.create_task(encoder.embed(_texts(1)))]
    await _waiting(encoder, 1)
    calls += [asyncio.create_task(encoder.embed(_texts(i))) for i in range(2, 20)]
    await _waiting(encoder, 19)
    backbone.gate.set()
    await asyncio.gather(first, *calls)
    assert backbone.batches[1] == [1]


async def test_lanes_run_batches_side_by_side(backbone):
    made = Encoder(backbone, max_waiting=100, lanes=2)
    backbone.gate.clear()
    calls = []
    for number in (1, 2):
        calls.append(asyncio.create_task(made.embed(_texts(number))))
        await _until(lambda number=number: backbone.held == number)
    backbone.gate.set()
    answers = await asyncio.gather(*calls)
    made.close()
    assert [z[0, 0] for z, _ in answers] == [1, 2]


async def test_a_call_whose_items_run_in_two_lanes_is_answered_once_whole(backbone):
    made = Encoder(backbone, max_waiting=1_000, lanes=2)
    for _ in range(20):
        numbers = list(range(100, 200))
        z, _ = await made.embed(_texts(*numbers))
        np.testing.assert_array_equal(z[:, 0], numbers)
    made.close()


async def test_one_large_call_keeps_every_lane_busy(backbone):
    made = Encoder(backbone, max_waiting=1_000, lanes=2)
    await asyncio.sleep(0.1)  # both lanes sleep when it comes
    backbone.gate.clear()
    call = asyncio.create_task(made.embed(_texts(*range(100, 200))))
    await _until(lambda: backbone.held == 2)
    backbone.gate.set()
    z, _ = await call
    made.close()
    assert z[:, 0].tolist() == list(range(100, 200))


async def test_a_batch_that_is_alone_has_all_the_threads(backbone):
    wide = NumberBackbone()
    made = Encoder(backbone, max_waiting=100, lanes=2, wide=wide)
    await made.embed(_texts(1))
    assert (wide.batches, backbone.batches) == ([[1]], [])
    wide.gate.clear()
    wide.entered.clear()
    first = asyncio.create_task(made.embed(_texts(2)))
    await asyncio.to_thread(wide.entered.wait, 20)
    await made.embed(_texts(3))
    wide.gate.set()
    await first
    made.close()
    assert (wide.batches, backbone.batches) == ([[1], [2]], [[3]])


async def test_chunks_are_pooled_and_nothing_is_cut(encoder):
    z, cut = await encoder.embed(_texts(4, 9, 5), "chunk")
    np.testing.assert_array_equal(z[:, 0], [4, 10, 5])
    assert cut.tolist() == [False, False, False]


async def test_every_batch_is_counted(backbone):
    seen = []
    watcher = SimpleNamespace(batch=lambda items, tokens, padding: seen.append((items, tokens, padding)))
    made = Encoder(backbone, max_waiting=100, watcher=watcher)
    backbone.size_of = lambda number: 10 + number
    await made.embed(_texts(1, 2))
    made.close()
    assert seen == [(2, 23, 1)]


async def test_too_much_waiting_is_busy_and_takes_nothing(encoder, backbone):
    first = await _held(encoder, backbone)
    waits = asyncio.create_task(encoder.embed(_texts(*range(1_990))))
    await _waiting(encoder, 1_990)
    with pytest.raises(Busy, match="1990 inputs are waiting for numbers, the limit is 2000"):
        await encoder.embed(_texts(*range(11)))
    fits = asyncio.create_task(encoder.embed(_texts(*range(10))))
    await _waiting(encoder, 2_000)
    backbone.gate.set()
    await asyncio.gather(first, waits, fits)
    assert encoder.waiting == 0


async def test_a_cancelled_caller_leaves_and_the_others_are_answered(encoder, backbone):
    first = await _held(encoder, backbone)
    same_size = [asyncio.create_task(encoder.embed(_texts(10 * i, 10 * i + 1, 10 * i + 2))) for i in range(1, 5)]
    await _waiting(encoder, 12)
    same_size[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await same_size[2]
    assert encoder.waiting == 9
    backbone.gate.set()
    await first
    for i in (1, 2, 4):
        z, _ = await same_size[i - 1]
        np.testing.assert_array_equal(z[:, 0], [10 * i, 10 * i + 1, 10 * i + 2])
    assert not any(number in range(30, 33) for numbers in backbone.batches for number in numbers)


async def test_a_caller_cancelled_while_its_batch_runs_harms_nobody(encoder, backbone):
    first = await _held(encoder, backbone, _texts(*range(40)))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    backbone.gate.set()
    z, _ = await encoder.embed(_texts(7))
    assert z[0, 0] == 7
    assert encoder.waiting == 0


async def test_a_failing_batch_fails_its_own_callers_alone_and_their_rest_is_not_embedded(encoder, backbone):
    backbone.fail_on = 1000
    bad = await _held(encoder, backbone, _texts(*range(1000, 1200)))
    good = asyncio.create_task(encoder.embed(_texts(*range(40))))
    await _waiting(encoder, 200 - CANDIDATES + 40)
    backbone.gate.set()
    with pytest.raises(RuntimeError, match="cannot embed 1000"):
        await bad
    z, _ = await good
    np.testing.assert_array_equal(z[:, 0], range(40))
    assert encoder.waiting == 0
    z, _ = await encoder.embed(_texts(8))
    assert z[0, 0] == 8


async def test_an_item_that_cannot_be_prepared_fails_its_call_alone(encoder):
    with pytest.raises(ValueError, match="invalid literal"):
        await encoder.embed(["x"])
    with pytest.raises(ValueError, match="invalid literal"):
        await encoder.embed(["x"] * 100)
    assert encoder.waiting == 0
    assert (await encoder.embed(["3"]))[0][0, 0] == 3


async def test_nothing_is_embedded_at_once(encoder, backbone):
    z, truncated = await asyncio.wait_for(encoder.embed([]), 10)
    assert (z.shape, truncated.shape, backbone.batches) == ((0, 2), (0,), [])


async def test_closing_fails_those_who_wait_and_refuses_new_ones(encoder, backbone):
    held = await _held(encoder, backbone)
    waits = asyncio.create_task(encoder.embed(_texts(1)))
    await _waiting(encoder, 1)
    closing = asyncio.create_task(asyncio.to_thread(encoder.close))
    with pytest.raises(NotReady, match="stops"):
        await asyncio.wait_for(waits, 10)
    with pytest.raises(NotReady, match="stops"):
        await asyncio.wait_for(encoder.embed(_texts(2)), 10)
    backbone.gate.set()
    assert (await held)[0][0, 0] == 0
    await closing
