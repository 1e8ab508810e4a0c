import pytest

from service.uploads.cells import Bad, as_label, as_target, as_text, is_blank, is_empty
from service.uploads.limits import Limits
from service.uploads.rows import Nested

LIMITS = Limits(cell_chars=10, label_chars=5)


@pytest.mark.parametrize("cell", ["a", "  a\n", "=1+1", "1", "😀", "x" * 10, "\u200d👍"])
def test_a_text_stays_as_it_came(cell: str):
    assert as_text(cell, LIMITS) == cell


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "the text is blank"),
        (" \t\r\n", "the text is blank"),
        ("\u200b\ufeff\u00a0", "the text is blank"),
        ("x" * 11, "the text has 11 characters; the limit is 10"),
        ("a\x00", "the text holds a NUL or half a surrogate pair, which cannot be stored"),
        ("\ud800b", "the text holds a NUL or half a surrogate pair, which cannot be stored"),
        (None, "the text is missing (null); it must be a string"),
        (3, "the text is a number; it must be a string"),
        (True, "the text is true or false; it must be a string"),
        (Nested("a list"), "the text is a list; it must be a string"),
    ],
)
def test_what_is_no_text_says_why(cell: object, reason: str):
    assert as_text(cell, LIMITS) == Bad(reason)


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (" a b ", "a b"),
        ("cafe\u0301", "caf\u00e9"),
        (7, "7"),
        (-7, "-7"),
        (7.0, "7"),
        (True, "true"),
        (False, "false"),
        (" " * 9 + "a", "a"),
    ],
)
def test_a_label_is_cleaned(cell: object, label: str):
    assert as_label(cell, LIMITS) == label


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("  ", "the label is blank"),
        ("x" * 6, "the label has 6 characters; the limit is 5"),
        ("a\x00b", "the label holds a NUL or half a surrogate pair, which cannot be stored"),
        (None, "the label is missing (null); it must be a string or a whole number"),
        (1.5, "the label is a number that is not whole; it must be a string or a whole number"),
        (float("nan"), "the label is missing (NaN); it must be a string or a whole number"),
        (float("inf"), "the label is a number that is not whole; it must be a string or a whole number"),
        (10**18, "the label is a number of more than 18 digits"),
        (Nested("an object"), "the label is an object; it must be a string or a whole number"),
    ],
)
def test_what_is_no_label_says_why(cell: object, reason: str):
    assert as_label(cell, LIMITS) == Bad(reason)


def test_characters_that_this_unicode_version_does_not_know_are_not_blank():
    assert not is_blank("\U0001fae9\U000e0fff"[1:])
    assert not is_blank("\ue000")


@pytest.mark.parametrize(
    ("cell", "value"), [(3, 3.0), (-2.5, -2.5), (" 1e3 ", 1000.0), ("-.5", -0.5), (10**30, 1e30), ("007", 7.0)]
)
def test_a_target_is_a_number(cell: object, value: float):
    assert as_target(cell) == value


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "the target is missing"),
        ("NaN", "the target is missing"),
        (float("nan"), "the target is missing"),
        ("1,5", "the target is not a number"),
        ("1_000", "the target is not a number"),
        ("inf", "the target is not a finite number"),
        (float("-inf"), "the target is not a finite number"),
        (10**400, "the target is not a finite number"),
        (True, "the target is true or false; it must be a number"),
        (None, "the target is missing (null); it must be a number"),
        (Nested("a list"), "the target is a list; it must be a number"),
    ],
)
def test_what_is_no_target_says_why(cell: object, reason: str):
    assert as_target(cell) == Bad(reason)


def test_what_is_empty():
    assert all(map(is_empty, [None, float("nan"), "", "  ", "NA", "null", "?"]))
    assert not any(map(is_empty, ["x", 0, False, 0.0, float("inf"), Nested("a list")]))
