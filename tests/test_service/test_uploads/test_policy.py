import pytest

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.policy import RowLedger, SetLedger, ValueLedger


def ledger(kept: str, bad: str = "", *, strict: bool = False, **limits: float) -> RowLedger:
    """A ledger of one-letter classes; ``?`` is a bad row whose class is not known."""
    account = RowLedger(Limits(**limits), strict=strict)
    for label in kept:
        account.keep(label)
    for row, label in enumerate(bad, start=len(kept) + 1):
        account.reject(Problem("the text is blank", row=row), *label.strip("?"))
    return account


def test_a_tenth_may_be_bad_and_not_more():
    ledger("aaaabbbbb", "?").settle()
    with pytest.raises(UploadRefused, match=r"2 of 11 rows \(18%\) cannot be used; at most 10%") as caught:
        ledger("aaaabbbbb", "??").settle()
    assert [problem.row for problem in caught.value.problems] == [10, 11]
    assert "The first is row 10: the text is blank" in caught.value.message


def test_strict_refuses_a_single_one():
    ledger("ab" * 50, strict=True).settle()
    with pytest.raises(UploadRefused, match=r"1 of 101 rows .* strict=true"):
        ledger("ab" * 50, "?", strict=True).settle()


def test_a_class_may_lose_rows_but_not_all():
    ledger("ab" * 50, "ab").settle()
    with pytest.raises(UploadRefused, match="All rows of classes 'c', 'd' are bad"):
        ledger("ab" * 50, "cda").settle()


def test_one_class_is_not_enough():
    with pytest.raises(UploadRefused, match=r"All 3 rows have the label 'a'; .* at least two classes"):
        ledger("aaa").settle()
    with pytest.raises(UploadRefused, match="1 row has the label 'a'"):
        ledger("a").settle()


def test_no_rows_are_not_enough():
    with pytest.raises(UploadRefused, match="no rows"):
        ledger("").settle()


def test_listed_problems_are_capped_and_all_are_counted():
    account = ledger("ab" * 50, "?" * 9, listed_problems=4)
    assert len(account.problems) == 4
    assert (account.bad_count, account.total) == (9, 109)


def test_too_many_classes_stop_the_reading():
    assert ledger("abc", classes=3).classes == {"a": 1, "b": 1, "c": 1}
    with pytest.raises(UploadTooLarge, match="more than 3 different labels"):
        ledger("abcd", classes=3)


def values(kept: list[float], bad: int = 0, *, strict: bool = False) -> ValueLedger:
    """A ledger of a regression; bad rows come last."""
    account = ValueLedger(Limits(), strict=strict)
    for value in kept:
        account.keep(value)
    for row in range(len(kept) + 1, len(kept) + bad + 1):
        account.reject(Problem("the target is missing", row=row))
    return account


def test_the_policy_is_the_same_for_numbers():
    values([float(at) for at in range(9)], 1).settle()
    with pytest.raises(UploadRefused, match=r"2 of 11 rows \(18%\) .* The first is row 10: the target is missing"):
        values([float(at) for at in range(9)], 2).settle()
    with pytest.raises(UploadRefused, match=r"1 of 101 rows .* strict=true"):
        values([float(at) for at in range(100)], 1, strict=True).settle()
    with pytest.raises(UploadRefused, match="no rows"):
        values([]).settle()


def test_a_regression_needs_two_different_values():
    values([1.0, 2.0]).settle()
    with pytest.raises(UploadRefused, match=r"All 3 rows have the target 1\.5; .* two different values"):
        values([1.5, 1.5, 1.5]).settle()
    with pytest.raises(UploadRefused, match="1 row has the target 2"):
        values([2.0]).settle()


def test_rows_with_several_labels_count_once():
    account = SetLedger(Limits(), strict=False)
    for labels in (("a", "b"), ("a",), (), *[("b",)] * 6):
        account.keep(*labels)
    account.reject(Problem("the text is blank", row=10), "a", "b")
    assert (account.kept, account.total, account.classes) == (9, 10, {"a": 2, "b": 7})
    account.settle()
    account.reject(Problem("the text is blank", row=11))
    with pytest.raises(UploadRefused, match=r"2 of 11 rows \(18%\)"):
        account.settle()


def test_a_label_may_lose_rows_but_not_all():
    account = SetLedger(Limits(bad_fraction=0.5), strict=False)
    for labels in (("a", "b"), ("a",), ("b",)):
        account.keep(*labels)
    account.reject(Problem("the text is blank", row=4), "a", "gone")
    with pytest.raises(UploadRefused, match="All rows of class 'gone' are bad"):
        account.settle()
