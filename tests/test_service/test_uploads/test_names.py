import pytest

from service.errors import UploadRefused
from service.uploads.names import LABEL_NAMES, TARGET_NAMES, check_different, guessed, listed, named


def test_names_are_taken_exactly_else_without_case_and_blanks():
    assert named(["Size", "size"], "size", "text") == "size"
    assert named([" Size "], "SIZE", "text") == " Size "
    with pytest.raises(UploadRefused, match="More than one column"):
        named(["Size", "SIZE"], "size", "text")
    with pytest.raises(UploadRefused, match=r"no feature column 'siez'.*Did you mean 'size'"):
        named(["size", "b"], "siez", "feature")


def test_the_surest_name_wins_and_case_and_punctuation_do_not_count():
    assert guessed(["category", "Target"], LABEL_NAMES) == "category"
    assert guessed(["category", "Target"], TARGET_NAMES) == "Target"
    assert guessed(["class_name"], TARGET_NAMES) == "class_name"
    assert guessed(["label"], LABEL_NAMES, taken="label") is None


def test_every_name_of_a_label_may_name_a_target():
    assert set(TARGET_NAMES) == set(LABEL_NAMES)


def test_equal_names_are_refused():
    check_different(["a", "A", ""])
    with pytest.raises(UploadRefused, match="'a'"):
        check_different(["a", "b", "a"])


def test_lists_and_names_are_cut():
    assert listed([f"c{at}" for at in range(25)]).endswith("'c19' and 5 more")
    assert listed(["x" * 50]) == f"'{'x' * 40}…'"
