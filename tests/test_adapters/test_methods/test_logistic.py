from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adapters.base import Need, Parent
from adapters.errors import RequirementMissing
from adapters.methods.logistic import Logistic
from adapters.select import compare, pick


def norm2(z):
    return float((z.astype(float) ** 2).sum(axis=1).mean())


def log_probabilities(scores):
    scores = scores.astype(np.float64)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("c", [0.3, 10.0, 300.0])
@pytest.mark.parametrize("counts", [(10, 10, 10), (25, 6, 2)])
def test_it_is_scikit_learns_optimum(make_task, c, counts):
    task = make_task(counts)
    head = Logistic(c=c).fit(task)
    oracle = LogisticRegression(C=c / norm2(task.z), class_weight="balanced", tol=1e-10, max_iter=20_000)
    oracle.fit(task.z.astype(np.float64), task.y)
    coefficients = head.weight - head.weight.mean(axis=0)
    np.testing.assert_allclose(coefficients, oracle.coef_, atol=3e-3 * np.abs(oracle.coef_).max())
    np.testing.assert_allclose(log_probabilities(head.scores(task.z)), oracle.predict_log_proba(task.z), atol=2e-2)


@pytest.mark.parametrize("c", [0.3, 10.0])
def test_two_classes_are_two_rows_of_the_same_optimum(make_task, c):
    task = make_task((9, 14))
    # For two classes scikit-learn fits one vector, the difference of our two rows: ours meets half its penalty.
    oracle = LogisticRegression(C=2 * c / norm2(task.z), class_weight="balanced", tol=1e-10, max_iter=20_000)
    oracle.fit(task.z.astype(np.float64), task.y)
    seen = log_probabilities(Logistic(c=c).fit(task).scores(task.z))
    np.testing.assert_allclose(seen, oracle.predict_log_proba(task.z), atol=5e-3)


def test_unbalanced_is_the_plain_loss(make_task):
    task = make_task((25, 6, 2))
    head = Logistic(c=5.0, balanced=False).fit(task)
    oracle = LogisticRegression(C=5.0 / norm2(task.z), tol=1e-10, max_iter=20_000).fit(task.z.astype(float), task.y)
    centred = head.weight - head.weight.mean(axis=0)
    np.testing.assert_allclose(centred, oracle.coef_, atol=2e-3 * np.abs(oracle.coef_).max())


@pytest.mark.parametrize("d", [5, 80])
def test_it_is_the_same_with_more_features_than_rows(make_task, d):
    task = make_task((6, 6, 6), d=d)
    oracle = LogisticRegression(C=10 / norm2(task.z), tol=1e-10, max_iter=20_000).fit(task.z.astype(float), task.y)
    head = Logistic(c=10.0).fit(task)
    np.testing.assert_allclose(
        head.weight - head.weight.mean(axis=0), oracle.coef_, atol=2e-3 * np.abs(oracle.coef_).max()
    )


def test_with_names_it_is_the_optimum_pulled_toward_them(make_task):
    """At the optimum the gradient of Σ w·CE + s/(2c)·‖W - W₀‖² vanishes, in W and in b."""
    task = make_task((8, 4, 5))
    method = Logistic(c=3.0, prior="names", names_scale=5.0)
    head = method.fit(task)
    unit = norm2(task.z)
    scores = head.scores(task.z).astype(float)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    weights = len(task.y) / (3 * np.bincount(task.y))[task.y]
    residual = weights[:, None] * (p - np.eye(3)[task.y])
    pull = unit / 3.0 * (head.weight - 5.0 / np.sqrt(unit) * task.names)
    np.testing.assert_allclose(residual.T @ task.z + pull, 0, atol=1e-3)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-3)


def test_a_strong_penalty_leaves_the_names_alone(make_task):
    task = make_task()
    head = Logistic(c=1e-6, prior="names", names_scale=5.0).fit(task)
    expected = 5.0 / np.sqrt(norm2(task.z)) * task.names
    np.testing.assert_allclose(head.weight, expected, atol=1e-3)


def test_the_length_of_embeddings_does_not_matter(make_task):
    task = make_task()
    longer = replace(task, z=100 * task.z)
    for method in (Logistic(c=10.0), Logistic(c=10.0, prior="names")):
        expected = method.fit(task).scores(task.z)
        np.testing.assert_allclose(method.fit(longer).scores(longer.z), expected, atol=2e-3)


def test_along_the_path_it_is_the_fit_of_each_c(make_task):
    task = make_task()
    methods = [Logistic(c=c) for c in (0.3, 10.0)] + [Logistic(c=c, prior="names") for c in (0.3, 10.0)]
    for method, head in zip(methods, Logistic.fit_each(methods, task), strict=True):
        np.testing.assert_allclose(head.scores(task.z), method.fit(task).scores(task.z), atol=0.15)


def test_without_c_it_takes_one_of_its_grid(make_task):
    task = make_task()
    head = Logistic().fit(task)
    grid = [variant.fit(task).weight for variant in Logistic().variants(task)]
    assert any(np.array_equal(head.weight, weight) for weight in grid)


@pytest.mark.parametrize(("counts", "uneven"), [((8, 8), False), ((8, 4), False), ((9, 4), True), ((8, 8, 1), False)])
def test_uneven_classes_are_also_tried_as_they_are(make_task, counts, uneven):
    proposals = Logistic.proposals(make_task(counts))
    assert [method for method in proposals if method.balanced is None] == [Logistic(), Logistic(prior="names")]
    assert {method.balanced for method in proposals} == ({None, False} if uneven else {None})


def test_of_a_rare_class_the_unbalanced_loss_is_the_better_one(make_task):
    """And held-out log loss says so: balanced, about half of what is called rare is not."""
    task = make_task((400, 20), d=4, spread=2.5)
    comparison = compare((Logistic(c=10.0), Logistic(c=10.0, balanced=False)), task)
    choice = pick(comparison, task.y, comparison.held_out)
    assert choice.index == 1
    assert choice.loss[1] < 0.8 * choice.loss[0]


def twice(task, place):
    """The task with one row standing in it two times."""
    at = np.append(np.arange(len(task.y)), place)
    return replace(task, z=task.z[at], y=task.y[at], groups=np.arange(len(at)))


def weighted(task, place, weight):
    weights = np.ones(len(task.y))
    weights[place] = weight
    return replace(task, weights=weights)


@pytest.fixture(params=["one class a row", "any number of them"])
def either(request, make_task):
    """A task of each kind, with classes of unlike sizes."""
    task = make_task((12, 7, 4), spread=1.5)
    return task if request.param == "one class a row" else marked(task)


def marked(task, seed=0):
    """Any number of classes a row: its own, and others at random."""
    marks = np.random.default_rng(seed).random((len(task.y), len(task.classes))) < 0.3
    marks[np.arange(len(task.y)), task.y] = True
    return replace(task, y=marks)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("prior", ["none", "names"])
def test_a_row_of_weight_two_is_the_row_twice(either, balanced, prior):
    method = Logistic(c=3.0, balanced=balanced, prior=prior)
    expected = method.fit(twice(either, 5)).scores(either.z)
    np.testing.assert_allclose(method.fit(weighted(either, 5, 2.0)).scores(either.z), expected, rtol=1e-6, atol=1e-5)
    assert np.abs(method.fit(either).scores(either.z) - expected).max() > 1e-3


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("prior", ["none", "names"])
def test_a_row_of_weight_zero_is_not_there(either, balanced, prior):
    method = Logistic(c=3.0, balanced=balanced, prior=prior)
    expected = method.fit(either.rows(np.arange(len(either.y)) != 5)).scores(either.z)
    np.testing.assert_allclose(method.fit(weighted(either, 5, 0.0)).scores(either.z), expected, rtol=1e-6, atol=1e-5)
    assert np.abs(method.fit(either).scores(either.z) - expected).max() > 1e-3


def oracle_of(task, c, balanced, **fields):
    """Scikit-learn's, with the penalty in our unit."""
    w = task.weights
    unit = np.average((task.z.astype(float) ** 2).sum(axis=1), weights=w)
    weight = "balanced" if balanced else None
    return LogisticRegression(C=c / unit, class_weight=weight, tol=1e-13, max_iter=50_000, **fields)


@pytest.mark.parametrize("balanced", [False, True])
def test_with_weights_it_is_scikit_learns_optimum_to_six_digits(make_task, balanced):
    task = make_task((12, 7, 4), spread=1.5)
    task = replace(task, weights=np.random.default_rng(0).random(len(task.y)) * 3)
    # Its "balanced" counts rows, ours their weights: so it is given what that comes to.
    sums = np.bincount(task.y, task.weights)
    weights = task.weights * (sums.sum() / (3 * sums))[task.y] if balanced else task.weights
    oracle = oracle_of(task, 2.0, balanced=False).fit(task.z.astype(float), task.y, sample_weight=weights)
    head = Logistic(c=2.0, balanced=balanced).fit(task)
    np.testing.assert_allclose(head.weight - head.weight.mean(axis=0), oracle.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.bias - head.bias.mean(), oracle.intercept_, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("balanced", [False, True])
def test_any_number_of_classes_is_one_vs_rest_to_six_digits(make_task, balanced):
    task = marked(make_task((12, 7, 4), spread=1.5))
    head = Logistic(c=2.0, balanced=balanced).fit(task)
    for j in range(3):
        oracle = oracle_of(task, 2.0, balanced).fit(task.z.astype(float), task.marks[:, j])
        np.testing.assert_allclose(head.weight[j], oracle.coef_[0], rtol=1e-5, atol=1e-6)
        assert head.bias[j] == pytest.approx(oracle.intercept_[0], rel=1e-5, abs=2e-6)
    assert head.multilabel


def test_any_number_of_classes_with_weights_is_one_vs_rest_too(make_task):
    task = marked(make_task((12, 7, 4), spread=1.5))
    task = replace(task, weights=np.random.default_rng(0).random(len(task.y)) * 3)
    head = Logistic(c=2.0).fit(task)
    for j in range(3):
        oracle = oracle_of(task, 2.0, balanced=False)
        oracle.fit(task.z.astype(float), task.marks[:, j], sample_weight=task.weights)
        np.testing.assert_allclose(head.weight[j], oracle.coef_[0], rtol=1e-5, atol=1e-6)


def test_classes_are_balanced_unless_a_row_may_have_many(make_task):
    """A probability has to be that of a mark, and there is no other class whose rows it could cost."""
    task = make_task((12, 7, 4))
    assert [method.balanced for method in Logistic(c=1.0).variants(task)] == [True]
    assert Logistic().fallback(marked(task)).balanced is False
    assert {method.balanced for method in Logistic().variants(marked(task))} == {False}
    assert Logistic.proposals(marked(task)) == (Logistic(), Logistic(prior="names"))
    np.testing.assert_array_equal(
        Logistic(c=1.0).fit(marked(task)).weight, Logistic(c=1.0, balanced=False).fit(marked(task)).weight
    )


def test_a_class_that_every_row_has_stays_finite(make_task):
    task = marked(make_task())
    marks = task.marks.copy()
    marks[:, 1] = True
    head = Logistic(c=10.0).fit(replace(task, y=marks))
    scores = head.scores(task.z)
    assert np.isfinite(scores).all()
    assert (scores[:, 1] > 2).all()


def test_a_class_that_all_rows_that_count_have_stays_finite_when_balanced(make_task):
    task = marked(make_task())
    marks = task.marks.copy()
    marks[:, 1] = True
    marks[5, 1] = False
    task = weighted(replace(task, y=marks), 5, 0.0)
    assert np.isfinite(Logistic(c=10.0, balanced=True).fit(task).scores(task.z)).all()


def grown(make_task, rows_of_old=True, names=False, old=4, new=2, shots=12, d=16):
    """A parent of the old classes, a task of old and new ones that grows from it, and items of all."""
    everything = make_task((2 * shots,) * (old + new), d=d, spread=1.0)
    seen = np.tile(np.arange(2 * shots) < shots, old + new)
    learned = everything.rows(seen & (everything.y < old))
    learned = replace(learned, classes=everything.classes[:old], names=None)
    head = Logistic(c=10.0).fit(learned)
    parent = Parent("intents:1", head.weight, head.bias, 0.37, learned.classes)
    task = everything.rows(seen if rows_of_old else seen & (everything.y >= old))
    return replace(task, parent=parent, names=everything.names if names else None), everything.rows(~seen)


def accuracy(scores, y):
    return float((scores.argmax(axis=1) == y).mean())


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("rows_of_old", [False, True])
@pytest.mark.parametrize("c", [1.0, 10.0, 100.0])
def test_old_classes_are_still_recognised_when_new_ones_come(make_task, rows_of_old, names, c):
    task, items = grown(make_task, rows_of_old, names)
    old = items.y < 4
    before = accuracy(items.z[old] @ task.parent.weight.T + task.parent.bias, items.y[old])
    scores = Logistic(c=c, prior="parent").fit(task).scores(items.z)
    assert accuracy(scores[old], items.y[old]) > before - 0.1
    assert accuracy(scores[~old], items.y[~old]) > (0.5 if c == 1 else 0.8)


@pytest.mark.parametrize("names", [False, True])
def test_one_new_class_alone_leaves_the_old_ones_theirs(make_task, names):
    task, items = grown(make_task, rows_of_old=False, names=names, new=1)
    old = items.y < 4
    before = accuracy(items.z[old] @ task.parent.weight.T + task.parent.bias, items.y[old])
    scores = Logistic(c=30.0, prior="parent").fit(task).scores(items.z)
    assert accuracy(scores[old], items.y[old]) > before - 0.2
    assert accuracy(scores[~old], items.y[~old]) > 0.5


def test_what_has_no_rows_stays_to_the_bit(make_task):
    task, _ = grown(make_task, rows_of_old=False)
    head = Logistic(c=10.0, prior="parent").fit(task)
    np.testing.assert_array_equal(head.weight[:4], task.parent.weight)
    np.testing.assert_array_equal(head.bias[:4], task.parent.bias)


def test_marks_of_classes_without_rows_stay_to_the_bit_too(make_task):
    task, items = grown(make_task, rows_of_old=False)
    marks = np.zeros((len(task.y), 6), dtype=bool)
    marks[np.arange(len(task.y)), task.y] = True
    head = Logistic(c=10.0, prior="parent").fit(replace(task, y=marks))
    np.testing.assert_array_equal(head.weight[:4], task.parent.weight)
    new = items.y >= 4
    assert accuracy(head.scores(items.z[new])[:, 4:], items.y[new] - 4) > 0.9


def test_what_all_scores_of_the_parent_have_in_common_does_not_matter(make_task):
    """Softmax does not see it; new classes must neither lead nor trail by it."""
    task, items = grown(make_task, rows_of_old=False)
    shift = 5 * np.random.default_rng(0).standard_normal(task.z.shape[1]).astype(np.float32)
    moved = replace(task.parent, weight=task.parent.weight + shift, bias=task.parent.bias + np.float32(3))
    method = Logistic(c=1.0, prior="parent")
    expected = log_probabilities(method.fit(task).scores(items.z))
    seen = log_probabilities(method.fit(replace(task, parent=moved)).scores(items.z))
    np.testing.assert_allclose(seen, expected, atol=1e-2)


def test_a_strong_penalty_leaves_the_parent_as_it_is(make_task):
    task, _ = grown(make_task)
    head = Logistic(c=1e-6, prior="parent").fit(task)
    np.testing.assert_allclose(head.weight[:4], task.parent.weight, atol=1e-4)
    np.testing.assert_allclose(head.bias[:4], task.parent.bias, atol=1e-3)
    # A class that is new knows nothing yet: it scores as the old ones do on average.
    np.testing.assert_allclose(head.weight[4:], np.tile(task.parent.weight.mean(axis=0), (2, 1)), atol=1e-4)


def test_with_a_parent_it_is_the_optimum_pulled_toward_it(make_task):
    """At the optimum the gradient of Σ w·CE + s/(2c)·‖W - W₀‖² + ‖b - b₀‖²/(2c) vanishes, scores over T."""
    task, _ = grown(make_task, new=0)
    head = Logistic(c=3.0, prior="parent", balanced=False).fit(task)
    temperature, unit = task.parent.temperature, norm2(task.z)
    scores = head.scores(task.z).astype(float) / temperature
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    residual = p - np.eye(4)[task.y]
    moved = (head.weight.astype(float) - task.parent.weight) / temperature
    mean = task.z.mean(axis=0, dtype=float)
    level = (head.bias.astype(float) - task.parent.bias) / temperature + moved @ mean
    assert np.abs(moved).max() > 0.02
    np.testing.assert_allclose(residual.sum(axis=0) + level / 3.0, 0, atol=1e-4)
    np.testing.assert_allclose(residual.T @ (task.z - mean) + unit / 3.0 * moved, 0, atol=1e-4)


def test_a_parent_is_asked_for_and_proposed(make_task):
    task, _ = grown(make_task)
    assert Logistic.proposals(task) == (Logistic(), Logistic(prior="parent"))
    alone, _ = grown(make_task, rows_of_old=False, names=True)
    assert Logistic.proposals(alone) == (Logistic(prior="parent"),)
    assert Need.PARENT in Logistic(prior="parent").requirements()
    with pytest.raises(RequirementMissing, match="parents"):
        Logistic(c=1.0, prior="parent").fit(replace(task, parent=None))


def test_when_the_time_is_over_it_says_so_and_is_still_of_use(make_task):
    said = []
    task = make_task((10,) * 8, d=60, left_s=lambda: 0.0, say=said.append)
    head = Logistic(c=1000.0).fit(task)
    assert len(said) == 1
    assert "best so far" in said[0]
    assert accuracy(head.scores(task.z), task.y) > 0.9
    said.clear()
    Logistic(c=1000.0).fit(replace(task, left_s=lambda: 1.0))
    assert said == []


@pytest.mark.parametrize("method", [Logistic(c=10.0), Logistic(c=10.0, prior="names")])
def test_what_float64_is_too_large_for_comes_out_the_same(make_task, method, monkeypatch):
    task = make_task((30, 20, 10), d=8)
    expected = method.fit(task).scores(task.z)
    monkeypatch.setattr("adapters.methods.logistic._MOST_IN_DOUBLE", 0)
    monkeypatch.setattr("adapters.lbfgs.CHUNK_BYTES", 700)
    np.testing.assert_allclose(method.fit(task).scores(task.z), expected, atol=2e-3)


@pytest.mark.parametrize("d", [5, 80])
def test_what_is_too_wide_to_be_rotated_comes_out_the_same(make_task, d, monkeypatch):
    task = make_task(d=d)
    expected = Logistic(c=10.0).fit(task).scores(task.z)
    monkeypatch.setattr("adapters.problem._WIDEST_ROTATED", 2)
    np.testing.assert_allclose(Logistic(c=10.0).fit(task).scores(task.z), expected, atol=1e-4)


def test_one_long_computation_asks_often_whether_to_go_on(make_task, monkeypatch):
    asked = []
    task = make_task((30, 30), check=lambda: asked.append(1))
    Logistic(c=1.0).fit(task)
    whole = len(asked)
    monkeypatch.setattr("adapters.lbfgs.CHUNK_BYTES", 12 * 8 * 6)
    Logistic(c=1.0).fit(task)
    assert len(asked) > 3 * whole


@pytest.mark.parametrize(("d", "chunks"), [(5, 30), (80, 10)])
def test_so_does_what_comes_before_it(make_task, d, chunks, monkeypatch):
    class Reached(Exception):
        """The first loss is asked for."""

    def reached(*_):
        raise Reached

    asked = []
    task = make_task((30, 30), d=d, check=lambda: asked.append(1))
    monkeypatch.setattr("adapters.lbfgs.CrossEntropy.__call__", reached)
    monkeypatch.setattr("adapters.lbfgs.CHUNK_BYTES", 8 * d * 6)
    with pytest.raises(Reached):
        Logistic(c=1.0).fit(task)
    assert len(asked) >= chunks
