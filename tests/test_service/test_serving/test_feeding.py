"""Files on their way into an encoder's line: decoded beside the session, a few at a time, and never far ahead.

A fake backbone "decodes" the bytes ``b"7"`` to [7, 7] and counts, so nothing here depends on time.
"""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from models.base import BatchLimits, Encoded
from models.errors import WrongInput
from service.errors import Busy, NotReady
from service.serving.encoder import Encoder
from service.serving.feeding import AHEAD, Feed

WAIT_S = 20


class FileBackbone:
    """Embeds files of numbers. `gate` holds every batch, `shutter` every decoding, until they are set."""

    limits = BatchLimits(10_000, 8)

    def __init__(self):
        self.card = SimpleNamespace(id="files", taps={"pooled": (2,)}, recipe={})
        self.gate, self.shutter = threading.Event(), threading.Event()
        self.gate.set()
        self.shutter.set()
        self.prepared = []
        self.batches = []
        self.threads = set()
        self.pieces = 1

    def prepare(self, items):
        assert self.shutter.wait(WAIT_S)
        self.threads.add(threading.current_thread().name)
        (item,) = items
        if not item.isdigit():
            raise WrongInput(f"Item 0: The file {item.decode()} is broken.")
        number = int(item)
        self.prepared.append(number)
        one = np.full(3, number, np.int64)
        return [Encoded(one, rest=tuple(one + 100 * k for k in range(1, self.pieces)))]

    def run(self, batch):
        assert self.gate.wait(WAIT_S)
        numbers = [int(item.values[0]) for item in batch]
        self.batches.append(numbers)
        return np.array([[number, number] for number in numbers], np.float32)


@pytest.fixture
def backbone():
    return FileBackbone()


@pytest.fixture
def encoder(backbone):
    made = Encoder(backbone, max_waiting=2_000, lanes=2)
    yield made
    backbone.gate.set()
    backbone.shutter.set()
    made.close()


def _files(*numbers):
    return [str(number).encode() for number in numbers]


async def _until(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("n", [1, 2, 7, 32, 300])
async def test_embeddings_come_in_the_order_of_the_files(encoder, backbone, n):
    z, cut = await encoder.embed(_files(*range(n)))
    np.testing.assert_array_equal(z, np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1))
    assert z.dtype == np.float32
    assert not cut.any()
    assert sorted(backbone.prepared) == list(range(n))
    assert encoder.waiting == 0


async def test_the_event_loop_decodes_nothing(encoder, backbone):
    await encoder.embed(_files(1))
    assert all(name.startswith("decode") for name in backbone.threads)


async def test_the_first_files_run_while_the_last_are_not_decoded(encoder, backbone):
    feeding = asyncio.create_task(encoder.embed(_files(*range(100))))
    await _until(lambda: backbone.batches)
    assert len(backbone.batches[0]) < 100
    await feeding


async def test_decoding_stays_a_little_ahead_of_the_session(encoder, backbone):
    backbone.gate.clear()
    feeding = asyncio.create_task(encoder.embed(_files(*range(1_000))))
    await _until(lambda: len(backbone.prepared) >= AHEAD)
    await asyncio.sleep(0.05)
    assert len(backbone.prepared) < AHEAD + 50
    backbone.gate.set()
    z, _ = await feeding
    assert z[:, 0].tolist() == list(range(1_000))


async def test_one_file_is_not_held_up_by_a_thousand(encoder, backbone):
    many = asyncio.create_task(encoder.embed(_files(*range(1_000))))
    await _until(lambda: len(backbone.prepared) > 10)
    await encoder.embed(_files(5_000))
    assert len(backbone.prepared) < 900
    await many


async def test_long_files_are_cut_or_pooled(encoder, backbone):
    backbone.pieces = 3
    z, cut = await encoder.embed(_files(1, 2, 3))
    assert z[:, 0].tolist() == [1, 2, 3]
    assert cut.tolist() == [True] * 3
    z, cut = await encoder.embed(_files(*range(20)), long="chunk")
    assert z[:, 0].tolist() == [number + 100 for number in range(20)]  # the mean of n, n + 100, n + 200
    assert not cut.any()
    assert encoder.waiting == 0


async def test_a_broken_file_fails_its_own_call_and_says_which(encoder, backbone):
    good = asyncio.create_task(encoder.embed(_files(*range(50))))
    with pytest.raises(WrongInput) as caught:
        await encoder.embed([*_files(*range(20)), b"bad", *_files(*range(20))])
    assert caught.value.message == "Input 20: The file bad is broken."
    assert [(p.pointer, p.detail) for p in caught.value.problems] == [("/inputs/20", "The file bad is broken.")]
    assert len((await good)[0]) == 50
    await _until(lambda: encoder.waiting == 0)


async def test_too_many_files_are_refused_before_they_are_decoded(encoder, backbone):
    backbone.gate.clear()
    first = asyncio.create_task(encoder.embed(_files(*range(1_900))))
    await _until(lambda: backbone.prepared)
    with pytest.raises(Busy, match="inputs are waiting for files"):
        await encoder.embed(_files(*range(5_000, 5_200)))
    assert max(backbone.prepared) < 5_000
    backbone.gate.set()
    await first


async def test_a_caller_who_goes_leaves_nothing_behind(encoder, backbone):
    backbone.gate.clear()
    call = asyncio.create_task(encoder.embed(_files(*range(500))))
    await _until(lambda: len(backbone.prepared) >= AHEAD)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    backbone.gate.set()
    assert (await encoder.embed(_files(7)))[0][0, 0] == 7
    await _until(lambda: encoder.waiting == 0)
    assert len(backbone.prepared) < 500


async def test_calls_fail_when_the_service_stops(backbone):
    encoder = Encoder(backbone, max_waiting=100)
    backbone.shutter.clear()
    call = asyncio.create_task(encoder.embed(_files(1, 2, 3)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(encoder.close))
    with pytest.raises(NotReady):
        await call
    backbone.shutter.set()
    await closing
    with pytest.raises(NotReady):
        await encoder.embed(_files(1))


async def test_no_tokens_are_counted(backbone):
    told = []
    watcher = SimpleNamespace(batch=lambda *numbers: told.append(numbers))
    encoder = Encoder(backbone, max_waiting=100, watcher=watcher)
    await encoder.embed(_files(1))
    assert told == [(1, 0, 0)]
    encoder.close()


async def test_a_session_of_all_cores_waits_until_nothing_is_decoded(backbone):
    wide = FileBackbone()
    encoder = Encoder(backbone, wide=wide, max_waiting=100, lanes=1, decoders=2)
    await encoder.embed(_files(1))
    assert wide.batches == [[1]]
    encoder.close()


def test_parts_are_small_and_cover_every_file(backbone):
    for n in (1, 3, 32, 1_000):
        feed = Feed(backbone, _files(*range(n)), "truncate", threads=2)
        parts = list(iter(feed.take, None))
        assert [at for part in parts for at in part] == list(range(n))
        assert max(map(len, parts)) <= 8
        assert feed.lines == min(2, len(parts))
