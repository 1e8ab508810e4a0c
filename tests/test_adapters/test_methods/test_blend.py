from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Need
from adapters.errors import DatasetTooSmall, MethodUnknown, ParameterInvalid, RequirementMissing
from adapters.methods import parse_method
from adapters.methods.blend import Blend
from adapters.methods.eszsl import Eszsl
from adapters.methods.sae import Sae
from adapters.zero_shot.candidates import meets_signatures
from tests.contract.test_methods import SEEN, make_described

MEMBERS = [{"method": "eszsl", "gamma": 1.0, "lam": 1.0}, {"method": "sae", "lam": 10.0}]


def all_seen(task):
    """The task of the classes that have rows."""
    classes = task.classes[:SEEN]
    return replace(task, classes=classes, names=task.names[:SEEN], signatures=task.signatures.of(classes))


def made(**fields):
    return Blend(members=MEMBERS, shares=[0.75, 0.25], spreads=[2.0, 0.5], **fields)


def test_scores_are_averaged_in_units_of_their_spreads():
    task = make_described()
    one, other = Eszsl(gamma=1.0, lam=1.0).fit(task), Sae(lam=10.0).fit(task)
    expected = 0.75 / 2.0 * one.scores(task.z) + 0.25 / 0.5 * other.scores(task.z)
    np.testing.assert_allclose(made().fit(task).scores(task.z), expected, atol=1e-5)


def test_only_the_ratio_of_shares_matters():
    task = make_described()
    tripled = made().model_copy(update={"shares": [2.25, 0.75]})
    np.testing.assert_array_equal(tripled.fit(task).scores(task.z), made().fit(task).scores(task.z))


def test_what_is_taken_from_seen_classes_is_taken_once():
    task = make_described()
    members = [member | {"stacking": 7.0} for member in MEMBERS]
    stacked = made(stacking=0.5).model_copy(update={"members": members}).fit(task)
    difference = stacked.scores(task.z) - made().fit(task).scores(task.z)
    np.testing.assert_allclose(difference, np.tile(np.where(task.absent, 0, -0.5), (len(task.y), 1)), atol=1e-5)


def test_shares_and_parameters_are_chosen_where_they_are_open():
    task = make_described()
    head = Blend(members=[{"method": "eszsl", "lam": 1.0}, {"method": "sae"}]).fit(task)
    assert 1 <= len(head.fronts) <= 2
    assert all(share > 0 for share in head.shares)


def test_by_itself_it_takes_what_can_learn_from_the_task():
    task = make_described()
    # The names of the classes are not what its signatures are: they would have to be swapped apart from these.
    assert [member.method for member in Blend().parts(task)] == ["eszsl", "sae"]
    named = replace(task.signatures, values=task.names, attributes=tuple("abcdefghijkl"), space="digest")
    assert [member.method for member in Blend().parts(replace(task, signatures=named))] == ["names", "eszsl", "sae"]
    assert not meets_signatures(parse_method("names"), task)


def test_what_was_asked_for_and_cannot_be_blended_is_refused():
    task = make_described()
    with pytest.raises(RequirementMissing, match="cannot be blended"):
        Blend(members=[{"method": "names"}, {"method": "eszsl"}]).parts(task)
    alien = Blend(members=[{"method": "eszsl"}, {"method": "prototype"}], shares=[1, 1], spreads=[1, 1])
    with pytest.raises(RequirementMissing, match="no rows of signatures"):
        alien.fit(all_seen(task))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"members": [{"method": "blend"}]}, "its own members"),
        ({"members": [{"method": "eszsl"}, {"method": "eszsl", "lam": 1.0}]}, "each method once"),
        ({"members": MEMBERS, "shares": [1.0]}, "one for each"),
        ({"shares": [1.0]}, "one for each"),
        ({"members": MEMBERS, "spreads": [1.0]}, "one for each"),
        ({"members": MEMBERS, "shares": [0.0, 0.0]}, "All shares are zero"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(fields, match):
    with pytest.raises(ParameterInvalid, match=match):
        Blend(**fields)


def test_unknown_members_and_negative_shares_are_refused():
    with pytest.raises(MethodUnknown):
        parse_method({"method": "blend", "members": [{"method": "magic"}]})
    with pytest.raises(ParameterInvalid):
        parse_method({"method": "blend", "members": MEMBERS, "shares": [-1.0, 2.0]})


def test_it_needs_signatures_and_two_classes_with_rows():
    assert Need.SIGNATURES in Blend().requirements()
    with pytest.raises(RequirementMissing, match="signatures"):
        Blend().fit(replace(all_seen(make_described()), signatures=None))
    task = make_described()
    with pytest.raises(DatasetTooSmall):
        Blend().fit(task.rows(task.y == 0))
