import pytest

from adapters.dataset import encode_labels, groups_of, humanise


def test_classes_are_sorted_whatever_the_order_of_rows():
    classes, y = encode_labels(["b", "a", "c", "a"])
    assert classes == ("a", "b", "c")
    assert y.tolist() == [1, 0, 2, 0]
    assert encode_labels(["c", "a", "b"])[0] == classes


def test_identical_items_are_one_group():
    assert groups_of(["x", "y", "x", "z"]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_arrival", "card arrival"),
        ("lostCard", "lost card"),
        ("LostCard", "lost card"),
        ("ATM_support", "ATM support"),
        ("declined-cash.withdrawal", "declined cash withdrawal"),
        ("Refund_not_showing_up", "refund not showing up"),
        ("HTTPError", "HTTP error"),
        ("verify2FA", "verify2fa"),
        ("größe", "größe"),
        ("___", "___"),
        ("", ""),
    ],
)
def test_a_name_becomes_words(name, words):
    assert humanise(name) == words
