"""What is kept of the items that a version learned from."""

from types import SimpleNamespace

import numpy as np
import pytest

from adapters.base import Task
from adapters.signatures import read_described
from service.jobs import shown
from service.jobs.shown import shown_items
from service.jobs.tapping import Tapped


def _tapped(y=(1, 0, 1), classes=("a", "b"), ids=(4, 7, 9), **more):
    z = np.array([[3, 4, 0, 0], [0, 0, 1, 0], [0, 2, 0, 0]], np.float32)
    return Tapped(Task(z, np.array(y), classes, np.arange(3), **more), "pooled", "fake", ids=ids)


def _adaptation(tap="", parts=()):
    return SimpleNamespace(tap=tap, parts=parts)


def test_embeddings_have_length_one_and_stand_beside_labels_and_ids():
    arrays, about = read_described(shown_items(_tapped(), _adaptation()))
    assert arrays["embedding"].dtype == np.float16
    assert arrays["embedding"].tolist() == [pytest.approx([0.6, 0.8, 0, 0], abs=1e-3), [0, 0, 1, 0], [0, 1, 0, 0]]
    assert arrays["label"].tolist() == [1, 0, 1]
    assert about == {"ids": [4, 7, 9]}


def test_they_are_what_the_head_takes():
    arrays, _ = read_described(shown_items(_tapped(), _adaptation(parts=((0, 1), (2, 3)))))
    assert arrays["embedding"].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_several_labels_are_no_label():
    marks = np.array([[True, False]] * 3)
    assert read_described(shown_items(_tapped(marks), _adaptation()))[0]["label"].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("tapped", "adaptation"),
    [
        (_tapped(), _adaptation(tap="block3")),
        (_tapped((1.0, 2.0, 3.0), ()), _adaptation()),
    ],
)
def test_nothing_is_kept_where_there_is_nothing_to_show(tapped, adaptation):
    assert shown_items(tapped, adaptation) is None


def test_too_much_is_not_kept(monkeypatch):
    monkeypatch.setattr(shown, "MOST_BYTES", 23)
    assert shown_items(_tapped(), _adaptation()) is None
    monkeypatch.setattr(shown, "MOST_BYTES", 24)
    assert shown_items(_tapped(), _adaptation()) is not None
