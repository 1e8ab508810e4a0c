"""Parts of backbones: one batch for all adapters that begin at a tap, and every item answered by its own.

A fake backbone prepares the text "7" as seven sevens and gives it as 7; the head "x10" answers it with [70, -70].
"""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from models.base import BatchLimits, Encoded
from models.errors import WrongInput
from service.errors import Busy
from service.serving.encoder import Encoder
from service.serving.tails import Addressing, Branching, Tail


class Numbers:
    """`gate` holds every batch in the trunk until it is set; `trunk` has what went through it."""

    limits = BatchLimits(100, 8)
    provider = "cpu"

    def __init__(self, modality="text"):
        self.card = SimpleNamespace(id="numbers", modality=modality)
        self.trunk = []
        self.gate = threading.Event()
        self.gate.set()

    def prepare(self, items):
        return [self._encoded(int(item)) for item in items]

    def _encoded(self, number):
        if number < 0:
            raise WrongInput(f"Item 0: {number} is below 0")
        return Encoded(np.full(max(number, 1), number), rest=(np.ones(1),) if number == 9 else ())

    def at(self, card, tap):
        """This is also the shelf of trunks."""
        assert (card, tap) == (self.card, "block3")
        return SimpleNamespace(run=self._states)

    def _states(self, batch):
        numbers = [int(item.values[0]) for item in batch]
        self.trunk.append(numbers)
        assert self.gate.wait(20)
        return {"hidden_states": np.array(numbers, np.float32), "attention_mask": np.ones(len(batch))}


class Head:
    """Answers a number with so many times it; `seen` has what came in each run."""

    def __init__(self, factor, fail=False):
        self.factor, self.fail, self.seen = factor, fail, []

    def run(self, at):
        numbers = at["hidden_states"]
        assert len(at["attention_mask"]) == len(numbers)
        self.seen.append(numbers.tolist())
        if self.fail:
            raise RuntimeError("this head is broken")
        return np.stack([numbers, -numbers], axis=1) * np.float32(self.factor)


@pytest.fixture
def numbers():
    return Numbers()


@pytest.fixture
def encoder(numbers):
    made = Encoder(Branching(numbers, "block3", numbers), max_waiting=100)
    yield made
    numbers.gate.set()
    made.close()


def tail(encoder, head):
    return Tail(encoder, Addressing(encoder.backbone.backbone, head))


def texts(*numbers):
    return [str(number) for number in numbers]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("count", [1, 7, 60])
async def test_every_item_gets_its_own_answer(modality, count):
    numbers = Numbers(modality)
    encoder = Encoder(Branching(numbers, "block3", numbers), max_waiting=100, lanes=2)
    asked = np.random.default_rng(0).integers(0, 10, count).tolist()
    sent = texts(*asked) if modality == "text" else [str(number).encode() for number in asked]
    answers, cut = await tail(encoder, Head(10)).answer(sent, 2)
    np.testing.assert_array_equal(answers, [[10 * number, -10 * number] for number in asked])
    np.testing.assert_array_equal(cut, [number == 9 for number in asked])
    assert encoder.waiting == 0
    encoder.close()


async def test_adapters_that_begin_at_one_tap_share_the_trunks_batch(encoder, numbers):
    one, two = Head(10), Head(100)
    numbers.gate.clear()
    held = asyncio.create_task(tail(encoder, one).answer(texts(1), 2))
    await until(lambda: numbers.trunk)
    calls = [asyncio.create_task(tail(encoder, head).answer(texts(2, 3), 2)) for head in (one, two)]
    await until(lambda: encoder.waiting == 4)
    numbers.gate.set()
    await held
    first, second = [await call for call in calls]
    np.testing.assert_array_equal(first[0][:, 0], [20, 30])
    np.testing.assert_array_equal(second[0][:, 0], [200, 300])
    assert [sorted(batch) for batch in numbers.trunk] == [[1], [2, 2, 3, 3]]
    assert [sorted(seen) for seen in two.seen] == [[2, 3]]


async def test_adapters_of_unlike_width_share_it_too(encoder):
    wide = Head(1)
    wide.run = lambda at: np.repeat(at["hidden_states"][:, None], 5, axis=1)
    (two, _), (five, _) = await asyncio.gather(
        tail(encoder, Head(1)).answer(texts(4), 2), tail(encoder, wide).answer(texts(6), 5)
    )
    assert (two.tolist(), five.tolist()) == ([[4, -4]], [[6] * 5])


async def test_a_head_that_fails_is_no_other_adapters_matter(encoder, numbers):
    numbers.gate.clear()
    held = asyncio.create_task(tail(encoder, Head(1)).answer(texts(1), 2))
    await until(lambda: numbers.trunk)
    calls = [asyncio.create_task(tail(encoder, head).answer(texts(2, 3), 2)) for head in (Head(10), Head(0, fail=True))]
    await until(lambda: encoder.waiting == 4)
    numbers.gate.set()
    await held
    whole, broken = await asyncio.gather(*calls, return_exceptions=True)
    np.testing.assert_array_equal(whole[0][:, 0], [20, 30])
    assert str(broken) == "this head is broken"
    assert len(numbers.trunk) == 2
    assert encoder.waiting == 0
    assert (await tail(encoder, Head(10)).answer(texts(7), 2))[0].tolist() == [[70, -70]]


async def test_too_much_is_refused(encoder, numbers):
    with pytest.raises(Busy, match="the limit is 100"):
        await tail(encoder, Head(1)).answer(texts(*[3] * 101), 2)
    assert numbers.trunk == []


async def test_a_file_that_cannot_be_decoded_is_pointed_at(encoder):
    with pytest.raises(WrongInput) as caught:
        await tail(encoder, Head(1)).answer([b"1", b"2", b"-1"], 2)
    assert [problem.pointer for problem in caught.value.problems] == ["/inputs/2"]
    await until(lambda: encoder.waiting == 0)
