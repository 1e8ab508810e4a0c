import numpy as np

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
