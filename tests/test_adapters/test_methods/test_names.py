from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent
from adapters.errors import DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.linalg import unit_rows
from adapters.methods.names import Names
from adapters.race import compare
from adapters.select import proposals
from adapters.signatures import Signatures


def cosines(z, names):
    return unit_rows(z.astype(np.float64)) @ unit_rows(names.astype(np.float64)).T


@pytest.mark.parametrize("unit", [True, False])
def test_scores_are_cosines_to_the_names(make_task, unit):
    task = make_task()
    if unit:
        task = replace(task, z=unit_rows(task.z).astype(np.float32))
    head = Names().fit(task)
    np.testing.assert_allclose(head.scores(task.z), cosines(task.z, task.names), atol=1e-5)
    assert (head.affine is not None) == unit


def test_it_needs_no_rows(make_task):
    task = make_task()
    none = task.rows(np.zeros(len(task.y), bool))
    head = Names().fit(none)
    np.testing.assert_allclose(head.scores(task.z), cosines(task.z, task.names), atol=1e-5)
    assert not head.seen.any()
    assert head.affine is None


def test_without_rows_names_of_length_one_tell_that_items_have_it(make_task):
    task = make_task()
    none = replace(task.rows(np.zeros(len(task.y), bool)), names=unit_rows(task.names).astype(np.float32))
    assert Names().fit(none).affine is not None


def test_rows_teach_it_nothing(make_task):
    task = make_task()
    wrong = replace(task, y=np.roll(task.y, 7))
    np.testing.assert_array_equal(Names().fit(wrong).scores(task.z), Names().fit(task).scores(task.z))


def test_it_can_be_compared_on_folds_and_auto_tries_it(make_task):
    task = make_task()
    comparison = compare((Names(),), task)
    np.testing.assert_allclose(comparison.scores[0], cosines(task.z, task.names), atol=1e-5)
    assert proposals(task)[0] == Names()


def test_names_in_another_space_are_not_proposed_and_refused(make_task):
    task = make_task()
    other = replace(task, names=task.names[:, :5])
    assert Names() not in proposals(other)
    assert Names() not in proposals(replace(task, names=None))
    with pytest.raises(RequirementMissing, match="5 wide and the items 12 wide"):
        Names().fit(other)
    with pytest.raises(RequirementMissing, match="names"):
        Names().fit(replace(task, names=None))


def test_numbers_and_single_classes_are_refused(make_task, make_regression):
    with pytest.raises(TaskUnsupported):
        Names().fit(make_regression())
    with pytest.raises(DatasetTooSmall, match="1 class"):
        Names().fit(make_task((5,)))


def test_names_become_signatures_of_an_unknown_backbone(make_task):
    task = make_task()
    signatures = Names().fit(task).signatures
    assert signatures.classes == task.classes
    assert signatures.attributes == tuple(str(i) for i in range(12))
    assert signatures.space == ""
    np.testing.assert_array_equal(signatures.values, task.names)


def test_signatures_that_are_the_names_stay_what_they_are(make_task):
    task = make_task()
    described = Signatures(task.classes, tuple(str(i) for i in range(12)), task.names, "digest")
    assert Names().fit(replace(task, signatures=described)).signatures is described
    attributes = Signatures(task.classes, ("furry",), np.ones((3, 1), np.float32))
    assert Names().fit(replace(task, signatures=attributes)).signatures.attributes[0] == "0"


def test_classes_without_rows_are_told_like_others(make_task):
    task = make_task((10, 10, 10, 10))
    attributes = Signatures(task.classes, ("furry",), np.ones((4, 1), np.float32))
    some = replace(task.rows(task.y < 2), signatures=attributes)
    head = Names(stacking=0.3).fit(some)
    expected = cosines(task.z, task.names) - [0.3, 0.3, 0, 0]
    np.testing.assert_allclose(head.scores(task.z), expected, atol=1e-5)


def test_new_labels_need_no_fit(make_task):
    task = make_task()
    head = Names().fit(task)
    values = np.concatenate([task.names[:1], np.eye(12, dtype=np.float32)[:1]])
    labels = Signatures(("refund", "card"), tuple(str(i) for i in range(12)), values, "digest")
    np.testing.assert_allclose(head.with_signatures(labels).scores(task.z), cosines(task.z, values), atol=1e-5)


def test_a_parent_is_no_hindrance(make_task):
    task = make_task()
    parent = Parent("old:1", np.zeros((3, 12), np.float32), np.zeros(3, np.float32), 1.0, task.classes)
    assert Names().fit(replace(task, parent=parent)).classes == task.classes
