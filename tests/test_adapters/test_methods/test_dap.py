from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adapters.base import Task
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.methods.dap import Dap
from adapters.signatures import Signatures
from adapters.verify import verify

A, D = 6, 10
ATTRIBUTES = tuple(f"attribute {a}" for a in range(A))


def make_task(seen=14, unseen=4, rows=12, noise=0.3, seed=0, **fields):
    """Items are where their class's attributes say, but for noise; the last classes have no rows."""
    rng = np.random.default_rng(seed)
    k = seen + unseen
    marks = ((rng.permutation(2**A)[:k, None] >> np.arange(A)) % 2).astype(np.float32)
    y = np.repeat(np.arange(seen), rows)
    z = (2 * marks[y] - 1) @ rng.standard_normal((A, D)) / np.sqrt(D) + noise * rng.standard_normal((len(y), D))
    classes = tuple(f"class {c}" for c in range(k))
    given = {"groups": np.arange(len(y)), "signatures": Signatures(classes, ATTRIBUTES, marks), "seed": 1} | fields
    return Task(z.astype(np.float32), y, classes, **given)


def items_of(task, c, n=20, noise=0.3, seed=9):
    """Rows of any class, as `make_task` draws them."""
    rng = np.random.default_rng(0)
    rng.permutation(2**A)
    way = rng.standard_normal((A, D)) / np.sqrt(D)
    drawn = noise * np.random.default_rng(seed).standard_normal((n, D))
    return ((2 * task.signatures.values[c] - 1) @ way + drawn).astype(np.float32)


def with_values(task, change):
    values = task.signatures.values.copy()
    change(values)
    return replace(task, signatures=replace(task.signatures, values=values))


def accuracy(head, task, classes):
    return np.mean([(head.scores(items_of(task, c)).argmax(axis=1) == c).mean() for c in classes])


UNSEEN = range(14, 18)


def test_it_tells_classes_that_it_has_not_seen():
    task = make_task()
    head = Dap().fit(task)
    assert accuracy(head, task, UNSEEN) > 0.9
    assert accuracy(head, task, range(14)) > 0.9
    assert head.classes == task.classes
    np.testing.assert_array_equal(head.seen, ~task.absent)


def test_without_folds_it_is_scikit_learns_optimum():
    """Five classes are too few to set some apart: the classifiers stay as they were fitted."""
    task = make_task(seen=5, rows=20)
    front = Dap(c=3.0).fit(task).fronts[0]
    marks = task.signatures.values[task.y]
    norm = (task.z.astype(float) ** 2).sum(axis=1).mean()
    for a in np.flatnonzero(front.scale.varies):
        oracle = LogisticRegression(C=3.0 / norm, tol=1e-8, max_iter=5000).fit(task.z.astype(float), marks[:, a])
        np.testing.assert_allclose(front.weight[a], oracle.coef_[0], atol=0.05 * np.abs(oracle.coef_).max())


def test_a_class_of_many_rows_counts_as_one_of_few():
    task = make_task(seen=5, rows=20)
    twice = np.concatenate([np.arange(len(task.y)), np.flatnonzero(task.y == 0)])
    more = replace(task, z=task.z[twice], y=task.y[twice], groups=np.arange(len(twice)))
    expected = Dap(c=1.2).fit(task).fronts[0].weight
    # As everywhere, of more rows the same c penalises less.
    seen = Dap(c=1.0).fit(more).fronts[0].weight
    np.testing.assert_allclose(seen, expected, atol=0.01 * np.abs(expected).max())


def test_the_prior_is_the_mean_over_seen_classes():
    task = make_task()
    front = Dap(c=1.0).fit(task).fronts[0]
    had = task.signatures.values[:14].sum(axis=0)
    np.testing.assert_allclose(front.prior, np.log((had + 0.5) / (14 - had + 0.5)), atol=1e-5)


def test_signatures_of_unseen_classes_have_no_say_in_the_fit():
    task = make_task()
    other = with_values(task, lambda values: values[14:].fill(np.nan))
    own, theirs = Dap(c=1.0).fit(task).fronts[0].arrays()[0], Dap(c=1.0).fit(other).fronts[0].arrays()[0]
    for name, array in own.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_on_noise_attributes_it_believes_less_than_what_was_fitted():
    """Attributes that rows say nothing of: calibration on other classes shows it, and flattens them alone."""
    task = make_task(seen=40, rows=6, noise=0.2)

    def shuffle(values):
        values[:, 0] = np.random.default_rng(5).permutation(values[:, 0])

    spoiled = with_values(task, shuffle)
    front = Dap(c=100.0).fit(spoiled).fronts[0]
    spread = front.log_odds(task.z).std(axis=0)
    assert spread[0] < 0.6 * spread[1:].min()


def test_probabilities_of_attributes_hold_for_classes_never_seen():
    task = make_task(seen=30, unseen=8, noise=1.0)
    front = Dap(c=30.0).fit(task).fronts[0]
    p = np.concatenate([front.predicted(items_of(task, c, 40, noise=1.0)) for c in range(30, 38)])
    marks = np.repeat(task.signatures.values[30:38], 40, axis=0)
    sure = p > 0.8
    assert sure.sum() > 100
    assert marks[sure].mean() == pytest.approx(p[sure].mean(), abs=0.12)


def test_missing_cells_are_skipped():
    task = make_task()

    def spoil(values):
        values[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan

    assert accuracy(Dap(c=3.0).fit(with_values(task, spoil)), task, UNSEEN) > 0.6


def test_the_unit_of_continuous_attributes_does_not_matter():
    task = make_task()
    expected = Dap(c=3.0).fit(task).scores(task.z)

    def stretch(values):
        values *= 50
        values += 7

    stretched = with_values(task, stretch)
    head = Dap(c=3.0).fit(stretched)
    np.testing.assert_allclose(head.scores(task.z), expected, atol=1e-3)
    assert head.predicted(task.z).min() > 6
    assert head.predicted(task.z).max() < 58


def test_attributes_without_variation_are_left_out_and_said():
    said = []
    task = with_values(make_task(say=said.append), lambda values: values[:14, 2].fill(1))
    head = Dap(c=3.0).fit(task)
    assert "'attribute 2'" in said[0]
    assert not head.fronts[0].scale.varies[2]
    np.testing.assert_array_equal(head.predicted(task.z)[:, 2], 1)


def test_comparing_says_nothing():
    said = []
    task = with_values(make_task(say=said.append), lambda values: values[:14, 2].fill(1))
    list(Dap.fit_each(Dap().variants(task), task))
    assert said == []


def test_signatures_that_tell_nothing_are_refused():
    task = with_values(make_task(), lambda values: values.fill(1))
    with pytest.raises(RequirementMissing, match="alike in all 6"):
        Dap().fit(task)


def test_along_the_path_it_is_the_fit_of_each():
    task = make_task()
    variants = Dap(stacking=0.5).variants(task)
    assert [variant.c for variant in variants] == [1.0, 10.0]
    for method, head in zip(variants, Dap.fit_each(variants, task), strict=True):
        assert head.stacking == 0.5
        # Those behind the first start elsewhere.
        np.testing.assert_allclose(head.scores(task.z), method.fit(task).scores(task.z), atol=1.0)
    order = [3.0, 1.0, 3.0]
    heads = list(Dap.fit_each([Dap(c=c) for c in order], task))
    np.testing.assert_array_equal(heads[0].scores(task.z), heads[2].scores(task.z))
    assert not np.array_equal(heads[0].scores(task.z), heads[1].scores(task.z))


def test_one_seen_class_is_refused():
    task = make_task(seen=1, unseen=3)
    with pytest.raises(DatasetTooSmall, match="1 of the 4 classes"):
        Dap().fit(task)


def test_without_signatures_it_is_refused():
    with pytest.raises(RequirementMissing, match="signatures"):
        Dap().fit(replace(make_task(unseen=0), signatures=None))


def test_regression_is_refused():
    with pytest.raises(TaskUnsupported):
        Dap().fit(replace(make_task(), y=np.zeros(168), classes=()))


def test_cancel_is_respected():
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        Dap().fit(make_task(check=stop))


def test_it_is_published_as_it_is():
    task = make_task()
    head = Dap().fit(task)
    assert head.affine is None
    assert verify(head, 4.0, onnx=head.onnx(4.0), task=task) < 1e-4
    assert head.to_bytes() == Dap().fit(make_task()).to_bytes()


def make_items(order=None, **fields):
    """Rows that have their attributes as labels, and classes that none of them is of."""
    task = make_task(**fields)
    order = list(range(A)) if order is None else order
    marks = task.signatures.values[task.y][:, order] > 0.5
    return replace(task, y=marks, classes=tuple(ATTRIBUTES[a] for a in order))


def test_of_labelled_attributes_it_answers_the_signatures_classes():
    task, items = make_task(), make_items()
    head = Dap().fit(items)
    assert head.classes == task.classes
    assert not head.seen.any()
    assert accuracy(head, task, UNSEEN) > 0.9


def test_labels_may_stand_in_another_order_and_lack_some():
    task = make_task()
    expected = Dap(c=3.0).fit(make_items()).fronts[0]
    shuffled = Dap(c=3.0).fit(make_items(order=[4, 2, 0, 1, 3, 5])).fronts[0]
    np.testing.assert_allclose(shuffled.log_odds(task.z), expected.log_odds(task.z), atol=0.1)
    said = []
    few = Dap(c=3.0).fit(make_items(order=[4, 2, 0], say=said.append))
    np.testing.assert_array_equal(few.fronts[0].scale.varies, [True, False, True, False, True, False])
    assert "3 attribute(s)" in said[0]


def test_labels_that_are_no_attributes_are_refused():
    items = replace(make_items(), classes=tuple(f"label {a}" for a in range(A)))
    with pytest.raises(RequirementMissing, match="'label 0'"):
        Dap().fit(items)
