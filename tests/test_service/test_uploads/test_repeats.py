"""Columns of a table that say the same, or nothing."""

import numpy as np

from adapters.columns import Column, Kind, Rows
from service.uploads.repeats import repeat_notes

SCHEMA = tuple(Column(name, kind) for name, kind in zip("abcdef", [Kind.NUMBER] * 3 + [Kind.CATEGORY] * 3, strict=True))


def test_columns_that_are_the_same_in_every_row_are_noted():
    numbers = np.array([[1.0, 1.0, 1.0], [np.nan, np.nan, 2.0], [-0.0, 0.0, 0.0]])
    words = np.array([["x", "x", "x"], ["", "y", ""], ["z", "z", "z"]], dtype=object)
    notes = repeat_notes(SCHEMA, Rows(numbers, words))
    assert notes == [
        "The columns 'a', 'b' hold the same in every row; one of them is enough.",
        "The columns 'd', 'f' hold the same in every row; one of them is enough.",
    ]
    assert repeat_notes(SCHEMA[:3], Rows(np.eye(3), words[:, :0])) == []


def test_numbers_and_words_are_never_the_same():
    schema = (Column("a", Kind.NUMBER), Column("b", Kind.CATEGORY), Column("c", Kind.BOOLEAN))
    rows = Rows(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([["1"], ["0"]], dtype=object))
    assert repeat_notes(schema, rows) == []


def test_constant_and_repeated_columns_of_an_upload(upload):
    rows = "size,again,fixed,colour,target\n" + "".join(
        f"{at % 7},{at % 7},same,{'red' if at % 2 else 'blue'},{'xy'[at % 3 == 0]}\n" for at in range(30)
    )
    items = upload(rows, target="target")
    assert [column.name for column in items.schema] == ["size", "again", "colour"]
    assert "The columns 'size', 'again' hold the same in every row; one of them is enough." in items.notes
    assert any("'fixed'" in note for note in items.notes)
