"""``graft predict`` on images and sounds."""

import base64
import csv
import json
from pathlib import Path

import pytest

from graft.cli import predict_media


@pytest.fixture
def files(tmp_path, messages):
    (tmp_path / "album/cat").mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(messages["png"] + b"a")
    (tmp_path / "b.wav").write_bytes(messages["wav"])
    (tmp_path / "album/2.png").write_bytes(messages["png"] + b"2")
    (tmp_path / "album/cat/1.png").write_bytes(messages["png"] + b"1")
    (tmp_path / "album/notes.txt").write_text("not a picture")
    return tmp_path


def inputs(request):
    return json.loads(request.content)["inputs"]


def test_files_are_told_by_their_bytes_and_answered_by_name(run, fake, files, messages):
    done = run("predict", "intents", str(files / "a.png"), str(files / "b.wav"))
    assert done.exit_code == 0, done.output
    image, sound = inputs(fake.requests[0])
    assert base64.b64decode(image["image"]) == messages["png"] + b"a"
    assert base64.b64decode(sound["audio"]) == messages["wav"]
    table = done.stdout.splitlines()
    assert table[0].split() == ["file", "label", "probability", "then"]
    assert table[1].startswith(str(files / "a.png"))
    assert "Answered by intents:3" in done.stdout


def test_json_names_the_files(run, files):
    found = json.loads(run("predict", "intents", str(files / "a.png"), "--json").stdout)
    assert [one["file"] for one in found] == [str(files / "a.png")]
    assert found[0]["adapter"] == "intents:3"


def test_a_folder_means_its_images_and_sounds_in_order(run, fake, files, monkeypatch):
    monkeypatch.setattr(predict_media, "BATCH", 1)
    out = files / "answers.csv"
    done = run("predict", "intents", str(files / "album"), "--out", str(out), "--top-k", "2")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["file"] for row in rows] == [str(files / "album" / name) for name in ("2.png", "cat/1.png")]
    assert (rows[0]["probability"], rows[0]["label_2"], rows[0]["adapter"]) == ("0.75", "other", "intents:3")
    assert [request.url.path for request in fake.requests] == [
        "/v1/adapters/intents/predict", "/v1/adapters/intents:3/predict",
    ]  # fmt: skip


def test_files_of_a_folder_are_called_as_the_folder_was(run, fake, files, monkeypatch):
    monkeypatch.chdir(files)
    (shown, _) = json.loads(run("predict", "intents", "album", "--json").stdout)
    assert shown["file"] == str(Path("album/2.png"))


def test_a_name_that_could_be_a_file_of_rows_stays_one(run, fake, files, messages):
    (files / "odd.csv").write_bytes(messages["png"])
    run("predict", "intents", str(files / "odd.csv"))
    assert fake.requests[0].headers["content-type"].startswith("multipart/form-data")


def test_texts_of_any_length_are_no_files(run, fake):
    long = "a very long text " * 100
    assert run("predict", "intents", long, "a" * 300).exit_code == 0
    assert inputs(fake.requests[0]) == [long, "a" * 300]
    assert run("predict", "intents", "a" * 300).exit_code == 0


def test_a_text_that_happens_to_be_a_folder_of_other_things_is_a_text(run, fake, files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "empty").mkdir()
    (files / "refunds").mkdir()
    (files / "refunds/notes.txt").write_text("x")
    run("predict", "intents", "empty", "refunds")
    assert inputs(fake.requests[0]) == ["empty", "refunds"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("photo.jpg",), "There is no file 'photo.jpg'"),
        (("a.png", "hello"), "'hello' is neither an image nor a sound"),
        (("a.png", "-o", "answers.parquet"), "written as csv, tsv, jsonl"),
        (("a.png", "-o", "a.png"), "is the file that is read"),
        (("torn.png",), "'torn.png' is neither an image nor a sound, by its first bytes"),
        (("photos.zip",), "'photos.zip' is an archive, which can be fitted only"),
        (("./refunds",), "The folder './refunds' has no images and no sounds"),
        (("./empty",), "The folder './empty' has no images and no sounds"),
    ],
)
def test_wrong_words(run, fake, files, monkeypatch, words, said):
    monkeypatch.chdir(files)
    for name in ("torn.png", "photos.zip"):
        (files / name).write_bytes(bytes(64))
    (files / "empty").mkdir()
    (files / "refunds").mkdir()
    (files / "refunds/notes.txt").write_text("x")
    done = run("predict", "intents", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert fake.requests == []


def test_a_file_that_cannot_be_read_is_named(run, fake, files, messages):
    problem = {"detail": "it is cut off", "pointer": "/inputs/1/image"}
    fake.refusals = [messages["refusal"](422, code="wrong-input", detail="Input 1 is cut off.", errors=[problem])]
    done = run("predict", "intents", str(files / "a.png"), str(files / "album/2.png"), "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    (shown,) = json.loads(done.stderr)["errors"]
    assert shown == problem | {"file": str(files / "album/2.png")}
