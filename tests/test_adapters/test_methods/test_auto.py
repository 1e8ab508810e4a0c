import json
from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Need
from adapters.decision import decide
from adapters.errors import DatasetTooSmall, MethodUnknown, ParameterInvalid
from adapters.methods import METHODS, parse_method
from adapters.methods.auto import Auto, smallest_class
from adapters.methods.logistic import Logistic
from adapters.methods.ridge import Ridge
from adapters.race import compare
from adapters.select import proposals, settle


def tried(task):
    return {variant.method for variant in Auto().variants(task)}


def test_it_tries_what_methods_propose_and_no_network_on_embeddings(make_task):
    task = make_task((10, 10, 10))
    assert tried(task) == {method.method for method in proposals(task)} - {"mlp"}
    assert {"prototype", "lda", "logistic", "kernel"} <= tried(task)


def test_a_network_is_tried_on_tables(make_table_task):
    task = make_table_task()
    assert tried(task) == {method.method for method in proposals(task)}


def test_what_bends_needs_five_examples_of_the_smallest_class_that_counts(make_task):
    assert "kernel" not in tried(make_task((20, 4)))
    assert "kernel" in tried(make_task((20, 9)))


@pytest.mark.parametrize(
    ("counts", "smallest"), [((1, 1), 1), ((1, 2), 2), ((9, 2, 1), 9), ((9, 3, 1), 3), ((12, 7), 7)]
)
def test_a_class_with_one_or_two_examples_never_decides_for_the_others(make_task, counts, smallest):
    assert smallest_class(make_task(counts)) == smallest


def test_simpler_methods_come_first(make_task):
    order = [variant.complexity for variant in Auto().variants(make_task())]
    assert order == sorted(order)


def test_without_names_nothing_that_needs_them_is_tried(make_task):
    task = replace(make_task(), names=None)
    assert all(Need.NAMES not in variant.requirements() for variant in Auto().variants(task))


def test_its_head_is_that_of_the_method_it_settles_on(make_task):
    task = make_task()
    np.testing.assert_array_equal(Auto().fit(task).scores(task.z), settle(Auto(), task).fit(task).scores(task.z))


def test_where_nothing_can_be_compared_names_decide(make_task):
    alone = make_task((1, 1, 1))
    chosen = settle(Auto(), alone)
    assert (chosen.method, chosen.prior, chosen.c) == ("logistic", "names", 10.0)
    assert settle(Auto(), replace(alone, names=None)) == Logistic(c=10.0, balanced=True)
    hasty = replace(alone, names=None, left_s=lambda: 0.0)
    assert Auto().fallback(hasty).method == "logistic"
    many = hasty.rows(np.arange(3 * 2_000) % 3)
    assert Auto().fallback(many).method == "prototype"


def test_for_numbers_it_tries_what_can_do_them(make_regression):
    task = make_regression()
    assert "ridge" in tried(task)
    assert all("regression" in METHODS[name].tasks for name in tried(task))
    np.testing.assert_array_equal(Auto().fit(task).scores(task.z), settle(Auto(), task).fit(task).scores(task.z))
    assert settle(Auto(), make_regression(3)).method == "ridge"


def test_given_candidates_are_all_that_is_tried(make_task):
    task = make_task()
    auto = Auto(candidates=[{"method": "ridge", "l2": 1.0}, {"method": "ridge", "l2": 3.0}])
    assert auto.variants(task) == (Ridge(l2=1.0), Ridge(l2=3.0))
    assert settle(auto, task) in auto.variants(task)
    assert parse_method(json.loads(auto.model_dump_json())) == auto
    assert Auto(candidates=[]).variants(task) == ()


def test_unknown_candidates_and_itself_are_refused():
    with pytest.raises(MethodUnknown):
        Auto(candidates=[{"method": "magic"}])
    with pytest.raises(ParameterInvalid, match="its own candidates"):
        Auto(candidates=[{"method": "auto"}])
    with pytest.raises(ParameterInvalid):
        Auto(candidates=[{"method": "ridge", "l2": -1.0}])


def test_folds_are_given_for_each_candidate_and_hold_for_all_its_variants(make_task):
    task = make_task()
    auto = Auto(candidates=[{"method": "prototype"}, {"method": "ridge"}], folds=[5, 2])
    assert auto.folds_of_variants(task) == (5, *(2,) * len(Ridge().variants(task)))
    assert Auto().folds_of_variants(task) is None
    with pytest.raises(ParameterInvalid, match="one for each"):
        Auto(candidates=[{"method": "prototype"}], folds=[5, 5])
    with pytest.raises(ParameterInvalid, match="one for each"):
        parse_method({"method": "auto", "folds": [1]})


def test_one_class_is_refused(make_task):
    with pytest.raises(DatasetTooSmall):
        Auto().fit(make_task((5,)))


def test_names_that_tell_nothing_are_not_looked_at(make_task):
    task = replace(make_task((6, 6, 6)), names=None)
    named = replace(task, names=np.random.default_rng(0).standard_normal((3, task.z.shape[1])).astype(np.float32))
    blind, seeing = Auto(names=False), Auto()
    assert blind.view(named).names is None
    assert seeing.view(named) is named
    assert all(Need.NAMES not in method.requirements() for method in blind.variants(blind.view(named)))
    assert any(Need.NAMES in method.requirements() for method in seeing.variants(named))
    assert blind.fit(named).onnx(1.0) == blind.fit(task).onnx(1.0)


def test_names_alone_are_kept_until_rows_say_more(make_task):
    """Items far around their classes, whose names are right: four rows of a class say less than its name."""
    task = make_task((4,) * 6, d=40, spread=2.0)
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((6, 40))
    named = replace(
        task,
        z=(truth[task.y] + 2.5 * rng.standard_normal(task.z.shape)).astype(np.float32),
        names=truth.astype(np.float32),
    )
    assert "names" in tried(named)
    decision = decide(named, compare(Auto().variants(named), named), free=True)
    chosen = Auto().variants(named)[decision.choice.index]
    assert chosen.method == "names"
    misnamed = replace(named, names=np.roll(named.names, 1, axis=0))
    assert settle(Auto(), misnamed).method != "names"


def test_classes_that_only_signatures_tell_are_told_by_zero_shot_methods():
    from tests.contract.test_methods import make_described_and_held_out

    task, held_out = make_described_and_held_out()
    head = Auto().fit(task)
    assert head.classes == task.classes
    assert (head.scores(held_out.z)[:, 6:].argmax(axis=1) == held_out.y - 6).mean() > 0.5
