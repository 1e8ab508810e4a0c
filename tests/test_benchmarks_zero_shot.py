"""Figures of classes without examples, on scores that can be counted by hand."""

import numpy as np
import pytest

from benchmarks.zero_shot_scores import Sides, among_unseen, both_sides, mean_per_class

UNSEEN = np.array([False, False, True, True])


def test_means_are_over_classes():
    assert mean_per_class(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])) == 0.5


def test_unseen_classes_among_themselves_and_beside_seen_ones():
    """Two rows of unseen classes: right among these, and one of them behind a seen class."""
    scores = np.array([[5, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    y = np.array([2, 3, 0, 1])
    assert among_unseen(scores, y, UNSEEN) == 1.0
    assert both_sides(scores, y, UNSEEN) == Sides(seen=0.5, unseen=0.5)
    assert both_sides(scores - [9, 9, 0, 0], y, UNSEEN).seen == 0


def test_the_harmonic_mean_of_nothing_is_nothing():
    assert Sides(0.0, 0.0).harmonic == 0
    assert Sides(0.5, 1.0).harmonic == pytest.approx(2 / 3)
