import json
from pathlib import Path

import pytest

from models.errors import Problem
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads import jsonarray
from service.uploads.jsonarray import read_json_array
from service.uploads.limits import Limits
from service.uploads.rows import Record, Row


def records(tmp_path: Path, text: str, limits: Limits | None = None) -> list[Record]:
    path = tmp_path / "upload"
    path.write_bytes(text.encode())
    table = read_json_array(path, limits or Limits())
    return list(table.rows(table.columns))


@pytest.mark.parametrize("chunk_chars", [1, 2, 7, 1 << 16])
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_do_not_depend_on_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_chars: int, indent: int | None
):
    monkeypatch.setattr(jsonarray, "_CHUNK_CHARS", chunk_chars)
    objects = [{"text": "é" * n + '"]},', "n": n * 1234} for n in range(12)]
    found = records(tmp_path, "\ufeff " + json.dumps(objects, indent=indent) + "\n ")
    assert found == [Row(number, cells) for number, cells in enumerate(objects, start=1)]


@pytest.mark.parametrize("chunk_chars", [1, 1 << 16])
def test_an_element_that_is_no_object_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_chars: int):
    monkeypatch.setattr(jsonarray, "_CHUNK_CHARS", chunk_chars)
    found = records(tmp_path, '[{"a": 1}, 1234, null, {"a": 2}]')
    assert found[0::3] == [Row(1, {"a": 1}), Row(4, {"a": 2})]
    assert found[1:3] == [Problem("is a number, not an object", row=2), Problem("is null, not an object", row=3)]


@pytest.mark.parametrize(
    ("text", "element", "reason"),
    [
        ('[{"a": 1}, {"a": ', 2, "not valid JSON"),
        ('[{"a": 1},]', 2, "not valid JSON"),
        ('[{"a": 1} {"a": 2}]', 1, "a comma or the closing bracket is missing"),
        ('[{"a": 1}', 1, "a comma or the closing bracket is missing"),
        ('[{"a": 1}] []', 1, "something follows the end"),
        ('[{"a": 1}, {"a": NaN}]', 2, "NaN"),
        ('[{"a": "' + "x" * 300_000, 1, "not valid JSON"),
    ],
)
def test_a_broken_list_is_refused_and_names_the_element(tmp_path: Path, text: str, element: int, reason: str):
    with pytest.raises(UploadUnreadable, match=f"at element {element}: .*{reason}") as caught:
        records(tmp_path, text, Limits(row_chars=100_000))
    assert caught.value.problems[0].row == element


def test_the_row_limit_stops_the_reading(tmp_path: Path):
    with pytest.raises(UploadTooLarge, match="more than 2 elements"):
        records(tmp_path, '[{"a": 1}, {"a": 2}, {"a": 3}]', Limits(rows=2))
