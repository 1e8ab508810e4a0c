from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent, Task
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.methods.iap import Iap
from adapters.methods.logistic import Logistic
from adapters.signatures import Signatures
from adapters.verify import verify

SEEN, UNSEEN, A, D = 10, 4, 8, 12


def make_task(rows=15, noise=0.4, **fields):
    """Classes whose places follow from their attributes; the last ones have no rows."""
    rng = np.random.default_rng(0)
    k = SEEN + UNSEEN
    marks = rng.integers(0, 2, (k, A)).astype(np.float32)
    centres = (2 * marks - 1) @ rng.standard_normal((A, D)) / np.sqrt(D)
    y = np.repeat(np.arange(SEEN), rows)
    z = centres[y] + noise * rng.standard_normal((len(y), D))
    classes = tuple(f"class {c}" for c in range(k))
    described = Signatures(classes, tuple(f"attribute {a}" for a in range(A)), marks)
    given = {"groups": np.arange(len(y)), "signatures": described, "seed": 1} | fields
    return Task(z.astype(np.float32), y, classes, **given), centres.astype(np.float32)


def make_parent(task):
    """A published head of the seen classes."""
    seen = replace(task, classes=task.classes[:SEEN], signatures=None)
    head = Logistic(c=10.0).fit(seen)
    return Parent("animals:3", 2 * head.weight, 2 * head.bias, 2.0, seen.classes)


def test_attributes_are_those_of_the_classes_by_their_probabilities():
    task, _ = make_task()
    head = Iap(sharpness=1.0).fit(task)
    logits = head.fronts[0].weight @ task.z.T + head.fronts[0].bias[:, None]
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    expected = np.clip(p.T @ task.signatures.values[:SEEN], 1 / (1 + np.exp(5)), 1 / (1 + np.exp(-5)))
    np.testing.assert_allclose(head.predicted(task.z), expected, atol=1e-5)


def test_its_classifier_is_logistic_regression():
    task, _ = make_task()
    oracle = Logistic(c=10.0).fit(replace(task, classes=task.classes[:SEEN], signatures=None)).weight
    weight = Iap(sharpness=1.0).fit(task).fronts[0].weight
    expected = oracle - oracle.mean(axis=0)
    np.testing.assert_allclose(weight - weight.mean(axis=0), expected, atol=0.05 * np.abs(expected).max())


def test_it_tells_seen_classes_and_better_than_chance_unseen_ones():
    task, centres = make_task()
    head = Iap(sharpness=0.5).fit(task)
    assert (head.scores(task.z).argmax(axis=1) == task.y).mean() > 0.85
    among = head.scores(centres)[SEEN:, SEEN:].argmax(axis=1)
    assert (among == np.arange(UNSEEN)).mean() >= 0.75


def test_the_prior_is_the_mean_over_seen_classes():
    task, _ = make_task()
    had = task.signatures.values[:SEEN].sum(axis=0)
    prior = Iap().fit(task).fronts[0].prior
    np.testing.assert_allclose(prior, np.log((had + 0.5) / (SEEN - had + 0.5)), atol=1e-5)


def test_signatures_of_unseen_classes_have_no_say_in_the_fit():
    task, _ = make_task()
    values = task.signatures.values.copy()
    values[SEEN:] = np.nan
    other = replace(task, signatures=replace(task.signatures, values=values))
    own, theirs = Iap().fit(task).fronts[0].arrays()[0], Iap().fit(other).fronts[0].arrays()[0]
    for name, array in own.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_a_parent_stands_for_the_rows():
    task, centres = make_task()
    parent = make_parent(task)
    none = replace(task, z=task.z[:0], y=task.y[:0], groups=task.groups[:0], parent=parent)
    head = Iap(sharpness=1.0).fit(none)
    np.testing.assert_array_equal(head.seen, np.arange(SEEN + UNSEEN) < SEEN)
    np.testing.assert_allclose(head.fronts[0].weight, parent.weight / 2, rtol=1e-6)
    assert (head.scores(centres)[:SEEN].argmax(axis=1) == np.arange(SEEN)).mean() > 0.85


def test_a_parent_of_classes_that_are_not_described_is_refused():
    task, _ = make_task()
    parent = make_parent(task)
    few = task.signatures.of(task.classes[1:])
    with pytest.raises(RequirementMissing, match="'class 0'"):
        Iap().fit(replace(task, parent=parent, signatures=few))


def test_variants_share_one_fit():
    task, _ = make_task()
    variants = Iap(stacking=1.5).variants(task)
    assert [variant.sharpness for variant in variants] == [0.25, 0.5, 1.0]
    heads = list(Iap.fit_each(variants, task))
    np.testing.assert_allclose(heads[2].fronts[0].weight, 4 * heads[0].fronts[0].weight, rtol=1e-6)
    assert {head.stacking for head in heads} == {1.5}
    for method, head in zip(variants, heads, strict=True):
        np.testing.assert_array_equal(head.scores(task.z), method.fit(task).scores(task.z))


def test_what_is_left_out_is_said():
    said = []
    task, _ = make_task(say=said.append)
    values = task.signatures.values.copy()
    values[:SEEN, 3] = 0
    Iap().fit(replace(task, signatures=replace(task.signatures, values=values)))
    assert "'attribute 3'" in said[0]


def test_signatures_that_tell_nothing_are_refused():
    task, _ = make_task()
    alike = replace(task.signatures, values=np.ones_like(task.signatures.values))
    with pytest.raises(RequirementMissing, match="alike in all 8"):
        Iap().fit(replace(task, signatures=alike))


def test_one_seen_class_is_refused():
    task, _ = make_task()
    with pytest.raises(DatasetTooSmall, match="1 of the 14"):
        Iap().fit(task.rows(task.y == 0))


def test_any_number_of_labels_a_row_is_refused():
    task, _ = make_task()
    with pytest.raises(TaskUnsupported):
        Iap().fit(replace(task, y=np.eye(SEEN + UNSEEN, dtype=np.bool_)[task.y], parent=make_parent(task)))


def test_cancel_is_respected():
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        Iap().fit(make_task(check=stop)[0])


def test_it_is_published_as_it_is():
    task, _ = make_task()
    head = Iap().fit(task)
    assert verify(head, 4.0, onnx=head.onnx(4.0), task=task) < 1e-4
    assert head.to_bytes() == Iap().fit(task).to_bytes()
