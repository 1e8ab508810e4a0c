"""Whatever the texts are, every format gives them back; whatever the bytes are, only an `InputError` comes out."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.errors import InputError
from service.uploads.cells import is_blank
from service.uploads.items import Reading
from service.uploads.limits import Limits
from service.uploads.text import read_text, read_text_here

LABELS = ("late parcel", "refund, please", 'the "other"')
awkward = st.text(st.sampled_from(",;\t\"'\r\n \\ab|é\u2028\x85\ufeff\U0001f600"), min_size=1, max_size=20)
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
texts = st.lists((awkward | anything).filter(lambda text: not is_blank(text)), min_size=2, max_size=12)


def delimited(rows: list[tuple[str, str]], delimiter: str) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([("text", "label"), *rows])
    return buffer.getvalue().encode()


def json_lines(rows: list[tuple[str, str]], *, ensure_ascii: bool) -> bytes:
    objects = [json.dumps({"text": text, "label": label}, ensure_ascii=ensure_ascii) for text, label in rows]
    return "\n".join(objects).encode()


def parquet(rows: list[tuple[str, str]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), buffer)
    return buffer.getvalue()


WRITERS = {
    "a.csv": lambda rows: delimited(rows, ","),
    "semicolons.csv": lambda rows: delimited(rows, ";"),
    "a.tsv": lambda rows: delimited(rows, "\t"),
    "a.jsonl": lambda rows: json_lines(rows, ensure_ascii=False),
    "escaped.jsonl": lambda rows: json_lines(rows, ensure_ascii=True),
    "a.json": lambda rows: b"[" + json_lines(rows, ensure_ascii=False).replace(b"\n", b",\n") + b"]",
    "a.parquet": parquet,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads") / "upload"


@pytest.mark.parametrize("filename", WRITERS)
@settings(max_examples=60, deadline=None)
@given(texts=texts)
@example(texts=['"', '""', '"a', 'a"', "a\rb", "a\r\n", "\ufeffa", '"\n"'])
def test_every_format_gives_the_same_items_back(filename: str, path: Path, texts: list[str]):
    labels = [LABELS[index % len(LABELS)] for index in range(len(texts))]
    path.write_bytes(WRITERS[filename](list(zip(texts, labels, strict=True))))
    items = read_text_here(path, filename, Reading(text="text", strict=True), Limits())
    assert list(items.texts) == texts
    assert list(items.labels) == labels
    assert list(items.rows) == list(range(1, len(texts) + 1))


GOOD = {
    name: write([(f"text {index}, with a comma", LABELS[index % 2]) for index in range(6)])
    for name, write in WRITERS.items()
}
OPENINGS = st.sampled_from([b"", b"text,label\n", b'{"text": "', b"[", b'[{"text":', b'"', b"\xef\xbb\xbf", b"a;b\r"])
ENDINGS = st.sampled_from([b"", b'"', b"PAR1", b"]", b"}\n"])


@pytest.mark.parametrize("filename", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.bin"])
@settings(max_examples=60, deadline=None)
@given(opening=OPENINGS, body=st.binary(max_size=200) | anything.map(str.encode), ending=ENDINGS)
def test_random_bytes_raise_nothing_but_input_errors(
    filename: str, path: Path, opening: bytes, body: bytes, ending: bytes
):
    path.write_bytes(opening + body + ending)
    with pytest.raises(InputError):
        read_text(path, filename, Reading(strict=True), Limits(classes=1))


@pytest.mark.parametrize("filename", [name for name in WRITERS if name != "a.parquet"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_but_input_errors(filename: str, path: Path, data: st.DataObject):
    damage(filename, path, data)


@settings(max_examples=6, deadline=None)  # each takes a process of its own
@given(data=st.data())
def test_damaged_parquet_raises_nothing_but_input_errors(path: Path, data: st.DataObject):
    damage("a.parquet", path, data)


def damage(filename: str, path: Path, data: st.DataObject) -> None:
    damaged = bytearray(GOOD[filename])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged))
    try:
        items = read_text(path, filename, Reading(), Limits())
    except InputError:
        return
    assert len(items.texts) == len(items.labels) == len(items.rows) > 0
