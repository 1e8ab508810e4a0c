import pytest

from service.errors import UploadRefused
from service.uploads.columns import Choice, choose
from service.uploads.rows import Row


def rows(columns: tuple[str, str], *pairs: tuple[str, str]) -> list[Row]:
    return [Row(number, dict(zip(columns, pair, strict=True))) for number, pair in enumerate(pairs, start=1)]


SENTENCES = [("my parcel is late", "late"), ("where is it now", "late"), ("i want my money", "refund")]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["text", "label"], Choice("text", "label")),
        (["Label", "Text"], Choice("Text", "Label")),
        (["id", "utterance", "intent"], Choice("utterance", "intent")),
        (["question", "answer", "category"], Choice("question", "category")),
        (["content", "Class Name", "id"], Choice("content", "Class Name")),
        (["label", "label_text", "text"], Choice("text", "label")),
        (["message", "kind"], Choice("message", "kind", by_content=True)),
        (["what", "intent"], Choice("what", "intent", by_content=True)),
    ],
)
def test_names_that_people_use_are_found(columns: list[str], expected: Choice):
    assert choose(columns, [], text=None, label=None) == expected


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("b", "c", Choice("b", "c")),
        ("label", "text", Choice("label", "text")),
        ("B", " c ", Choice("b", "c")),
        (None, "c", Choice("text", "c")),
        ("label", None, None),
    ],
)
def test_given_names_go_first(text: str | None, label: str | None, expected: Choice | None):
    columns = ["b", "c", "text", "label"]
    if expected is None:
        with pytest.raises(UploadRefused, match="No label column"):
            choose(columns, [], text=text, label=label)
    else:
        assert choose(columns, [], text=text, label=label) == expected


def test_the_letter_for_letter_name_wins_over_another_case():
    assert choose(["Text", "text", "label"], [], text="text", label="label") == Choice("text", "label")
    with pytest.raises(UploadRefused, match="More than one column is called 'Text'"):
        choose(["Text", "text", "label"], [], text="TEXT", label="label")


def test_a_name_that_is_not_there_lists_what_is_and_suggests():
    with pytest.raises(UploadRefused, match=r"no label column 'intnet'; the columns are 'a', 'Intent'\. .*'Intent'"):
        choose(["a", "Intent"], [], text="a", label="intnet")


def test_the_list_of_columns_is_cut():
    columns = ["x" * 100, *(f"c{index}" for index in range(500))]
    with pytest.raises(UploadRefused, match=r"'x{40}…', .*'c18' and 481 more") as caught:
        choose(columns, [], text=None, label=None)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("columns", [("c1", "c2"), ("c2", "c1")])
def test_of_two_unknown_columns_the_longer_is_the_text(columns: tuple[str, str]):
    pairs = SENTENCES if columns[0] == "c1" else [(label, text) for text, label in SENTENCES]
    assert choose(columns, rows(columns, *pairs), text=None, label=None) == Choice("c1", "c2", by_content=True)


@pytest.mark.parametrize(
    "pairs",
    [
        [("late", "soon"), ("soon", "late"), ("soon", "late")],  # neither is longer
        [("a long sentence", "x"), ("another sentence", "y")],  # no label occurs twice
        [],
    ],
)
def test_two_unknown_columns_that_are_not_clear_are_refused(pairs: list[tuple[str, str]]):
    with pytest.raises(UploadRefused, match="No text column was found"):
        choose(("c1", "c2"), rows(("c1", "c2"), *pairs), text=None, label=None)


@pytest.mark.parametrize("header", [("when does it come", "late"), ("please help me now", "other"), ("hello", "late")])
def test_a_first_row_that_looks_like_data_is_no_header(header: tuple[str, str]):
    with pytest.raises(UploadRefused, match="seems to have no header"):
        choose(header, rows(header, *SENTENCES), text=None, label=None)


def test_one_column_cannot_be_both():
    with pytest.raises(UploadRefused, match="the same column, 'text'"):
        choose(["text", "label"], [], text="text", label="text")


def test_a_single_column_has_no_label():
    with pytest.raises(UploadRefused, match="No label column was found; the columns are 'text'"):
        choose(["text"], [], text=None, label=None)
