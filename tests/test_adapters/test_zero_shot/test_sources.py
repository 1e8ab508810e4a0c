from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent, TaskKind
from adapters.errors import RequirementMissing
from adapters.methods.logistic import Logistic
from adapters.signatures import Signatures
from adapters.zero_shot.sources import Known, admitted, of_seen, sources_of


@pytest.fixture
def task(make_task):
    """Four classes, the second of which has no rows; one cell is missing and one attribute never varies."""
    task = make_task((8, 8, 8, 8), names=None)
    values = np.array([[0, 5, 1], [9, 9, 9], [1, 5, np.nan], [1, 5, 3]], dtype=np.float32)
    described = Signatures(task.classes, ("striped", "constant", "size"), values)
    return replace(task.rows(task.y != 1), signatures=described)


def parent_of(task):
    return Parent("animals:1", np.ones((2, 12), np.float32), np.arange(2, dtype=np.float32), 4.0, task.classes[:2])


def test_known_are_the_classes_with_rows(task):
    known = Known.of(task)
    np.testing.assert_array_equal(known.among, [True, False, True, True])
    assert known.signatures.classes == ("class 0", "class 2", "class 3")
    np.testing.assert_array_equal(known.signatures.values, [[0, 5, 1], [1, 5, 2], [1, 5, 3]])
    np.testing.assert_array_equal(known.scale.varies, [True, False, True])


def test_known_are_the_parents_classes_where_there_is_one(task):
    known = Known.of(replace(task, parent=parent_of(task)))
    np.testing.assert_array_equal(known.among, [True, True, False, False])
    np.testing.assert_array_equal(known.signatures.values, [[0, 5, 1], [9, 9, 9]])


def test_known_are_described_in_the_order_of_the_parents_answers(task):
    parent = replace(parent_of(task), classes=("class 3", "class 0"))
    known = Known.of(replace(task, parent=parent))
    np.testing.assert_array_equal(known.among, [True, False, False, True])
    assert known.signatures.classes == ("class 3", "class 0")
    np.testing.assert_array_equal(known.signatures.values, [[1, 5, 3], [0, 5, 1]])


def test_a_class_of_the_parent_that_nothing_describes_is_named(task):
    parent = replace(parent_of(task), classes=("class 0", "ghost"))
    with pytest.raises(RequirementMissing, match="'ghost'"):
        Known.of(replace(task, parent=parent))


def test_without_signatures_it_is_refused(task):
    with pytest.raises(RequirementMissing, match="signatures"):
        Known.of(replace(task, signatures=None))


def test_it_says_what_is_left_out(task):
    said = []
    Known.of(task).say(replace(task, say=said.append))
    assert len(said) == 1
    assert "'constant'" in said[0]


def test_sources_are_logistic_regression_on_classes_of_equal_weight(task):
    seen = of_seen(task)
    assert seen.classes == ("class 0", "class 2", "class 3")
    uneven = task.rows(np.r_[0:4, 8:24])
    found = sources_of(uneven, [1.0, 10.0, 1.0])
    assert set(found) == {1.0, 10.0}
    for c, sources in found.items():
        oracle = Logistic(c=c).fit(replace(of_seen(uneven), weights=None)).weight
        expected = oracle - oracle.mean(axis=0)
        seen = sources.weight - sources.weight.mean(axis=0)
        np.testing.assert_allclose(seen, expected, atol=0.03 * np.abs(expected).max())


def test_a_parents_log_odds_are_taken_as_they_are(task):
    parent = parent_of(task)
    sources = sources_of(replace(task, parent=parent), [1.0, 10.0])[10.0]
    np.testing.assert_allclose(sources.weight, parent.weight / 4)
    np.testing.assert_allclose(sources.bias, parent.bias / 4)


def test_sharper_is_a_factor(task):
    sources = sources_of(task, [1.0])[1.0]
    np.testing.assert_array_equal(sources.sharper(2.0).bias, 2 * sources.bias)


def test_where_the_time_is_over_it_ends_early(make_task):
    """Features of unlike sizes take many steps."""
    task = make_task((60,) * 3, d=60, spread=3.0)
    task = replace(task, z=np.concatenate([task.z, np.cumsum(task.z, axis=1) ** 3], axis=1))
    looked = []
    over = replace(task, left_s=lambda: 0.0, check=lambda: looked.append("over"))
    patient = replace(task, check=lambda: looked.append("patient"))
    assert np.isfinite(sources_of(over, [1e6])[1e6].weight).all()
    sources_of(patient, [1e6])
    assert looked.count("over") < looked.count("patient")


def test_a_parent_is_admitted_without_rows(task):
    none = replace(task.rows(np.zeros(len(task.y), dtype=np.bool_)), parent=parent_of(task))
    np.testing.assert_array_equal(admitted(none).counts, [1, 1, 0, 0])
    assert admitted(task) is task
    marked = replace(none, y=np.zeros((0, 4), dtype=np.bool_))
    assert admitted(marked).kind is TaskKind.MULTILABEL
