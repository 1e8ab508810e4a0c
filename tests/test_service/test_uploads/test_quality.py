from collections import Counter

from service.uploads.quality import Quality, assess, assess_values


def assessed(*items: tuple[str, str], bad_count: int = 0) -> Quality:
    texts, labels = zip(*items, strict=True)
    rows = range(1, len(items) + 1)
    return assess(texts, labels, rows, Counter(labels), bad_count=bad_count, notes=["From the reader."])


def test_counts():
    found = assessed(("a", "x"), ("b", "x"), ("c", "y"), bad_count=2)
    assert (found["items"], found["rows_read"], found["rows_left_out"]) == (3, 5, 2)
    assert found["classes"] == {"x": 2, "y": 1}
    assert found["smallest_class"] == {"name": "y", "items": 1}
    assert found["notes"][:2] == [
        "From the reader.",
        "2 rows are left out as bad; they are listed by number and reason.",
    ]


def test_duplicates_are_the_repetitions_with_the_same_label():
    found = assessed(("a", "x"), ("a", "x"), ("a", "x"), ("a", "y"), ("A", "x"))
    assert found["duplicates"] == 2


def test_conflicts_name_rows_and_labels():
    found = assessed(("a", "y"), ("b", "x"), ("a", "x"), ("b", "x"))
    assert found["conflicts"] == [{"text_rows": [1, 3], "labels": ["x", "y"]}]
    assert "The same text carries different labels in 1 case, the first in rows 1, 3." in found["notes"]


def test_lists_are_capped():
    items = [(f"t{index // 50}", "xy"[index % 2]) for index in range(50 * 30)]
    found = assessed(*items)
    assert len(found["conflicts"]) == 20
    assert found["conflicts"][0]["text_rows"] == list(range(1, 21))


def test_rare_and_look_alike_classes_are_noted():
    notes = " ".join(assessed(*[("a", "late_parcel")] * 9, ("b", "Late Parcel"), *[("c", "refund")] * 9)["notes"])
    assert "Fewer than 5 items: 'Late Parcel'." in notes
    assert "with so many items: 'late_parcel' (9), 'Late Parcel' (1)." in notes


def test_notes_hold_no_text():
    notes = " ".join(assessed(("secret", "x"), ("secret", "y"), ("secret", "x"))["notes"])
    assert "secret" not in notes


def test_rows_and_vectors_are_called_what_they_are():
    items, labels = [b"1", b"1", b"2", b"2"], ["x", "y", "x", "x"]
    for item in ("row", "vector"):
        found = assess(items, labels, [4, 5, 6, 7], Counter(labels), bad_count=0, notes=[], item=item)
        assert found["conflicts"] == [{"rows": [4, 5], "labels": ["x", "y"]}]
        assert f"The same {item} carries different labels in 1 case, the first in rows 4, 5." in found["notes"]


def test_a_regression_has_duplicates_and_no_classes():
    found = assess_values([b"1", b"1", b"1"], [0.5, 0.5, 0.7], bad_count=2, notes=["From the reader."])
    assert (found["duplicates"], found["classes"], found["rows_read"]) == (1, {}, 5)
    assert "smallest_class" not in found
    assert "1 row is a repetition of an earlier row, target included." in found["notes"]
