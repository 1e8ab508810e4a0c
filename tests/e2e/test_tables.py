"""A real server with tables, vectors and long texts, from the command line and the client."""

import csv
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graft import Client

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LEADS = ROOT / "examples" / "leads.csv"


@pytest.fixture
def graft(server, tmp_path):
    """Run a command line against it, in a folder of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRAFT_")}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "graft.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment | {"GRAFT_URL": server.url, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_from_the_upload_to_a_file_of_answers(graft, tmp_path):
    made = json.loads(graft("fit", LEADS, "--name", "leads", "--target", "won", "--json").stdout)
    kinds = {column["name"]: column["kind"] for column in made["columns"]}
    assert kinds == {
        "employees": "number", "industry": "category", "source": "category", "first_contact": "date",
        "newsletter": "boolean", "budget_eur": "number",
    }  # fmt: skip
    assert made["metrics"]["accuracy"] > 0.65
    shown = graft("adapters", "show", "leads").stdout
    assert "2025-01" in shown
    assert "referral" in shown
    (answer,) = json.loads(graft("predict", "leads", '{"source": "referral", "newsletter": true}', "--json").stdout)
    assert answer["label"] == "yes"
    graft("predict", "leads", LEADS, "-o", "answers.csv", "--top-k", "2")
    given, answered = read(LEADS), read(tmp_path / "answers.csv")
    assert [{name: row[name] for name in given[0]} for row in answered] == given
    assert list(answered[0])[len(given[0]) :] == [
        "label", "probability", "label_2", "probability_2", "adapter", "warnings",
    ]  # fmt: skip
    assert sum(row["label"] == row["won"] for row in answered) > 40
    assert {row["adapter"] for row in answered} == {"leads:1"}


def test_json_rows_are_answered_as_their_file_is(graft, server, tmp_path):
    graft("fit", LEADS, "--name", "same", "--target", "won")
    rows = read(LEADS)
    with server.client as client:
        answers = client.predict("same", [{**row, "budget_eur": float(row["budget_eur"] or "nan")} for row in rows])
        assert [warning.detail for warning in answers.warnings] == [
            "Columns that this adapter does not use were passed over: 'won'."
        ]
        client.predict_file("same", LEADS, tmp_path / "answers.csv")
    written = read(tmp_path / "answers.csv")
    assert [row["label"] for row in written] == [answer.label for answer in answers]
    assert [float(row["probability"]) for row in written] == pytest.approx([answer.probability for answer in answers])


def test_a_regression(graft, server, tmp_path):
    chance = random.Random(0)
    rows = ["size;city;rent"]
    rows += [f"{(size := chance.randint(20, 120))};{'AB'[n % 2]};{size * 12 + 90 * (n % 2)},5" for n in range(80)]
    (tmp_path / "rents.csv").write_text("\n".join(rows), encoding="utf-8")
    made = graft("fit", "rents.csv", "--name", "rents", "--target", "rent", "--column", "city=category").stdout
    assert "R²" in made
    assert "RMSE" in made
    (tmp_path / "new.csv").write_text("\ufeffsize;city\r\n50;A\r\nlarge;=B\r\n", encoding="utf-8")
    noted = graft("predict", "rents", "new.csv", "-o", "answers.csv").stderr
    assert "semicolon" in noted
    text = (tmp_path / "answers.csv").read_text(encoding="utf-8")
    assert text.startswith("\ufeffsize;city;value;adapter;warnings")
    (first, second) = csv.DictReader(text.removeprefix("\ufeff").splitlines(), delimiter=";")
    assert float(first["value"]) == pytest.approx(600, rel=0.1)
    assert (second["city"], "'large'" in second["warnings"]) == ("'=B", True)
    with server.client as client:
        (answer,) = client.predict("rents", [{"size": 50, "city": "A"}])
    assert answer.value == pytest.approx(float(first["value"]))
    assert answer.label is None


def test_vectors(graft, server, tmp_path):
    chance = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    z = (chance.standard_normal((60, 8)) + 4 * np.eye(8)[y]).astype(np.float32)
    np.savez(tmp_path / "mine.npz", embedding=z, label=np.array(list("abc"))[y])
    graft("fit", "mine.npz", "--name", "mine")
    np.save(tmp_path / "new.npy", z)
    lines = graft("predict", "mine", "new.npy").stdout.splitlines()
    labels = [json.loads(line)["label"] for line in lines]
    with server.client as client:
        assert [answer.label for answer in client.predict("mine", z)] == labels
    assert sum(label == "abc"[index] for label, index in zip(labels, y, strict=True)) > 50


def test_long_texts_are_read_to_their_end_where_that_is_asked(graft, server, tmp_path):
    pad, tail = "and so on " * 100, {word: f"{word} " * 200 for word in ("refund", "parcel")}
    rows = [f"{pad}{n} {tail[word]},{word}" for n in range(8) for word in tail]
    (tmp_path / "long.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    graft("fit", "long.csv", "--name", "long", "--long", "chunk")
    with server.client as client:
        assert client.adapters.version("long").long == "chunk"
        (whole,) = client.predict("long", [pad + tail["refund"]])
        (cut,) = client.predict("long", [pad + tail["refund"]], long="truncate")
    assert (whole.label, whole.truncated, cut.truncated) == ("refund", False, True)
    graft("predict", "long", "long.csv", "-o", "answers.csv")
    assert {row["truncated"] for row in read(tmp_path / "answers.csv")} == {"false"}
    graft("predict", "long", "long.csv", "-o", "cut.csv", "--long", "truncate")
    assert {row["truncated"] for row in read(tmp_path / "cut.csv")} == {"true"}


def test_a_caller_who_hangs_up_leaves_nothing_behind(graft, server, tmp_path, until):
    graft("fit", LEADS, "--name", "left", "--target", "won")
    header, *rows = LEADS.read_text(encoding="utf-8").splitlines()
    content = "\n".join([header, *rows * 1500]).encode()
    head = ["POST /v1/adapters/left/predict HTTP/1.1", "Host: 127.0.0.1", "Content-Type: text/csv"]
    head += [f"Content-Length: {len(content)}", "", ""]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall("\r\n".join(head).encode() + content)
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
        assert list((server.home / "staging").iterdir())
    until(lambda: not list((server.home / "staging").iterdir()), timeout_s=20)
    with Client(server.url) as client:
        assert client.predict("left", [{"employees": 10}])
    assert "Traceback" not in server.log()
