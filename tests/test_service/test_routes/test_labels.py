"""The labels of a call."""

import pytest

from service.errors import BodyInvalid
from service.routes.labels import MAX_LABELS, labels_of


def test_names_stand_for_themselves_and_descriptions_for_their_names():
    assert labels_of(["a", "b_c"], 100) == {"a": (), "b_c": ()}
    assert labels_of({"a": "one", "b": ["two", "three"], "c": []}, 100) == {
        "a": ("one",),
        "b": ("two", "three"),
        "c": (),
    }


def test_as_many_as_there_may_be():
    assert len(labels_of([str(i) for i in range(MAX_LABELS)], 100)) == MAX_LABELS


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        (["a", " "], "/labels/1", "is empty"),
        (["a", "b", "a"], "/labels/2", "the same as label 0"),
        (["a"], "/labels", "1 label, which every input would have"),
        ([], "/labels", "no labels"),
        ({"a": "x"}, "/labels", "1 label"),
        ("refund", "/labels", "no list and no object"),
        (["a", 3], "/labels/1", "is no text"),
        ({"a": "x", "b/c": " "}, "/labels/b~1c", "a description that is empty"),
        ({"a": "x", "b": ["y", None]}, "/labels/b/1", "is no text"),
        ({"a": "x", "b": ["y"] * 101}, "/labels/b", "101 descriptions, the limit is 100"),
        ({"a": "x", "b": 3}, "/labels/b", "is no text"),
        ({"a": "x", "": "y"}, "/labels/", "is empty"),
        (["a", "b" * 101], "/labels/1", "101 characters, the limit is 100"),
        ([str(i) for i in range(1001)], "/labels", r"1,001 labels, the limit is 1,000.* \(POST /v1/signatures"),
    ],
)
def test_what_is_wrong_is_pointed_at(given, pointer, words):
    with pytest.raises(BodyInvalid, match=words) as refused:
        labels_of(given, 100)
    assert refused.value.problems[0].pointer == pointer


def test_all_of_them_are_listed_up_to_a_hundred():
    with pytest.raises(BodyInvalid, match=r"\(and 499 more cannot be used\)") as refused:
        labels_of([""] * 500, 100)
    assert len(refused.value.problems) == 100
