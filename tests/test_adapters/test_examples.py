from dataclasses import replace

import numpy as np

from adapters.examples import Examples
from tests.contract.tiny_tuning import make_tuning_task


def test_batches_hold_every_row_once_and_items_of_about_one_length():
    rows = Examples.of(make_tuning_task(counts=(40, 40, 40, 40)), 1)
    batches = rows.shuffled(16, np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(160))
    spread = np.mean([np.ptp(rows.sizes[batch]) for batch in batches])
    assert spread < 0.5 * np.ptp(rows.sizes)
    assert [len(batch) for batch in rows.by_length(64)] == [64, 64, 32]
    assert np.all(np.diff(rows.sizes[np.concatenate(rows.by_length(64))]) <= 0)


def test_long_items_go_through_the_network_a_few_at_a_time():
    rows = replace(Examples.of(make_tuning_task(), 1), sizes=np.full(48, 1000))
    assert [len(piece) for piece in rows.pieces(np.arange(10), "cpu")] == [4, 3, 3]
    assert [len(piece) for piece in rows.pieces(np.arange(10), "cuda")] == [10]
    assert [len(piece) for piece in rows.pieces(np.arange(3), "cuda", 8)] == [1, 1, 1]
    longer = replace(rows, sizes=np.full(48, 10**6))
    assert [len(piece) for piece in longer.pieces(np.arange(2), "cpu")] == [1, 1]
