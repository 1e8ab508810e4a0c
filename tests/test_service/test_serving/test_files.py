"""From a file of rows to its answer: in the same format, in the same order, a batch at a time."""

import csv
import io
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InputError
from service.errors import Busy, NotReady
from service.serving import file_rows, sinks
from service.serving import files as serving
from service.uploads.limits import Limits


def parquet_of(rows: int = 3, **columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=rows)
    return buffer.getvalue()


def npy_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def read_csv(data: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter, strict=True))


async def test_csv_keeps_its_rows_columns_delimiter_mark_and_line_ends(files):
    given = '\ufeffid;text;n\r\n1;"a; ""b""\nc";-1,5\r\n\r\n2;größe;x\r\n'
    data = await files.answer(given, top_k=2)
    assert data.startswith(
        b"\xef\xbb\xbfid;text;n;label;probability;label_2;probability_2;truncated;adapter;warnings\r\n"
    )
    first, second = read_csv(data, ";")
    assert list(first.values()) == [
        "1", 'a; "b"\nc', "-1,5", 'A; "B"\nC', "0.75", "'-other", "0.25", "false", "it:3", "",
    ]  # fmt: skip
    assert (second["text"], second["label"]) == ("größe", "GRÖSSE")
    assert b"\n" not in (await files.answer("text\na\n")).replace(b"\n", b"", 2)


async def test_tsv_stays_tsv(files):
    assert await files.answer("text\tn\na\t1\n", "a.tsv") == (
        b"text\tn\tlabel\tprobability\ttruncated\tadapter\twarnings\na\t1\tA\t0.75\tfalse\tit:3\t\n"
    )


async def test_formulas_are_harmless_in_every_text_of_csv_and_left_alone_elsewhere(files):
    data = await files.answer('=1+1,text,n\n@x,"=A1",-5\n')
    assert data.splitlines()[0].startswith(b"'=1+1,text,n,label")
    assert data.splitlines()[1] == b"'@x,'=A1,-5,'=A1,0.75,false,it:3,"
    assert json.loads(await files.answer('{"text": "=A1"}', "a.jsonl"))["text"] == "=A1"


async def test_a_carriage_return_in_a_cell_does_not_break_the_row(files):
    given = 'text,n\n"a\rb",1\n'
    (row,) = read_csv(await files.answer(given))
    assert (row["text"], row["n"]) == ("a\rb", "1")


async def test_json_keeps_what_is_in_a_row(files):
    rows = [{"text": "a", "nested": {"x": [1, None]}, "big": 2**70}, {"label": "mine", "text": "b", "half": "\ud800"}]
    lines = "\n\n".join(map(json.dumps, rows))
    expected = [
        {**row, "predicted_label": answer, "probability": 0.75, "truncated": False, "adapter": "it:3", "warnings": ""}
        for row, answer in zip(rows, "AB", strict=True)
    ]
    assert list(map(json.loads, (await files.answer(lines, "a.jsonl")).splitlines())) == expected
    assert json.loads(await files.answer(json.dumps(rows), "a.json")) == expected
    assert json.loads(await files.answer(json.dumps(rows[:1]), "a.json"))[0]["label"] == "A"


async def test_a_name_that_only_the_last_row_has_is_not_taken_from_it(files, monkeypatch):
    monkeypatch.setattr(serving, "BATCH_ROWS", 2)
    rows = [{"text": "a"}] * 300 + [{"text": "b", "label": "mine"}]
    data = await files.answer("\n".join(map(json.dumps, rows)), "a.jsonl")
    first, *_, last = map(json.loads, data.splitlines())
    assert first["predicted_label"] == "A"
    assert (last["label"], last["predicted_label"]) == ("mine", "B")


async def test_json_with_fields_without_end_is_refused(files):
    rows = "\n".join(json.dumps({"text": "a", f"field {n}": 1}) for n in range(200))
    with pytest.raises(InputError, match="more than 150 different fields"):
        await files.answer(rows, "a.jsonl", limits=Limits(columns=150))


async def test_parquet_keeps_types_and_order_over_groups(files, monkeypatch):
    monkeypatch.setattr(serving, "BATCH_ROWS", 3)
    monkeypatch.setattr(sinks, "GROUP_ROWS", 5)
    count = 20
    given = pa.table(
        {
            "small": pa.array([None, *range(count - 1)], pa.int8()),
            "text": [f"t{n}" for n in range(count)],
            "at": pa.array(range(count), pa.timestamp("us", "UTC")),
            "label": [True] * count,
        }
    )
    buffer = io.BytesIO()
    pq.write_table(given, buffer, row_group_size=7)
    data = await files.answer(buffer.getvalue(), "a.parquet", top_k=2)
    made = pq.read_table(io.BytesIO(data))
    assert made.select(given.schema.names).equals(given)
    assert made["predicted_label"].to_pylist() == [f"T{n}" for n in range(count)]
    assert [str(made.schema.field(name).type) for name in ("probability", "label_2", "truncated", "warnings")] == [
        "double", "string", "bool", "string",
    ]  # fmt: skip
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 4


Z = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
LISTS = Z.tolist()


@pytest.mark.parametrize(
    ("filename", "given"),
    [
        ("a.npy", npy_of(Z)),
        ("a.jsonl", "\n".join(json.dumps({"embedding": z}) for z in LISTS)),
        ("a.parquet", parquet_of(embedding=LISTS)),
    ],
)
async def test_vectors_are_answered_without_being_sent_back(files, filename, given):
    files.adapter("vector")
    data = await files.answer(given, filename)
    rows = (
        pq.read_table(io.BytesIO(data)).to_pylist()
        if filename.endswith("parquet")
        else list(map(json.loads, data.splitlines()))
    )
    assert rows == [
        {"label": f"{total:.1f}", "probability": 0.75, "adapter": "it:3", "warnings": ""} for total in (3, 7, 11)
    ]


async def test_rows_of_a_regression_have_values(files):
    files.adapter("table", (), x=[1.5, 2.5, 3.5])
    assert await files.answer("x\n1\n") == b"x,value,adapter,warnings\n1,1.5,it:3,\n"


async def test_a_table_is_asked_its_own_columns_and_says_which_are_not_there(files):
    files.adapter("table", x=[1.5, 2.5, 3.5], y=["a", "b", "a"])
    file = files.open("id;x\n7;1,5\n8;\n")
    assert file.warnings == (
        "Columns that are not there count as missing in every row: 'y'.",
        "Columns that this adapter does not use: 'id'.",
        "The columns are separated by a semicolon.",
    )
    await anext(files.pieces(file))
    assert files.predictor.calls == [[{"x": "1.5", "y": None}, {"x": "", "y": None}]]


@pytest.mark.parametrize("odd", [1, 4, 9])
async def test_what_is_odd_in_a_row_is_said_of_that_row(files, odd):
    files.adapter("table", x=[1.5, 2.5, 3.5], y=["a", "b", "a"])
    files.predictor.warnings = [
        {"detail": "...", "column": "x", "inputs": list(range(odd))[:5], "count": odd},
        {"detail": "...", "column": "y", "inputs": [0], "count": 1},
    ]
    data = await files.answer(
        "x,y\n" + "".join(f"{'old' if n < odd else n},{'z' if n == 0 else 'a'}\n" for n in range(10))
    )
    said = [row["warnings"] for row in read_csv(data)]
    assert "'old'" in said[0]
    assert "'z'" in said[0]
    assert all("Column 'x' has 1 value(s) that are not" in sentence for sentence in said[1:odd])
    assert said[odd:] == [""] * (10 - odd)


async def test_a_json_batch_without_any_known_column_is_answered_like_the_others(files, monkeypatch):
    monkeypatch.setattr(serving, "BATCH_ROWS", 2)
    files.adapter("table", x=[1.5, 2.5, 3.5])
    rows = [{"x": 1}, {"x": 2}, {"id": 3}, {"id": 4}]
    await files.answer("\n".join(map(json.dumps, rows)), "a.jsonl")
    assert files.predictor.calls == [[{"x": 1}, {"x": 2}], [{"x": None}, {"x": None}]]


async def test_rows_without_a_usable_text_keep_their_place_and_say_why(files):
    rows = ['{"text": "a"}', '{"text": " "}', "{}", '{"text": 5}', '{"text": ["a"]}', json.dumps({"text": "x" * 30})]
    data = await files.answer("\n".join(rows), "a.jsonl", limits=Limits(cell_chars=20))
    labels, said = zip(*((row["label"], row["warnings"]) for row in map(json.loads, data.splitlines())), strict=True)
    assert labels == ("A", None, None, None, None, None)
    assert said == (
        "",
        "No answer: the text is blank",
        "No answer: the text is missing (null); it must be a string",
        "No answer: the text is a number; it must be a string",
        "No answer: the text is a list; it must be a string",
        "No answer: the text has 30 characters; the limit is 20",
    )
    assert files.predictor.calls == [["a"]]


async def test_a_batch_of_blanks_asks_nothing(files):
    assert read_csv(await files.answer('text,n\n"",1\n'))[0]["label"] == ""
    assert files.predictor.calls == []


@pytest.mark.parametrize(
    ("adapter", "data", "filename", "options", "words"),
    [
        ("text", "a,b\n1,2\n", "a.csv", {}, "Name it with 'text'"),
        ("text", "text,b\n1,2\n", "a.csv", {"text": "body"}, "There is no text column 'body'"),
        ("text", npy_of(Z), "a.npy", {}, "holds vectors"),
        ("table", "a,b\n1,2\n", "a.csv", {}, "it expects 'x', and the file has 'a', 'b'"),
        ("vector", npy_of(Z[:, :1]), "a.npy", {}, "have 1 numbers each; it:3 takes 2"),
        ("vector", "x\n1\n", "a.csv", {}, "holds no vectors"),
        ("text", "", "a.csv", {}, "is empty"),
        ("text", "text\n", "a.csv", {}, "no rows"),
    ],
)
async def test_a_file_that_is_none_for_the_adapter_is_refused_before_anything_is_asked(
    files, adapter, data, filename, options, words
):
    files.adapter(adapter, **({"x": [1.5, 2.5, 3.5]} if adapter == "table" else {}))
    with pytest.raises(InputError, match=words):
        await files.answer(data, filename, **options)
    assert files.predictor.calls == []


async def test_the_only_column_holds_the_texts_and_a_named_one_does_before_the_guess(files):
    assert read_csv(await files.answer("whatever\na\n"))[0]["label"] == "A"
    assert read_csv(await files.answer("text,other\na,b\n", text="other"))[0]["label"] == "B"


@pytest.mark.parametrize("option", [{"text": "x"}, {"long": "chunk"}])
def test_options_of_texts_are_refused_for_a_table(files, option):
    facts = files.adapter("table", x=[1.5, 2.5, 3.5]).facts
    with pytest.raises(InputError, match="is for texts") as caught:
        serving.check_options(facts, serving.FileOptions(**option))
    assert caught.value.problems[0].pointer == f"/{next(iter(option))}"
    serving.check_options(facts, serving.FileOptions(top_k=2))


async def test_the_first_rows_are_there_before_the_next_are_asked(files, monkeypatch):
    monkeypatch.setattr(serving, "BATCH_ROWS", 2)
    pieces = files.pieces(files.open("text\n" + "a\n" * 6))
    assert (await anext(pieces)).count(b"\n") == 3
    assert (len(files.predictor.calls), files.rows) == (1, 2)
    assert len([piece async for piece in pieces]) == 3
    assert (len(files.predictor.calls), files.rows) == (3, 6)


def test_wide_tables_come_in_smaller_batches(files):
    files.adapter("table", c1=[1.5, 2.5, 3.5])
    columns = [f"c{n}" for n in range(1000)]
    assert files.open(",".join(columns) + "\n" + ",".join("1" for _ in columns)).batch_rows == 20


async def test_a_busy_backbone_is_asked_again_in_halves(files, monkeypatch):
    monkeypatch.setattr(file_rows, "PAUSES_S", (0.0,) * 4)
    files.predictor.errors = [Busy("too much"), None, Busy("too much")]
    data = await files.answer("text\n" + "".join(f"{letter}\n" for letter in "abcd"))
    assert [row["label"] for row in read_csv(data)] == list("ABCD")
    assert files.predictor.calls == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["d"]]


@pytest.mark.parametrize(("error", "asked"), [(Busy("too much"), 5), (NotReady("stops"), 1)])
async def test_an_error_that_lasts_ends_the_answer(files, monkeypatch, error, asked):
    monkeypatch.setattr(file_rows, "PAUSES_S", (0.0,) * 4)
    files.predictor.errors = [error] * 9
    with pytest.raises(type(error)):
        await files.answer("text\na\n")
    assert len(files.predictor.calls) == asked


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
async def test_memory_does_not_grow_with_the_file(files, kind):
    """100,000 rows of 100 bytes are 10 MB; what is held at once is a small part of it."""
    texts = [f"text number {n} " + "x" * 80 for n in range(100_000)]
    if kind == "parquet":
        given, filename = parquet_of(10_000, text=texts), "a.parquet"
    elif kind == "jsonl":
        given, filename = "\n".join(json.dumps({"text": text}) for text in texts), "a.jsonl"
    else:
        given, filename = "text\n" + "\n".join(texts), "a.csv"
    file = files.open(given, filename)
    del texts, given
    rows = 0
    tracemalloc.start()
    try:
        async for piece in files.pieces(file):
            rows += piece.count(b"it:3") if kind != "parquet" else 0
            files.predictor.calls.clear()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert files.rows == 100_000
    assert rows in {0, 100_000}
    assert peak < 4_000_000
