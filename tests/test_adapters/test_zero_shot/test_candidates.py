from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent
from adapters.errors import DatasetTooSmall
from adapters.methods import parse_method
from adapters.zero_shot.candidates import Candidates, meets_signatures, tells_unseen

ESZSL = {"method": "eszsl", "gamma": 1.0, "lam": 1.0}


def of(task, method):
    return Candidates.of(parse_method(method), task)


def kinds(candidates):
    return list(dict.fromkeys(method.method for method in candidates.methods))


def parent_of(task):
    known = task.classes[:3]
    return Parent("old:1", np.ones((3, task.z.shape[1]), np.float32), np.zeros(3, np.float32), 1.0, known)


def test_a_method_puts_up_its_own_grid(make_described):
    task = make_described()
    found = of(task, {"method": "sae", "stacking": 0.5})
    assert found.methods == parse_method({"method": "sae", "stacking": 0.5}).variants(task)
    assert (found.wish.single, found.wish.blend, found.wish.stacking) == (True, False, 0.5)


def test_what_a_blend_was_given_belongs_to_its_members(make_described):
    members = [{"method": "sae", "lam": 1.0}, ESZSL]
    given = {"method": "blend", "members": members, "shares": [3.0, 1.0], "spreads": [2.0, 4.0], "stacking": 0.5}
    found = of(make_described(), given)
    assert kinds(found) == ["sae", "eszsl"]
    assert (found.wish.single, found.wish.stacking) == (False, 0.5)
    assert found.wish.shares == {"sae": 3.0, "eszsl": 1.0}
    assert found.wish.spreads == {"sae": 2.0, "eszsl": 4.0}


def test_auto_leaves_out_who_needs_what_is_not_there(make_described, make_named):
    assert kinds(of(make_described(), "auto")) == ["eszsl", "sae", "conse", "iap", "dap"]
    assert kinds(of(make_named(), "auto")) == ["names", "eszsl", "sae", "conse"]


def test_where_nobody_can_learn_the_reason_is_that_of_who_came_nearest(make_described):
    with pytest.raises(DatasetTooSmall, match="'eszsl' learns from at least 2"):
        of(make_described(seen=1), "auto")


@pytest.mark.parametrize(("given", "kept"), [((0.5, 0.5), 0.5), ((0.5, 0.25), None), ((0.5, None), None)])
def test_auto_keeps_an_offset_that_its_candidates_agree_on(make_described, given, kept):
    candidates = [ESZSL | {"stacking": given[0]}, {"method": "sae", "stacking": given[1]}]
    assert of(make_described(), {"method": "auto", "candidates": candidates}).wish.stacking == kept


def test_candidates_that_are_compared_on_no_fold_are_fitted_only(make_described):
    found = of(make_described(), {"method": "auto", "candidates": [ESZSL], "folds": [0]})
    assert found.methods == ()
    assert found.fallback == parse_method(ESZSL)


def test_a_parent_is_left_where_rows_are_learned_from(make_described):
    task = make_described()
    task = replace(task, parent=parent_of(task))
    for method, informed in (("conse", True), ("iap", True), ("eszsl", False), ("auto", False)):
        found = of(task, method)
        assert found.learns_nothing == informed
        assert (found.view(task).parent is not None) == informed
    none = of(task.rows(np.zeros(0, dtype=np.int64)), "auto")
    assert none.learns_nothing
    assert none.fallback.method == "conse"


def test_names_meet_signatures_where_these_are_the_names(make_described, make_named):
    names, eszsl = parse_method("names"), parse_method("eszsl")
    assert meets_signatures(names, make_named())
    assert meets_signatures(eszsl, make_described())
    assert not meets_signatures(names, make_described())
    named = make_named()
    assert not meets_signatures(names, replace(named, names=named.names + 1))


def test_classes_are_told_by_signatures_where_some_have_no_rows(make_described):
    task = make_described()
    assert tells_unseen(task)
    assert not tells_unseen(make_described(unseen=0))
    assert not tells_unseen(replace(task, signatures=None))
    marks = np.ones((len(task.y), len(task.classes)), dtype=np.bool_)
    assert tells_unseen(replace(task, y=marks))
