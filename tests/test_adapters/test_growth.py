import json
from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent, Task
from adapters.growth import growth, parent_scores

IDENTITY = np.eye(3, dtype=np.float32)


def grown(y, z, k=3, old=2, **fields):
    """A task whose parent answers with the largest of the first numbers."""
    classes = tuple("abc"[:k])
    parent = Parent("old:1", IDENTITY[:old], np.zeros(old, np.float32), 0.5, classes[:old])
    return Task(z, np.asarray(y), classes, np.arange(len(y)), parent=parent, **fields)


@pytest.fixture
def task():
    """Rows 0 to 3 are of old classes; the parent gets 0 and 2 right."""
    return grown([0, 0, 1, 1, 2], IDENTITY[[0, 1, 1, 0, 2]])


def test_gains_and_losses_are_counted_on_the_same_rows(task):
    now = IDENTITY[[0, 0, 0, 1, 2]]  # Of the old classes all right but row 2.
    result = growth(task, np.zeros(3, bool), np.arange(5), now)
    assert (result["evaluated"], result["gained"], result["lost"]) == (4, 2, 1)
    first, second = result["per_class"]
    assert (first["parent_recall"], first["recall"], first["gained"], first["lost"]) == (0.5, 1.0, 1, 0)
    assert (second["parent_recall"], second["recall"], second["gained"], second["lost"]) == (0.5, 0.5, 1, 1)
    assert (result["old_classes"], result["new_classes"], result["absent"]) == (2, ["c"], [])
    assert "2 are right now" in result["sentence"]
    json.dumps(result, allow_nan=False)


def test_an_old_row_that_went_to_a_new_class_is_lost(task):
    result = growth(task, np.zeros(3, bool), np.arange(5), IDENTITY[[2, 1, 1, 0, 2]])
    assert (result["gained"], result["lost"]) == (0, 1)


def test_absent_classes_are_said_to_be_unevaluated(task):
    result = growth(task, np.array([False, True, False]), np.array([0, 1]), IDENTITY[[0, 0]])
    assert result["absent"] == ["b"]
    assert "not evaluated: b" in result["sentence"]
    assert result["per_class"][1] == {
        "class": "b",
        "evaluated": 0,
        "parent_recall": None,
        "recall": None,
        "gained": 0,
        "lost": 0,
    }


def test_a_parent_of_another_embedding_cannot_be_compared_with(task):
    other = replace(task, parent=replace(task.parent, weight=np.ones((2, 7), np.float32)))
    assert parent_scores(other.parent, other) is None
    result = growth(other, np.zeros(3, bool), np.arange(5), IDENTITY[[0, 0, 1, 1, 2]])
    assert result["gained"] is result["per_class"][0]["parent_recall"] is None
    assert result["per_class"][0]["recall"] == 1.0
    assert "another embedding" in result["sentence"]


def test_the_parents_scores_are_at_its_temperature(task):
    np.testing.assert_allclose(parent_scores(task.parent, task), 2 * task.z[:, :2])


def test_marks_are_counted_one_by_one():
    y = np.array([[1, 1, 0], [1, 0, 1]], bool)
    task = grown(y, np.array([[1, -1, 0], [1, 1, 0]], np.float32))
    result = growth(task, np.zeros(3, bool), np.arange(2), np.array([[1, 1, -1], [-1, -1, 1]], np.float32))
    assert (result["gained"], result["lost"]) == (1, 1)
    assert [entry["evaluated"] for entry in result["per_class"]] == [2, 1]
