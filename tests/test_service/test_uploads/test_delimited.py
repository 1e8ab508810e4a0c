from pathlib import Path

import pytest

from models.errors import Problem
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads.delimited import read_delimited
from service.uploads.limits import Limits
from service.uploads.rows import Record, Row


def records(tmp_path: Path, text: str, *columns: str, limits: Limits | None = None) -> list[Record]:
    path = tmp_path / "upload"
    path.write_bytes(text.encode())
    table = read_delimited(path, "csv", limits or Limits())
    return list(table.rows(columns or table.columns))


def test_rows_are_numbered_from_one_and_blank_lines_count(tmp_path: Path):
    found = records(tmp_path, "text,label\na,x\n\nb,y\n")
    assert found == [Row(1, {"text": "a", "label": "x"}), Row(3, {"text": "b", "label": "y"})]


def test_only_the_columns_asked_for_are_kept(tmp_path: Path):
    assert records(tmp_path, "id,text,label\n1,a,x\n", "label") == [Row(1, {"label": "x"})]


def test_a_quoted_cell_may_span_lines_without_shifting_the_numbers(tmp_path: Path):
    found = records(tmp_path, 'text,label\n"a\nb\nc",x\nd,y\n')
    assert [(row.number, row.cells["text"]) for row in found] == [(1, "a\nb\nc"), (2, "d")]


def test_a_ragged_row_is_bad_and_the_next_one_good(tmp_path: Path):
    bad, good = records(tmp_path, "text,label\na,b,c\nd,e\n")
    assert bad == Problem("has 3 fields, the header has 2; quote a text that holds a comma", row=1)
    assert good == Row(2, {"text": "d", "label": "e"})


def test_a_broken_quote_on_one_line_costs_that_line_alone(tmp_path: Path):
    bad, good = records(tmp_path, 'text,label\n"a" b,x\nd,e\n')
    assert isinstance(bad, Problem)
    assert bad.row == 1
    assert "double a quote" in bad.detail
    assert good == Row(2, {"text": "d", "label": "e"})


def test_a_quote_that_swallows_rows_is_refused_and_named_by_its_row(tmp_path: Path):
    with pytest.raises(UploadUnreadable, match="Row 2 opens a quote that is not closed") as caught:
        records(tmp_path, 'text,label\na,x\n"b,y\nc,z\n"d",w\n')
    assert [problem.row for problem in caught.value.problems] == [2]


def test_a_quote_open_at_the_end_is_refused_even_on_the_last_line(tmp_path: Path):
    with pytest.raises(UploadUnreadable, match="Row 2 opens a quote"):
        records(tmp_path, 'text,label\na,x\n"b,y')


def test_one_row_never_grows_past_its_limit(tmp_path: Path):
    text = "text,label\n" + '"\n",' * 50
    with pytest.raises(UploadUnreadable, match=r"Row 1 .* longer than 60 characters"):
        records(tmp_path, text, limits=Limits(row_chars=60))


def test_a_cell_over_the_parsers_own_limit_is_a_bad_row(tmp_path: Path):
    bad, good = records(tmp_path, f"text,label\n{'x' * 140_000},a\nb,c\n")
    assert isinstance(bad, Problem)
    assert "longer than 131072 characters" in bad.detail
    assert good.number == 2


def test_the_row_limit_stops_the_reading(tmp_path: Path):
    assert len(records(tmp_path, "t,l\n" + "a,b\n" * 5, limits=Limits(rows=5))) == 5
    with pytest.raises(UploadTooLarge, match="more than 4 rows"):
        records(tmp_path, "t,l\n" + "a,b\n" * 5, limits=Limits(rows=4))


@pytest.mark.parametrize(
    ("kind", "header", "delimiter"),
    [
        ("csv", "text,label", ","),
        ("csv", "text;label", ";"),
        ("csv", "text\tlabel", "\t"),
        ("csv", "a;b,c", ","),
        ("tsv", "text\tlabel,s", "\t"),
        ("tsv", "text,label", ","),
        ("csv", "text", ","),
    ],
)
def test_the_delimiter_is_the_usual_one_unless_the_header_has_none_of_it(
    tmp_path: Path, kind: str, header: str, delimiter: str
):
    path = tmp_path / "upload"
    path.write_text(header + "\n")
    table = read_delimited(path, kind, Limits())
    assert table.delimiter == delimiter
    usual = {"csv": ",", "tsv": "\t"}[kind]
    assert bool(table.notes) == (delimiter != usual)
