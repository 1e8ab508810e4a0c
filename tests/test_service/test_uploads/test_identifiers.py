"""Columns that are no classes, sent as labels."""

import pytest

from service.errors import UploadRefused, UploadTooLarge
from service.uploads.identifiers import refuse_identifiers
from service.uploads.limits import Limits

NAMES = [f"{a}{b}{c}" for a in "bdgklmnprst" for b in "aeiou" for c in "lmnrst"]
"""330 words."""


def texts(labels: list[object]) -> str:
    return "text,label\n" + "".join(f"text {at},{label}\n" for at, label in enumerate(labels))


def table(labels: list[object]) -> str:
    return "size,target\n" + "".join(f"{at % 7},{label}\n" for at, label in enumerate(labels))


IDS = [f"user-{at:04}" for at in range(95)] + ["user-0001"] * 5
SENTENCES = [f"this is {name} who wrote us a line" for name in NAMES[:60]]


@pytest.mark.parametrize(
    ("labels", "kind", "seen"),
    [
        (IDS, "an identifier", "94 of its 100 rows"),
        (list(range(1000, 1060)), "an identifier", "each of its 60 rows"),
        (SENTENCES, "free text", "each of its 60 rows"),
    ],
)
def test_identifiers_and_free_text_are_refused_with_a_hint(upload, labels: list[object], kind: str, seen: str):
    with pytest.raises(UploadRefused, match=rf"another value in {seen}: it looks like {kind}, not a class") as caught:
        upload(texts(labels))
    assert 'If each is a class, say so: "task": "classification".' in caught.value.message
    assert upload(texts(labels), task="classification").n == len(labels)


def test_a_table_refuses_them_too(upload):
    with pytest.raises(UploadRefused, match="94 of its 100 rows: it looks like an identifier"):
        upload(table(IDS), target="target")
    assert upload(table(IDS), target="target", task="classification").n == 100
    assert upload(table(range(1000, 1060)), target="target").task == "regression"


def test_words_may_be_the_classes_of_texts_with_one_example_each(upload):
    items = upload(texts(NAMES[:77]))
    assert len(items.quality["classes"]) == 77
    assert any("Fewer than 5 items" in note for note in items.notes)
    with pytest.raises(UploadRefused, match="each of its 77 rows"):
        upload(table(NAMES[:77]), target="target")


def test_a_few_rows_may_all_differ(upload):
    assert upload(texts(range(50))).n == 50
    assert upload(table(NAMES[:20]), target="target").n == 20
    with pytest.raises(UploadRefused, match="each of its 51 rows"):
        upload(texts(range(51)))
    with pytest.raises(UploadRefused, match="each of its 21 rows"):
        upload(table(NAMES[:21]), target="target")


def test_a_tenth_that_repeats_is_enough():
    refuse_identifiers("id", [f"a{at}" for at in range(89)] + ["b1"] * 11)
    with pytest.raises(UploadRefused, match="90 of its 100 rows"):
        refuse_identifiers("id", [f"a{at}" for at in range(90)] + ["b1"] * 10)


def test_five_thousand_classes_of_one_example(upload):
    words = [a + b for a in NAMES[:80] for b in NAMES[:63]][:5000]
    with pytest.raises(UploadTooLarge, match=r"more than 2000 different labels.* Is the label column the right one\?"):
        upload(texts(words))
    items = upload(texts(words), limits=Limits(classes=5000))
    assert len(items.quality["classes"]) == 5000
    with pytest.raises(UploadRefused, match="each of its 5000 rows: it looks like an identifier"):
        upload(texts([f"id{at}" for at in range(5000)]), limits=Limits(classes=5000))
    ids = upload(texts([f"id{at}" for at in range(5000)]), limits=Limits(classes=5000), task="classification")
    assert len(ids.quality["classes"]) == 5000
