import random

import pytest

from adapters.errors import ParameterInvalid
from adapters.inference import infer
from adapters.kinds import Kind
from models.errors import InputError

TABLE = {
    "age": ["31", "45", "", "x?", "27", "31"],
    "job": ["a", "b", "a", "a", "c", "a"],
    "joined": ["2020-01-01", "2021-06-01T12:00Z", "", "2020-03-04", "2020-01-01", "2020-02-01"],
    "member": [True, False, True, None, True, True],
}


def only(cells, **kinds):
    (column,), notes = infer({"c": cells}, kinds=kinds)
    return column, notes


def test_columns_are_described():
    schema, notes = infer(TABLE | {"age": [31, 45.5, None, 27, 27, 31]})
    age, job, joined, member = schema
    assert (age.kind, age.low, age.high, age.missing, age.examples) == (Kind.NUMBER, 27.0, 45.5, 1, (31, 45.5, 27))
    assert [type(example) for example in age.examples] == [int, float, int]
    assert (job.kind, job.categories, job.low, job.missing) == (Kind.CATEGORY, ("a", "b", "c"), None, 0)
    assert (joined.kind, joined.low, joined.high) == (Kind.DATE, "2020-01-01", "2021-06-01T12:00:00+00:00")
    assert (member.kind, member.examples, member.low, member.missing) == (Kind.BOOLEAN, (True, False), None, 1)
    assert notes == []


def test_the_order_of_rows_does_not_change_the_categories():
    cells = ["a", "b", "c", "d"] * 3
    shuffled = random.Random(1).sample(cells, len(cells))
    assert only(cells)[0] == only(shuffled)[0]


def test_columns_left_out_are_noted_with_how_to_keep_them():
    cells = {"x": [1.5, 2.5] * 3, "code": list("abcdef"), "row": [1, 2, 3, 4, 5, 6], "same": ["a"] * 6}
    schema, notes = infer(cells)
    assert [column.name for column in schema] == ["x"]
    assert "'code'" in notes[0]
    assert '`columns: {"code": "category"}`' in notes[0]
    assert '`columns: {"row": "number"}`' in notes[1]
    assert "'same'" in notes[2]
    assert "keep" not in notes[2]


def test_ignored_columns_are_left_out_without_a_note():
    assert infer({"x": [1.5, 2.5], "y": ["a", "b"]}, kinds={"y": "ignore"})[1] == []


@pytest.mark.parametrize(
    ("cells", "kind", "examples"),
    [
        (list("abcdef"), "category", ("a", "b", "c")),
        ([1, 2, 3, 4, 5], "number", (1, 2, 3)),
        ([1, 2, 1], "category", ("1", "2")),
        (["7", "7"], "number", (7,)),
        ([0, 1, 1], "boolean", (False, True)),
        ([None, None], "number", ()),
    ],
)
def test_the_caller_chooses(cells, kind, examples):
    column, _ = only(cells, c=kind)
    assert column.kind.value == kind
    assert column.examples == examples


def test_a_wish_that_cannot_be_is_refused():
    with pytest.raises(ParameterInvalid, match=r"'c' cannot be read as number: 2 of 10 .* 'abc' in row 3") as caught:
        only(["1", "", "abc", "x", *["2"] * 7], c="number")
    assert [problem.row for problem in caught.value.problems] == [3]


def test_a_tenth_may_be_something_else():
    column, notes = only(["abc", *["2", "3", "4"] * 3], c="number")
    assert column.missing == 1
    assert "row 1" in notes[0]
    assert "count as missing" in notes[0]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [({"d": "number"}, "no such column"), ({"c": "text"}, "boolean, date, category, ignore")],
)
def test_wishes_that_mean_nothing_are_refused(kinds, words):
    with pytest.raises(ParameterInvalid, match=words):
        only([1.5, 2.5], **kinds)


@pytest.mark.parametrize(
    ("cells", "kinds", "words"),
    [
        ({"a": ["x", "x"], "b": [None, None]}, {}, ["'a': it is the same", "'b': it has no values"]),
        ({"a": [1.5, 2.5]}, {"a": "ignore"}, ["ignored"]),
        ({}, {}, ["no column"]),
        ({f"c{i}": [None] for i in range(50)}, {}, ["and 40 more"]),
    ],
)
def test_a_table_of_nothing_is_refused_with_the_reasons(cells, kinds, words):
    with pytest.raises(InputError) as caught:
        infer(cells, kinds=kinds)
    for word in words:
        assert word in caught.value.message


def test_infinite_values_are_noted():
    column, notes = only([1.5, float("inf"), 2.5, "-inf"])
    assert column.missing == 2
    assert "2 infinite" in notes[0]


def test_many_categories_are_cut_to_the_commonest():
    cells = [f"v{i:03}" for i in range(300) for _ in range(1 + (i % 2))]
    column, notes = only(cells)
    assert len(column.categories) == 200
    assert column.categories[0] == "v001"
    assert "300 different" in notes[0]
    assert "(100 row(s))" in notes[0]


def test_overlong_categories_are_not_told_apart():
    column, notes = only([*["a", "b"] * 10, "x" * 201])
    assert column.categories == ("a", "b")
    assert "(1 row(s))" in notes[0]


def test_nested_cells_among_categories_are_noted():
    column, notes = only(["a", "b", [1], "a"])
    assert column.missing == 1
    assert "a list" in notes[0]


def test_many_category_columns_tell_fewer_values_apart():
    cells = [f"v{i:02}" for i in range(60)] * 2
    schema, notes = infer({f"c{i}": cells for i in range(100)})
    assert {len(column.categories) for column in schema} == {50}
    assert len(notes) == 100


def test_rows_are_called_by_the_callers_numbers():
    cells = {"age": [*map(str, range(20, 320)), "old"]}
    _, notes = infer(cells, numbers=[*range(2, 302), 777])
    assert any("row 777" in note for note in notes)
    with pytest.raises(ParameterInvalid, match="row 9;"):
        infer({"age": ["a", "b", "3"]}, kinds={"age": "number"}, numbers=[9, 11, 12])
