from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Task
from adapters.errors import RequirementMissing
from adapters.signatures import Signatures
from adapters.zero_shot.rows import Described, SeenRows, say_left_out


@pytest.fixture
def task():
    """Rows of three of four classes, one of them rare."""
    y = np.array([2] * 9 + [0] * 2 + [3] * 5)
    z = np.random.default_rng(0).standard_normal((len(y), 6)).astype(np.float32) + 3
    return Task(z, y, ("a", "b", "c", "d"), np.arange(len(y)))


def described(values, seen, space=""):
    values = np.array(values, np.float32)
    names = tuple(f"class {c}" for c in range(len(values)))
    signatures = Signatures(names, tuple(f"{i}" for i in range(values.shape[1])), values, space)
    return Described.of(signatures, np.array(seen))


def test_every_seen_class_weighs_the_same_and_rows_are_about_their_mean(task):
    rows = SeenRows.of(task)
    means = np.stack([task.z[task.y == c].mean(axis=0) for c in (0, 2, 3)]).astype(np.float64)
    np.testing.assert_allclose(rows.masses, [16 / 3] * 3)
    np.testing.assert_allclose(rows.mean, means.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rows.sums, 16 / 3 * (means - means.mean(axis=0)), atol=1e-5)


def test_the_unit_is_the_mean_squared_length(task):
    rows = SeenRows.of(task)
    assert rows.unit == pytest.approx(np.trace(rows.rows.gram()) / 16)
    moved = SeenRows.of(replace(task, z=task.z + 100))
    assert moved.unit == pytest.approx(rows.unit, rel=1e-3)


@pytest.mark.parametrize("value", [0.0, -3.3, 1e6])
def test_equal_rows_have_the_unit_one(task, value):
    assert SeenRows.of(replace(task, z=np.full_like(task.z, value))).unit == 1.0


@pytest.mark.parametrize("wide", [False, True])
def test_one_penalty_alone_is_solved_as_among_others(task, wide):
    z = np.random.default_rng(1).standard_normal((16, 40)).astype(np.float32) if wide else task.z
    rows = SeenRows.of(replace(task, z=z))
    right = np.random.default_rng(2).standard_normal((z.shape[1], 2))
    expected = np.linalg.solve(rows.rows.gram() + 0.3 * rows.unit * np.eye(z.shape[1]), right)
    np.testing.assert_allclose(next(rows.ridge_each(task, right, [0.3])), expected, rtol=1e-8, atol=1e-10)
    among = list(rows.ridge_each(task, right, [3.0, 0.3]))
    np.testing.assert_allclose(among[1], expected, rtol=1e-8, atol=1e-10)


def test_only_seen_classes_say_what_is_missing_and_where_the_centre_is():
    learned = described([[1, 0], [3, np.nan], [100, 50]], [True, True, False])
    np.testing.assert_allclose(learned.fill, [2, 0])


def test_the_unit_of_a_named_attribute_does_not_matter():
    values = np.random.default_rng(0).standard_normal((5, 3))
    ours, other = described(values, [True] * 5), described(values * [1, 1000, 1e-3] + [0, 5, 7], [True] * 5)
    np.testing.assert_allclose(ours.seen, other.seen, atol=1e-3)


def test_coordinates_of_an_embedding_keep_their_unit():
    values = np.random.default_rng(0).standard_normal((5, 3)) * [1, 2, 3]
    learned = described(values, [True] * 5, space="digest")
    np.testing.assert_array_equal(learned.scale, 1)
    assert not learned.named


def test_an_attribute_in_which_seen_classes_do_not_differ_says_nothing():
    learned = described([[1, 0.1], [2, 0.1], [3, 0.1], [4, 9]], [True, True, True, False])
    assert learned.scale[1] == 0
    assert learned.scale[0] > 0


def test_classes_that_are_all_alike_stay_finite():
    learned = described([[1, 2], [1, 2]], [True, True])
    np.testing.assert_array_equal(learned.seen, 0)
    assert learned.length == 1


def test_what_seen_classes_are_alike_in_is_said(task):
    said, values = [], np.array([[1, 5], [9, 9], [2, 5], [3, 5]], np.float32)
    task = replace(task, signatures=Signatures(task.classes, ("size", "legs"), values), say=said.append)
    say_left_out(task)
    assert len(said) == 1
    assert "'legs'" in said[0]
    # A coordinate of an embedding has no name worth saying.
    say_left_out(replace(task, signatures=replace(task.signatures, space="digest")))
    assert len(said) == 1


def test_seen_classes_that_are_alike_in_everything_are_refused(task):
    values = np.array([[1, 5], [9, 9], [1, 5], [1, 5]], np.float32)
    with pytest.raises(RequirementMissing, match="3 classes with examples are alike"):
        say_left_out(replace(task, signatures=Signatures(task.classes, ("size", "legs"), values)))


def test_what_a_front_reads_out_is_in_the_unit_of_the_signatures(task):
    """An item that says just what a class's signature says is read as that signature, but for the length."""
    values = np.array([[1, 500], [2, 800], [4, 200], [3, 600]], np.float32)
    learned, rows = described(values, [True, False, True, True]), SeenRows.of(task)
    front = learned.front(np.zeros((2, 6)), rows, np.ones(2))
    away = learned.seen * learned.length / learned.scale
    np.testing.assert_allclose(front.readout * learned.seen, away, rtol=1e-5)
    lengths = np.linalg.norm((values[[0, 2, 3]] - learned.fill) * learned.scale, axis=1, keepdims=True)
    np.testing.assert_allclose(away * lengths / learned.length + learned.fill, values[[0, 2, 3]], rtol=1e-4)
