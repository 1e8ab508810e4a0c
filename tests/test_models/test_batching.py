import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batching import embed, plan
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


def test_a_batch_is_filled_before_the_next_is_begun():
    assert plan([5, 9, 5, 5, 9], max_tokens=18, max_items=8) == [[1, 4], [0, 2, 3]]
    assert plan([5, 9, 5, 5, 9], max_tokens=1000, max_items=3) == [[1, 4, 0], [2, 3]]


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
    z, truncated = embed(fake, texts, max_tokens=70, max_items=2)
    alone = np.concatenate([fake.run(fake.prepare([text])) for text in texts])
    np.testing.assert_allclose(z, alone, atol=1e-6)
    assert z.dtype == np.float32
    assert truncated.tolist() == [False, False, True, False, False, False, False]


def test_no_items_give_no_rows(fake):
    z, truncated = embed(fake, [])
    assert (z.shape, truncated.shape, truncated.dtype) == ((0, 64), (0,), np.bool_)


def test_progress_rises_to_one(fake):
    seen = []
    embed(fake, ["a", "bb", "ccc"], max_items=1, on_progress=seen.append)
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
        embed(fake, ["a", "b", "c", "d"], max_items=1, on_progress=done.append, check=stop_at_the_third)
    assert len(done) == 1


def test_a_wrong_item_is_named_by_its_place(fake):
    with pytest.raises(WrongInput, match="Item 2 "):
        embed(fake, ["a", "b", 3])
