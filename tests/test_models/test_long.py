from types import SimpleNamespace

import numpy as np
import pytest

from models.base import Encoded
from models.long import Pieces

PLAIN = SimpleNamespace(recipe={})
UNIT = SimpleNamespace(recipe={"normalisation": "L2"})


def item(*sizes):
    first, *rest = (np.full(size, size, np.int64) for size in sizes)
    return Encoded(first, tuple(rest))


ITEMS = [item(4), item(6, 6, 2), item(3)]


def test_truncating_keeps_the_first_piece_and_says_so():
    pieces = Pieces.of(ITEMS, "truncate")
    assert [piece.size for piece in pieces.encoded] == [4, 6, 3]
    assert pieces.cut.tolist() == [False, True, False]
    z = np.eye(3, dtype=np.float32)
    assert pieces.pool(z, UNIT) is z


def test_chunking_keeps_every_piece_in_order_and_cuts_nothing():
    pieces = Pieces.of(ITEMS, "chunk")
    assert [piece.size for piece in pieces.encoded] == [4, 6, 6, 2, 3]
    assert pieces.starts.tolist() == [0, 1, 4, 5]
    assert pieces.cut.tolist() == [False, False, False]


def test_pieces_are_weighed_by_their_tokens():
    pieces = Pieces.of(ITEMS, "chunk")
    z = np.array([[1, 0], [1, 0], [0, 1], [0, -1], [0, 1]], np.float32)
    pooled = pieces.pool(z, PLAIN)
    np.testing.assert_allclose(pooled, [[1, 0], [6 / 14, 4 / 14], [0, 1]], rtol=1e-6)
    assert pooled.dtype == np.float32


def test_a_backbone_of_unit_rows_gives_unit_rows():
    z = np.array([[1, 0], [1, 0], [0, 1], [0, -1], [0, 1]], np.float32)
    np.testing.assert_allclose(np.linalg.norm(Pieces.of(ITEMS, "chunk").pool(z, UNIT), axis=1), 1, rtol=1e-6)


def test_an_item_of_one_piece_keeps_its_row_bit_by_bit():
    z = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(Pieces.of(ITEMS, "chunk").pool(z, UNIT)[[0, 2]], z[[0, 4]])


def test_pieces_that_cancel_each_other_stay_finite():
    z = np.array([[1, 0], [-1, 0]], np.float32)
    assert np.isfinite(Pieces.of([item(5, 5)], "chunk").pool(z, UNIT)).all()


@pytest.mark.parametrize("long", ["truncate", "chunk"])
def test_no_items_have_no_pieces(long):
    pieces = Pieces.of([], long)
    assert pieces.encoded == []
    assert pieces.pool(np.empty((0, 3), np.float32), UNIT).shape == (0, 3)
