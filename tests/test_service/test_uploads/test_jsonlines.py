from pathlib import Path

import pytest

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.jsonlines import as_cell, read_json_lines
from service.uploads.limits import Limits
from service.uploads.rows import MOST_LISTED, Listed, Nested, Record, Row


def records(tmp_path: Path, text: str, *columns: str, limits: Limits | None = None) -> list[Record]:
    path = tmp_path / "upload"
    path.write_bytes(text.encode())
    table = read_json_lines(path, limits or Limits())
    return list(table.rows(columns or table.columns))


def test_each_line_is_a_row_and_blank_lines_count(tmp_path: Path):
    found = records(tmp_path, '{"text": "a", "label": 1}\r\n\r\n{"label": null}\r\n')
    assert found == [Row(1, {"text": "a", "label": 1}), Row(3, {"label": None})]


def test_columns_are_the_fields_of_the_first_rows_in_their_order(tmp_path: Path):
    path = tmp_path / "upload"
    path.write_text('{"b": 1}\n{"a": 1, "b": 2}\n' + '{"b": 3}\n' * 98 + '{"late": 1}\n')
    assert read_json_lines(path, Limits()).columns == ("b", "a")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not valid JSON: expecting property name enclosed in double quotes at character 2"),
        ("[1]", "is a list, not an object"),
        ("null", "is null, not an object"),
        ('"a"', "is a string, not an object"),
        ("true", "is true or false, not an object"),
        ("1.5", "is a number, not an object"),
        ('{"text": NaN}', "holds NaN, which is not JSON; write null for a missing value"),
        ('{"text": -Infinity}', "holds -Infinity, which is not JSON; write null for a missing value"),
        ('{"text": ' + "9" * 5000 + "}", "holds a number with too many digits"),
        ('{"text": ' + "[" * 100_000, "is nested too deeply"),
        ("x" * 250_000, "is longer than 200000 characters"),
    ],
)
def test_a_line_that_is_no_object_is_a_bad_row_and_the_next_is_good(tmp_path: Path, line: str, reason: str):
    text = '{"text": "a"}\n' + line + '\n{"text": "b"}\n'
    found = records(tmp_path, text, limits=Limits(row_chars=200_000))
    bad = found[1]
    assert isinstance(bad, Problem)
    assert (bad.row, bad.detail.splitlines()[0]) == (2, reason)
    assert found[0::2] == [Row(1, {"text": "a"}), Row(3, {"text": "b"})]


def test_objects_and_lists_of_more_than_plain_values_keep_only_their_kind(tmp_path: Path):
    assert records(tmp_path, '{"a": [[1]], "b": {}}') == [Row(1, {"a": Nested("a list"), "b": Nested("an object")})]
    assert as_cell([None, 1, True, "x"]) == Listed("a list", (None, 1, True, "x"))
    assert as_cell(["x"] * (MOST_LISTED + 1)) == Nested("a list")


def test_the_row_limit_stops_the_reading(tmp_path: Path):
    with pytest.raises(UploadTooLarge, match="more than 2 rows"):
        records(tmp_path, "{}\n" * 1 + '{"a": 1}\n' * 2, limits=Limits(rows=2))


def test_no_object_among_the_first_lines_is_refused_with_their_reasons(tmp_path: Path):
    with pytest.raises(UploadRefused, match="None of the first 2 lines") as caught:
        records(tmp_path, "text,label\na,b\n")
    assert [problem.row for problem in caught.value.problems] == [1, 2]
