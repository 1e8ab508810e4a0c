import threading
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import BatchLimits, Encoded
from models.batching import PREPARED_AT_ONCE, RUN_TOKENS, embed, embed_parts, plan
from models.errors import WrongInput

SIZES = st.lists(st.integers(0, 300), max_size=60)


@given(SIZES, st.integers(1, 500), st.integers(1, 40))
def test_a_plan_holds_every_item_once_within_both_limits(sizes, max_tokens, max_items):
    batches = plan(sizes, max_tokens, max_items)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        assert 1 <= len(batch) <= max_items
        assert len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= max_tokens


@given(SIZES, st.integers(1, 500), st.integers(1, 40))
def test_batches_hold_neighbours_in_length_longest_first(sizes, max_tokens, max_items):
    order = [sizes[i] for batch in plan(sizes, max_tokens, max_items) for i in batch]
    assert order == sorted(sizes, reverse=True)


def _cost(batches, sizes):
    return sum(RUN_TOKENS + len(batch) * max(sizes[i] for i in batch) for batch in batches)


def _partitions(order):
    """Every way to cut a list into neighbours."""
    for cuts in product([False, True], repeat=max(0, len(order) - 1)):
        parts = [[order[0]]]
        for item, cut in zip(order[1:], cuts, strict=True):
            parts.append([item]) if cut else parts[-1].append(item)
        yield parts


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 200), st.integers(1, 8))
def test_no_plan_is_cheaper(sizes, max_tokens, max_items):
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    allowed = [
        parts
        for parts in _partitions(order)
        if all(len(p) <= max_items and (len(p) == 1 or len(p) * sizes[p[0]] <= max_tokens) for p in parts)
    ]
    assert _cost(plan(sizes, max_tokens, max_items), sizes) == min(_cost(parts, sizes) for parts in allowed)


def test_a_long_item_is_not_what_short_ones_are_padded_to():
    assert plan([5, 90, 5, 6], max_tokens=1000, max_items=8) == [[1], [3, 0, 2]]
    assert plan([5, 9, 5, 5, 9], max_tokens=1000, max_items=3) == [[1, 4], [0, 2, 3]]


@pytest.mark.parametrize("limits", [(0, 8), (8, 0), (-1, 8)])
def test_a_limit_below_one_is_refused(limits):
    with pytest.raises(ValueError, match="1 or more"):
        plan([1], *limits)


def test_embeddings_come_back_in_the_order_given(fake):
    texts = [
        "a longer text about a lost card",
        "short",
        "x" * 100,
        "",
        "a longer text about a lost card",
        "rise",
        "rises",
    ]
    z, truncated = embed(fake, texts, limits=BatchLimits(70, 2))
    alone = np.concatenate([fake.run(fake.prepare([text])) for text in texts])
    np.testing.assert_allclose(z, alone, atol=1e-6)
    assert z.dtype == np.float32
    assert truncated.tolist() == [False, False, True, False, False, False, False]


def test_no_items_give_no_rows(fake):
    z, truncated = embed(fake, [])
    assert (z.shape, truncated.shape, truncated.dtype) == ((0, 64), (0,), np.bool_)


def test_progress_rises_to_one(fake):
    seen = []
    embed(fake, ["a", "bb", "ccc"], limits=BatchLimits(384, 1), on_progress=seen.append)
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_what_check_raises_ends_the_work_between_batches(fake):
    calls = []

    def stop_at_the_third():
        calls.append(1)
        if len(calls) == 3:
            raise TimeoutError

    done = []
    with pytest.raises(TimeoutError):
        embed(fake, ["a", "b", "c", "d"], limits=BatchLimits(384, 1), on_progress=done.append, check=stop_at_the_third)
    assert len(done) == 1


def test_a_wrong_item_is_named_by_its_place(fake):
    with pytest.raises(WrongInput, match="Item 2 "):
        embed(fake, ["a", "b", 3])


def test_chunks_are_pooled(fake):
    texts = ["short", "y" * 300]
    z, cut = embed(fake, texts, long="chunk")
    first, _ = embed(fake, texts)
    np.testing.assert_array_equal(z[0], first[0])
    assert np.abs(z[1] - first[1]).max() > 1e-3
    assert cut.tolist() == [False, False]


def test_parts_are_neighbours_prepared_one_part_at_a_time(fake, monkeypatch):
    monkeypatch.setitem(PREPARED_AT_ONCE, "text", 3)
    texts = [f"text number {i} " + "x" * (7 * i % 40) for i in range(8)]
    prepared, progress = [], []

    class Watched:
        card, limits = fake.card, fake.limits
        run = staticmethod(fake.run)

        @staticmethod
        def prepare(items):
            prepared.append(len(items))
            return fake.prepare(items)

    parts = embed_parts(Watched, texts, on_progress=progress.append)
    seen = [(part.start, len(part.z), len(part.cut), sum(prepared)) for part in parts]
    assert seen == [(0, 3, 3, 3), (3, 3, 3, 6), (6, 2, 2, 8)]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    z, _ = embed(Watched, texts)
    alone = np.concatenate([fake.run(fake.prepare([text])) for text in texts])
    np.testing.assert_allclose(z, alone, atol=1e-6)


class Files:
    """Takes files of one number each, which is also their embedding; says which threads prepared them."""

    provider = "cpu"
    card = SimpleNamespace(modality="image", taps={"pooled": (1,)}, recipe={})
    limits = BatchLimits(1_000, 3)

    def __init__(self):
        self.ahead, self.ran, self.prepared, self.threads = [], 0, 0, set()

    def prepare(self, items):
        if items[0] == b"bad":
            raise WrongInput("bad")
        self.prepared += len(items)
        self.threads.add(threading.current_thread().name.split("_")[0])
        return [Encoded(np.full((2, 2, 3), int(item))) for item in items]

    def run(self, batch):
        self.ahead.append(self.prepared - self.ran)
        self.ran += len(batch)
        return np.array([[item.values[0, 0, 0]] for item in batch], dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_prepared_in_threads_and_not_far_ahead(threads):
    backbone = Files()
    parts = list(embed_parts(backbone, [b"%d" % i for i in range(50)], at_once=8, threads=threads))
    assert [part.start for part in parts] == list(range(0, 50, 8))
    np.testing.assert_array_equal(np.concatenate([part.z for part in parts])[:, 0], np.arange(50))
    assert backbone.threads == ({"prepare"} if threads > 1 else {"MainThread"})
    assert max(backbone.ahead) <= (16 if threads > 1 else 8)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]


def test_a_file_that_cannot_be_prepared_ends_the_work_and_its_threads():
    backbone = Files()
    with pytest.raises(WrongInput):
        list(embed_parts(backbone, [b"1"] * 10 + [b"bad"] + [b"1"] * 100, at_once=4, threads=2))
    assert backbone.ran == 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]


def test_whoever_stops_asking_for_parts_ends_the_threads():
    parts = embed_parts(Files(), [b"1"] * 100, at_once=4, threads=2)
    next(parts)
    parts.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]
