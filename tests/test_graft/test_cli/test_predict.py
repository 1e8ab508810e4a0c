"""``graft predict`` on files: what goes in comes out, with answers beside it."""

import csv
import gzip
import io
import json
import subprocess
import sys
import zipfile

import pytest


def zipped(*names):
    """A zip archive's bytes."""
    with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


@pytest.fixture
def predict(run, tmp_path):
    """Predict a file's content; returns what was written, and the result."""

    def predicted(name, content, out, *options):
        (tmp_path / name).write_bytes(content)
        result = run("predict", "intents", str(tmp_path / name), "-o", str(tmp_path / out), *options)
        assert result.exit_code == 0, result.output
        assert not (tmp_path / f"{out}.part").exists()
        return (tmp_path / out).read_text(encoding="utf-8"), result

    return predicted


def test_csv_keeps_its_rows_and_columns(predict):
    written, _ = predict("in.csv", '\ufeffid,text\r\n1,"a, b\nc"\r\n2,größe\r\n'.encode(), "out.csv")
    rows = list(csv.DictReader(written.splitlines(keepends=True)))
    assert [list(row.values()) for row in rows] == [
        ["1", "a, b\nc", "A, B\nC", "0.75", "intents:3"],
        ["2", "größe", "GRÖSSE", "0.75", "intents:3"],
    ]
    assert list(rows[0]) == ["id", "text", "label", "probability", "adapter"]


def test_a_column_of_the_file_is_never_overwritten(predict):
    written, _ = predict("in.csv", b"text,label\na,truth\n", "out.csv")
    (row,) = csv.DictReader(written.splitlines())
    assert (row["label"], row["predicted_label"]) == ("truth", "A")


@pytest.mark.parametrize("out", ["out.csv", "out.tsv", "out.jsonl"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", b"text\nhello\nworld\n"),
        ("in.tsv", b"text\thidden\nhello\t1\nworld\t2\n"),
        ("in.jsonl", b'{"text": "hello"}\n\n{"text": "world"}\n'),
        ("in.ndjson", b'"hello"\n"world"\n'),
        ("in.txt", b"hello\r\nworld"),
    ],
)
def test_every_format_becomes_every_other(predict, name, content, out):
    written, _ = predict(name, content, out)
    lines = written.splitlines()
    if out.endswith("jsonl"):
        rows = [json.loads(line) for line in lines]
    else:
        rows = list(csv.DictReader(lines, delimiter="\t" if out.endswith("tsv") else ","))
    assert [(row["text"], row["label"]) for row in rows] == [("hello", "HELLO"), ("world", "WORLD")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", b"text;n\nhello, you;1\n"),
        ("in.csv", b"\xef\xbb\xbf\ntext;n\r\nhello, you;1\r\n"),
        ("in.csv", b"text\tn\nhello, you\t1\n"),
        ("in.csv", b'text,a;b;c,n\n"hello, you",;,1\n'),
        ("in.tsv", b'text,n\n"hello, you",1\n'),
    ],
)
def test_the_header_tells_what_separates_columns(predict, name, content):
    written, _ = predict(name, content, "out.jsonl")
    row = json.loads(written)
    assert (row["text"], row["n"]) == ("hello, you", "1")


def test_formulas_are_made_harmless(predict):
    evil = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx"]
    content = "text,number\n" + "".join(f'"{text}",-5\n' for text in evil)
    written, _ = predict("in.csv", content.encode(), "out.csv")
    rows = list(csv.DictReader(written.splitlines()))
    assert [row["text"] for row in rows] == [f"'{text}" for text in evil]
    assert [row["label"] for row in rows] == [f"'{text.upper()}" for text in evil]
    assert {row["number"] for row in rows} == {"-5"}, "a number is no formula"
    plain, _ = predict("in.csv", content.encode(), "out.jsonl")
    assert [json.loads(line)["text"] for line in plain.splitlines()] == evil


def test_rows_without_a_text_stay_where_they_are(predict, fake):
    written, result = predict("in.csv", b"text,n\na,1\n  ,2\nb,3\n", "out.csv")
    rows = list(csv.DictReader(written.splitlines()))
    assert [(row["n"], row["label"], row["probability"]) for row in rows] == [
        ("1", "A", "0.75"), ("2", "", ""), ("3", "B", "0.75"),
    ]  # fmt: skip
    assert "1 row has no text; its label is left empty." in result.stderr
    assert json.loads(fake.requests[0].content)["inputs"] == ["a", "b"]


def test_rows_are_counted_in_words(predict):
    _, result = predict("in.txt", b"a\n\n\n", "out.csv")
    assert "2 rows have no text; their label is left empty." in result.stderr
    _, result = predict("in.txt", b"a\n", "out.csv")
    assert "Wrote 1 row to" in result.stdout


def test_a_long_file_goes_in_batches_to_one_version(predict, fake):
    texts = [f"text {n}" for n in range(601)]
    written, result = predict("in.txt", "\n".join(texts).encode(), "out.jsonl")
    assert [json.loads(line)["label"] for line in written.splitlines()] == [text.upper() for text in texts]
    assert [len(json.loads(r.content)["inputs"]) for r in fake.requests] == [250, 250, 101]
    assert fake.requests[1].url.path == "/v1/adapters/intents:3/predict"
    assert "Wrote 601 rows" in result.stdout


def test_top_k_adds_columns(predict):
    written, _ = predict("in.txt", b"a\n", "out.csv", "--top-k", "3")
    (row,) = csv.DictReader(written.splitlines())
    assert (row["label_2"], row["probability_2"], row["label_3"], row["probability_3"]) == ("other", "0.25", "", "")


def test_the_column_can_be_named(predict):
    written, _ = predict("in.csv", b"text,body\na,b\n", "out.jsonl", "--text", "body")
    assert json.loads(written)["label"] == "B"


def test_stdin_to_stdout(run):
    assert run("predict", "intents", "-", input="a\nb\n").stdout.splitlines() == [
        "text,label,probability,adapter",
        "a,A,0.75,intents:3",
        "b,B,0.75,intents:3",
    ]
    result = run("predict", "intents", "-", "--format", "csv", "--json", input="n,text\n1,a\n")
    expected = {"n": "1", "text": "a", "label": "A", "probability": 0.75, "adapter": "intents:3"}
    assert json.loads(result.stdout) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"a,b\n1,2\n", "Which column holds the texts? Name it with --text; there are: 'a', 'b'."),
        ("in.csv", b"text,text\n1,2\n", "names 'text' twice"),
        ("in.csv", b"", "in.csv is empty: there is no row in it"),
        ("in.csv", b"text,label\n", "in.csv is empty"),
        ("in.jsonl", b"\n\n", "in.jsonl is empty"),
        ("in.csv", ",".join(f"c{n}" for n in range(1001)).encode(), "has 1,001 columns; the limit is 1,000. Send"),
        ("in.csv", b"\x89PNG\r\n\x1a\n\0\0", "The input is a PNG image, not text. Send .csv, .tsv, .jsonl, .txt"),
        ("in.csv", b"%PDF-1.7\n1 0 obj\n", "is a PDF document, not text"),
        ("in.txt", gzip.compress(b"text\na\n", mtime=0), "is a gzip archive, not text"),
        ("in.csv", zipped("texts.csv"), "is a zip archive, not text"),
        ("in.csv", zipped("[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook or another Office document"),
        ("in.jsonl", b"PAR1\x15\x04\x15", "is a Parquet file, not text"),
        ("in.csv", b"text\na\nb,c\n", "Row 2 has 2 cells where the header has 1"),
        ("in.csv", b"text\ngr\xf6\xdfe\n", "not UTF-8 (byte 0xf6)"),
        ("in.csv", b'text\n"open\n', "not CSV"),
        ("in.jsonl", b'{"text": 1}\n', "Row 1: 'text' is 1, not a text"),
        ("in.jsonl", b"[1]\n", "Line 1 is neither an object nor a string"),
        ("in.jsonl", b"{\n", "Line 1 is not JSON"),
        ("in.jsonl", b'{"text": "a"}\n{"text": "b", "new": 1}\n', "column 'new'"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(run, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "out.csv").write_text("older")
    result = run("predict", "intents", str(tmp_path / name), "-o", str(tmp_path / "out.csv"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert (tmp_path / "out.csv").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name, "out.csv"})


def test_a_text_may_begin_as_a_parquet_file_does(predict):
    written, _ = predict("in.txt", b"PAR1 or PAR2?\n", "out.jsonl")
    assert json.loads(written)["label"] == "PAR1 OR PAR2?"


def test_a_pipe_is_looked_at_too():
    command = [sys.executable, "-m", "graft.cli", "predict", "intents", "-"]
    result = subprocess.run(command, input=gzip.compress(b"a\n"), capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"The input is a gzip archive" in result.stderr


def test_nothing_on_stdin_is_an_error(run):
    result = run("predict", "intents", "-", input="")
    assert result.exit_code == 2
    assert "The input is empty" in result.stderr


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("in.csv", "is the file that is read"),
        ("same.csv", "is the file that is read"),
        ("none/out.csv", "There is no folder "),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_anything_is_asked(run, fake, tmp_path, out, message):
    (tmp_path / "in.csv").write_text("text\na\n")
    (tmp_path / "same.csv").symlink_to(tmp_path / "in.csv")
    (tmp_path / "folder.csv").mkdir()
    result = run("predict", "intents", str(tmp_path / "in.csv"), "-o", str(tmp_path / out))
    assert result.exit_code == 2
    assert message in result.stderr
    assert str((tmp_path / out).parent) in result.stderr.replace("\n", "")
    assert (tmp_path / "in.csv").read_text() == "text\na\n"
    assert not fake.requests


def test_a_header_as_wide_as_the_limit_is_read(predict):
    header = ",".join(["text", *(f"c{n}" for n in range(999))])
    written, _ = predict("in.csv", f"{header}\na\n".encode(), "out.jsonl")
    assert json.loads(written)["label"] == "A"


def test_texts_given_directly_are_shown_in_a_table(run):
    out = run("predict", "intents", "hello there", "bye").stdout
    assert "HELLO THERE" in out
    assert "BYE" in out
    assert "other 0.250" in out
    assert "Answered by intents:3." in out
