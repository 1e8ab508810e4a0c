"""``graft predict``: files go to the service and come back; lines of text are answered as they come."""

import csv
import gzip
import json
import subprocess
import sys

import httpx
import pytest


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


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("in.csv", "out.csv"),
        ("in.tsv", "out.tsv"),
        ("in.jsonl", "out.ndjson"),
        ("in.ndjson", "out.json"),
        ("in.json", "out.json"),
        ("in.parquet", "out.pq"),
        ("in.npy", "out.jsonl"),
        ("in.npz", "out.jsonl"),
    ],
)
def test_a_file_goes_to_the_service_and_its_answer_into_a_file(predict, fake, messages, name, out):
    written, result = predict(name, b"some rows", out, "--top-k", "2", "--text", "body", "--long", "chunk")
    assert written == "answered\nsome rows"
    assert "Wrote 2 rows to" in result.stdout
    assert "answered by intents:3." in result.stdout
    parts = messages["form"](fake.requests[0])
    assert parts == {"file": b"some rows", "top_k": b"2", "text": b"body", "long": b"chunk"}


def test_what_is_odd_about_a_file_is_noted(predict, fake, messages):
    fake.file = messages["file_answer"](b"", 1, **{"graft-warnings": '["Columns are missing."]'})
    _, result = predict("in.csv", b"a\n", "out.csv")
    assert result.stderr == "Note: Columns are missing.\n"
    fake.file = messages["file_answer"](b"", 1, **{"graft-warnings": '["Columns are missing."]'})
    _, result = predict("in.csv", b"a\n", "out.csv", "--json")
    assert json.loads(result.stdout)["warnings"] == ["Columns are missing."]
    assert result.stderr == ""


def test_a_file_can_be_answered_on_stdout(run, tmp_path):
    (tmp_path / "in.csv").write_text("text\na\n")
    assert run("predict", "intents", str(tmp_path / "in.csv")).stdout == "answered\ntext\na\n"


def test_a_file_with_another_name_is_called_what_it_is(run, fake, tmp_path):
    (tmp_path / "in.dat").write_text("text\na\n")
    assert run("predict", "intents", str(tmp_path / "in.dat"), "--format", "tsv").exit_code == 0
    assert b'filename="in.tsv"' in fake.requests[0].content


def test_stdin_of_a_format_goes_to_the_service(run, fake, messages):
    result = run("predict", "intents", "-", "--format", "csv", input="text\na\n")
    assert result.stdout == "answered\ntext\na\n"
    assert messages["form"](fake.requests[0])["file"] == b"text\na\n"
    assert b'filename="stdin.csv"' in fake.requests[0].content


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("in.csv", ("-o", "OUT/out.jsonl"), "A .csv file is answered as .csv"),
        ("in.npy", ("-o", "OUT/out.npy"), "A .npy file is answered as .jsonl"),
        ("in.parquet", ("-o", "OUT/out.csv"), "A .parquet file is answered as .parquet"),
        ("in.txt", ("-o", "OUT/out.parquet"), "answered as csv, tsv, jsonl"),
        ("in.csv", ("--json",), "-o answers.csv"),
        ("in.dat", (), "the name has to end in"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_asked(run, fake, tmp_path, name, options, message):
    (tmp_path / name).write_text("text\na\n")
    result = run("predict", "intents", str(tmp_path / name), *(word.replace("OUT", str(tmp_path)) for word in options))
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert fake.requests == []


def test_a_refused_file_leaves_what_was_there(run, fake, messages, tmp_path):
    (tmp_path / "in.csv").write_text("text\na\n")
    (tmp_path / "out.csv").write_text("older")
    fake.refusals = [httpx.Response(422, json=messages["problem"])]
    result = run("predict", "intents", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"))
    assert result.exit_code == 1
    assert "row 7" in result.stderr
    assert (tmp_path / "out.csv").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.parametrize("out", ["out.csv", "out.tsv", "out.jsonl"])
def test_lines_become_every_format(predict, out):
    written, _ = predict("in.txt", "\ufeffhello\r\ngröße".encode(), out)
    lines = written.splitlines()
    if out.endswith("jsonl"):
        rows = [json.loads(line) for line in lines]
    else:
        rows = list(csv.DictReader(lines, delimiter="\t" if out.endswith("tsv") else ","))
    assert [(row["text"], row["label"]) for row in rows] == [("hello", "HELLO"), ("größe", "GRÖSSE")]
    assert list(rows[0]) == ["text", "label", "probability", "truncated", "adapter", "warnings"]


def test_formulas_are_made_harmless(predict):
    written, _ = predict("in.txt", b"=1+1\n-5\n", "out.csv")
    assert [(row["text"], row["label"]) for row in csv.DictReader(written.splitlines())] == [
        ("'=1+1", "'=1+1"), ("-5", "-5"),
    ]  # fmt: skip
    plain, _ = predict("in.txt", b"=1+1\n", "out.jsonl")
    assert json.loads(plain)["text"] == "=1+1"


def test_lines_without_a_text_stay_where_they_are(predict, fake):
    written, result = predict("in.txt", b"a\n  \nb\n", "out.csv")
    assert [row["label"] for row in csv.DictReader(written.splitlines())] == ["A", "", "B"]
    assert written.splitlines()[2] == "  ,,,,,No answer: the text is blank"
    assert "1 row has no text; its label is left empty." in result.stderr
    assert json.loads(fake.requests[0].content)["inputs"] == ["a", "b"]


def test_rows_are_counted_in_words(predict):
    _, result = predict("in.txt", b"a\n\n\n", "out.csv")
    assert "2 rows have no text; their label is left empty." in result.stderr
    _, result = predict("in.txt", b"a\n", "out.csv")
    assert "Wrote 1 row to" in result.stdout


def test_many_lines_go_in_batches_to_one_version(predict, fake):
    texts = [f"text {n}" for n in range(601)]
    written, result = predict("in.txt", "\n".join(texts).encode(), "out.jsonl", "--long", "chunk")
    assert [json.loads(line)["label"] for line in written.splitlines()] == [text.upper() for text in texts]
    asked = [json.loads(request.content) for request in fake.requests]
    assert [(len(body["inputs"]), body["long"]) for body in asked] == [(250, "chunk"), (250, "chunk"), (101, "chunk")]
    assert fake.requests[1].url.path == "/v1/adapters/intents:3/predict"
    assert "Wrote 601 rows" in result.stdout


def test_top_k_adds_columns(predict):
    written, _ = predict("in.txt", b"a\n", "out.csv", "--top-k", "3")
    (row,) = csv.DictReader(written.splitlines())
    assert (row["label_2"], row["probability_2"], row["label_3"], row["probability_3"]) == ("other", "0.25", "", "")


def test_stdin_to_stdout(run):
    assert run("predict", "intents", "-", input="a\nb\n").stdout.splitlines() == [
        "text,label,probability,truncated,adapter,warnings",
        "a,A,0.75,false,intents:3,",
        "b,B,0.75,false,intents:3,",
    ]
    (row,) = run("predict", "intents", "-", "--json", input="a\n").stdout.splitlines()
    assert json.loads(row) == {
        "text": "a", "label": "A", "probability": 0.75, "truncated": False, "adapter": "intents:3", "warnings": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "in.txt is empty: there is no line in it"),
        (gzip.compress(b"text\na\n", mtime=0), "is a gzip archive, not text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image, not text"),
        (b"PAR1\x15\x04\x15", "is a Parquet file, not text"),
        (b"gr\xf6\xdfe\n", "not UTF-8 (byte 0xf6)"),
    ],
)
def test_lines_that_are_none_leave_nothing_behind(run, tmp_path, content, message):
    (tmp_path / "in.txt").write_bytes(content)
    (tmp_path / "out.csv").write_text("older")
    result = run("predict", "intents", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.csv"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert (tmp_path / "out.csv").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.csv"]


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


@pytest.mark.parametrize("name", ["in.csv", "in.txt"])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("in.csv", "is the file that is read"),
        ("same.csv", "is the file that is read"),
        ("none/out.csv", "There is no folder "),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_anything_is_asked(run, fake, tmp_path, name, out, message):
    (tmp_path / name).write_text("text\na\n")
    (tmp_path / "same.csv").symlink_to(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    if name == "in.txt":
        (tmp_path / "in.csv").symlink_to(tmp_path / name)
    result = run("predict", "intents", str(tmp_path / name), "-o", str(tmp_path / out))
    assert result.exit_code == 2
    assert message in result.stderr
    assert str((tmp_path / out).parent) in result.stderr.replace("\n", "")
    assert (tmp_path / name).read_text() == "text\na\n"
    assert not fake.requests


def test_texts_given_directly_are_shown_in_a_table(run):
    out = run("predict", "intents", "hello there", "bye").stdout
    assert "HELLO THERE" in out
    assert "BYE" in out
    assert "other 0.250" in out
    assert "Answered by intents:3." in out


def test_rows_given_directly_are_objects(run, fake):
    fake.said = {"warnings": [{"detail": "column 'plan' is not there"}]}
    result = run("predict", "intents", '{"age": 3}', "{braces} in a text", "[1, 2]")
    assert json.loads(fake.requests[0].content)["inputs"] == [{"age": 3}, "{braces} in a text", "[1, 2]"]
    assert '{"age": 3}' in result.stdout
    assert result.stderr == "Note: column 'plan' is not there\n"


def test_values_are_shown_as_values(run, fake):
    fake.refusals = [httpx.Response(200, json={"adapter": "prices:1", "predictions": [{"id": "pr_1", "value": 1.5}]})]
    shown = run("predict", "prices", '{"age": 3}').stdout
    assert "value" in shown
    assert "1.500" in shown
    assert "probability" not in shown
