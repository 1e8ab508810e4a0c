"""Classes that are given in a call, as rows of signatures."""

from types import SimpleNamespace

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.errors import BodyInvalid
from service.serving.one_off import OneOff, check_one_off, of_words, signatures_with

FACTS = SimpleNamespace(name="animals", number=3)
OWN = Signatures(
    ("tiger", "lion"), ("stripes", "mane", "weight/kg"), np.array([[1, 0, 220], [0, 1, np.nan]], np.float32)
)
WORDS = Signatures(("a", "b"), ("0", "1"), np.eye(2, dtype=np.float32), "digest")
LIGER = OneOff("liger", mixture=[("tiger", 1), ("lion", 3)])


def made(*given, own=OWN, words=None, with_own=False):
    check_one_off(FACTS, own, given, with_own=with_own)
    return signatures_with(FACTS, own, given, words or {}, with_own=with_own)


def test_attributes_stand_in_the_versions_own_order():
    okapi = OneOff("okapi", {"weight/kg": 250, "stripes": True, "mane": 0.25})
    found, sentences = made(okapi, OneOff("tiger"))
    assert (found.classes, found.attributes, sentences) == (("okapi", "tiger"), OWN.attributes, [])
    np.testing.assert_array_equal(found.values, [[1, 0.25, 250], [1, 0, 220]])


def test_what_is_left_out_or_null_is_unknown_and_said():
    found, sentences = made(OneOff("okapi", {"stripes": 1, "mane": None}), OneOff("lion"))
    np.testing.assert_array_equal(found.values[0], [1, np.nan, np.nan])
    assert sentences == [
        "Class 'okapi' has no value for 2 of 3 attributes ('mane', 'weight/kg'); they count as unknown."
    ]


def test_mixtures_are_weighted_means_of_own_and_other_given_classes():
    found, _ = made(
        OneOff("zebra", {"stripes": 1, "mane": 1, "weight/kg": 300}),
        OneOff("m", mixture=[("zebra", 1), ("tiger", 1)]),
        LIGER,
    )
    assert found.classes == ("zebra", "m", "liger")
    np.testing.assert_allclose(found.values, [[1, 1, 300], [1, 0.5, 260], [0.25, 0.75, np.nan]])


def test_its_own_classes_come_first_where_they_are_asked_for():
    found, _ = made(LIGER, with_own=True)
    assert found.classes == ("tiger", "lion", "liger")


def test_words_have_the_rows_that_were_embedded():
    row = np.array([0.6, 0.8], np.float32)
    found, _ = made(OneOff("c", description=["told"]), OneOff("b"), own=WORDS, words={"c": row})
    np.testing.assert_array_equal(found.values, np.array([[0.6, 0.8], [0, 1]], np.float32))
    assert found.space == "digest"


def test_numbered_attributes_are_words_whose_backbone_is_not_known():
    assert of_words(Signatures(("a",), ("0", "1"), np.eye(1, 2, dtype=np.float32)))
    assert of_words(WORDS)
    assert not of_words(OWN)


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        ([OneOff("x", {"stripe": 1}), OneOff("lion")], "/classes/0/attributes/stripe", "do you mean 'stripes'"),
        ([OneOff("x", {"qqqq": 1}), OneOff("lion")], "/classes/0/attributes/qqqq", "known are 'stripes'"),
        ([OneOff("lion"), OneOff("x", {"a/b": 1})], "/classes/1/attributes/a~1b", "is not known"),
        ([OneOff("x", {"mane": 2e15}), OneOff("lion")], "/classes/0/attributes/mane", r"2e\+15, which is not within"),
        ([OneOff("x", {"mane": float("nan")}), OneOff("lion")], "/classes/0/attributes/mane", "is nan, which is not"),
        ([OneOff("x", {}), OneOff("lion")], "/classes/0/attributes", "has no value"),
        ([OneOff("x", {"mane": None}), OneOff("lion")], "/classes/0/attributes", "has no value"),
        ([OneOff("lion"), OneOff("lion")], "/classes/1/name", "the same as that of class 0"),
        ([OneOff(" ", {"mane": 1}), OneOff("lion")], "/classes/0/name", "is empty"),
        ([OneOff("x"), OneOff("lion")], "/classes/0", "neither attributes nor a mixture"),
        ([OneOff("x", {"mane": 1}, [("lion", 1)]), OneOff("lion")], "/classes/0", "attributes and mixture"),
        ([OneOff("tiger", {"mane": 1}), OneOff("lion")], "/classes/0/name", "is a class of the version"),
        ([OneOff("x", description=["words"]), OneOff("lion")], "/classes/0/description", "send those"),
        ([LIGER], "/classes", "one class, which every input would have"),
        ([OneOff("x", mixture=[("puma", 1)]), OneOff("lion")], "/classes/0/mixture", "puma"),
        ([OneOff("lion"), OneOff("x/y", mixture=[("tiger", 0)])], "/classes/1/mixture", "weight 0"),
        ([OneOff("lion"), OneOff("x", mixture=[])], "/classes/1/mixture", "names no class"),
        ([OneOff("x", mixture=[("y", 1)]), OneOff("y", mixture=[("x", 1)])], "/classes/0/mixture", "made of itself"),
    ],
)
def test_what_cannot_be_used_is_pointed_at(given, pointer, words):
    with pytest.raises(BodyInvalid, match=words) as refused:
        made(*given)
    assert refused.value.problems[0].pointer == pointer


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        ([OneOff("x", {"mane": 1}), OneOff("a")], "/classes/0/attributes", "told by words"),
        ([OneOff("x", description=[]), OneOff("a")], "/classes/0/description", "is empty"),
        ([OneOff("x", description=["y", " "]), OneOff("a")], "/classes/0/description", "is empty"),
    ],
)
def test_words_cannot_be_given_attributes(given, pointer, words):
    with pytest.raises(BodyInvalid, match=words) as refused:
        made(*given, own=WORDS)
    assert refused.value.problems[0].pointer == pointer


def test_a_class_of_the_version_cannot_come_twice():
    with pytest.raises(BodyInvalid, match="in the answer already"):
        made(OneOff("tiger"), with_own=True)
