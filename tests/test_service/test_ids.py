"""Ids say what they are and sort by time."""

import re

from service.ids import new_id


def test_shape():
    assert re.fullmatch(r"ds_[0-9a-hjkmnp-tv-z]{26}", new_id("ds", 1_700_000_000.0))


def test_later_ids_sort_later():
    moments = [0.0, 0.001, 1.0, 1_700_000_000.0, 1_700_000_000.001, 2_000_000_000.0, 250_000_000_000.0]
    ids = [new_id("job", at_s) for at_s in moments]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ_in_80_random_bits():
    ids = [new_id("x", 5.0) for _ in range(500)]
    assert len(set(ids)) == 500
    assert len({id_[:12] for id_ in ids}) == 1
    assert len({id_[12:20] for id_ in ids}) > 490
