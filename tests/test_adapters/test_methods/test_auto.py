from dataclasses import replace

import numpy as np

from adapters.methods import METHODS
from adapters.methods.auto import Auto
from adapters.select import settle


def test_it_tries_what_every_method_proposes(make_task):
    tried = {variant.method for variant in Auto().variants(make_task())}
    assert tried == set(METHODS) - {"auto"}


def test_without_names_nothing_that_needs_them_is_tried(make_task):
    task = replace(make_task(), names=None)
    assert all(getattr(variant, "prior", "none") == "none" for variant in Auto().variants(task))


def test_its_head_is_that_of_the_method_it_settles_on(make_task):
    task = make_task()
    np.testing.assert_array_equal(Auto().fit(task).weight, settle(Auto(), task).fit(task).weight)


def test_where_nothing_can_be_compared_names_decide(make_task):
    alone = make_task((1, 1, 1))
    chosen = settle(Auto(), alone)
    assert (chosen.method, chosen.prior, chosen.c) == ("logistic", "names", 10.0)
    assert settle(Auto(), replace(alone, names=None)).method == "prototype"


def test_for_numbers_it_tries_what_can_do_them(make_regression):
    task = make_regression()
    assert {variant.method for variant in Auto().variants(task)} == {"ridge"}
    np.testing.assert_array_equal(Auto().fit(task).weight, settle(Auto(), task).fit(task).weight)
    assert settle(Auto(), make_regression(3)).l2 == 3.0


def test_of_uneven_classes_that_cannot_be_held_out_it_takes_the_balanced_loss(make_task):
    task = make_task((6, 2))
    alone = replace(task, groups=task.y)
    assert any(not getattr(variant, "balanced", True) for variant in Auto().variants(alone))
    assert settle(Auto(), alone).balanced
