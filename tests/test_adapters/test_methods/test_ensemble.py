from dataclasses import replace

import numpy as np
import pytest

from adapters.ensembles.members import Member
from adapters.errors import ParameterInvalid, RequirementMissing, TaskUnsupported
from adapters.heads import AffineHead
from adapters.methods import parse_method
from adapters.methods.ensemble import Ensemble


@pytest.fixture
def averaged(make_task):
    """A task with two members, the second of which does not know its last class."""
    task = make_task()

    def head(classes, weight):
        return AffineHead(weight.astype(np.float32), np.zeros(len(classes), np.float32), classes).onnx(0.3)

    one = Member("one:1", head(task.classes, task.names), task.classes, {}, 0, 12)
    two = Member("two:1", head(task.classes[:2], -task.names[:2]), task.classes[:2], {}, 0, 12)
    return replace(task, members=(one, two))


def test_it_follows_its_weights(averaged):
    right = [
        (
            Ensemble(weights=weights, of="probabilities").fit(averaged).scores(averaged.z).argmax(axis=1) == averaged.y
        ).mean()
        for weights in ([1.0, 0.01], [0.01, 1.0])
    ]
    assert right[0] > 0.8 > right[1]


def test_without_weights_it_learns_them(averaged):
    head = Ensemble().fit(averaged)
    assert head.shares[0] > 0.7


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"weights": [1.0, -1.0]}, "greater than or equal to 0"),
        ({"weights": [0.0, 0.0]}, "All of 'weights' are zero"),
        ({"weights": [1.0]}, "at least 2"),
        ({"weights": [1.0, float("nan")]}, "finite"),
        ({"of": "logits"}, "log_probabilities"),
        ({"temperature": 0.0}, "greater than 0"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters, words):
    with pytest.raises(ParameterInvalid, match=words):
        parse_method({"method": "ensemble", **parameters})


def test_one_weight_a_member_is_asked_for(averaged):
    with pytest.raises(ParameterInvalid, match="3 numbers and 2 versions"):
        Ensemble(weights=[1.0, 1.0, 1.0]).fit(averaged)


def test_a_class_whose_only_member_weighs_nothing_is_refused(averaged):
    with pytest.raises(ParameterInvalid, match="class 2"):
        Ensemble(weights=[0.0, 1.0]).fit(averaged)


def test_without_members_there_is_nothing_to_average(make_task):
    with pytest.raises(RequirementMissing, match="published versions"):
        Ensemble().fit(make_task())


def test_rows_of_a_table_are_refused(make_table_task, averaged):
    with pytest.raises(TaskUnsupported, match="rows of a table"):
        Ensemble().fit(replace(make_table_task(), members=averaged.members))


def test_auto_does_not_try_it(averaged):
    assert Ensemble.proposals(averaged) == ()
