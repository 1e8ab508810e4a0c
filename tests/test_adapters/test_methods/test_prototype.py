from dataclasses import replace

import numpy as np

from adapters.base import Task
from adapters.methods.prototype import Prototype


def test_scores_are_projections_on_the_direction_of_each_mean(make_task):
    task = make_task((3, 5))
    means = np.stack([task.z[task.y == c].mean(axis=0) for c in (0, 1)])
    expected = task.z @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    np.testing.assert_allclose(Prototype().fit(task).scores(task.z), expected, atol=1e-6)


def test_a_name_counts_as_one_more_example(make_task):
    task = make_task((3, 1))
    sums = np.stack([task.z[task.y == c].sum(axis=0) + task.names[c] for c in (0, 1)])
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(Prototype(prior="names").fit(task).weight, expected, atol=1e-6)


def test_weighted_means_are_means_of_repeated_rows(make_task):
    task = make_task((6, 4))
    times = np.array([1, 2, 0, 3, 1, 1, 2, 0, 1, 1])
    weighted = replace(task, weights=0.5 * times)
    np.testing.assert_allclose(
        Prototype().fit(weighted).weight,
        Prototype().fit(task.rows(np.repeat(np.arange(10), times))).weight,
        atol=1e-6,
    )


def marks_task(marks, seed=0, **fields):
    """Rows that are the sum of what their classes add, and some noise."""
    rng = np.random.default_rng(seed)
    added = rng.standard_normal((marks.shape[1], 8))
    z = marks @ added + 0.3 * rng.standard_normal((len(marks), 8)) + 5
    classes = tuple(f"class {c}" for c in range(marks.shape[1]))
    return Task(z.astype(np.float32), marks, classes, np.arange(len(marks)), **fields)


def test_marks_are_told_by_the_nearer_of_two_means():
    marks = np.random.default_rng(1).random((80, 3)) < 0.4
    weights = np.arange(80) % 4 + 1.0
    task = marks_task(marks, weights=weights)
    scores = Prototype().fit(task).scores(task.z)
    for c in range(3):
        near, far = (np.average(task.z[side], axis=0, weights=weights[side]) for side in (marks[:, c], ~marks[:, c]))
        along = (task.z - (near + far) / 2) @ (near - far) / np.linalg.norm(near - far)
        np.testing.assert_allclose(scores[:, c], along, atol=1e-5)
    assert ((scores > 0) == marks).mean() > 0.9
    assert Prototype().fit(task).multilabel


def test_a_name_is_one_more_row_with_the_mark():
    marks = np.random.default_rng(1).random((9, 2)) < 0.5
    names = np.full((2, 8), 3.0, np.float32)
    head = Prototype(prior="names").fit(marks_task(marks, names=names))
    task = marks_task(marks)
    near = (task.z[marks[:, 0]].sum(axis=0) + 3.0) / (marks[:, 0].sum() + 1)
    along = near - task.z[~marks[:, 0]].mean(axis=0)
    np.testing.assert_allclose(head.weight[0], along / np.linalg.norm(along), atol=1e-5)


def test_a_mark_that_all_rows_have_is_told_of_every_item():
    marks = np.random.default_rng(1).random((20, 2)) < 0.5
    marks[:, 0] = True
    task = marks_task(marks)
    assert (Prototype().fit(task).scores(task.z)[:, 0] == 1).all()
