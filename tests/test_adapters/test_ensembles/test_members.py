import numpy as np
import pytest

from adapters.ensembles.members import Member, admit_members, known, placement, placements
from adapters.errors import RequirementMissing


def member(classes, name="one:1", behind=4, **fields):
    return Member(name, b"", tuple(classes), {}, 0, behind, **fields)


def test_labels_go_where_the_task_has_them():
    place = placement(member(["b", "a"]), ["a", "b", "c"])
    np.testing.assert_array_equal(place, [[0, 1, 0], [1, 0, 0]])


def test_several_labels_of_one_class_add_up_and_a_label_may_be_left_out():
    some = member(["red", "crimson", "blue", "none"], labels={"crimson": "red", "none": None})
    probabilities = np.array([[0.2, 0.3, 0.4, 0.1]])
    np.testing.assert_allclose(probabilities @ placement(some, ["red", "blue"]), [[0.5, 0.4]])


def test_a_renamed_label_is_no_longer_known_by_its_own_name():
    assert not known([placement(member(["a", "b"], labels={"a": "b"}), ["a", "b"])])[0, 0]


def test_numbers_have_one_place():
    assert [place.tolist() for place in placements([member([]), member([])], [])] == [[[1.0]], [[1.0]]]


def test_members_that_overlap_by_way_of_others_are_averaged():
    admit_members([member("ab"), member("cd"), member("bc")], "abcd", 4)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member("ab")], "at least two"),
        ([member("ab"), member([], "two:1")], "two:1 answers numbers"),
        ([member("ab"), member("cd", "two:1")], "one:1 and two:1 have no label in common"),
        ([member("abcd"), member("xy", "two:1")], "two:1 knows none of the classes"),
        ([member("abc"), member("abc", "two:1")], "No version knows the class.* 'd'"),
        ([member("abcd"), member("abcd", "two:1", behind=9)], "two:1 takes columns up to 9"),
        ([member("abcd"), member("abcd", "two:1", labels={"q": "a"})], "renames 'q' of two:1"),
        ([member("abcd"), member("abcd", "two:1", labels={"a": "q"})], "calls labels of two:1 'q'"),
    ],
)
def test_what_has_no_average_is_refused_and_named(members, words):
    with pytest.raises(RequirementMissing, match=words):
        admit_members(members, "abcd", 4)


def test_where_numbers_are_asked_for_classes_are_refused():
    with pytest.raises(RequirementMissing, match="one:1 answers classes"):
        admit_members([member("ab"), member([])], (), 4)
